//! PostgreSQL: TCP on the loopback only, a random password, never as root.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::place::{self, Folder};
use super::supervise::Supervised;
use super::{Running, openssl, program};
use crate::shell::{self, Result};

const GIVEN: &str = "PHI_TEST_POSTGRES_URL";
/// The certificate of the server's authority, which is its own.
const ROOTS: &str = "PHI_TEST_POSTGRES_ROOTS";
const PACKAGE: &str = "postgresql";
const ANSWERED: &str = "select version()";

pub(super) fn missing() -> Vec<&'static str> {
    let needed: &[&str] = if std::env::var_os(GIVEN).is_some() { &["psql"] } else { &["initdb", "postgres", "psql"] };
    match needed.iter().all(|name| shell::find(name, &folders()).is_some()) {
        true => Vec::new(),
        // It brings OpenSSL along, which makes the server's certificate.
        false => vec![PACKAGE],
    }
}

pub(super) fn start() -> Result<Running> {
    let psql = program("psql", &folders(), PACKAGE)?;
    if let Ok(url) = std::env::var(GIVEN) {
        let version =
            version(Command::new(psql).arg(&url)).map_err(|error| format!("{GIVEN} does not answer: {error}"))?;
        let environment = vec![(GIVEN, url)];
        return Ok(Running {
            version,
            place: format!("given by {GIVEN}"),
            answered: ANSWERED,
            environment,
            _guard: None,
        });
    }
    let initdb = program("initdb", &folders(), PACKAGE)?;
    // Beside initdb: the program and the cluster it runs must be of one version.
    let postgres = initdb.with_file_name("postgres");
    place::with_port(|port| start_at(port, &initdb, &postgres, &psql))
}

fn start_at(port: u16, initdb: &Path, postgres: &Path, psql: &Path) -> Result<Running> {
    let folder = Folder::new("postgres")?;
    let password = place::secret()?;
    let password_file = folder.path().join("password");
    fs::write(&password_file, &password)?;
    if place::is_root() {
        shell::output(Command::new("chown").arg("-R").arg("nobody").arg(folder.path()))?;
    }
    let data = folder.path().join("data");
    let mut init = unprivileged(initdb);
    init.current_dir(folder.path()).arg("-D").arg(&data).arg(format!("--pwfile={}", password_file.display()));
    init.args(["-U", "phi", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions"]);
    shell::output(&mut init)?;
    openssl::certificate(&data, |tool| unprivileged(tool))?;

    let mut server = unprivileged(postgres);
    server.arg("-D").arg(&data).args(["-p", &port.to_string()]);
    // It syncs, because stores refuse a server that does not; TCP only, because a socket path may be too long for the system.
    for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=200", "ssl=on"] {
        server.args(["-c", setting]);
    }
    let guard = Supervised::start(folder, Some(&server))?;
    let version = guard.wait(|| {
        let mut command = Command::new(psql);
        command.env("PGPASSWORD", &password).args([
            "-h",
            "127.0.0.1",
            "-p",
            &port.to_string(),
            "-U",
            "phi",
            "postgres",
        ]);
        version(&mut command)
    })?;
    let url = format!("postgres://phi:{password}@127.0.0.1:{port}/postgres");
    let place = format!("127.0.0.1:{port}, started for this run");
    let environment = vec![(GIVEN, url), (ROOTS, data.join("server.crt").display().to_string())];
    Ok(Running { version, place, answered: ANSWERED, environment, _guard: Some(guard) })
}

fn version(psql: &mut Command) -> Result<String> {
    let answer = shell::output(psql.args(["--no-psqlrc", "-w", "-Atc", ANSWERED]))?;
    // "PostgreSQL 15.18 (Debian …) on …"
    Ok(answer.split_whitespace().nth(1).unwrap_or(&answer).to_owned())
}

/// PostgreSQL refuses to run as root.
fn unprivileged(program: impl AsRef<OsStr>) -> Command {
    if !place::is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"]).arg(program);
    command
}

/// Debian keeps the server's programs out of `PATH`; the newest version first.
fn folders() -> Vec<PathBuf> {
    let version = |folder: &PathBuf| folder.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let mut folders: Vec<PathBuf> =
        fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    folders.sort_by_key(|folder| std::cmp::Reverse(version(folder)));
    folders.into_iter().map(|folder| folder.join("bin")).collect()
}
