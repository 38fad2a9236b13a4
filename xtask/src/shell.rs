//! Running other programs, and the few facts about this checkout that every job needs.

use std::error::Error;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use phi_types::{Clock as _, SystemClock};

/// What a job returns; the text of the error is all that a person needs to read.
pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// The root of this checkout.
pub(crate) fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        here.parent().unwrap_or(here).to_path_buf()
    })
}

/// Where builds and everything that may be thrown away live.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// Time since the job began; only for reports and for waiting on servers.
pub(crate) fn now() -> Duration {
    SystemClock::new().monotonic()
}

/// Today in UTC, as `2026-01-31`.
pub(crate) fn today() -> String {
    SystemClock::new().now().to_string().chars().take(10).collect()
}

/// The cargo that runs this job, at the root of the checkout.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Prints the command and runs it; a non-zero exit is an error that names it.
pub(crate) fn run(command: &mut Command) -> Result {
    let shown = show(command);
    println!("$ {shown}");
    let status = command.stdin(Stdio::null()).status().map_err(|error| format!("cannot run `{shown}`: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{shown}` failed ({status})").into()) }
}

/// Runs the command silently and returns its standard output; a non-zero exit is an error with its standard error.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = show(command);
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("cannot run `{shown}`: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = if said.trim().is_empty() { String::from_utf8_lossy(&output.stdout) } else { said };
        Err(format!("`{shown}` failed ({})\n{}", output.status, last_lines(&said, 15)).into())
    }
}

/// The command as a person would type it, without the credentials of any URL.
pub(crate) fn show(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args()).map(OsStr::to_string_lossy);
    words.map(|word| without_credentials(&word)).collect::<Vec<_>>().join(" ")
}

fn without_credentials(word: &str) -> String {
    match word.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?.1))) {
        Some((scheme, host)) => format!("{scheme}://…@{host}"),
        None => word.to_owned(),
    }
}

/// The last `count` lines of a text.
pub(crate) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(count)..).unwrap_or_default().join("\n")
}

/// The first of `names` that is found in `PATH` or in one of `folders`.
pub(crate) fn find(name: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(folders.iter().cloned())
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Takes `--name value` out of `args`, wherever it stands.
pub(crate) fn take_option<'a>(args: &mut Vec<&'a str>, name: &str) -> Result<Option<&'a str>> {
    let Some(at) = args.iter().position(|arg| *arg == name) else { return Ok(None) };
    args.remove(at);
    if at < args.len() { Ok(Some(args.remove(at))) } else { Err(format!("`{name}` needs a value").into()) }
}

/// Takes `name` out of `args`, and says whether it was there.
pub(crate) fn take_flag(args: &mut Vec<&str>, name: &str) -> bool {
    let before = args.len();
    args.retain(|arg| *arg != name);
    args.len() < before
}

#[cfg(test)]
mod tests {
    use super::without_credentials;

    #[test]
    fn a_url_is_shown_without_its_password() {
        assert_eq!(without_credentials("redis://u:p@ss@host:1/0"), "redis://…@host:1/0");
        assert_eq!(without_credentials("http://127.0.0.1:1/"), "http://127.0.0.1:1/");
        assert_eq!(without_credentials("plain"), "plain");
    }
}
