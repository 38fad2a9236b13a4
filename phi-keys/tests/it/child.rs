//! Tests that need a process of their own, for its environment or what it can hold only once.

use std::process::{Command, Output};

/// What is set for the child.
pub(crate) type Prepare<'a> = &'a dyn Fn(&mut Command);

/// Runs one test of this program in a process of its own, where it has to succeed.
pub(crate) fn succeeds(test: &str, prepare: Prepare<'_>) {
    let output = run(test, prepare);
    let (said, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{test}: {said}\n{failed}");
}

/// Runs one test of this program in a process of its own, where it has to fail.
#[cfg(all(feature = "vault", feature = "test-util"))]
pub(crate) fn fails(test: &str, prepare: Prepare<'_>) {
    let output = run(test, prepare);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && said.contains("1 failed"), "{test}: {said}");
}

fn run(test: &str, prepare: Prepare<'_>) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    prepare(command.args([test, "--exact", "--nocapture"]));
    command.output().unwrap()
}
