//! Writes the seeds that nobody can type: `cargo run --manifest-path fuzz/Cargo.toml --example seed`.
//!
//! The same bytes every time, so that running it again changes nothing.

use std::fs;
use std::path::Path;

use phi_keys::derive::Label;
use phi_keys::f1::{self, MessageKey, Nonce, Suite};
use phi_keys::{Binding, Wrapped};
use phi_session::{Aal, AuthEvent, Method};
use phi_types::Timestamp;

fn seed(target: &str, name: &str, bytes: &[u8]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    fs::create_dir_all(&folder).expect("a writable corpus");
    fs::write(folder.join(name), bytes).expect("a writable corpus");
}

fn main() {
    audit();
    crypto();
    keys();
    redact();
    session();
}

fn audit() {
    // The smallest entry: version, writer, sequence, epoch, then four fields: time, kind, action, outcome.
    let mut entry = vec![1];
    entry.extend([7; 16]);
    entry.extend(3_u64.to_be_bytes());
    entry.extend([9; 16]);
    entry.push(4);
    for (tag, value) in [(1, &1_767_225_600_000_000_i64.to_be_bytes()[..]), (2, b"record.read"), (3, b"R"), (4, &[0])] {
        entry.push(tag);
        entry.extend(u32::try_from(value.len()).expect("short").to_be_bytes());
        entry.extend(value);
    }
    seed("audit_entry", "smallest", &[&[0, 60, 1][..], &entry].concat());
    seed("audit_entry", "cut", &[&[0, 60, 1][..], &entry[..50]].concat());
    let root = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    seed("audit_checkpoint", "good", format!("clinic.example/audit\n5\n{root}\n").as_bytes());
    seed("audit_checkpoint", "extended", format!("clinic.example/audit\n5\n{root}\nmore\n").as_bytes());
    seed("audit_checkpoint", "leading-zero", format!("clinic.example/audit\n05\n{root}\n").as_bytes());
    seed("audit_checkpoint", "other-origin", format!("other.example/audit\n5\n{root}\n").as_bytes());
    // In the name of the target's ECDSA key, which has not signed it: the numbers are 1 and 2.
    let ecdsa = format!("clinic.example/audit\n5\n{root}\n\n— clinic.example/audit Wnp4zDAGAgEBAgEC\n");
    seed("audit_checkpoint", "ecdsa-unsigned", ecdsa.as_bytes());
    seed("audit_proof", "good", format!("c2sp.org/tlog-proof@v1\nindex 3\n{root}\n{root}").as_bytes());
    seed("audit_proof", "leading-zero", format!("c2sp.org/tlog-proof@v1\nindex 03\n{root}").as_bytes());
    let key = b"example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    seed("audit_verifier_key", "good", key);
    seed("audit_verifier_key", "other-id", &key.map(|byte| if byte == b'5' { b'6' } else { byte }));
    // The key of RFC 6979 A.2.5; then its compressed point, and one that is off the curve.
    let keys = [
        (
            "ecdsa",
            "clinic.example/audit+5a7a78cc+AjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABGD+1LolWp0xyWHrdMY1bWjASbiSO2H6bOZpYi5g8p+2eQP+EAi4vJmkGunpVii8ZPLxsgwtfp9Rd6PClNRGIpk=",
        ),
        (
            "ecdsa-compressed",
            "clinic.example/audit+a9a73697+AjA5MBMGByqGSM49AgEGCCqGSM49AwEHAyIAA2D+1LolWp0xyWHrdMY1bWjASbiSO2H6bOZpYi5g8p+2",
        ),
        (
            "ecdsa-off-the-curve",
            "clinic.example/audit+fbc47e67+AjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABGD+1LolWp0xyWHrdMY1bWjASbiSO2H6bOZpYi5g8p+2eQP+EAi4vJmkGunpVii8ZPLxsgwtfp9Rd6PClNRGIpg=",
        ),
    ];
    for (name, key) in keys {
        seed("audit_verifier_key", name, key.as_bytes());
    }
    for target in ["audit_inclusion", "audit_consistency"] {
        seed(target, "true", &[12, 4]);
        seed(target, "cut", &[12, 4, 0, 0, 0, 0, 0, 0, 0, 4, 1, 0, 1]);
        seed(target, "swapped", &[30, 9, 0, 0, 0, 0, 0, 0, 0, 9, 2, 2, 0, 3, 2, 3, 1]);
    }
}

