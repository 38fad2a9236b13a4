//! The published vectors, and agreement with the independent implementation in `tests/verify.py`, in both directions.

use std::path::{Path, PathBuf};
use std::process::Command;

use phi_crypto::{Context, Sealed, Suite};
use phi_keys::derive::{self, Label};
use phi_keys::f1::{self, MessageKey, Nonce, NonceKey};
use phi_types::SubjectId;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::support::{hex, unhex};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn read(file: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(folder().join("vectors").join(file)).unwrap()).unwrap()
}

fn committed() -> Value {
    read("v1.json")
}

/// Padded suites and hedged nonces, which came after the first vectors were frozen.
fn padded() -> Value {
    read("v1-padded.json")
}

/// The names of record types and fields are constants of programs.
fn constant(value: &Value) -> &'static str {
    value.as_str().unwrap().to_owned().leak()
}

fn aad(described: &Value) -> Vec<u8> {
    let field = Context::new(constant(&described["record_type"]), constant(&described["field"]));
    let mut context = field.without_record();
    let subject = described["subject"].as_str().map(|subject| SubjectId::new(subject).unwrap());
    if let Some(tenant) = described["tenant"].as_str() {
        context = context.tenant(tenant);
    }
    if let Some(id) = described["record_id"].as_str() {
        context = context.record_id(id);
    }
    if let Some(subject) = &subject {
        context = context.subject(subject);
    }
    if let Some(version) = described["row_version"].as_u64() {
        context = context.row_version(version);
    }
    for pair in described["pairs"].as_array().into_iter().flatten() {
        context = context.pair(pair[0].as_str().unwrap(), pair[1].as_str().unwrap());
    }
    context.to_aad().unwrap()
}

fn key_of(case: &Value) -> [u8; 32] {
    unhex(case["data_key"].as_str().unwrap()).try_into().unwrap()
}

/// `Err` says in the words of the vectors why a value was refused.
fn open(case: &Value) -> Result<Vec<u8>, &'static str> {
    let sealed = unhex(case["sealed"].as_str().unwrap());
    let parts = f1::parse(&sealed).map_err(|_| "not sealed")?;
    let key = key_of(case);
    if parts.kid() != derive::full_id(&key).kid() {
        return Err("refused");
    }
    let key = MessageKey::derive(&key, Label::FIELD, parts.suite(), parts.salt());
    key.open(&parts, &aad(&case["context"])).map(|plaintext| plaintext.to_vec()).map_err(|_| "refused")
}

fn suite(number: &Value) -> Suite {
    match number.as_u64() {
        Some(1) => Suite::Aes256Gcm,
        Some(2) => Suite::ChaCha20Poly1305,
        Some(0x11) => Suite::Aes256GcmPadded,
        Some(0x12) => Suite::ChaCha20Poly1305Padded,
        other => panic!("{other:?}"),
    }
}

#[test]
fn contexts_are_encoded_as_published() {
    for case in committed()["contexts"].as_array().unwrap() {
        assert_eq!(hex(&aad(&case["context"])), case["aad"].as_str().unwrap(), "{}", case["name"]);
    }
}

#[test]
fn fields_are_sealed_and_opened_as_published() {
    let cases = [committed(), padded()].map(|vectors| vectors["fields"].as_array().unwrap().clone());
    assert_eq!(cases.each_ref().map(Vec::len), [10, 10]);
    for case in cases.iter().flatten() {
        let name = &case["name"];
        let bytes = |part: &str| unhex(case[part].as_str().unwrap());
        let (key, salt) = (key_of(case), bytes("salt").try_into().unwrap());
        let info = f1::key_info(suite(&case["suite"]), &salt);
        assert_eq!(derive::expand(&key, Label::FIELD, &info).to_vec(), bytes("message_key"), "{name}");

        let message_key = MessageKey::derive(&key, Label::FIELD, suite(&case["suite"]), salt);
        assert_eq!(message_key.kid().as_bytes()[..], bytes("kid"), "{name}");
        let nonce = Nonce::dangerous_from_bytes(bytes("nonce").try_into().unwrap());
        let (plaintext, mut sealed) = (bytes("plaintext"), Vec::new());
        let padding = usize::try_from(case["padding"].as_u64().unwrap_or(0)).unwrap();
        message_key.seal_padded_into(nonce, &aad(&case["context"]), &plaintext, padding, &mut sealed).unwrap();
        assert_eq!(sealed, bytes("sealed"), "{name}");
        assert_eq!(open(case), Ok(bytes("plaintext")), "{name}");

        let text = case["text"].as_str().unwrap();
        assert_eq!(Sealed::<Vec<u8>>::from_text(text).unwrap().as_bytes(), sealed, "{name}");
        assert_eq!(Sealed::<Vec<u8>>::from_bytes(sealed).unwrap().to_text(), text, "{name}");
    }
}

#[test]
fn what_must_be_refused_is_refused_as_published() {
    let cases = [committed(), padded()].map(|vectors| vectors["refused"].as_array().unwrap().clone());
    assert!(cases[0].len() >= 19 && cases[1].len() >= 16);
    for case in cases.iter().flatten() {
        assert_eq!(open(case).err(), case["why"].as_str(), "{}", case["name"]);
    }
}

