//! Bundles that must not come in, and what is left when one does not.

use std::fs;
use std::process::{Command, Stdio};

use crate::support::{PATIENT, Place, bundle, entry, one_line, patient};

/// Runs an import of a good bundle and then a bad one; the good one stays, of the bad one nothing does.
fn refused(bad: impl AsRef<[u8]>, reason: &str) -> String {
    let place = Place::new();
    place.bundle("1_good.json", bundle(&[patient("good", "M-1")]));
    place.bundle("2_Fairweather-Quill.json", bad);
    let line = one_line(&place.run());
    assert!(line.contains("bundle 2 of 2 (path "), "{line}");
    assert!(line.contains(reason), "{line}");
    assert!(!line.contains("Quill"), "the file's name holds a family name: {line}");
    assert_eq!((place.count("clinic_patients"), place.count("clinic_documents")), (1, 1), "nothing half-written");
    assert_eq!(place.count("clinic_bundles"), 1);
    assert_eq!(place.count("phi_keys_row WHERE kind = 2"), 1, "nobody got a key");
    line
}

#[test]
fn a_truncated_bundle_is_refused() {
    let whole = bundle(&[entry("p", PATIENT)]);
    refused(&whole[..whole.len() - 40], "the JSON ends before it is complete; export the bundle again");
}

#[test]
fn an_oversized_bundle_is_refused() {
    let mut json = bundle(&[entry("p", PATIENT)]);
    json.push_str(&" ".repeat(17 << 20));
    refused(json, "larger than 16 MiB; split the bundle");
}

#[test]
fn a_bundle_of_too_many_entries_is_refused() {
    let entries: Vec<_> = (0..=20_000).map(|number| patient(&format!("p{number}"), &format!("N-{number}"))).collect();
    refused(bundle(&entries), "more than 20000 entries; split the bundle");
}

#[test]
fn what_is_not_json_is_refused() {
    refused("MSH|^~\\&|ADT1", "not JSON at line 1");
}

#[test]
fn json_that_is_not_fhir_is_refused() {
    refused(r#"{"name":"Wilhelmina"}"#, "not a FHIR R4 Bundle");
    let wrong = entry("p", r#"{"resourceType":"Patient","id":"p","name":"Fairweather-Quill"}"#);
    refused(bundle(&[wrong]), "entry 1: an element has another type than FHIR R4 gives it");
}

#[test]
fn an_unknown_resource_type_is_refused() {
    let odd = entry("x", r#"{"resourceType":"Quill","id":"x"}"#);
    refused(bundle(&[patient("p", "M-2"), odd]), "entry 2: its resource type is not one of FHIR R4");
}

#[test]
fn a_patient_twice_in_one_bundle_is_refused() {
    let twice = bundle(&[patient("p", "M-2"), patient("p", "M-2")]);
    refused(twice, "entry 2: the same Patient occurs twice in this bundle");
}

#[test]
fn a_patient_who_came_before_with_other_content_is_refused() {
    refused(bundle(&[patient("good", "M-2")]), "entry 1: this Patient was imported before with other content");
}

#[test]
fn a_record_number_of_another_patient_is_refused() {
    refused(bundle(&[patient("other", "m-1 ")]), "entry 1: another patient has this medical record number");
}

#[test]
fn two_patients_of_one_bundle_with_one_record_number_are_refused() {
    let both = bundle(&[patient("p", "M-2"), patient("q", " m-2")]);
    refused(both, "entry 2: another patient has this medical record number");
}

#[test]
fn an_import_goes_on_where_it_stopped() {
    let place = Place::new();
    place.bundle("1.json", bundle(&[patient("a", "M-1")]));
    place.bundle("2.json", "{");
    assert!(one_line(&place.run()).contains("run again to go on from here"));
    place.bundle("2.json", bundle(&[patient("b", "M-2")]));
    place.bundle("3.json", "]");
    assert!(one_line(&place.run()).contains("bundle 3 of 3"));
    assert_eq!((place.count("clinic_patients"), place.count("clinic_bundles")), (2, 2));
}

/// `script` gives it a terminal.
#[test]
fn an_import_shows_its_progress_on_a_terminal() {
    let place = Place::new();
    for number in 0..20 {
        place.bundle(
            &format!("Quill_{number:02}.json"),
            bundle(&[patient(&format!("p{number}"), &format!("M-{number}"))]),
        );
    }
    place.bundle("zzz.json", "{");
    let program = place.command();
    let words = std::iter::once(program.get_program()).chain(program.get_args());
    let line: Vec<_> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &line.join(" "), "/dev/null"]).stdin(Stdio::null()).env("TERM", "xterm");
    terminal.env_remove("NO_COLOR").env_remove("CLINIC_PASSPHRASE");
    let output = terminal.output().expect("script of util-linux");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");

    let shown = text.split(" of 21 bundles, ").map(|before| before.rsplit(' ').next().unwrap_or_default().parse().ok());
    let shown: Vec<u32> = shown.flatten().collect();
    assert!(shown.len() >= 2 && shown.is_sorted() && shown[0] < shown[shown.len() - 1], "{shown:?} in {text:?}");
    assert!(shown.iter().all(|done| (0..=20).contains(done)), "{shown:?}");
    assert!(text.contains("importing ") && text.contains(" left"), "{text:?}");
    assert!(text.contains("bundle 21 of 21 (path ") && !text.contains("Quill"), "{text:?}");
}

#[test]
fn folders_without_bundles_are_refused_before_anything_is_set_up() {
    let place = Place::new();
    assert!(one_line(&place.run()).contains("holds no .json files"));
    fs::remove_dir(place.path("bundles")).unwrap();
    assert!(one_line(&place.run()).contains("the import folder cannot be read (entity not found)"));
    assert!(!place.data().exists());
}

#[test]
fn a_bundle_that_cannot_be_read_is_named_by_its_number() {
    let place = Place::new();
    fs::create_dir(place.path("bundles").join("Quill.json")).unwrap();
    let line = one_line(&place.run());
    assert!(line.contains("bundle 1 (path ") && line.contains("cannot be read") && !line.contains("Quill"), "{line}");
}
