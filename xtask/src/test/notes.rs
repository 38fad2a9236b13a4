//! What the tests themselves noted of the components that they reached: `tests/it/component.rs` of each crate writes it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::listen::Suite;
use crate::shell::Result;

/// Names the file that the tests write to.
pub(super) const VARIABLE: &str = "PHI_TEST_NOTES";

/// How many tests reached one component.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) passed: usize,
    pub(super) failed: usize,
    /// Passed without having reached it.
    pub(super) not_run: usize,
}

/// All notes of a run.
#[derive(Debug, Default)]
pub(super) struct Notes(BTreeSet<String>);

impl Notes {
    pub(super) fn read(path: &Path) -> Result<Self> {
        // Nothing is written where no test reaches anything.
        Ok(if path.exists() { Self::parse(&fs::read_to_string(path)?) } else { Self::default() })
    }

    fn parse(text: &str) -> Self {
        Self(text.lines().map(str::to_owned).collect())
    }

    /// Of `component`. A note counts if a test of that name has a result: work on other threads has other names.
    pub(super) fn of(&self, component: &str, suites: &[Suite]) -> Count {
        let (mut tests, mut reached) = (BTreeSet::new(), BTreeSet::new());
        for note in &self.0 {
            let mut words = note.splitn(4, ' ');
            let (Some(what), Some(named), Some(package), Some(test)) =
                (words.next(), words.next(), words.next(), words.next())
            else {
                continue;
            };
            if named == component {
                tests.insert((package, test));
                if what == "used" {
                    reached.insert((package, test));
                }
            }
        }
        let mut count = Count::default();
        for test in tests {
            let has = |names: fn(&Suite) -> &Vec<String>| {
                suites.iter().any(|suite| suite.package == test.0 && names(suite).iter().any(|name| name == test.1))
            };
            match (has(|suite| &suite.failures), has(|suite| &suite.names), reached.contains(&test)) {
                (true, ..) => count.failed += 1,
                (false, true, true) => count.passed += 1,
                (false, true, false) => count.not_run += 1,
                (false, false, _) => {}
            }
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell;

    #[test]
    fn a_test_counts_once_by_its_result_and_not_by_its_name() {
        let suite = |package: &str, names: &[&str], failures: &[&str]| {
            let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            Suite { package: package.to_owned(), names: list(names), failures: list(failures), ..Suite::default() }
        };
        let suites = [
            suite("phi-keys", &["rows::kept", "redis_in_name_only", "tls::roots"], &["rows::lost"]),
            suite("phi-audit", &["rows::kept"], &[]),
        ];
        let lines = [
            "used sqlite phi-keys rows::kept",
            "used sqlite phi-keys rows::kept",
            "used sqlite phi-keys rows::lost",
            "used sqlite phi-keys tokio-rt-worker",
            "used sqlite phi-audit rows::kept",
            "not-run postgres phi-keys tls::roots",
            "used postgres phi-keys rows::kept",
            "not-run postgres phi-keys rows::kept",
        ];
        let notes = Notes::parse(&lines.join("\n"));
        assert_eq!(notes.of("sqlite", &suites), Count { passed: 2, failed: 1, not_run: 0 });
        assert_eq!(notes.of("postgres", &suites), Count { passed: 1, failed: 0, not_run: 1 });
        assert_eq!(notes.of("redis", &suites), Count::default());
        assert_eq!(Notes::parse("").of("sqlite", &suites), Count::default());
    }

    #[test]
    fn every_crate_notes_in_the_same_way() {
        let read = |name: &str| fs::read_to_string(shell::root().join(name).join("tests/it/component.rs")).unwrap();
        let one = read("phi-keys");
        assert!(one.contains(&format!("\"{VARIABLE}\"")));
        for name in ["phi-crypto", "phi-audit", "phi-session"] {
            assert!(read(name) == one, "{name}");
        }
    }
}
