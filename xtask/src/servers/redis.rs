//! Redis: loopback only, a random password, nothing kept.

use std::fs;
use std::process::Command;

use super::place::{self, Folder};
use super::supervise::Supervised;
use super::{Running, program};
use crate::shell::{self, Result};

const GIVEN: &str = "PHI_TEST_REDIS_URL";
const PACKAGE: &str = "redis-server";
const ANSWERED: &str = "PING";

pub(super) fn missing() -> Vec<&'static str> {
    let needed: &[&str] = if std::env::var_os(GIVEN).is_some() { &["redis-cli"] } else { &["redis-cli", PACKAGE] };
    match needed.iter().all(|name| shell::find(name, &[]).is_some()) {
        true => Vec::new(),
        false => vec![PACKAGE],
    }
}

pub(super) fn start() -> Result<Running> {
    let client = program("redis-cli", &[], PACKAGE)?;
    if let Ok(url) = std::env::var(GIVEN) {
        let version = version(|| {
            let mut command = Command::new(&client);
            command.args(["--no-auth-warning", "-u", &url]);
            command
        })
        .map_err(|error| format!("{GIVEN} does not answer: {error}"))?;
        let environment = vec![(GIVEN, url)];
        return Ok(Running {
            version,
            place: format!("given by {GIVEN}"),
            answered: ANSWERED,
            environment,
            _guard: None,
        });
    }
    let server = program("redis-server", &[], PACKAGE)?;
    place::with_port(|port| {
        let folder = Folder::new("redis")?;
        let password = place::secret()?;
        let configuration = folder.path().join("redis.conf");
        // In a file: the command line of a process is public.
        let settings = ["bind 127.0.0.1", "save \"\"", "appendonly no", "daemonize no"].join("\n");
        fs::write(&configuration, format!("port {port}\nrequirepass {password}\n{settings}\n"))?;
        let guard = Supervised::start(folder, Some(Command::new(&server).arg(&configuration)))?;
        let version = guard.wait(|| {
            version(|| {
                let mut command = Command::new(&client);
                command.env("REDISCLI_AUTH", &password).args(["-h", "127.0.0.1", "-p", &port.to_string()]);
                command
            })
        })?;
        let environment = vec![(GIVEN, format!("redis://:{password}@127.0.0.1:{port}/0"))];
        let place = format!("127.0.0.1:{port}, started for this run");
        Ok(Running { version, place, answered: ANSWERED, environment, _guard: Some(guard) })
    })
}

fn version(client: impl Fn() -> Command) -> Result<String> {
    let answer = shell::output(client().arg(ANSWERED))?;
    if answer != "PONG" {
        return Err(format!("{ANSWERED} was answered with `{answer}`").into());
    }
    let information = shell::output(client().args(["INFO", "server"]))?;
    let version = information.lines().find_map(|line| line.strip_prefix("redis_version:"));
    Ok(version.unwrap_or("unknown").trim().to_owned())
}
