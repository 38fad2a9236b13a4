//! The vendors' own Python SDKs: no server, but third-party code at the other end of what the adapters write.

use std::process::Command;

use super::Running;
use super::python::{self, SDKS};
use crate::shell::{self, Result};

const IMPORTS: &str = "import azure.identity, azure.keyvault.keys, google.cloud.kms, hvac";

pub(super) fn provide() -> Result<Running> {
    let python = python::make(SDKS)?;
    shell::output(Command::new(&python).args(["-c", IMPORTS]))?;
    let mut versions = Vec::new();
    for package in ["hvac", "google-cloud-kms", "azure-keyvault-keys"] {
        versions.push(format!("{package} {}", python::version(SDKS, package)?));
    }
    Ok(Running {
        version: versions.join(", "),
        place: "this machine".to_owned(),
        answered: "import",
        environment: vec![("PHI_TEST_PYTHON", python.display().to_string())],
        _guard: None,
    })
}
