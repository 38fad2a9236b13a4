//! Cryptography goes through the backend of the keys: what calls *ring* beside it would compute outside of the validated module
//! without anybody noticing.

use std::fs;
use std::path::Path;

use crate::shell::{self, Result};

/// The crates whose cryptography has backends.
const CRATES: &[&str] = &["phi-keys/src", "phi-crypto/src"];

/// Files and folders that may call *ring*, each with its reason.
const MAY_CALL_RING: &[(&str, &str)] = &[
    ("phi-keys/src/backend/", "the backends themselves"),
    ("phi-keys/src/f1/nonce.rs", "hedged nonces, which the validated module refuses"),
    ("phi-keys/src/f1/mod.rs", "a test that seals what the format forbids"),
    ("phi-keys/src/signer.rs", "signatures are verified without keys of ours"),
    ("phi-keys/src/kms/provider.rs", "TLS to a KMS is on ring, and says so"),
    ("phi-keys/src/kms/pkcs11/signer.rs", "the digest that a token signs; the token is a module of its own"),
    ("phi-keys/src/anchor/file.rs", "checksums of lines whose records carry a MAC"),
    ("phi-keys/src/store/postgres/sql.rs", "numbers of advisory locks"),
    ("phi-crypto/src/file/vectors.rs", "tests"),
    ("phi-crypto/src/backup/", "names and digests of parts in a sealed manifest"),
    ("phi-crypto/src/reseal/job.rs", "the digest that recognises a job's plan"),
    ("phi-crypto/src/tls/", "TLS is on ring, and says so"),
];

/// The only folder that may call aws-lc-rs.
const MAY_CALL_AWS_LC: &str = "phi-keys/src/backend/";

pub(super) fn findings() -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for folder in CRATES {
        walk(&shell::root().join(folder), &mut findings)?;
    }
    Ok(findings)
}

fn walk(folder: &Path, findings: &mut Vec<String>) -> Result {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, findings)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(shell::root())?.to_string_lossy().into_owned();
            findings.extend(judge(&name, &fs::read_to_string(&path)?));
        }
    }
    Ok(())
}

fn judge(name: &str, text: &str) -> Vec<String> {
    let may_call_ring = MAY_CALL_RING.iter().any(|(allowed, _)| name.starts_with(allowed));
    let may_call_aws_lc = name.starts_with(MAY_CALL_AWS_LC);
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
    let found = lines.filter_map(|(at, line)| {
        let library = match () {
            () if !may_call_ring && calls(line, "ring::") => "ring",
            () if !may_call_aws_lc && calls(line, "aws_lc_rs::") => "aws-lc-rs",
            () => return None,
        };
        Some(format!(
            "{name}:{}: calls {library} beside `phi_keys::backend`; go through the backend of the keys",
            at + 1
        ))
    });
    found.collect()
}

/// Whether a line names the crate itself, not something that only ends like it.
fn calls(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line.get(..at).and_then(|before| before.chars().next_back());
        before.is_none_or(|before| !before.is_alphanumeric() && before != '_' && before != ':')
    })
}

#[cfg(test)]
mod tests {
    use super::judge;

    #[test]
    fn only_calls_beside_the_backend_are_found() {
        let text = "use ring::hmac;\n// ring::hmac\nlet a = String::new();\nrustls::crypto::ring::provider();\n\
                    let b = Keyring::open();\nlet c = (ring::digest::SHA256, 1);\nuse aws_lc_rs::rand;\n";
        let lines = |name| judge(name, text).iter().map(|found| found.split(':').nth(1).unwrap().to_owned()).collect();
        let found: [Vec<String>; 3] =
            ["phi-crypto/src/index/tagger.rs", "phi-keys/src/signer.rs", "phi-keys/src/backend/fips.rs"].map(lines);
        assert_eq!(found, [vec!["1", "6", "7"], vec!["7"], vec![]]);
    }
}
