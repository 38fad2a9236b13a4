//! Which packages may be depended on: licence, source, and a few by name. `deny.toml` says the same to cargo-deny.

use crate::metadata::{Metadata, Package};

/// Permissive licences that a product under MIT OR Apache-2.0 can carry without further duties than naming them.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// A second TLS stack or cryptographic library would be chosen by chance, by whichever feature asks for it last. The validated
/// module of the feature `fips` is banned here like the others, because "all features" leave that one out.
const BANNED: &[&str] = &["aws-lc-fips-sys", "aws-lc-rs", "aws-lc-sys", "native-tls", "openssl", "openssl-sys"];

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Every package of the product's tree that breaks a rule.
pub(super) fn findings(metadata: &Metadata) -> Vec<String> {
    metadata.packages.iter().flat_map(|package| judge(package, metadata.members.contains(&package.id))).collect()
}

fn judge(package: &Package, member: bool) -> Vec<String> {
    let name = format!("{} {}", package.name, package.version);
    let mut findings = Vec::new();
    match package.licence.as_deref() {
        None => findings.push(format!("{name}: has no licence expression")),
        Some(licence) if !is_allowed(licence) => findings.push(format!("{name}: licence `{licence}` is not allowed")),
        Some(_) => {}
    }
    if BANNED.contains(&package.name.as_str()) {
        findings.push(format!("{name}: is banned; see why with `cargo tree --all-features -i {}`", package.name));
    }
    match package.source.as_deref() {
        None if !member => findings.push(format!("{name}: comes from a path outside this workspace")),
        Some(source) if source != REGISTRY => findings.push(format!("{name}: comes from {source}, not from crates.io")),
        _ => {}
    }
    findings
}

/// SPDX expressions as crates write them: `OR` binds weaker than `AND`, `/` is an old `OR`, parentheses group. What is no
/// such expression is not allowed.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    any(&mut rest).is_some_and(|allowed| allowed && rest.is_empty())
}

fn any(words: &mut &[&str]) -> Option<bool> {
    let mut allowed = all(words)?;
    while take(words, "OR") {
        allowed |= all(words)?;
    }
    Some(allowed)
}

fn all(words: &mut &[&str]) -> Option<bool> {
    let mut allowed = one(words)?;
    while take(words, "AND") {
        allowed &= one(words)?;
    }
    Some(allowed)
}

fn one(words: &mut &[&str]) -> Option<bool> {
    if take(words, "(") {
        let allowed = any(words)?;
        return take(words, ")").then_some(allowed);
    }
    let (name, rest) = words.split_first()?;
    *words = rest;
    if !take(words, "WITH") {
        return Some(ALLOWED.contains(name));
    }
    let (exception, rest) = words.split_first()?;
    *words = rest;
    Some(ALLOWED.contains(&format!("{name} WITH {exception}").as_str()))
}

fn take(words: &mut &[&str], word: &str) -> bool {
    match words.split_first() {
        Some((first, rest)) if *first == word => {
            *words = rest;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read_as_spdx_means_them() {
        let allowed = ["MIT", "MIT/Apache-2.0", "Apache-2.0 AND ISC", "GPL-3.0 OR MIT", "(MIT OR GPL-3.0) AND ISC"];
        for expression in allowed.into_iter().chain(["Apache-2.0 WITH LLVM-exception OR GPL-2.0"]) {
            assert!(is_allowed(expression), "{expression}");
        }
        let refused =
            ["GPL-3.0", "MIT AND GPL-3.0", "(MIT OR ISC) AND GPL-3.0", "MIT WITH something", "", "MIT OR", "(MIT"];
        for expression in refused {
            assert!(!is_allowed(expression), "{expression}");
        }
    }

    #[test]
    fn each_rule_finds_what_it_is_for() {
        let package = |name: &str, licence: Option<&str>, source: Option<&str>| Package {
            id: String::new(),
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            licence: licence.map(str::to_owned),
            source: source.map(str::to_owned),
            manifest: String::new(),
            published: true,
            features: Vec::new(),
            dependencies: Vec::new(),
        };
        assert!(judge(&package("ring", Some("ISC"), Some(REGISTRY)), false).is_empty());
        assert!(judge(&package("phi-keys", Some("MIT OR Apache-2.0"), None), true).is_empty());
        assert_eq!(judge(&package("openssl", Some("MIT"), Some(REGISTRY)), false).len(), 1);
        assert_eq!(judge(&package("x", None, Some("git+https://example.org/x")), false).len(), 2);
        assert_eq!(judge(&package("x", Some("MIT"), None), false).len(), 1);
    }
}
