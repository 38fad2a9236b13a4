//! `cargo xtask mutants`: cargo-mutants on the modules that read bytes from outside, where a mutant that survives is a hole in
//! the tests of a format.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::evidence;
use crate::long::{tool, watch};
use crate::metadata::{self, Metadata};
use crate::shell::{self, Result};

struct Area {
    name: &'static str,
    /// Relative to the `src` of the area's crate.
    files: &'static [&'static str],
    /// Parts of the names of tests that take longer than all others together: only what these let through meets them.
    slow: &'static [&'static str],
}

const AREAS: &[Area] = &[
    Area { name: "types", files: &["timestamp.rs", "id.rs", "subject.rs", "actor.rs", "purpose.rs"], slow: &[] },
    Area {
        name: "keys",
        files: &["tlv.rs", "derive.rs", "f1/*.rs", "kms/wrapped.rs", "store/row.rs", "local/file.rs"],
        slow: &[
            "one_fault_at_any",
            "any_faults_of",
            "a_store_under_two_keks",
            "a_passphrase_opens",
            "relocked",
            "crash",
        ],
    },
    Area {
        name: "crypto",
        files: &[
            "aad.rs",
            "context/*.rs",
            "sealed/*.rs",
            "plaintext/*.rs",
            "index/**/*.rs",
            "file/head.rs",
            "file/length.rs",
            "file/range.rs",
            "file/cobblestone.rs",
            "seal/padding.rs",
            "bytes.rs",
        ],
        slow: &["every_flipped_bit_and_every_cut", "files_go_both_ways", "tls::", "kill::", "wiping::"],
    },
    Area {
        name: "audit",
        files: &["entry/*.rs", "tree/*.rs", "ecdsa.rs", "note.rs", "checkpoint.rs", "proof.rs", "mark.rs"],
        slow: &[],
    },
    Area { name: "session", files: &["token.rs", "record.rs", "auth.rs", "id.rs"], slow: &[] },
    Area { name: "redact", files: &["detect/*.rs", "engine/*.rs", "sql.rs", "scan.rs"], slow: &[] },
];

/// `cargo xtask mutants [area…]`.
pub(crate) fn main(areas: &[&str]) -> Result {
    if let Some(unknown) = areas.iter().find(|area| !AREAS.iter().any(|known| known.name == **area)) {
        return Err(format!("there is no area `{unknown}`").into());
    }
    tool("mutants", "27.1.0")?;
    for area in AREAS.iter().filter(|area| areas.is_empty() || areas.contains(&area.name)) {
        let name = area.name;
        evidence::record(&format!("mutants {name}"), &format!("cargo xtask mutants {name}"), area.run())?;
    }
    Ok(())
}

impl Area {
    fn run(&self) -> Result<String> {
        let folder = shell::target().join("mutants").join(self.name);
        // What was caught in an earlier run is no evidence of this one.
        let _ = fs::remove_dir_all(folder.join("mutants.out"));
        fs::create_dir_all(&folder)?;

        let excluded = self.listed(&["--no-config"])?.saturating_sub(self.listed(&[])?);
        // First the unit tests, then all tests that are not slow, then everything: also the documentation, where each example is
        // a program. Only what one lets through meets the next, and only what everything lets through has survived.
        let mut counts: Option<Counts> = None;
        for stage in [Some("--lib"), Some("--tests"), None] {
            if counts.as_ref().is_some_and(|counts| counts.undecided() == 0) {
                break;
            }
            let mut mutants = self.testing(&folder)?;
            if counts.is_some() {
                mutants.arg("--iterate");
            }
            if let Some(tests) = stage {
                mutants.env("PHI_TEST_CRASH_ITERATIONS", "1").arg(format!("--cargo-arg={tests}")).args(["--", "--"]);
                mutants.args(self.slow.iter().flat_map(|name| ["--skip", name]));
            }
            let now = counted(&mut mutants)?;
            counts = Some(match counts {
                Some(before) => before.with_last(&now),
                None => now,
            });
        }
        let counts = counts.unwrap_or_default();
        let said = counts.to_string() + &format!(", {excluded} more excluded as equivalent");
        if counts.missed == 0 { Ok(said) } else { Err(said.into()) }
    }

