//! phi-audit: entries, signed notes and proofs, as a verifier gets them from somebody it does not trust.

mod trees;

use std::sync::LazyLock;

use base64ct::{Base64, Encoding};
use phi_audit::{Checkpoint, Event, Proof, VerifierKey};
use phi_keys::PublicKey;
use ring::digest;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};

pub(crate) use trees::{consistency, inclusion};

use crate::input::Input;

/// The origin of the log that the targets trust.
const ORIGIN: &str = "clinic.example/audit";

struct Signer {
    pair: Pair,
    key: VerifierKey,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    EcdsaP256(EcdsaKeyPair),
}

/// One of each algorithm.
static SIGNERS: LazyLock<[Signer; 2]> = LazyLock::new(|| {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("32 bytes are a seed");
    let public = PublicKey::Ed25519(pair.public_key().as_ref().try_into().expect("32 bytes"));
    let ed25519 = Signer { pair: Pair::Ed25519(pair), key: key(public) };
    let (algorithm, random) = (&ECDSA_P256_SHA256_ASN1_SIGNING, SystemRandom::new());
    let pair = EcdsaKeyPair::from_private_key_and_public_key(algorithm, &P256_PRIVATE, &P256_PUBLIC, &random);
    let pair = Pair::EcdsaP256(pair.expect("two halves of a pair"));
    [ed25519, Signer { pair, key: key(PublicKey::EcdsaP256(P256_PUBLIC)) }]
});

fn key(public: PublicKey) -> VerifierKey {
    VerifierKey::new(ORIGIN, public).expect("a name without spaces")
}

/// The key of RFC 6979 A.2.5.
const P256_PRIVATE: [u8; 32] = *b"\xc9\xaf\xa9\xd8\x45\xba\x75\x16\x6b\x5c\x21\x57\x67\xb1\xd6\x93\
    \x4e\x50\xc3\xdb\x36\xe8\x9b\x12\x7b\x8a\x62\x2b\x12\x0f\x67\x21";
const P256_PUBLIC: [u8; 65] = *b"\x04\x60\xfe\xd4\xba\x25\x5a\x9d\x31\xc9\x61\xeb\x74\xc6\x35\x6d\
    \x68\xc0\x49\xb8\x92\x3b\x61\xfa\x6c\xe6\x69\x62\x2e\x60\xf2\x9f\xb6\
    \x79\x03\xfe\x10\x08\xb8\xbc\x99\xa4\x1a\xe9\xe9\x56\x28\xbc\x64\
    \xf2\xf1\xb2\x0c\x2d\x7e\x9f\x51\x77\xa3\xc2\x94\xd4\x46\x22\x99";
/// What stands before a P-256 point in its SubjectPublicKeyInfo.
const P256_SPKI: &[u8] =
    b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\0";

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
    let accepted = SIGNERS.each_ref().map(|signer| {
        assert!(Checkpoint::open(text, &signer.key).is_err(), "nobody signed this");
        let note = signed(signer, text);
        let checkpoint = Checkpoint::open(&note, &signer.key).ok()?;
        let root = Base64::encode_string(checkpoint.root().as_bytes());
        assert!(text.starts_with(&format!("{ORIGIN}\n{}\n{root}\n", checkpoint.size())));
        assert_eq!(checkpoint.note(), note);
        Some((checkpoint.size(), *checkpoint.root()))
    });
    assert_eq!(accepted[0], accepted[1], "what is signed says the same, whatever signs it");
}

/// Text as a proof that ends in a good checkpoint: one proof has one text.
pub(crate) fn proof(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    for signer in &*SIGNERS {
        let _ = Proof::open(text, &signer.key);
        let root = Base64::encode_string(&[0; 32]);
        let text = format!("{text}\n\n{}", signed(signer, &format!("{ORIGIN}\n5\n{root}\n")));
        if let Ok(proof) = Proof::open(&text, &signer.key) {
            assert_eq!(proof.to_string(), text);
            assert!(proof.verify(b"no entry of a tree with this root").is_err());
        }
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
fn signed(signer: &Signer, text: &str) -> String {
    let (hashed, signature) = match &signer.pair {
        Pair::Ed25519(pair) => {
            let hashed = [ORIGIN.as_bytes(), b"\n\x01", pair.public_key().as_ref()].concat();
            (hashed, pair.sign(text.as_bytes()).as_ref().to_vec())
        }
        Pair::EcdsaP256(pair) => {
            let signature = pair.sign(&SystemRandom::new(), text.as_bytes()).expect("randomness");
            ([P256_SPKI, &P256_PUBLIC].concat(), signature.as_ref().to_vec())
        }
    };
    let id = digest::digest(&digest::SHA256, &hashed);
    let blob = [&id.as_ref()[..4], &signature].concat();
    format!("{text}\n— {ORIGIN} {}\n", Base64::encode_string(&blob))
}
