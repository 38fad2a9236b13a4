//! The real components that tests run against: found or installed, started on a random loopback port, stopped at the end.

mod emulators;
mod http;
mod interpreter;
mod openssl;
pub(crate) mod packages;
pub(crate) mod place;
mod postgres;
mod python;
mod redis;
mod sdks;
mod softhsm;
pub(crate) mod supervise;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::PathBuf;

use crate::shell::Result;

/// A component that `--without` can leave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Postgres,
    Redis,
    SoftHsm,
    Moto,
    Ministack,
    Sdk,
    OpenSsl,
    Python,
}

impl Part {
    pub(crate) const ALL: [Self; 8] = [
        Self::Postgres,
        Self::Redis,
        Self::SoftHsm,
        Self::Moto,
        Self::Ministack,
        Self::Sdk,
        Self::OpenSsl,
        Self::Python,
    ];

    /// The word on the command line, and in the notes of the tests.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Redis => "redis",
            Self::SoftHsm => "softhsm",
            Self::Moto => "moto",
            Self::Ministack => "ministack",
            Self::Sdk => "sdk",
            Self::OpenSsl => "openssl",
            Self::Python => "python",
        }
    }

    /// What keeps tests from a part that is left out: its variables are gone, or say that there is none.
    pub(crate) fn withheld(self) -> Vec<(&'static str, Option<&'static OsStr>)> {
        let (gone, nothing): (&[&str], &[&str]) = match self {
            Self::Postgres => (&["PHI_TEST_POSTGRES_URL", "PHI_TEST_POSTGRES_ROOTS"], &[]),
            Self::Redis => (&["PHI_TEST_REDIS_URL"], &[]),
            Self::SoftHsm => (&["PHI_TEST_PKCS11_MODULE"], &[]),
            Self::Moto => (&["PHI_TEST_MOTO_URL"], &[]),
            Self::Ministack => (&["PHI_TEST_MINISTACK_URL"], &[]),
            Self::Sdk => (&["PHI_TEST_PYTHON"], &[]),
            // Without these, tests take what is in `PATH`.
            Self::OpenSsl => (&[], &["PHI_TEST_OPENSSL"]),
            Self::Python => (&[], &["PHI_TEST_PYTHON3"]),
        };
        let gone = gone.iter().map(|name| (*name, None));
        gone.chain(nothing.iter().map(|name| (*name, Some(OsStr::new(""))))).collect()
    }

    /// The name that a person knows.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::Redis => "Redis",
            Self::SoftHsm => "SoftHSM2",
            Self::Moto => "moto (AWS)",
            Self::Ministack => "ministack (AWS)",
            Self::Sdk => "vendors' Python SDKs",
            Self::OpenSsl => "OpenSSL",
            Self::Python => "Python",
        }
    }

    /// The part called `name`.
    pub(crate) fn named(name: &str) -> Result<Self> {
        let known = || Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|part| part.name() == name)
            .ok_or_else(|| format!("there is no part `{name}`; there are {}", known()).into())
    }

    /// What has to be installed before the part can start.
    fn missing(self) -> Vec<&'static str> {
        match self {
            Self::Postgres => postgres::missing(),
            Self::Redis => redis::missing(),
            Self::SoftHsm => softhsm::missing(),
            Self::Moto | Self::Ministack => python::missing(python::EMULATORS),
            Self::Sdk => python::missing(python::SDKS),
            Self::OpenSsl => openssl::missing(),
            Self::Python => interpreter::missing(),
        }
    }

    fn start(self) -> Result<Running> {
        match self {
            Self::Postgres => postgres::start(),
            Self::Redis => redis::start(),
            Self::SoftHsm => softhsm::start(),
            Self::Moto => emulators::moto(),
            Self::Ministack => emulators::ministack(),
            Self::Sdk => sdks::provide(),
            Self::OpenSsl => openssl::provide(),
            Self::Python => interpreter::provide(),
        }
    }
}

/// A part that has answered, and stays up until this value is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    /// The version that the part itself reported.
    pub(crate) version: String,
    /// Where it is, for people; never with a password.
    pub(crate) place: String,
    /// The question that it answered before the tests began.
    pub(crate) answered: &'static str,
    /// What the tests find in their environment.
    pub(crate) environment: Vec<(&'static str, String)>,
    /// Stops and removes the part when dropped; `None` for one that the caller brought along.
    pub(crate) _guard: Option<supervise::Supervised>,
}

/// Installs what is missing for `parts` and starts them. Every part that cannot be had is named in one error.
pub(crate) fn provide(parts: &BTreeSet<Part>) -> Result<Vec<(Part, Running)>> {
    let missing: BTreeSet<&str> = parts.iter().flat_map(|part| part.missing()).collect();
    // The attempt may fail for one package and still bring the others: what is really missing shows when the parts start.
    let installed = packages::install(&missing);
    start_each(parts, installed, Part::start)
}

fn start_each(
    parts: &BTreeSet<Part>,
    installed: Result,
    start: impl Fn(Part) -> Result<Running>,
) -> Result<Vec<(Part, Running)>> {
    let mut running = Vec::new();
    let mut failures = Vec::new();
    for part in parts {
        match start(*part) {
            Ok(server) => running.push((*part, server)),
            Err(error) => {
                failures.push(format!("{}: {error}\n  or leave it out: --without {}", part.title(), part.name()))
            }
        }
    }
    if failures.is_empty() {
        return Ok(running);
    }
    if let Err(error) = installed {
        failures.insert(0, error.to_string());
    }
    Err(failures.join("\n").into())
}

/// Where a program that `packages` brings is to be found, or the command that would bring it.
fn program(name: &str, folders: &[PathBuf], package: &str) -> Result<PathBuf> {
    crate::shell::find(name, folders)
        .ok_or_else(|| format!("`{name}` is not installed: {}", packages::command(&[package])).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running() -> Running {
        Running { version: String::new(), place: String::new(), answered: "", environment: Vec::new(), _guard: None }
    }

    #[test]
    fn every_part_that_cannot_be_had_is_named_with_the_way_around_it() {
        let parts = [Part::Redis, Part::Moto, Part::Sdk].into();
        let start = |part| if part == Part::Redis { Ok(running()) } else { Err("pip failed".into()) };
        let error = start_each(&parts, Err("apt-get failed".into()), start).unwrap_err().to_string();
        let lines: Vec<&str> = error.lines().collect();
        assert_eq!(
            lines,
            [
                "apt-get failed",
                "moto (AWS): pip failed",
                "  or leave it out: --without moto",
                "vendors' Python SDKs: pip failed",
                "  or leave it out: --without sdk"
            ]
        );
        let started = start_each(&parts, Err("apt-get failed".into()), |_| Ok(running())).unwrap();
        assert_eq!(started.len(), 3, "what was not installed and is there all the same is no failure");
    }
}