    /// How many mutants there are, by the options.
    fn listed(&self, options: &[&str]) -> Result<usize> {
        Ok(shell::output(self.command()?.arg("--list").args(options))?.lines().count())
    }

    fn testing(&self, folder: &Path) -> Result<Command> {
        let mut mutants = self.command()?;
        mutants.args(["--no-times", "--profile", "mutants", "--output"]).arg(folder);
        // One folder for the dependencies of all areas and runs, else each of them builds all anew.
        mutants.env("CARGO_TARGET_DIR", shell::target().join("mutants/build"));
        Ok(mutants)
    }

    fn command(&self) -> Result<Command> {
        let package = format!("phi-{}", self.name);
        let mut mutants = shell::cargo();
        mutants.args(["mutants", "--package", &package]);
        mutants.args(metadata::feature_args(&Metadata::members_only()?, &|name| name == package));
        for file in self.files {
            mutants.arg("--file").arg(format!("{package}/src/{file}"));
        }
        Ok(mutants)
    }
}

/// What became of mutants. One that hangs the tests is seen by them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    tested: u32,
    missed: u32,
    caught: u32,
    unviable: u32,
    timeouts: u32,
}

/// Runs cargo-mutants and counts; an error where it could not test them, for instance because the tests fail without one.
fn counted(mutants: &mut Command) -> Result<Counts> {
    let (_, said) = watch(mutants)?;
    said.lines().rev().find_map(Counts::parse).ok_or_else(|| "no mutant was tested".into())
}

impl Counts {
    /// Of "120 mutants tested: 3 missed, 105 caught, 12 unviable".
    fn parse(line: &str) -> Option<Self> {
        let (tested, rest) = line.split_once(" mutant")?;
        let (_, parts) = rest.split_once(" tested: ")?;
        let mut counts = Self { tested: tested.trim().parse().ok()?, ..Self::default() };
        for part in parts.split(", ") {
            let (number, what) = part.split_once(' ')?;
            let counter = match what.trim() {
                "missed" => &mut counts.missed,
                "caught" => &mut counts.caught,
                "unviable" => &mut counts.unviable,
                "timeouts" => &mut counts.timeouts,
                _ => return None,
            };
            *counter = number.parse().ok()?;
        }
        Some(counts)
    }

    /// How many a further run takes up again.
    const fn undecided(&self) -> u32 {
        self.missed + self.timeouts
    }

    const fn with_last(&self, last: &Self) -> Self {
        let (caught, unviable) = (self.caught + last.caught, self.unviable + last.unviable);
        Self { tested: self.tested, missed: last.missed, caught, unviable, timeouts: last.timeouts }
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} mutants tested: {} missed, {} caught", self.tested, self.missed, self.caught)?;
        write!(f, ", {} unviable, {} hang", self.unviable, self.timeouts)
    }
}

#[cfg(test)]
mod tests {
    use super::Counts;

    #[test]
    fn what_a_second_run_sees_is_added_to_the_first() {
        let first = Counts::parse("120 mutants tested: 7 missed, 100 caught, 12 unviable, 1 timeouts").unwrap();
        assert_eq!(first.undecided(), 8);
        let last = Counts::parse("8 mutants tested: 2 missed, 5 caught, 1 timeouts").unwrap();
        let both = first.with_last(&last);
        assert_eq!(both.to_string(), "120 mutants tested: 2 missed, 105 caught, 12 unviable, 1 hang");
        assert_eq!(both.tested, both.missed + both.caught + both.unviable + both.timeouts);
        assert_eq!(Counts::parse("1 mutant tested: 1 caught").map(|counts| counts.caught), Some(1));
        assert_eq!(Counts::parse("Found 120 mutants to test"), None);
    }
}
