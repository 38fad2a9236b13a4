//! A virtual environment with the emulators that are Python packages, kept under `target/` and made again when it changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::packages;
use crate::shell::{self, Result};

/// Exact versions, because the gaps of an emulator differ between versions. Not `moto[server]`: that brings 150 MB of
/// services which no test uses.
const REQUIREMENTS: &[&str] =
    &["moto[kms,s3]==5.2.5", "flask==3.1.3", "flask-cors==6.0.5", "ministack==1.5.33", "cryptography==50.0.2"];

const PACKAGE: &str = "python3-venv";

pub(super) fn missing() -> Vec<&'static str> {
    if is_complete(&folder()) || interpreter().is_some() { Vec::new() } else { vec!["python3", PACKAGE] }
}

/// Makes the environment unless it is there already; returns its interpreter.
pub(super) fn environment() -> Result<PathBuf> {
    let folder = folder();
    if !is_complete(&folder) {
        let mend = || packages::command(&["python3", PACKAGE]);
        let python = interpreter().ok_or_else(|| format!("Python with `venv` is not installed: {}", mend()))?;
        println!("installing {} …", REQUIREMENTS.join(", "));
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        shell::output(Command::new(python).args(["-m", "venv"]).arg(&folder))?;
        let mut pip = Command::new(program(&folder, "python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]).args(REQUIREMENTS);
        shell::output(&mut pip)?;
        fs::write(folder.join(STAMP), stamp(&folder))?;
    }
    Ok(program(&folder, "python"))
}

/// A program of the environment.
pub(super) fn program(folder: &Path, name: &str) -> PathBuf {
    folder.join("bin").join(name)
}

/// Where the environment is.
pub(super) fn folder() -> PathBuf {
    shell::target().join("tools").join("python")
}

/// The installed version of a package of the environment.
pub(super) fn version(package: &str) -> Result<String> {
    let script = "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))";
    shell::output(Command::new(program(&folder(), "python")).args(["-c", script, package]))
}

const STAMP: &str = "phi-requirements.txt";

/// The path belongs to it: an environment that was copied elsewhere still points to where it came from.
fn stamp(folder: &Path) -> String {
    format!("{}\n{}\n", folder.display(), REQUIREMENTS.join("\n"))
}

fn is_complete(folder: &Path) -> bool {
    fs::read_to_string(folder.join(STAMP)).is_ok_and(|found| found == stamp(folder))
        && shell::output(Command::new(program(folder, "python")).arg("--version")).is_ok()
}

/// The first Python 3 that can make virtual environments; the distribution's may be complete where another one is not.
fn interpreter() -> Option<&'static str> {
    let works = |python: &&str| shell::output(Command::new(python).args(["-c", "import venv, ensurepip"])).is_ok();
    ["python3", "/usr/bin/python3"].into_iter().find(works)
}
