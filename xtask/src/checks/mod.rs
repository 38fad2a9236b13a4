//! Rules of the repository that no compiler checks.

mod compliance;
pub(crate) mod deps;
pub(crate) mod features;
mod files;
mod licences;
mod manifests;

use crate::metadata::Metadata;
use crate::shell::Result;

/// `cargo xtask rules`: prints every finding, and fails if there is one.
pub(crate) fn rules() -> Result {
    let metadata = Metadata::load()?;
    let mut findings = licences::findings(&metadata);
    findings.extend(manifests::findings(&metadata)?);
    findings.extend(files::findings()?);
    findings.extend(compliance::findings()?);
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