fn crypto() {
    let key = MessageKey::derive(&[7; 32], Label::FIELD, Suite::Aes256Gcm, [3; 12]);
    let sealed = key.seal(Nonce::dangerous_from_bytes([5; 12]), b"context", b"1980-02-29").expect("short");
    seed("crypto_open", "of-another-key", &sealed);
    seed("crypto_open", "text-of-another-key", f1::to_text(&sealed).as_bytes());
    seed("crypto_open", "plaintext", b"412-65-3388");
    seed("crypto_open", "longer", &[0, 0, 0, 0, 65]);
    seed("crypto_open", "cut", &[0, 60, 0, 1, 65, 66]);
    seed("crypto_open", "changed", &[0, 30, 1, 2, 65, 66]);
    seed("crypto_file_open", "magic", b"PHIF\x01\x01\0\0");
    seed("crypto_file_open", "strange", &[&b"PHIF\x01\x01\0\0"[..], &[7; 88]].concat());
    seed("crypto_file_open", "whole", &[0x80, 0]);
    seed("crypto_file_open", "cut", &[0x80, 0, 0x40, 0, 0]);
    seed("crypto_file_open", "changed", &[0x80, 0, 0, 90, 4, 1]);
    seed("crypto_file_open", "extended", &[0x80, 0, 0, 0, 1, 2, 65, 66]);
    seed("crypto_file_open", "doubled", &[0x40, 0, 0, 80, 2, 255]);
    seed("crypto_file_open", "beheaded", &[0x40, 0, 0, 80, 3]);
    seed("crypto_file_range", "read", &[0x80, 0, 0, 0, 0xff, 0xff]);
    seed("crypto_file_range", "seek", &[0x80, 0, 0, 1, 0, 9, 3, 0, 0, 50, 2, 0xff, 0xff, 7, 0, 0, 20]);
    seed("crypto_file_range", "ranges", &[0x80, 0, 0, 3, 0x3f, 0xff, 200, 4, 0x40, 0, 99]);
    seed("crypto_file_range", "cut", &[0x80, 0, 20, 3, 0x3f, 0xff, 255, 2, 0, 1, 1, 0, 0xff, 0xff]);
    seed("crypto_context", "same", b"\x03\x06clinic\x011\x03\x06clinic\x011");
    seed("crypto_context", "moved-boundary", b"\x40\x02ab\x01c\x40\x01a\x02bc");
    seed("crypto_context", "absent-and-empty", b"\x01\x00\x00");
}

fn keys() {
    for (name, suite) in [("aes", Suite::Aes256Gcm), ("chacha", Suite::ChaCha20Poly1305)] {
        for (length, plaintext) in [("empty", &b""[..]), ("short", b"1980-02-29")] {
            let key = MessageKey::derive(&[7; 32], Label::FIELD, suite, [3; 12]);
            let sealed = key.seal(Nonce::dangerous_from_bytes([5; 12]), b"context", plaintext).expect("short");
            seed("keys_f1_open", &format!("{name}-{length}"), &sealed);
            seed("keys_f1_text", &format!("{name}-{length}"), f1::to_text(&sealed).as_bytes());
            let mut cut = sealed;
            cut.truncate(f1::OVERHEAD - 1);
            seed("keys_f1_open", &format!("{name}-{length}-cut"), &cut);
        }
    }
    seed("keys_f1_text", "padded", b"phi1.AAAA=");
    seed("keys_f1_text", "trailing-bits", b"phi1.AB");
    for (name, suite) in [("aes", 0), ("chacha", 1)] {
        let mut input = vec![suite];
        input.extend([7; 32 + 12 + 12]);
        input.extend([0, 40, 1, 7]);
        input.extend(b"contextplaintext");
        seed("keys_f1_seal", name, &input);
    }
    for (name, at) in [("magic", 0), ("version", 8), ("kind", 9), ("cost", 12), ("salt", 22), ("unlock-id", 40)] {
        seed("keys_keyring", name, &[0, at, 3]);
    }
    seed("keys_keyring", "extended", &[0, 100, 1, 0, 1, 2, 3]);
    seed("keys_keyring", "raw", b"PHIKEYS\n\x01\x02");
    seed("keys_tlv", "ascending", b"\x01\x06clinic\x02\x07Patient\x03\x00");
    seed("keys_tlv", "not-ascending", b"\x02\x01a\x01\x01b\x02\x01c");
    let wrapped = Wrapped::new("aws:key", "3", Binding::Derivation, vec![9; 40]).expect("short parts").to_bytes();
    seed("keys_wrapped", "derivation", &wrapped);
    seed("keys_wrapped", "followed-by-something", &[&wrapped[..], b"x"].concat());
    keys_outside_the_store();
    for column in 0..12 {
        let row = column % 4;
        seed("keys_rows", &format!("row-{row}-column-{column}"), &[row, column, 2, 1, 5, 7]);
    }
    // Root key, generation, domain key, three data keys and a tombstone: what becomes of every one.
    for row in 0..7 {
        for (column, what) in [(3, "scope"), (12, "since"), (13, "position"), (14, "revision"), (16, "left-out")] {
            seed("keys_rows", &format!("row-{row}-{what}"), &[row, column, 0, 0, 0, 0, 0, 0, 0, 1]);
        }
        for (column, what) in [(17, "wrapped-of"), (18, "in-the-place-of"), (19, "exchanged-with")] {
            let to = (row + 1) % 7;
            seed("keys_rows", &format!("row-{row}-{what}-{to}"), &[row, column, to]);
        }
        let position = [&[row, 15, 12, 0, 0, 0, 8][..], &[0; 7], &[9]].concat();
        seed("keys_rows", &format!("row-{row}-more"), &position);
    }
}

