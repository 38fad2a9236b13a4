//! The published vectors, by the crates on the validated module. Those of what is private to the crates are asserted by their
//! unit tests, which run on every backend of the build.

use phi_keys::backend::HmacSha256;
use phi_keys::derive::Label;
use phi_keys::f1::{self, MessageKey, Nonce, Suite};
use serde_json::Value;

use crate::support::fips;

const KEYS: &str = include_str!("../../../phi-keys/tests/vectors/v1.json");
const CRYPTO: &str = include_str!("../../../phi-crypto/tests/vectors/v1.json");
const PADDED: &str = include_str!("../../../phi-crypto/tests/vectors/v1-padded.json");

fn cases(text: &str, name: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(text).unwrap();
    let cases = all[name].as_array().unwrap().clone();
    assert!(!cases.is_empty(), "{name}");
    cases
}

fn unhex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

fn fixed<const N: usize>(value: &Value) -> [u8; N] {
    unhex(value).try_into().unwrap()
}

#[test]
fn derivations_are_those_of_the_vectors() {
    for case in cases(KEYS, "expand") {
        let label = Label::new(case["label"].as_str().unwrap().to_owned().leak());
        let derived = fips().expand(&fixed(&case["key"]), label, &unhex(&case["info"]));
        assert_eq!(derived.to_vec(), unhex(&case["derived"]), "{case}");
    }
}

/// Nonces are the module's, so that values cannot be sealed to the same bytes; what is sealed here opens on *ring*.
#[test]
fn wrapped_keys_and_fields_are_those_of_the_vectors() {
    let mut opened = 0;
    for (cases, label) in [
        (cases(KEYS, "f1_under_phi_v1_wrap"), Label::WRAP),
        (cases(CRYPTO, "fields"), Label::FIELD),
        (cases(PADDED, "fields"), Label::FIELD),
    ] {
        for case in cases {
            let sealed = unhex(&case["sealed"]);
            let key = fixed(if case["key"].is_null() { &case["data_key"] } else { &case["key"] });
            let parts = f1::parse(&sealed).unwrap();
            let derived = MessageKey::derive_on(fips(), &key, label, parts.suite(), parts.salt());
            if matches!(parts.suite(), Suite::ChaCha20Poly1305 | Suite::ChaCha20Poly1305Padded) {
                assert!(derived.is_err(), "{case}");
                continue;
            }
            let message_key = derived.unwrap();
            assert_eq!(message_key.kid().as_bytes().as_slice(), unhex(&case["kid"]), "{case}");
            let aad = if case["aad"].is_null() { aad_of(&case["context"]) } else { unhex(&case["aad"]) };
            let plaintext = unhex(&case["plaintext"]);
            assert_eq!(*message_key.open(&parts, &aad).unwrap(), plaintext, "{case}");
            assert!(message_key.open(&parts, b"elsewhere").is_err(), "{case}");

            let again = message_key.seal(Nonce::of(fips()).unwrap(), &aad, &plaintext).unwrap();
            let ring = MessageKey::derive(&key, label, parts.suite(), parts.salt());
            assert_eq!(*ring.open(&f1::parse(&again).unwrap(), &aad).unwrap(), plaintext, "{case}");
            opened += 1;
        }
    }
    assert!(opened > 9, "only {opened} values");
}

/// The associated data of a context, taken from the vectors that publish it.
fn aad_of(context: &Value) -> Vec<u8> {
    let published = cases(CRYPTO, "contexts");
    let case = published.iter().find(|case| case["context"] == *context);
    unhex(&case.unwrap_or_else(|| panic!("no published encoding of {context}"))["aad"])
}

#[test]
fn tags_are_those_of_the_vectors() {
    let mut seen = 0;
    for case in cases(CRYPTO, "tags").iter().filter(|case| !case["tag"].is_null() && case["transform"] == 1) {
        let value = case["value"].as_str().unwrap().as_bytes();
        let length = u32::try_from(value.len()).unwrap().to_be_bytes();
        let message = [&[2, 1, 0, 0, 0, 1, 1, 2][..], &length, value].concat();
        let tag = HmacSha256::new(fips(), &unhex(&case["index_key"]).try_into().unwrap()).sign(&message);
        let published = unhex(&case["tag"]);
        let whole = usize::try_from(case["bits"].as_u64().unwrap()).unwrap() / 8;
        assert_eq!(published[0], 1);
        assert_eq!(tag[..whole], published[1..=whole], "{case}");
        seen += 1;
    }
    assert!(seen > 1, "only {seen} tags");
}
