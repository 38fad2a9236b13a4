//! The published vectors, and agreement with the independent implementation.

use std::path::Path;
use std::process::Command;

use phi_keys::backend::Backend;
use phi_keys::derive::Label;
use serde_json::Value;

use super::spec::{Declared, Fields, Part};
use super::tagger::Tagger;
use super::*;
use crate::RecordId;

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

fn constant(value: &Value) -> &'static str {
    value.as_str().unwrap().to_owned().leak()
}

/// A transform by its number and parameter in the vectors; `None` for one that this build leaves out.
fn transform(number: &Value, parameter: &Value) -> Option<Transform> {
    let count = || u8::try_from(parameter.as_u64().unwrap()).unwrap();
    Some(match number.as_u64() {
        Some(1) => Transform::Exact,
        Some(2) => Transform::Digits,
        Some(3) => Transform::TrimLowercase,
        #[cfg(feature = "nfkc")]
        Some(4) => Transform::NfkcLowercase,
        #[cfg(not(feature = "nfkc"))]
        Some(4) => return None,
        Some(5) => Transform::Last(count()),
        Some(6) => Transform::First(count()),
        Some(7) => Transform::LastDigits(count()),
        Some(8) => Transform::Year,
        Some(9) => Transform::Zip3,
        Some(10) => Transform::e164(u16::try_from(parameter.as_u64().unwrap()).unwrap()),
        other => panic!("{other:?}"),
    })
}

/// The tagger of a case on every backend of this build.
fn taggers(case: &Value, declared: Declared) -> impl Iterator<Item = Tagger> {
    crate::backends::all().into_iter().map(move |backend| tagger(backend, case, declared))
}

fn tagger(backend: Backend, case: &Value, declared: Declared) -> Tagger {
    let domain: [u8; 32] = unhex(case["domain_key"].as_str().unwrap()).try_into().unwrap();
    let info = declared.key_info(case["tenant"].as_str().unwrap()).unwrap();
    let key = backend.expand(&domain, Label::BLIND_INDEX, &info);
    assert_eq!(key.to_vec(), unhex(case["index_key"].as_str().unwrap()), "{case}");
    Tagger::new(backend, declared, &key)
}

fn assert_tag(case: &Value, tag: Option<Tag>) {
    assert_eq!(tag.map(|tag| tag.as_bytes().to_vec()), case["tag"].as_str().map(unhex), "{case}");
}

/// The vectors were made by the independent implementation in `tests/verify.py`.
#[test]
fn tags_are_those_of_the_vectors() {
    let vectors: Value = serde_json::from_str(include_str!("../../tests/vectors/v1.json")).unwrap();
    let cases = vectors["tags"].as_array().unwrap();
    assert!(cases.len() > 5);
    for case in cases {
        let transform = transform(&case["transform"], &Value::Null).unwrap();
        let bits = u16::try_from(case["bits"].as_u64().unwrap()).unwrap();
        let [record_type, field, name] = ["record_type", "field", "index"].map(|part| constant(&case[part]));
        let spec = BlindIndex::exact(record_type, field, name, transform).bits(bits);
        for tagger in taggers(case, spec.0) {
            assert_tag(case, tagger.tag(&[case["value"].as_str().unwrap()], None).unwrap());
        }
    }
}

/// The vectors were made by the independent implementation in `tests/verify_index.py`.
#[test]
fn tags_of_every_option_are_those_of_the_vectors() {
    let vectors: Value = serde_json::from_str(include_str!("../../tests/vectors/index.json")).unwrap();
    assert!(vectors["tags"].as_array().unwrap().len() > 40);
    assert_cases(&vectors);
}

/// What the independent implementation prints, or `None` without Python.
fn verify(arguments: &[&str]) -> Option<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/verify_index.py");
    let output = Command::new(crate::component::python()?).arg("-B").arg(script).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn the_independent_implementation_computes_the_same_tags_of_random_values() {
    if let Some(made) = verify(&["tags", "400"]) {
        assert_cases(&made);
    }
}

#[test]
fn the_independent_implementation_makes_the_same_index_vectors() {
    if let Some(made) = verify(&["vectors"]) {
        assert_eq!(made, serde_json::from_str::<Value>(include_str!("../../tests/vectors/index.json")).unwrap());
    }
}

