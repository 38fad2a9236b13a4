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
    crypto();
    keys();
    session();
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
    seed("keys_tlv", "ascending", b"\x01\x06clinic\x02\x07Patient\x03\x00");
    seed("keys_tlv", "not-ascending", b"\x02\x01a\x01\x01b\x02\x01c");
    let wrapped = Wrapped::new("aws:key", "3", Binding::Derivation, vec![9; 40]).expect("short parts").to_bytes();
    seed("keys_wrapped", "derivation", &wrapped);
    seed("keys_wrapped", "followed-by-something", &[&wrapped[..], b"x"].concat());
    for column in 0..12 {
        let row = column % 4;
        seed("keys_rows", &format!("row-{row}-column-{column}"), &[row, column, 2, 1, 5, 7]);
    }
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
