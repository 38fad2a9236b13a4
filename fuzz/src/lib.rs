//! What the fuzzers do with one input. Each target is a plain function, so that `tests/replay.rs` runs the corpora on a
//! stable toolchain and a crash can be debugged without a fuzzer.
//!
//! A target panics when a property does not hold; refusing an input is always fine.

#![forbid(unsafe_code)]

mod audit;
mod crypto;
mod input;
mod keys;
mod redact;
mod session;
mod types;

/// A target: a name, which begins with the area it belongs to, and what to do with one input.
pub type Target = (&'static str, fn(&[u8]));

/// Every target. A program in `fuzz_targets/` and a folder in `corpus/` have the same name.
pub const TARGETS: &[Target] = &[
    ("audit_checkpoint", audit::checkpoint),
    ("audit_consistency", audit::consistency),
    ("audit_entry", audit::entry),
    ("audit_inclusion", audit::inclusion),
    ("audit_proof", audit::proof),
    ("audit_verifier_key", audit::verifier_key),
    ("crypto_context", crypto::context),
    ("crypto_file_open", crypto::file_open),
    ("crypto_file_range", crypto::file_range),
    ("crypto_open", crypto::open),
    ("keys_anchor_file", keys::anchor_file),
    ("keys_anchor_records", keys::anchor_records),
    ("keys_certificate", keys::certificate),
    ("keys_f1_open", keys::f1_open),
    ("keys_f1_seal", keys::f1_seal),
    ("keys_f1_text", keys::f1_text),
    ("keys_key_file", keys::key_file),
    ("keys_keyring", keys::keyring),
    ("keys_revocation", keys::revocation),
    ("keys_row_more", keys::row_more),
    ("keys_rows", keys::tampered_row),
    ("keys_tlv", keys::tlv_write),
    ("keys_wrapped", keys::wrapped),
    ("redact_scan", redact::scan),
    ("redact_sql", redact::sql),
    ("redact_writer", redact::writer),
    ("session_auth_events", session::auth_events),
    ("session_token", session::token),
    ("types_timestamp", types::timestamp),
];

/// Runs the target called `name` on one input.
///
/// # Panics
///
/// When there is no such target, or when the input breaks a property.
pub fn run(name: &str, input: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("a target of that name");
    target(input);
}