fn assert_cases(vectors: &Value) {
    for case in vectors["tags"].as_array().unwrap() {
        let [record_type, name] = ["record_type", "index"].map(|part| constant(&case[part]));
        let parts = case["parts"].as_array().unwrap();
        let fields: Option<Vec<Part>> = parts
            .iter()
            .map(|part| Some((constant(&part["field"]), transform(&part["transform"], &part["parameter"])?)))
            .collect();
        let Some(fields) = fields else { continue };
        let fields = if case["compound"] == true { Fields::Many(fields.leak()) } else { Fields::One(fields[0]) };
        let number = |name: &str| u16::try_from(case[name].as_u64().unwrap()).unwrap();
        let (bits, version) = (number("bits"), u8::try_from(number("version")).unwrap());
        let partitions = number("partitions");
        let declared = Declared { record_type, fields, name, bits, version, partitions, replaces: None };
        let values: Vec<&str> = parts.iter().map(|part| part["value"].as_str().unwrap()).collect();
        for tagger in taggers(case, declared) {
            let row = case["row"].as_str().map(RecordId::from);
            let partition = row.map(|row| tagger.partition(&row).unwrap());
            assert_eq!(partition.map(u64::from), case["partition"].as_u64(), "{case}");
            assert_tag(case, tagger.tag(&values, partition).unwrap());
        }
    }
}

#[test]
fn as_many_values_as_fields_have_a_tag() {
    const FIELDS: &[(&str, Transform); 2] = &[("family", Transform::Exact), ("birth", Transform::Exact)];
    let tagger = |declared| Tagger::new(Backend::ring(), declared, &[7; 32]);
    let (one, two) = (
        tagger(BlindIndex::exact("Patient", "ssn", "by_ssn", Transform::Exact).0),
        tagger(BlindIndex::compound("Patient", "by_name", FIELDS).0),
    );
    for values in [&[][..], &["a"], &["a", "b"], &["a", "b", "c"]] {
        assert_eq!(one.tag(values, None).unwrap().is_some(), values.len() == 1, "{values:?}");
        assert_eq!(two.tag(values, None).unwrap().is_some(), values.len() == 2, "{values:?}");
    }
}

#[test]
fn every_part_of_a_spec_has_a_key_of_its_own() {
    const FIELD: &[(&str, Transform); 1] = &[("ssn", Transform::Exact)];
    const FIELDS: &[(&str, Transform); 2] = &[("ssn", Transform::Exact), ("mrn", Transform::Exact)];
    const TURNED: &[(&str, Transform); 2] = &[("mrn", Transform::Exact), ("ssn", Transform::Exact)];
    let base = BlindIndex::exact("Patient", "ssn", "by_ssn", Transform::Exact);
    let infos = [
        base.0.key_info("a"),
        base.0.key_info("b"),
        base.version(2).0.key_info("a"),
        BlindIndex::exact("Person", "ssn", "by_ssn", Transform::Exact).0.key_info("a"),
        BlindIndex::exact("Patient", "mrn", "by_ssn", Transform::Exact).0.key_info("a"),
        BlindIndex::exact("Patient", "ssn", "by_id", Transform::Exact).0.key_info("a"),
        BlindIndex::exact("Patients", "sn", "by_ssn", Transform::Exact).0.key_info("a"),
        BlindIndex::compound("Patient", "by_ssn", FIELD).0.key_info("a"),
        BlindIndex::compound("Patient", "by_ssn", FIELDS).0.key_info("a"),
        BlindIndex::compound("Patient", "by_ssn", TURNED).0.key_info("a"),
    ]
    .map(Result::unwrap);
    let distinct: std::collections::BTreeSet<_> = infos.iter().collect();
    assert_eq!(distinct.len(), infos.len());
}

#[test]
fn a_replacement_has_the_next_version_and_searches_for_all() {
    const FIRST: IndexSpec = BlindIndex::exact("Patient", "ssn", "by_ssn", Transform::Exact);
    const SECOND: IndexSpec = BlindIndex::exact("Patient", "ssn", "by_ssn", Transform::Digits).replaces(&FIRST);
    const THIRD: PartitionedSpec = SECOND.partitioned(2).version(9).replaces_unpartitioned(&SECOND);
    let versions: Vec<u8> = THIRD.0.generations().map(|declared| declared.version).collect();
    assert_eq!(versions, [9, 2, 1]);
    assert_eq!(SECOND.version(0).current_version(), 1);
    assert_eq!((SECOND.partitioned(0).partitions(), SECOND.partitioned(9_999).partitions()), (2, 1024));
    assert_eq!((SECOND.bits(0).tag_bits(), SECOND.bits(999).tag_bits()), (8, 256));
}