#[test]
fn hedged_nonces_are_those_published() {
    let vectors = padded();
    let cases = vectors["hedged"].as_array().unwrap();
    assert_eq!(cases.len(), 4);
    for case in cases {
        let salt = unhex(case["salt"].as_str().unwrap()).try_into().unwrap();
        let derived = derive::expand(&key_of(case), Label::NONCE, &f1::key_info(suite(&case["suite"]), &salt));
        let key = NonceKey::from_derived(&derived);
        let random = unhex(case["random"].as_str().unwrap());
        let (first, last) = (&random[..16], u128::from_be_bytes(random[16..].try_into().unwrap()));
        let message_key = MessageKey::derive(&key_of(case), Label::FIELD, suite(&case["suite"]), salt);
        for (i, message) in (0..).zip(case["messages"].as_array().unwrap()) {
            let drawn: Vec<u8> = [first, &last.wrapping_add(i).to_be_bytes()].concat();
            let plaintext = unhex(message["plaintext"].as_str().unwrap());
            let padding = usize::try_from(message["padding"].as_u64().unwrap()).unwrap();
            let aad = aad(&message["context"]);
            let nonce = key.nonce(&drawn.try_into().unwrap(), &aad, &plaintext, padding);
            let mut sealed = Vec::new();
            message_key.seal_padded_into(nonce, &aad, &plaintext, padding, &mut sealed).unwrap();
            assert_eq!(hex(&sealed[29..41]), case["nonces"][usize::try_from(i).unwrap()].as_str().unwrap());
        }
    }
}

/// Runs the independent implementation; nothing where there is no Python.
fn verify(arguments: &[&str]) -> Option<String> {
    let output =
        Command::new(crate::component::python()?).arg(folder().join("verify.py")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn the_independent_implementation_makes_the_same_vectors() {
    if let Some(made) = verify(&["vectors"]) {
        assert_eq!(serde_json::from_str::<Value>(&made).unwrap(), committed());
    }
    if let Some(made) = verify(&["padded"]) {
        assert_eq!(serde_json::from_str::<Value>(&made).unwrap(), padded());
    }
}

#[test]
fn what_the_independent_implementation_seals_opens_here() {
    let Some(made) = verify(&["seal", "60"]) else { return };
    let made: Value = serde_json::from_str(&made).unwrap();
    let cases = made["fields"].as_array().unwrap();
    assert_eq!(cases.len(), 60);
    for case in cases {
        assert_eq!(open(case), Ok(unhex(case["plaintext"].as_str().unwrap())), "{case}");
    }
}

#[test]
fn what_is_sealed_here_the_independent_implementation_opens() {
    let described = (
        proptest::option::of("\\PC{0,9}"),
        proptest::option::of("[a-z]{1,9}"),
        proptest::option::of(0..=u64::MAX),
        proptest::collection::btree_map("\\PC{0,9}", "\\PC{0,9}", 0..4),
        proptest::collection::vec(0..=u8::MAX, 0..200),
        (proptest::array::uniform32(0..=u8::MAX), 0_usize..4, 1_usize..90),
    );
    let mut runner = TestRunner::deterministic();
    let fields: Vec<_> = (0..60)
        .map(|i| {
            let made = described.new_tree(&mut runner).unwrap().current();
            let (id, subject, version, pairs, plaintext, (key, suite, padding)) = made;
            let mut context = json!({ "record_type": "Patient", "field": "name", "tenant": "clinic" });
            let members = context.as_object_mut().unwrap();
            members.extend(id.map(|id| ("record_id".into(), id.into())));
            members.extend(subject.map(|subject| ("subject".into(), subject.into())));
            members.extend(version.map(|version| ("row_version".into(), version.into())));
            members.insert("pairs".into(), pairs.into_iter().map(|(key, value)| json!([key, value])).collect());

            let suite =
                [Suite::Aes256Gcm, Suite::ChaCha20Poly1305, Suite::Aes256GcmPadded, Suite::ChaCha20Poly1305Padded]
                    [suite];
            let padding = if suite.is_padded() { padding } else { 0 };
            let message_key = MessageKey::derive(&key, Label::FIELD, suite, f1::fresh_salt().unwrap());
            let (nonce, aad, mut sealed) = (Nonce::random().unwrap(), aad(&context), Vec::new());
            message_key.seal_padded_into(nonce, &aad, &plaintext, padding, &mut sealed).unwrap();
            json!({
                "name": i.to_string(),
                "data_key": hex(&key),
                "context": context,
                "plaintext": hex(&plaintext),
                "text": Sealed::<Vec<u8>>::from_bytes(sealed.clone()).unwrap().to_text(),
                "sealed": hex(&sealed),
            })
        })
        .collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), json!({ "fields": fields }).to_string()).unwrap();
    if let Some(said) = verify(&["open", file.path().to_str().unwrap()]) {
        assert_eq!(said.trim(), "60 cases verified");
    }
}
