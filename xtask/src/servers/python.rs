//! Virtual environments with what is needed of Python packages, kept under `target/` and made again when they change.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::packages;
use crate::shell::{self, Result};

/// One environment. The vendors' SDKs and the emulators want other versions of the same packages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Environment {
    name: &'static str,
    requirements: &'static [&'static str],
}

/// The emulators.
pub(super) const EMULATORS: Environment = Environment { name: "python", requirements: EMULATOR_PACKAGES };

/// The vendors' own clients, which tests of the adapters exchange wrapped keys with.
pub(super) const SDKS: Environment = Environment { name: "python-sdk", requirements: SDK_PACKAGES };

/// Exact versions, because the gaps of an emulator differ between versions. Not `moto[server]`: that brings 150 MB of
/// services which no test uses.
const EMULATOR_PACKAGES: &[&str] =
    &["moto[kms,s3]==5.2.5", "flask==3.1.3", "flask-cors==6.0.5", "ministack==1.5.33", "cryptography==50.0.2"];

/// The same list as `phi-keys/sim/tests/sdk/requirements.txt`, for which a test stands.
const SDK_PACKAGES: &[&str] = &[
    "azure-core==1.41.0",
    "azure-identity==1.27.0",
    "azure-keyvault-keys==4.11.3",
    "google-cloud-kms==3.18.0",
    "hvac==2.4.0",
    "requests==2.34.2",
];

const PACKAGE: &str = "python3-venv";

pub(super) fn missing(environment: Environment) -> Vec<&'static str> {
    if is_complete(environment) || interpreter().is_some() { Vec::new() } else { vec!["python3", PACKAGE] }
}

/// Makes the environment unless it is there already; returns its interpreter.
pub(super) fn make(environment: Environment) -> Result<PathBuf> {
    let folder = folder(environment);
    if !is_complete(environment) {
        let mend = || packages::command(&["python3", PACKAGE]);
        let python = interpreter().ok_or_else(|| format!("Python with `venv` is not installed: {}", mend()))?;
        println!("installing {} …", environment.requirements.join(", "));
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        shell::output(Command::new(python).args(["-m", "venv"]).arg(&folder))?;
        let mut pip = Command::new(program(&folder, "python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]);
        pip.args(environment.requirements);
        shell::output(&mut pip).map_err(|error| format!("{error}\n  the same by hand: {}", by_hand(environment)))?;
        fs::write(folder.join(STAMP), stamp(environment))?;
    }
    Ok(program(&folder, "python"))
}

/// What installs its packages, for whoever has to see to it that the package index answers.
fn by_hand(environment: Environment) -> String {
    let python = program(&folder(environment), "python");
    let packages: Vec<_> = environment.requirements.iter().map(|package| format!("'{package}'")).collect();
    format!("{} -m pip install {}", python.display(), packages.join(" "))
}

/// A program of the environment.
pub(super) fn program(folder: &Path, name: &str) -> PathBuf {
    folder.join("bin").join(name)
}

/// Where the environment is.
pub(super) fn folder(environment: Environment) -> PathBuf {
    shell::target().join("tools").join(environment.name)
}

/// The installed version of a package of the environment.
pub(super) fn version(environment: Environment, package: &str) -> Result<String> {
    let script = "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))";
    shell::output(Command::new(program(&folder(environment), "python")).args(["-c", script, package]))
}

const STAMP: &str = "phi-requirements.txt";

/// The path belongs to it: an environment that was copied elsewhere still points to where it came from.
fn stamp(environment: Environment) -> String {
    format!("{}\n{}\n", folder(environment).display(), environment.requirements.join("\n"))
}

fn is_complete(environment: Environment) -> bool {
    let folder = folder(environment);
    fs::read_to_string(folder.join(STAMP)).is_ok_and(|found| found == stamp(environment))
        && shell::output(Command::new(program(&folder, "python")).arg("--version")).is_ok()
}

/// The first Python 3 that can make virtual environments; the distribution's may be complete where another one is not.
fn interpreter() -> Option<&'static str> {
    let works = |python: &&str| shell::output(Command::new(python).args(["-c", "import venv, ensurepip"])).is_ok();
    ["python3", "/usr/bin/python3"].into_iter().find(works)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sdks_are_those_that_the_simulators_are_tested_with() {
        let path = shell::root().join("phi-keys/sim/tests/sdk/requirements.txt");
        let listed = fs::read_to_string(path).unwrap();
        assert_eq!(listed.lines().collect::<Vec<_>>(), SDK_PACKAGES);
    }

    #[test]
    fn what_installs_the_packages_by_hand_names_their_environment() {
        let command = by_hand(EMULATORS);
        assert!(command.starts_with(&*folder(EMULATORS).to_string_lossy()), "{command}");
        assert!(command.contains("/bin/python -m pip install 'moto[kms,s3]=="), "{command}");
    }
}
