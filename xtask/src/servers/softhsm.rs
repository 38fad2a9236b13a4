//! SoftHSM2: a PKCS#11 module with one token in a folder of its own.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::place::{self, Folder};
use super::supervise::Supervised;
use super::{Running, packages, program};
use crate::shell::{self, Result};

const PACKAGE: &str = "softhsm2";
const TOOL: &str = "softhsm2-util";
/// Another client of the token, which looks at what ours makes.
const OTHER: (&str, &str) = ("pkcs11-tool", "opensc");
const LABEL: &str = "phi-test";

pub(super) fn missing() -> Vec<&'static str> {
    let ours = (shell::find(TOOL, &[]).is_none() || module().is_none()).then_some(PACKAGE);
    let other = shell::find(OTHER.0, &[]).is_none().then_some(OTHER.1);
    ours.into_iter().chain(other).collect()
}

pub(super) fn start() -> Result<Running> {
    let (tool, other) = (program(TOOL, &[], PACKAGE)?, program(OTHER.0, &[], OTHER.1)?);
    let module =
        module().ok_or_else(|| format!("libsofthsm2.so is not installed: {}", packages::command(&[PACKAGE])))?;
    let folder = Folder::new("softhsm")?;
    let tokens = folder.path().join("tokens");
    fs::create_dir(&tokens)?;
    let configuration = folder.path().join("softhsm2.conf");
    fs::write(&configuration, format!("directories.tokendir = {}\nobjectstore.backend = file\n", tokens.display()))?;
    let pin = place::secret()?;
    let softhsm = |args: &[&str]| {
        let mut command = Command::new(&tool);
        command.env("SOFTHSM2_CONF", &configuration).args(args);
        shell::output(&mut command)
    };
    let environment = vec![
        ("SOFTHSM2_CONF", configuration.display().to_string()),
        ("PHI_TEST_PKCS11_MODULE", module.display().to_string()),
        ("PHI_TEST_PKCS11_TOKEN", LABEL.to_owned()),
        ("PHI_TEST_PKCS11_PIN", pin.clone()),
        ("PHI_TEST_PKCS11_TOOL", other.display().to_string()),
    ];
    softhsm(&["--init-token", "--free", "--label", LABEL, "--pin", &pin, "--so-pin", &place::secret()?])?;
    if !softhsm(&["--show-slots"])?.contains(LABEL) {
        return Err("the token that was just made is not listed".into());
    }
    let version = softhsm(&["--version"])?;
    let guard = Supervised::start(folder, None)?;
    let place = format!("{}, token made for this run", module.display());
    Ok(Running { version, place, answered: "token initialisation", environment, _guard: Some(guard) })
}

fn module() -> Option<PathBuf> {
    let architecture = std::env::consts::ARCH;
    [
        "/usr/lib/softhsm/libsofthsm2.so".to_owned(),
        format!("/usr/lib/{architecture}-linux-gnu/softhsm/libsofthsm2.so"),
        "/usr/lib64/softhsm/libsofthsm2.so".to_owned(),
    ]
    .into_iter()
    .map(PathBuf::from)
    .find(|module| module.is_file())
}
