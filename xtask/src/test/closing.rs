//! The closing tables: what was tested, and which real components it ran against.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use super::listen::Suite;
use super::plan::Plan;
use crate::report;
use crate::servers::{Part, Running};
use crate::shell::{self, Result};

/// Prints the tables and the closing lines; an error when a test failed or none ran.
pub(super) fn print(plan: &Plan, servers: &[(Part, Running)], suites: &[Suite], took: Duration) -> Result {
    let sum = |field: fn(&Suite) -> usize| suites.iter().map(field).sum::<usize>();
    let (passed, failed, ignored) = (sum(|s| s.passed), sum(|s| s.failed), sum(|s| s.ignored));

    println!();
    report::table(&["package", "passed", "failed", "ignored"], &by_package(suites));
    let components = components(plan, servers, suites);
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

fn components(plan: &Plan, servers: &[(Part, Running)], suites: &[Suite]) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    // A real server of these cannot be had in a test; the table must not read as if one had been there.
    let simulated = [
        ("Vault Transit", "vault", "a real Vault"),
        ("Google Cloud KMS", "gcp", "a real account"),
        ("Azure Key Vault, Managed HSM", "azure", "a real account"),
    ];
    for (title, word, service) in simulated {
        if let Some((ran, verdict)) = naming(suites, word) {
            let place = format!("contract simulator; not run against {service}");
            rows.push([title, "kms-sim", &place, &ran, verdict].map(str::to_owned).to_vec());
        }
    }
    if let Some((ran, verdict)) = naming(suites, "sqlite") {
        rows.push(["SQLite", &sqlite_version(), "compiled in", &ran, verdict].map(str::to_owned).to_vec());
    }
    for part in Part::ALL {
        if let Some((_, server)) = servers.iter().find(|(started, _)| *started == part) {
            let (ran, verdict) = naming(suites, part.word())
                .unwrap_or_else(|| (format!("it started and answered {}; no test uses it yet", server.answered), "ok"));
            rows.push([part.title(), &server.version, &server.place, &ran, verdict].map(str::to_owned).to_vec());
        } else if plan.left_out.contains(&part) {
            rows.push([part.title(), "", "", "nothing", "left out"].map(str::to_owned).to_vec());
        }
    }
    rows
}

/// A test that uses a component has the component's name as a word of its path; that is what can be counted.
fn naming(suites: &[Suite], word: &str) -> Option<(String, &'static str)> {
    let count = |names: fn(&Suite) -> &Vec<String>| {
        let has_word =
            |name: &&String| name.split(|letter: char| !letter.is_ascii_alphanumeric()).any(|part| part == word);
        suites.iter().flat_map(names).filter(has_word).count()
    };
    match (count(|suite| &suite.names), count(|suite| &suite.failures)) {
        (0, 0) => None,
        (passed, 0) => Some((format!("{passed} tests that name `{word}`"), "ok")),
        (passed, failed) => Some((format!("{} tests that name `{word}`, {failed} failed", passed + failed), "FAILED")),
    }
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
    fn a_component_is_counted_by_whole_words_of_test_names() {
        let names = ["store::sqlite::opens", "a_row_in_sqlite_stays", "sqlited", "src/x.rs - sqlite (line 3)"];
        let mut suite = Suite { names: names.map(str::to_owned).to_vec(), ..Suite::default() };
        assert_eq!(
            naming(std::slice::from_ref(&suite), "sqlite"),
            Some(("3 tests that name `sqlite`".to_owned(), "ok"))
        );
        assert_eq!(naming(std::slice::from_ref(&suite), "redis"), None);
        suite.failures.push("redis::touch".to_owned());
        let failed = Some(("1 tests that name `redis`, 1 failed".to_owned(), "FAILED"));
        assert_eq!(naming(&[suite], "redis"), failed);
    }
}
