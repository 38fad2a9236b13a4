use core::fmt;
use std::path::{Path, PathBuf};

use cryptoki::context::Pkcs11;
use secrecy::SecretString;

/// Which token to use, and with how many sessions.
///
/// ```
/// use phi_keys::pkcs11::Pkcs11Config;
/// use secrecy::SecretString;
///
/// let pin = SecretString::from("1234"); // from where your secrets live
/// let config = Pkcs11Config::new("/usr/lib/softhsm/libsofthsm2.so", "clinic", pin).sessions(4);
/// assert!(!format!("{config:?}").contains("1234"));
/// ```
pub struct Pkcs11Config {
    pub(super) module: Module,
    pub(super) token: String,
    pub(super) pin: SecretString,
    pub(super) sessions: usize,
    pub(super) queue: usize,
}

impl Pkcs11Config {
    /// The token labelled `token`, reached through the PKCS#11 module (a shared library) at `module`. The module is code that
    /// runs in this process: its file must be writable by nobody who may not read keys.
    #[must_use]
    pub fn new(module: impl AsRef<Path>, token: impl Into<String>, pin: SecretString) -> Self {
        Self::with(Module::At(module.as_ref().to_owned()), token.into(), pin)
    }

    /// The token labelled `token`, reached through a module that you loaded, with `cryptoki` or out of the program itself.
    /// Where it is not initialised yet, that is done here. Initialise it with `CInitializeFlags::OS_LOCKING_OK`, because the
    /// pool calls it from several threads; a pool survives that you finalise it, as it survives a token that is pulled out.
    ///
    /// ```no_run
    /// use cryptoki::context::Pkcs11;
    /// use phi_keys::pkcs11::{Pkcs11Config, Pkcs11Pool};
    /// # async fn run(pin: secrecy::SecretString) -> Result<(), Box<dyn std::error::Error>> {
    /// let module = Pkcs11::new("/usr/lib/softhsm/libsofthsm2.so")?;
    /// let pool = Pkcs11Pool::open(Pkcs11Config::loaded(module, "clinic", pin)).await?;
    /// # pool.close().await;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn loaded(module: Pkcs11, token: impl Into<String>, pin: SecretString) -> Self {
        Self::with(Module::Loaded(module), token.into(), pin)
    }

    const fn with(module: Module, token: String, pin: SecretString) -> Self {
        Self { module, token, pin, sessions: 2, queue: 256 }
    }

    /// How many sessions, each on a thread of its own, are open at once: 1 to 64, 2 unless set. A token does one thing at a
    /// time in each.
    #[must_use]
    pub fn sessions(mut self, sessions: usize) -> Self {
        self.sessions = sessions.clamp(1, 64);
        self
    }

    /// How many requests may wait for a session, 256 unless set; one more is refused as
    /// [`Busy`](super::Pkcs11Error::Busy).
    #[must_use]
    pub fn queue(mut self, requests: usize) -> Self {
        self.queue = requests.max(1);
        self
    }
}

/// Where the module comes from.
pub(super) enum Module {
    At(PathBuf),
    Loaded(Pkcs11),
}

impl fmt::Debug for Pkcs11Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pkcs11Config({} sessions with {:?})", self.sessions, self.token)
    }
}
