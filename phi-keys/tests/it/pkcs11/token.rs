//! The token that `cargo xtask test` provides, and tokens that one test has to itself.

use core::sync::atomic::{AtomicU32, Ordering};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use phi_keys::pkcs11::{Pkcs11Config, Pkcs11Error, Pkcs11Pool};
use secrecy::SecretString;

/// The module, as the test itself uses it; it stays loaded, like the adapter's.
static MODULE: LazyLock<Pkcs11> = LazyLock::new(|| {
    let module = Pkcs11::new(std::env::var("PHI_TEST_PKCS11_MODULE").unwrap()).unwrap();
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => module,
        Err(error) => panic!("{error}"),
    }
});

const SECURITY_OFFICER: &str = "security officer";

pub(super) struct Token {
    pub(super) label: String,
    pub(super) pin: String,
}

impl Token {
    /// The token that the environment names; `None` without one.
    pub(super) fn given() -> Option<Self> {
        crate::component::given("softhsm", "PHI_TEST_PKCS11_MODULE")?;
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Some(Self { label: variable("PHI_TEST_PKCS11_TOKEN")?, pin: variable("PHI_TEST_PKCS11_PIN")? })
    }

    /// A token in a process that runs the test called `name` and nothing else, because SoftHSM 2.6.1
    /// bears neither a token nor a key that is made while other threads look around; `None` in every other process, after that one has succeeded.
    pub(super) fn own(name: &str) -> Option<Self> {
        alone(name)?;
        let token = Self { label: unique("token"), pin: "first pin".into() };
        let is_free = |slot: &Slot| !MODULE.get_token_info(*slot).unwrap().token_initialized();
        let free = MODULE.get_slots_with_token().unwrap().into_iter().find(is_free).unwrap();
        token.initialise(free);
        Some(token)
    }

    /// Wipes the token behind `slot` and gives it this label and PIN.
    pub(super) fn initialise(&self, slot: Slot) {
        let officer = AuthPin::from(SECURITY_OFFICER);
        MODULE.init_token(slot, &officer, &self.label).unwrap();
        let session = MODULE.open_rw_session(slot).unwrap();
        session.login(UserType::So, Some(&officer)).unwrap();
        session.init_pin(&AuthPin::from(self.pin.as_str())).unwrap();
        session.logout().unwrap();
    }

    pub(super) fn slot(&self) -> Slot {
        let is_mine = |slot: &Slot| MODULE.get_token_info(*slot).unwrap().label() == self.label;
        MODULE.get_slots_with_initialized_token().unwrap().into_iter().find(is_mine).unwrap()
    }

    /// Ends the login of every session of this process with the token.
    pub(super) fn log_out(&self) {
        self.session().logout().unwrap();
    }

    /// A logged-in session of the test's own.
    pub(super) fn session(&self) -> Session {
        let session = MODULE.open_rw_session(self.slot()).unwrap();
        match session.login(UserType::User, Some(&AuthPin::from(self.pin.as_str()))) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => session,
            Err(error) => panic!("{error}"),
        }
    }

    pub(super) fn config(&self) -> Pkcs11Config {
        self.config_with(&self.pin)
    }

    pub(super) fn config_with(&self, pin: &str) -> Pkcs11Config {
        let module = std::env::var("PHI_TEST_PKCS11_MODULE").unwrap();
        Pkcs11Config::new(module, &self.label, SecretString::from(pin))
    }

    /// Through the module that the test itself loaded.
    pub(super) fn config_of_loaded(&self) -> Pkcs11Config {
        Pkcs11Config::loaded(MODULE.clone(), &self.label, SecretString::from(self.pin.as_str()))
    }

    pub(super) async fn pool(&self) -> Pkcs11Pool {
        Pkcs11Pool::open(self.config()).await.unwrap()
    }

    pub(super) async fn refused(&self, config: Pkcs11Config) -> Pkcs11Error {
        Pkcs11Pool::open(config).await.unwrap_err()
    }
}

/// Ends every session of this process with every token, and reads the tokens anew.
pub(super) fn restart() {
    MODULE.clone().finalize().unwrap();
    MODULE.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
}

/// Runs the test called `name` again in a process of its own, with a folder of tokens of its own; there the result is that
/// folder. Everywhere else it is `None`, after that process has succeeded.
pub(super) fn alone(name: &str) -> Option<PathBuf> {
    const CHILD: &str = "PHI_KEYS_TEST_PKCS11_FOLDER";
    if let Some(folder) = std::env::var_os(CHILD) {
        return Some(folder.into());
    }
    Token::given()?;
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    std::fs::create_dir(&tokens).unwrap();
    let configuration = folder.path().join("softhsm2.conf");
    let lines = format!("directories.tokendir = {}\nobjectstore.backend = file\n", tokens.display());
    std::fs::write(&configuration, lines).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env("SOFTHSM2_CONF", configuration)
        .env(CHILD, &tokens)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    None
}

/// A label that no other test, and no earlier run on the same token, has used.
pub(super) fn unique(kind: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("phi {kind} {}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}
