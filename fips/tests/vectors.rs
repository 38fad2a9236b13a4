//! Every vector that approved algorithms can compute, computed by the module.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk};
use aws_lc_rs::hmac;
use serde_json::Value;

const KEYS: &str = include_str!("../../phi-keys/tests/vectors/v1.json");
const CRYPTO: &str = include_str!("../../phi-crypto/tests/vectors/v1.json");
/// What stands before the ciphertext in format F1: suite, kid, salt, nonce.
const HEADER: usize = 1 + 16 + 12 + 12;

struct Len(usize);

impl KeyType for Len {
    fn len(&self) -> usize {
        self.0
    }
}

fn cases(text: &str, name: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(text).unwrap();
    let cases = all[name].as_array().unwrap().clone();
    assert!(cases.len() > 2, "{name}");
    cases
}

fn unhex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

/// `HKDF-Expand-SHA-256(key, u8 len(label) ‖ label ‖ info, 32)`.
fn expand(key: &[u8], label: &str, info: &[u8]) -> Vec<u8> {
    let length = [u8::try_from(label.len()).unwrap()];
    let mut out = vec![0; 32];
    Prk::new_less_safe(HKDF_SHA256, key)
        .expand(&[&length, label.as_bytes(), info], Len(32))
        .unwrap()
        .fill(&mut out)
        .unwrap();
    out
}

fn open(message_key: &[u8], aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (header, body) = sealed.split_at(HEADER);
    let nonce = Nonce::try_assume_unique_for_key(&header[29..]).unwrap();
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, message_key).unwrap());
    let mut body = body.to_vec();
    key.open_in_place(nonce, Aad::from(aad), &mut body).ok().map(|plaintext| plaintext.to_vec())
}

#[test]
fn the_module_is_in_fips_mode() {
    aws_lc_rs::try_fips_mode().expect("the module failed its own tests or is not the FIPS build");
}

#[test]
fn the_module_derives_the_published_keys() {
    for case in cases(KEYS, "expand") {
        let derived = expand(&unhex(&case["key"]), case["label"].as_str().unwrap(), &unhex(&case["info"]));
        assert_eq!(derived, unhex(&case["derived"]), "{case}");
    }
}

#[test]
fn the_module_opens_the_published_wrapped_keys_and_fields() {
    let mut opened = 0;
    for (cases, label) in
        [(cases(KEYS, "f1_under_phi_v1_wrap"), "phi/v1/wrap"), (cases(CRYPTO, "fields"), "phi/v1/field")]
    {
        for case in cases.iter().filter(|case| case["suite"] == 1) {
            let sealed = unhex(&case["sealed"]);
            let key = unhex(if case["key"].is_null() { &case["data_key"] } else { &case["key"] });
            assert_eq!(expand(&key, "phi/v1/kid", &[])[..16], sealed[1..17], "{case}");
            let info = [&[1][..], &sealed[17..29]].concat();
            let aad = if case["aad"].is_null() { aad_of(&case["context"]) } else { unhex(&case["aad"]) };
            let message_key = expand(&key, label, &info);
            assert_eq!(open(&message_key, &aad, &sealed), Some(unhex(&case["plaintext"])), "{case}");
            assert_eq!(open(&message_key, b"elsewhere", &sealed), None, "{case}");
            opened += 1;
        }
    }
    assert!(opened > 6, "only {opened} values");
}

/// The associated data of a context, taken from the vectors that publish it.
fn aad_of(context: &Value) -> Vec<u8> {
    let published = cases(CRYPTO, "contexts");
    let case = published.iter().find(|case| case["context"] == *context);
    unhex(&case.unwrap_or_else(|| panic!("no published encoding of {context}"))["aad"])
}

#[test]
fn the_module_computes_the_published_tags() {
    for case in cases(CRYPTO, "tags").iter().filter(|case| !case["tag"].is_null() && case["transform"] == 1) {
        let value = case["value"].as_str().unwrap().as_bytes();
        let length = u32::try_from(value.len()).unwrap().to_be_bytes();
        let message = [&[2, 1, 0, 0, 0, 1, 1, 2][..], &length, value].concat();
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &unhex(&case["index_key"])), &message);
        let published = unhex(&case["tag"]);
        let whole = case["bits"].as_u64().unwrap() / 8;
        let whole = usize::try_from(whole).unwrap();
        assert_eq!(published[0], 1);
        assert_eq!(tag.as_ref()[..whole], published[1..=whole], "{case}");
    }
}
