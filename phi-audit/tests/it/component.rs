//! What a test runs against, and a note of it for the closing table of `cargo xtask test`, which counts these notes.
//!
//! The same file in every crate that has such tests.
#![allow(
    dead_code,
    clippy::print_stderr,
    reason = "no crate runs against everything; a test that does not run says so"
)]

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::process::Command;

/// The running test reaches `component`.
pub(crate) fn used(component: &str) {
    note("used", component);
}

/// The running test passes without having reached `component`.
pub(crate) fn not_run(component: &str, why: &str) {
    eprintln!("not run: {why}");
    note("not-run", component);
}

/// Where `component` is, as the environment says; `None` where it says nothing.
pub(crate) fn given(component: &str, variable: &str) -> Option<String> {
    let given = std::env::var(variable).ok().filter(|value| !value.is_empty());
    match given {
        Some(_) => used(component),
        None => not_run(component, &format!("{variable} names nothing; `cargo xtask test` provides it")),
    }
    given
}

/// The program that `variable` names, and which then has to work; without the variable the one in `PATH`, if it answers `question`.
/// An empty variable forbids both.
pub(crate) fn program(component: &str, variable: &str, name: &str, question: &str) -> Option<OsString> {
    let program = match std::env::var_os(variable) {
        Some(named) => Some(named).filter(|named| !named.is_empty()),
        None => Command::new(name).arg(question).output().is_ok().then(|| name.into()),
    };
    match program {
        Some(_) => used(component),
        None => not_run(component, &format!("there is no {name}; `cargo xtask test` provides it")),
    }
    program
}

/// The Python that runs an independent implementation. No packages are needed.
pub(crate) fn python() -> Option<OsString> {
    program("python", "PHI_TEST_PYTHON3", "python3", "--version")
}

fn note(what: &str, component: &str) {
    let Some(path) = std::env::var_os("PHI_TEST_NOTES") else { return };
    // A process that a test starts is a part of that test, which has made its own note.
    if std::env::args().any(|argument| argument == "--exact") {
        return;
    }
    let thread = std::thread::current();
    let line = format!("{what} {component} {} {}\n", env!("CARGO_PKG_NAME"), thread.name().unwrap_or_default());
    // In one write, because other tests append at the same time.
    OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(line.as_bytes()).unwrap();
}
