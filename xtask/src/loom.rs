//! `cargo xtask loom`: the model check of the key cache.

use crate::shell::{self, Result};

/// Runs the tests that loom drives through every interleaving. They are a build of their own, with other locks.
pub(crate) fn main() -> Result {
    let mut test = shell::cargo();
    test.args(["test", "--locked", "-p", "phi-keys", "--no-default-features", "--lib", "--target-dir"]);
    test.arg(shell::target().join("loom")).env("RUSTFLAGS", "--cfg loom");
    shell::run(test.args(["--", "loom_"]))
}
