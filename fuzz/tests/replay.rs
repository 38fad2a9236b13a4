//! Replays the checked-in corpora: inputs that once reached something new, or broke something.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// One test for each target, named like it, so that a run of one area can choose its own.
macro_rules! replay {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })*

        const REPLAYED: &[&str] = &[$(stringify!($name)),*];
    };
}

replay! {
    audit_checkpoint
    audit_consistency
    audit_entry
    audit_inclusion
    audit_proof
    audit_verifier_key
    crypto_context
    crypto_file_open
    crypto_file_range
    crypto_open
    keys_anchor_file
    keys_anchor_records
    keys_certificate
    keys_f1_open
    keys_f1_seal
    keys_f1_text
    keys_key_file
    keys_keyring
    keys_revocation
    keys_row_more
    keys_rows
    keys_tlv
    keys_wrapped
    redact_scan
    redact_sql
    redact_writer
    session_auth_events
    session_token
    types_timestamp
}

fn replay(name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let inputs: Vec<_> = fs::read_dir(&folder).expect("a corpus folder").map(|entry| entry.unwrap().path()).collect();
    assert!(!inputs.is_empty(), "the corpus of {name} is empty");
    for input in inputs {
        println!("{}", input.display());
        phi_fuzz::run(name, &fs::read(input).unwrap());
    }
}

#[test]
fn every_target_has_a_program_a_corpus_and_a_replay() {
    let names = |folder: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap();
        entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect()
    };
    let targets: BTreeSet<String> = phi_fuzz::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("fuzz_targets"), targets);
    assert_eq!(names("corpus"), targets);
    assert_eq!(REPLAYED.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>(), targets);
}
