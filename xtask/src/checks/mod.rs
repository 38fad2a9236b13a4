//! Rules of the repository that no compiler checks.

mod backend;
mod compliance;
pub(crate) mod deps;
pub(crate) mod features;
mod files;
mod licences;
mod manifests;

use crate::metadata::Metadata;
use crate::shell::{self, Result};

/// `cargo xtask rules`: prints every finding, and fails if there is one.
pub(crate) fn rules() -> Result {
    let metadata = Metadata::load()?;
    let mut findings = licences::findings(&metadata);
    findings.extend(manifests::findings(&metadata)?);
    findings.extend(files::findings()?);
    findings.extend(backend::findings()?);
    findings.extend(compliance::findings()?);
    findings.extend(["benches", "fips", "fuzz"].into_iter().filter_map(stale_lock));
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => {
            println!("rules: {} packages, no finding", metadata.packages.len());
            Ok(())
        }
        count => Err(format!("{count} rules are broken").into()),
    }
}

/// The workspaces beside the product's have lock files of their own, which a new dependency of a crate makes stale.
fn stale_lock(workspace: &str) -> Option<String> {
    let manifest = format!("{workspace}/Cargo.toml");
    let mut metadata = shell::cargo();
    metadata.args(["metadata", "--locked", "--format-version=1", "--manifest-path", &manifest]);
    let mend = format!("cargo update --workspace --manifest-path {manifest}");
    shell::output(&mut metadata).err().map(|_| format!("{workspace}/Cargo.lock is out of date: run {mend}"))
}
