//! COMPLIANCE.md maps clauses to tests: every test that it names must be there.

use std::fs;
use std::path::Path;

use crate::shell::{self, Result};

const DOCUMENT: &str = "COMPLIANCE.md";

pub(super) fn findings() -> Result<Vec<String>> {
    let text = match fs::read_to_string(shell::root().join(DOCUMENT)) {
        Ok(text) => text,
        Err(error) => return Ok(vec![format!("{DOCUMENT}: {error}")]),
    };
    let named = named_tests(&text);
    let mut findings = Vec::new();
    if named.is_empty() {
        findings.push(format!("{DOCUMENT}: names no test"));
    }
    for (line, name) in named {
        if !exists(name)? {
            findings.push(format!("{DOCUMENT}:{line}: there is no test `{name}`"));
        }
    }
    Ok(findings)
}

/// Line and name of every test in the last column of the document's tables, in backticks.
fn named_tests(text: &str) -> Vec<(usize, &str)> {
    let mut names = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let Some(row) = line.trim().strip_prefix('|').and_then(|row| row.strip_suffix('|')) else { continue };
        let last = row.rsplit('|').next().unwrap_or_default();
        // Every second piece between backticks is inside a pair of them.
        names.extend(last.split('`').skip(1).step_by(2).filter(|name| name.contains("::")).map(|name| (at + 1, name)));
    }
    names
}

/// `crate::any::path::name` is a function with a test attribute in the crate of that name.
fn exists(name: &str) -> Result<bool> {
    let package = name.split("::").next().unwrap_or_default().replace('_', "-");
    let function = name.rsplit("::").next().unwrap_or_default();
    let folders = [shell::root().join(&package), shell::root().join("examples").join(&package)];
    for folder in folders.iter().filter(|folder| folder.is_dir()) {
        for sources in ["src", "tests"] {
            if any_file(&folder.join(sources), &|text| declares(text, function))? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn any_file(folder: &Path, holds: &dyn Fn(&str) -> bool) -> Result<bool> {
    if !folder.is_dir() {
        return Ok(false);
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let found = if path.is_dir() {
            any_file(&path, holds)?
        } else {
            path.extension().is_some_and(|extension| extension == "rs") && holds(&fs::read_to_string(&path)?)
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A declaration of the function whose attributes, up to the line before that is none, make it a test.
fn declares(text: &str, function: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let declaration = format!("fn {function}(");
    let is_test = |at: usize| {
        let above = lines.iter().take(at).rev();
        let attributes = above.take_while(|line| line.starts_with("#[") || line.starts_with("//"));
        attributes.into_iter().any(|line| line.starts_with("#[") && line.contains("test"))
    };
    lines.iter().enumerate().any(|(at, line)| line.contains(&declaration) && is_test(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_test_that_the_document_names_exists() {
        assert_eq!(findings().unwrap().join("\n"), "");
    }

    #[test]
    fn names_are_the_backticks_of_the_last_column() {
        let text =
            "| clause | API | test |\n|---|---|---|\n| (a) | `Sealer::seal` | `a::b::c`, `d::e` and `f` |\n`x::y`\n";
        assert_eq!(named_tests(text), [(3, "a::b::c"), (3, "d::e")]);
    }

    #[test]
    fn a_function_without_a_test_attribute_is_no_test() {
        assert!(declares("#[test]\nfn a() {}", "a"));
        assert!(declares("    #[tokio::test]\n    #[ignore]\n    async fn a() {}", "a"));
        assert!(!declares("#[test]\nfn b() {}\nfn a() {}", "a"));
        assert!(!declares("#[test]\nfn ab() {}", "a"));
    }
}
