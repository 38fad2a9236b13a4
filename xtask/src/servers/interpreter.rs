//! Python itself, which runs the independent implementations of the formats. They need no packages.

use std::process::Command;

use super::{Running, program};
use crate::shell::{self, Result};

const PYTHON: &str = "python3";

pub(super) fn missing() -> Vec<&'static str> {
    if shell::find(PYTHON, &[]).is_some() { Vec::new() } else { vec![PYTHON] }
}

pub(super) fn provide() -> Result<Running> {
    let python = program(PYTHON, &[], PYTHON)?;
    let version = shell::output(Command::new(&python).args(["-c", "import sys; print(sys.version.split()[0])"]))?;
    Ok(Running {
        version,
        place: "this machine".to_owned(),
        answered: "its version",
        environment: vec![("PHI_TEST_PYTHON3", python.display().to_string())],
        _guard: None,
    })
}
