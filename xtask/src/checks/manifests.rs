//! The crate graph, and a reason for every dependency.

use std::fs;

use crate::metadata::Metadata;
use crate::shell::Result;

/// Which of our crates a published crate may name. Whoever is not listed may name none: siblings meet in applications.
const MAY_USE: &[(&str, &[&str])] = &[
    ("phi-keys", &["phi-types"]),
    ("phi-crypto", &["phi-types", "phi-keys", "phi-derive"]),
    ("phi-audit", &["phi-types", "phi-keys"]),
    ("phi-session", &["phi-types"]),
    ("phi-redact", &["phi-types"]),
];

pub(super) fn findings(metadata: &Metadata) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for package in metadata.product() {
        let may_use = MAY_USE.iter().find(|(name, _)| *name == package.name).map_or(&[][..], |(_, names)| names);
        // A crate that names itself turns its own features on for its tests.
        let own = package.dependencies.iter().filter(|name| name.starts_with("phi-") && **name != package.name);
        for name in own.filter(|name| !may_use.contains(&name.as_str())) {
            findings.push(format!("{}: must not depend on {name}; siblings meet in applications", package.name));
        }
        let text = fs::read_to_string(&package.manifest)?;
        findings.extend(unjustified(&text).into_iter().map(|name| {
            format!("{}: `{name}` has no reason; end its line in Cargo.toml with `# what it is for`", package.name)
        }));
    }
    Ok(findings)
}

/// Dependencies without a comment on their line. Our own crates need none, nor do tools of the tests.
fn unjustified(manifest: &str) -> Vec<&str> {
    let mut findings = Vec::new();
    let mut listed = false;
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            listed = matches!(line, "[dependencies]" | "[build-dependencies]") || line.ends_with(".dependencies]");
        } else if listed && let Some((name, value)) = line.split_once('=') {
            let name = name.split('.').next().unwrap_or(name).trim();
            let reason = value.rsplit_once('#').map_or("", |(_, reason)| reason.trim());
            if !name.starts_with('#') && !name.starts_with("phi-") && reason.is_empty() {
                findings.push(name);
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::unjustified;

    #[test]
    fn only_a_dependency_without_a_reason_is_found() {
        let manifest = "[package]\nname = \"x\"\n[dependencies]\n# Internal\nphi-types.workspace = true\n\
            ring.workspace = true # the cipher\nbase64ct = { workspace = true }\nsubtle.workspace = true #\n\
            [dev-dependencies]\nproptest.workspace = true\n";
        assert_eq!(unjustified(manifest), ["base64ct", "subtle"]);
    }
}
