use super::*;

const PATIENT: &str = include_str!("../../tests/fixtures/patient.json");

fn bundle(entries: &[String]) -> String {
    format!(r#"{{"resourceType":"Bundle","type":"transaction","entry":[{}]}}"#, entries.join(","))
}

fn entry(url: &str, resource: &str) -> String {
    format!(r#"{{"fullUrl":"{url}","resource":{resource}}}"#)
}

fn patient(id: &str) -> String {
    entry(&format!("urn:uuid:{id}"), &format!(r#"{{"resourceType":"Patient","id":"{id}"}}"#))
}

fn condition(reference: &str) -> String {
    let resource = format!(r#"{{"resourceType":"Condition","id":"c","subject":{{"reference":"{reference}"}}}}"#);
    format!(r#"{{"resource":{resource}}}"#)
}

fn fault(json: &str) -> Fault {
    Bundle::parse(json.as_bytes()).unwrap_err()
}

#[test]
fn one_patients_bundle_keeps_everything_with_the_patient() {
    let organization = entry("urn:uuid:o", r#"{"resourceType":"Organization","id":"o"}"#);
    let json = bundle(&[organization, condition("urn:uuid:p"), entry("urn:uuid:p", PATIENT)]);
    let read = Bundle::parse(json.as_bytes()).unwrap();
    let kinds: Vec<_> = read.patients[0].documents.iter().map(|document| document.kind).collect();
    assert_eq!((kinds, read.shared.len()), (vec!["Patient", "Organization", "Condition"], 0));
}

#[test]
fn records_go_to_the_patient_they_refer_to_in_any_form() {
    let json = bundle(&[
        patient("a"),
        patient("b"),
        condition("urn:uuid:b"),
        condition("Patient/b"),
        condition("https://fhir.example/r4/Patient/a"),
        condition("Group/g"),
    ]);
    let read = Bundle::parse(json.as_bytes()).unwrap();
    let counts: Vec<_> = read.patients.iter().map(|patient| patient.documents.len()).collect();
    assert_eq!((counts, read.shared.len()), (vec![2, 3], 1));
}

#[test]
fn bad_bundles_are_refused_with_their_reason() {
    for (json, expected) in [
        ("", FaultKind::Truncated.whole()),
        (r#"{"resourceType":"Bundle","entry":[{"#, FaultKind::Truncated.whole()),
        ("<Bundle/>", FaultKind::NotJson { line: 1, column: 1 }.whole()),
        ("[1, 2]", FaultKind::NotBundle.whole()),
        ("7", FaultKind::NotBundle.whole()),
        (r#"{"hello":"world"}"#, FaultKind::NotBundle.whole()),
        (r#"{"resourceType":"Patient"}"#, FaultKind::NotBundle.whole()),
        (r#"{"resourceType":"Bundle"}"#, FaultKind::NotBundle.whole()),
        (&bundle(&["{}".into()]), FaultKind::NoResource.at(1)),
        (&bundle(&[patient("a"), entry("x", r#"{"resourceType":"Horoscope"}"#)]), FaultKind::UnknownType.at(2)),
        (&bundle(&[entry("", r#"{"resourceType":"Patient"}"#)]), FaultKind::NoPatientId.at(1)),
        (&bundle(&[patient("a"), patient("a")]), FaultKind::DuplicatePatient.at(2)),
        (&bundle(&[patient("a"), condition("urn:uuid:zz")]), FaultKind::ForeignPatient.at(2)),
        (&bundle(&[patient("a"), condition("Patient/zz")]), FaultKind::ForeignPatient.at(2)),
        (
            &bundle(&[entry("u", r#"{"resourceType":"Patient","id":"a","birthDate":"tomorrow"}"#)]),
            FaultKind::BadDate.at(1),
        ),
    ] {
        assert_eq!(fault(json), expected, "{json}");
    }
    let wrong_type = fault(&bundle(&[entry("u", r#"{"resourceType":"Patient","id":"a","name":"Smith"}"#)]));
    assert!(matches!(wrong_type.kind, FaultKind::NotFhir { .. }), "{wrong_type:?}");
    assert!(!wrong_type.to_string().contains("Smith"));
}

#[test]
fn the_number_of_entries_is_bounded_before_they_are_read() {
    let entries = |number| bundle(&vec!["{}".to_owned(); number]);
    assert_eq!(fault(&entries(MAX_ENTRIES)), FaultKind::NoResource.at(1));
    assert_eq!(fault(&entries(MAX_ENTRIES + 1)), FaultKind::TooManyEntries.whole());
}

#[test]
fn size_is_bounded_before_anything_is_parsed() {
    let endless = io::repeat(b' ');
    assert_eq!(Bundle::read(endless).unwrap().unwrap_err(), FaultKind::Oversized.whole());
}
