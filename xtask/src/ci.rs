//! The jobs of continuous integration.

use crate::metadata::{self, Metadata};
use crate::shell::{self, Result};
use crate::{checks, loom, test};

/// `cargo xtask ci`: everything that must hold before a change lands; quick answers first.
pub(crate) fn all() -> Result {
    fmt()?;
    checks::rules()?;
    checks::deps::main()?;
    clippy()?;
    docs()?;
    checks::features::main()?;
    loom::main()?;
    test::main(&[])
}

/// `cargo xtask fmt`: this workspace and those beside it.
pub(crate) fn fmt() -> Result {
    for manifest in MANIFESTS {
        shell::run(shell::cargo().args(["fmt", "--all", "--check", "--manifest-path", manifest]))?;
    }
    Ok(())
}

/// `cargo xtask clippy`: every target of the workspace with every feature.
pub(crate) fn clippy() -> Result {
    let features = all_features()?;
    let mut clippy = shell::cargo();
    clippy.args(["clippy", "--workspace", "--all-targets", "--locked"]).args(features);
    shell::run(clippy.args(["--", "-D", "warnings"]))?;
    // The benchmarks are left to `cargo xtask bench`: what they are compared with takes longer to compile than all of this.
    let mut clippy = shell::cargo();
    clippy.args(["clippy", "--manifest-path", "fuzz/Cargo.toml", "--all-targets", "--locked", "--target-dir"]);
    shell::run(clippy.arg(shell::target()).args(["--", "-D", "warnings"]))
}

/// `cargo xtask docs`: the documentation as docs.rs builds it, without dependencies.
pub(crate) fn docs() -> Result {
    let features = all_features()?;
    let mut doc = shell::cargo();
    doc.args(["doc", "--workspace", "--no-deps", "--locked"]).args(features).env("RUSTDOCFLAGS", "-D warnings");
    shell::run(&mut doc)
}

const MANIFESTS: [&str; 4] = ["Cargo.toml", "benches/Cargo.toml", "fips/Cargo.toml", "fuzz/Cargo.toml"];

fn all_features() -> Result<Vec<String>> {
    Ok(metadata::feature_args(&Metadata::members_only()?, &|_| true))
}
