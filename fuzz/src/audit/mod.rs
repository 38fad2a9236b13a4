//! phi-audit: entries, signed notes and proofs, as a verifier gets them from somebody it does not trust.

mod trees;

use std::sync::LazyLock;

use base64ct::{Base64, Encoding};
use phi_audit::{Checkpoint, Event, Proof, VerifierKey};
use ring::digest;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

pub(crate) use trees::{consistency, inclusion};

use crate::input::Input;

/// The origin of the log that the targets trust.
const ORIGIN: &str = "clinic.example/audit";

struct Signer {
    pair: Ed25519KeyPair,
    key: VerifierKey,
}

static SIGNER: LazyLock<Signer> = LazyLock::new(|| {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("32 bytes are a seed");
    let public = pair.public_key().as_ref().try_into().expect("32 bytes");
    Signer { pair, key: VerifierKey::new(ORIGIN, public).expect("a name without spaces") }
});

/// Bytes as an entry: what is read has no other spelling nearby, so two different entries never mean the same event.
pub(crate) fn entry(input: &[u8]) {
    let mut parts = Input::new(input);
    let (at, change) = (u16::from_be_bytes(parts.array()), parts.byte());
    let bytes = parts.rest();
    let Ok(event) = Event::decode(bytes) else { return };
    let mut other = bytes.to_vec();
    let at = usize::from(at) % other.len();
    other[at] ^= change.max(1);
    assert_ne!(Event::decode(&other), Ok(event), "byte {at}");
}

/// Text as a signed checkpoint: unsigned text is refused; a signed one is accepted only in its canonical form.
pub(crate) fn checkpoint(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    assert!(Checkpoint::open(text, &SIGNER.key).is_err(), "nobody signed this");
    let note = signed(text);
    if let Ok(checkpoint) = Checkpoint::open(&note, &SIGNER.key) {
        let root = Base64::encode_string(checkpoint.root().as_bytes());
        assert!(text.starts_with(&format!("{ORIGIN}\n{}\n{root}\n", checkpoint.size())));
        assert_eq!(checkpoint.note(), note);
    }
}

/// Text as a proof that ends in a good checkpoint: one proof has one text.
pub(crate) fn proof(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let _ = Proof::open(text, &SIGNER.key);
    let root = Base64::encode_string(&[0; 32]);
    let text = format!("{text}\n\n{}", signed(&format!("{ORIGIN}\n5\n{root}\n")));
    if let Ok(proof) = Proof::open(&text, &SIGNER.key) {
        assert_eq!(proof.to_string(), text);
        assert!(proof.verify(b"no entry of a tree with this root").is_err());
    }
}

/// Text as a verifier key: one key has one text.
pub(crate) fn verifier_key(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(key) = text.parse::<VerifierKey>() {
        assert_eq!(key.to_string(), text);
    }
}

/// A note by the description of C2SP signed-note alone.
fn signed(text: &str) -> String {
    let public = SIGNER.key.public_key();
    let name = [ORIGIN.as_bytes(), b"\n\x01", public].concat();
    let id = digest::digest(&digest::SHA256, &name);
    let blob = [&id.as_ref()[..4], SIGNER.pair.sign(text.as_bytes()).as_ref()].concat();
    format!("{text}\n— {ORIGIN} {}\n", Base64::encode_string(&blob))
}
