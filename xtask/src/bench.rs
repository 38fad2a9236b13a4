//! `cargo xtask bench <area>`: the benchmarks, which live in a workspace of their own.

use crate::shell::{self, Result};

/// Adds a peer that takes as long to compile as all others together.
const ESDK: &str = "--esdk";

/// Passes everything else on to the program in `benches/`, built for speed; its report and its exit are the job's.
pub(crate) fn main(args: &[&str]) -> Result {
    let mut bench = shell::cargo();
    bench.args(["run", "--release", "--locked", "--manifest-path", "benches/Cargo.toml"]);
    if args.contains(&ESDK) {
        bench.args(["--features", "esdk"]);
    }
    // Apart from the tests: `target` is cached there, and nothing is shared between the two profiles.
    bench.arg("--target-dir").arg(shell::target().join("benches"));
    shell::run(bench.arg("--").args(args.iter().filter(|arg| **arg != ESDK)))
}
