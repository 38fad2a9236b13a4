//! Cargo, once to build and once to run, so that each result can be given to the package it belongs to.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use serde_json::Value;

use super::listen::{Listener, Suite};
use crate::shell::{self, Result};

/// What cargo is asked for.
pub(super) struct Selection {
    /// Packages and features.
    pub(super) args: Vec<String>,
    /// Only the tests whose names begin like one of these; empty for all.
    pub(super) filter: Vec<String>,
}

/// Package names by the file name of their test binary.
pub(super) type Binaries = BTreeMap<String, String>;

/// What the tests find in their environment, and what (`None`) they must not find there.
pub(super) type Environment<'a> = Vec<(&'static str, Option<&'a OsStr>)>;

/// Compiles the tests.
pub(super) fn build(selection: &Selection) -> Result<Binaries> {
    let mut command = cargo_test(selection);
    command.args(["--no-run", "--message-format=json-render-diagnostics"]);
    println!("$ {}", shell::show(&command));
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err("the tests do not compile".into());
    }
    let messages = String::from_utf8(output.stdout)?;
    Ok(messages.lines().filter_map(binary).collect())
}

/// Runs what [`build`] compiled, and the documentation's examples; prints everything as cargo does.
pub(super) fn test(selection: &Selection, binaries: &Binaries, environment: &Environment<'_>) -> Result<Vec<Suite>> {
    let mut command = cargo_test(selection);
    command.arg("--no-fail-fast");
    for (name, value) in environment {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    if std::env::var_os("RUST_TEST_THREADS").is_none()
        && thread::available_parallelism().is_ok_and(|cores| cores.get() == 1)
    {
        // With one thread no test has a thread of its own, and so none a name for its notes.
        command.env("RUST_TEST_THREADS", "2");
    }
    if !selection.filter.is_empty() {
        command.arg("--").args(&selection.filter);
    }
    println!("$ {}", shell::show(&command));
    // One pipe for both: cargo names a binary on one of them, the binary reports on the other.
    let (reader, writer) = std::io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn()?;
    // The command holds the writing ends: without this the pipe would never end.
    drop(command);

    let mut listener = Listener::new(binaries);
    let mut out = std::io::stdout().lock();
    for line in BufReader::new(reader).split(b'\n') {
        let line = line?;
        out.write_all(&line)?;
        out.write_all(b"\n")?;
        listener.line(&String::from_utf8_lossy(&line));
    }
    Ok(listener.finish(child.wait()?.success()))
}

fn cargo_test(selection: &Selection) -> Command {
    let mut command = shell::cargo();
    // One folder for all: a dependency that both workspaces share is compiled once.
    command.arg("test").args(&selection.args).arg("--target-dir").arg(shell::target());
    command.env("CARGO_TERM_COLOR", "never");
    command
}

fn binary(message: &str) -> Option<(String, String)> {
    let message: Value = serde_json::from_str(message).ok()?;
    let is_test = message.pointer("/profile/test").and_then(Value::as_bool)?;
    let executable = Path::new(message.get("executable")?.as_str()?).file_name()?.to_str()?.to_owned();
    // "path+file:///x/phi-keys/sim#kms-sim@0.1.0", or "path+file:///x/phi-keys#0.1.0" where the folder has the same name.
    let (path, specification) = message.get("package_id")?.as_str()?.rsplit_once('#')?;
    let package = specification.split_once('@').map(|(name, _)| name).or_else(|| path.rsplit('/').next())?;
    is_test.then(|| (executable, package.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::binary;

    #[test]
    fn a_test_binary_belongs_to_its_package() {
        let message = r#"{"reason":"compiler-artifact","package_id":"path+file:///x/phi-keys#0.1.0",
            "profile":{"test":true},"executable":"/x/target/debug/deps/it-0a1b"}"#;
        assert_eq!(binary(message), Some(("it-0a1b".to_owned(), "phi-keys".to_owned())));
        let elsewhere = message.replace("phi-keys#0.1.0", "phi-keys/sim#kms-sim@0.1.0");
        assert_eq!(binary(&elsewhere), Some(("it-0a1b".to_owned(), "kms-sim".to_owned())));
        assert_eq!(binary(&message.replace("true", "false")), None, "a program is no test");
    }
}
