//! The closing tables: what was tested, and which real components it ran against.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use super::listen::Suite;
use super::notes::{Count, Notes};
use super::plan::Plan;
use crate::report;
use crate::servers::{Part, Running};
use crate::shell::{self, Result};

/// Prints the tables and the closing lines; an error when a test failed or none ran.
pub(super) fn print(
    plan: &Plan,
    servers: &[(Part, Running)],
    suites: &[Suite],
    notes: &Notes,
    took: Duration,
) -> Result {
    let sum = |field: fn(&Suite) -> usize| suites.iter().map(field).sum::<usize>();
    let (passed, failed, ignored) = (sum(|s| s.passed), sum(|s| s.failed), sum(|s| s.ignored));

    println!();
    report::table(&["package", "passed", "failed", "ignored"], &by_package(suites));
    let components = components(plan, servers, &|component| notes.of(component, suites));
    if !components.is_empty() {
        println!();
        report::table(&["component", "version", "where", "what ran against it", "result"], &components);
    }
    println!();
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "test result: {verdict}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; 0 filtered out; \
         finished in {:.2}s",
        took.as_secs_f64()
    );
    println!("{passed} passed, {failed} failed");
    match (passed, failed) {
        (_, 1..) => Err(format!("{failed} tests failed").into()),
        (0, 0) => Err("no test ran".into()),
        _ => Ok(()),
    }
}

fn by_package(suites: &[Suite]) -> Vec<Vec<String>> {
    let mut packages: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    for suite in suites {
        let [passed, failed, ignored] = packages.entry(&suite.package).or_default();
        *passed += suite.passed;
        *failed += suite.failed;
        *ignored += suite.ignored;
    }
    let row = |(name, counts): (&str, [usize; 3])| {
        std::iter::once(name.to_owned()).chain(counts.iter().map(usize::to_string)).collect()
    };
    packages.into_iter().map(row).collect()
}

fn components(plan: &Plan, servers: &[(Part, Running)], count: &dyn Fn(&str) -> Count) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    // A real server of these cannot be had in a test; the table must not read as if one had been there.
    let simulated = [
        ("Vault Transit", "vault", "a real Vault"),
        ("Google Cloud KMS", "gcp", "a real account"),
        ("Azure Key Vault, Managed HSM", "azure", "a real account"),
    ];
    for (title, word, service) in simulated {
        if let Some((ran, verdict)) = ran(&count(word)) {
            let place = format!("contract simulator; not run against {service}");
            rows.push([title, "kms-sim", &place, &ran, verdict].map(str::to_owned).to_vec());
        }
    }
    if let Some((ran, verdict)) = ran(&count("live")) {
        rows.push(["a real account of a KMS", "", "", &ran, verdict].map(str::to_owned).to_vec());
    }
    if let Some((ran, verdict)) = ran(&count("sqlite")) {
        rows.push(["SQLite", &sqlite_version(), "compiled in", &ran, verdict].map(str::to_owned).to_vec());
    }
    for part in Part::ALL {
        if let Some((_, server)) = servers.iter().find(|(started, _)| *started == part) {
            let started = || (format!("no test; it started and answered {}", server.answered), "ok");
            let (ran, verdict) = ran(&count(part.name())).unwrap_or_else(started);
            rows.push([part.title(), &server.version, &server.place, &ran, verdict].map(str::to_owned).to_vec());
        } else if plan.left_out.contains(&part) {
            let ran = ran(&count(part.name())).map_or_else(|| "no test".to_owned(), |(ran, _)| ran);
            rows.push([part.title(), "", "", &ran, "left out"].map(str::to_owned).to_vec());
        }
    }
    rows
}

/// What the tests noted of a component; `None` where no test noted anything.
fn ran(count: &Count) -> Option<(String, &'static str)> {
    let Count { passed, failed, not_run } = *count;
    let tests = |number: usize| format!("{number} test{}", if number == 1 { "" } else { "s" });
    let mut parts = match (passed, failed) {
        (0, 0) if not_run == 0 => return None,
        (0, 0) => vec!["no test".to_owned()],
        (passed, 0) => vec![tests(passed)],
        (passed, failed) => vec![tests(passed + failed), format!("{failed} failed")],
    };
    if not_run > 0 {
        parts.push(format!("{not_run} not run"));
    }
    let verdict = match (passed, failed) {
        (0, 0) => "not run",
        (_, 0) => "ok",
        _ => "FAILED",
    };
    Some((parts.join(", "), verdict))
}

fn sqlite_version() -> String {
    let lock = fs::read_to_string(shell::root().join("Cargo.lock")).unwrap_or_default();
    let version = lock.split("[[package]]").find_map(|package| {
        let mut lines = package.lines().filter(|line| !line.is_empty());
        (lines.next() == Some("name = \"libsqlite3-sys\"")).then(|| lines.next()?.split('"').nth(1)).flatten()
    });
    version.map_or_else(|| "unknown".to_owned(), |version| format!("libsqlite3-sys {version}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_says_how_many_tests_reached_it_and_how_many_did_not() {
        let said = |passed, failed, not_run| ran(&Count { passed, failed, not_run });
        assert_eq!(said(0, 0, 0), None);
        assert_eq!(said(3, 0, 0), Some(("3 tests".to_owned(), "ok")));
        assert_eq!(said(1, 0, 1), Some(("1 test, 1 not run".to_owned(), "ok")));
        assert_eq!(said(0, 0, 2), Some(("no test, 2 not run".to_owned(), "not run")));
        assert_eq!(said(1, 1, 0), Some(("2 tests, 1 failed".to_owned(), "FAILED")));
    }

    #[test]
    fn a_part_that_nothing_reached_or_that_was_left_out_claims_no_test() {
        let plan = Plan::parse(&["session", "--without", "python"]).unwrap();
        let redis = Running {
            version: "7".to_owned(),
            place: "here".to_owned(),
            answered: "PING",
            environment: Vec::new(),
            _guard: None,
        };
        let count = |name: &str| Count { not_run: usize::from(name == "python"), ..Count::default() };
        let rows = components(&plan, &[(Part::Redis, redis)], &count);
        let rows: Vec<String> = rows.iter().map(|row| row.join("|")).collect();
        assert_eq!(
            rows,
            ["Redis|7|here|no test; it started and answered PING|ok", "Python|||no test, 1 not run|left out"]
        );
    }
}