fn keys_outside_the_store() {
    let header = b"PHIANCH\n\x01";
    seed("keys_anchor_file", "empty", header);
    seed("keys_anchor_file", "later", b"PHIANCH\n\x02");
    seed("keys_anchor_file", "killed-while-it-was-made", &header[..5]);
    let record =
        [&[0, 0, 0, 3, 255, 255, 255, 252][..], b"abc", &[0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea]].concat();
    seed("keys_anchor_file", "one-record", &[&header[..], &record].concat());
    seed("keys_anchor_file", "cut", &[&header[..], &record, &record[..14]].concat());
    seed("keys_anchor_file", "zeros", &[&header[..], &record, &record[..2], &[0; 30]].concat());
    for (name, at) in
        [("magic", 0), ("version", 8), ("length", 10), ("complement", 14), ("record", 17), ("checksum", 20)]
    {
        seed("keys_anchor_file", name, &[0, at, 3, 0, 0, 7]);
    }
    seed("keys_anchor_file", "longer", &[0, 0, 0, 0, 9, 1, 2, 3]);
    for (name, way) in [("changed", 0), ("cut", 1), ("extended", 2), ("inserted", 3)] {
        for at in 0..3 {
            seed("keys_anchor_records", &format!("{name}-{at}"), &[at, way, 40, 9]);
        }
    }
    seed("keys_certificate", "title", b"phi-keys certificate of destruction v1\nstore 00\n");
    seed("keys_certificate", "unsigned", &[3, 255, 255, 0, 0, 0]);
    seed("keys_certificate", "line-twice", &[0, 39, 0, 0, 39, 71]);
    seed("keys_certificate", "line-missing", &[0, 39, 71, 0, 0, 0]);
    seed("keys_certificate", "carriage-return", &[0, 38, 0, 0, 0, 0, b'\r']);
    seed("keys_key_file", "other-line-end", &[58, 1, b'\r', b'\n']);
    seed("keys_key_file", "no-line-end", &[59, 1]);
    seed("keys_key_file", "prefix", &[0, 1, b'x']);
    seed("keys_key_file", "raw", b"phi-key-file-1:AAAA");
    let since = [&[1, 11, 0, 0, 0, 8][..], &7_i64.to_be_bytes()].concat();
    let both = [&[2, 11, 0, 0, 0, 8][..], &7_i64.to_be_bytes(), &[12, 0, 0, 0, 8], &9_u64.to_be_bytes()].concat();
    for (name, more) in [("since", &since), ("both", &both)] {
        seed("keys_row_more", name, more);
        seed("keys_row_more", &format!("{name}-cut"), &more[..more.len() - 1]);
    }
    seed("keys_row_more", "none", b"\0");
    seed("keys_row_more", "later", &[1, 13, 0, 0, 0, 0]);
    seed("keys_row_more", "beyond-time", &[&since[..6], &[0x7f; 8]].concat());
}

fn session() {
    seed("session_token", "zeros", "A".repeat(43).as_bytes());
    seed("session_token", "trailing-bits", format!("{}B", "A".repeat(42)).as_bytes());
    seed("session_token", "public-id", b"0123456789abcdef0123456789abcdef");
    let at = Timestamp::from_unix_seconds(1_767_225_600);
    let events = [AuthEvent::new(Aal::One, Method::Password, at), AuthEvent::new(Aal::Two, Method::Totp, at)];
    let bytes = AuthEvent::encode(&events);
    seed("session_auth_events", "two", &bytes);
    seed("session_auth_events", "cut", &bytes[..15]);
}

fn redact() {
    let line =
        "2026-05-12T20:16:22Z INFO patient 078-05-1120 born 5/12/1980, MRN 0047110, +1 (617) 555-0142 a@b.example";
    seed("redact_scan", "line", line.as_bytes());
    seed("redact_scan", "escapes", "\u{1b}[2m1980-05-12\u{1b}[0m \\u0030 1EG4-TE5-MK73 203.0.113.9 é".as_bytes());
    seed("redact_writer", "two-lines", format!("\x07{line}\nmrn 4711\n").as_bytes());
    seed("redact_sql", "literals", b"UPDATE p SET name = 'O''Brien', n = 2.5e3 WHERE id = $1 -- x");
    seed("redact_sql", "dollar", b"SELECT $$Ada$$, $t$ $$ $t$, 'it\\'s");
}
