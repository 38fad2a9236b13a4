//! How many crates a user takes on with each choice of features.

use std::collections::BTreeSet;

use crate::report;
use crate::shell::{self, Result};

struct Choice {
    name: &'static str,
    args: &'static [&'static str],
    budget: Option<usize>,
}

const CHOICES: &[Choice] = &[
    Choice { name: "phi-types", args: &["-p", "phi-types"], budget: Some(0) },
    Choice { name: "phi-redact, core", args: &["-p", "phi-redact", "--no-default-features"], budget: Some(12) },
    Choice { name: "phi-redact, tracing", args: &["-p", "phi-redact"], budget: None },
    Choice {
        name: "phi-keys and phi-crypto, local keyring",
        args: &["-p", "phi-keys", "-p", "phi-crypto", "--no-default-features", "--features", "phi-keys/local"],
        budget: Some(30),
    },
    Choice {
        name: "phi-audit, without a database",
        args: &["-p", "phi-audit", "--no-default-features"],
        budget: Some(35),
    },
    Choice { name: "phi-session, memory store", args: &["-p", "phi-session", "--no-default-features"], budget: None },
    Choice { name: "phi-session, axum", args: &["-p", "phi-session", "--features", "axum"], budget: None },
    Choice { name: "phi-keys, SQLite", args: &["-p", "phi-keys", "--features", "sqlite"], budget: None },
    Choice { name: "phi-keys, AWS", args: &["-p", "phi-keys", "--features", "aws"], budget: None },
    Choice {
        name: "phi-keys, Azure",
        args: &["-p", "phi-keys", "--no-default-features", "--features", "azure"],
        budget: None,
    },
    Choice {
        name: "phi-keys, Google Cloud",
        args: &["-p", "phi-keys", "--no-default-features", "--features", "gcp"],
        budget: None,
    },
    Choice { name: "phi-keys, PKCS#11", args: &["-p", "phi-keys", "--features", "pkcs11"], budget: None },
    Choice {
        name: "phi-keys, Vault",
        args: &["-p", "phi-keys", "--no-default-features", "--features", "vault"],
        budget: None,
    },
    Choice { name: "phi-crypto, SQLite", args: &["-p", "phi-crypto", "--features", "sqlite"], budget: None },
    Choice { name: "phi-crypto, PostgreSQL", args: &["-p", "phi-crypto", "--features", "postgres"], budget: None },
    Choice { name: "phi-crypto, derive", args: &["-p", "phi-crypto", "--features", "derive"], budget: None },
    Choice { name: "phi-audit, SQLite", args: &["-p", "phi-audit", "--features", "sqlite"], budget: None },
];

/// `cargo xtask deps`: prints the table; a budget that is exceeded fails.
pub(crate) fn main() -> Result {
    let mut rows = Vec::new();
    let mut exceeded = Vec::new();
    for choice in CHOICES {
        let count = dependencies(choice.args)?.len();
        let budget = choice.budget.map_or_else(|| "–".to_owned(), |budget| budget.to_string());
        rows.push(vec![choice.name.to_owned(), count.to_string(), budget]);
        if choice.budget.is_some_and(|budget| count > budget) {
            exceeded.push(choice.name);
        }
    }
    report::table(&["crates and features", "dependencies", "budget"], &rows);
    if exceeded.is_empty() { Ok(()) } else { Err(format!("over budget: {}", exceeded.join("; ")).into()) }
}

/// Packages that are compiled into or for a user's program on this platform, without our own.
fn dependencies(args: &[&str]) -> Result<BTreeSet<String>> {
    let mut tree = shell::cargo();
    tree.args(["tree", "--locked", "--edges", "normal,build", "--prefix", "none", "--format", "{p}"]).args(args);
    let text = shell::output(&mut tree)?;
    // "ring v0.17.14", "phi-keys v0.1.0 (/path)", and " (*)" after what was printed before.
    let package = |line: &str| line.split(" (").next().unwrap_or(line).trim().to_owned();
    Ok(text.lines().map(package).filter(|name| !name.is_empty() && !name.starts_with("phi-")).collect())
}
