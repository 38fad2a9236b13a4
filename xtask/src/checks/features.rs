//! Every feature compiles alone: a feature that leans on another one without naming it breaks its first user.

use crate::metadata::{self, Metadata};
use crate::shell::{self, Result};

/// `cargo xtask features`: each published crate without features and with each feature alone, those that its defaults
/// name among them.
pub(crate) fn main() -> Result {
    let metadata = Metadata::members_only()?;
    let mut broken = Vec::new();
    for package in metadata.product() {
        let features = package.features.iter().map(String::as_str);
        let alone = features.filter(|feature| *feature != "default" && !metadata::is_set_apart(feature));
        for feature in std::iter::once("").chain(alone) {
            let mut check = shell::cargo();
            // Clippy rather than check: it denies warnings without compiling every dependency again with other flags.
            check.args(["clippy", "--quiet", "--locked", "-p", &package.name, "--no-default-features"]);
            check.args(["--features", feature, "--", "-D", "warnings"]);
            if shell::run(&mut check).is_err() {
                broken.push(format!("{} with `{feature}`", package.name));
            }
        }
    }
    if broken.is_empty() { Ok(()) } else { Err(format!("does not stand alone: {}", broken.join(", ")).into()) }
}
