//! Folders, keys, disks, ports and databases that the clinic cannot work with.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::{Command, Output, Stdio};

use crate::support::{PATIENT, Place, bundle, entry, one_line, patient};

/// A place that was set up, with an import that stopped, so that no tour runs.
fn set_up() -> Place {
    let place = Place::new();
    place.bundle("1.json", "{");
    assert!(one_line(&place.run()).contains("bundle 1 of 1"));
    place
}

fn chmod(place: &Place, name: &str, mode: u32) {
    fs::set_permissions(place.path(name), Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_world_readable_keyring_or_key_file_is_refused() {
    let place = set_up();
    for name in ["data/clinic.keyring", "data.key", "data/clinic.db", "data/clinic.log"] {
        assert_eq!(fs::metadata(place.path(name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
    for name in ["data/clinic.keyring", "data.key"] {
        chmod(&place, name, 0o644);
        let line = one_line(&place.run());
        assert!(line.contains("others than the owner may use the file (mode 0644): run `chmod 600`"), "{name}: {line}");
        chmod(&place, name, 0o600);
    }
    assert!(one_line(&place.run()).contains("bundle 1 of 1"), "and accepted again");
}

#[test]
fn a_world_readable_database_or_log_is_refused() {
    let place = set_up();
    for (name, what) in [("data/clinic.db", "the database"), ("data/clinic.log", "the log file")] {
        chmod(&place, name, 0o604);
        assert!(one_line(&place.run()).contains(&format!("{what} can be read by other users; run `chmod 600`")));
        chmod(&place, name, 0o600);
    }
}

const KEYRING: &str = "data/clinic.keyring";

fn assert_line(output: &Output, expected: &str) {
    assert_eq!(one_line(output), format!("clinic: {expected}"));
}

/// The program as root without the right to read everything; as anybody else who has no such right.
fn without_override(place: &Place) -> Output {
    if fs::File::open(place.path(KEYRING)).is_err() {
        return place.run();
    }
    let program = place.command();
    let mut restricted = Command::new("setpriv");
    restricted.args(["--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]);
    restricted.arg(program.get_program()).args(program.get_args()).env_remove("CLINIC_PASSPHRASE");
    restricted.output().expect("setpriv of util-linux")
}

#[test]
fn an_unreadable_keyring_is_refused() {
    let place = set_up();
    chmod(&place, KEYRING, 0o000);
    assert_line(
        &without_override(&place),
        "failed opening the keyring: the file may not be read by its owner: run `chmod 600` on it",
    );
    chmod(&place, KEYRING, 0o600);
    assert!(one_line(&place.run()).contains("bundle 1 of 1"), "and accepted again");
}

/// Needs root, which can give files away.
#[test]
fn a_keyring_of_another_user_is_refused() {
    let place = set_up();
    match chown(place.path(KEYRING), Some(65_534), None) {
        Ok(()) => assert_line(
            &place.run(),
            "failed opening the keyring: the file belongs to another user: run `chown` on it, or run as its owner",
        ),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied),
    }
}

#[test]
fn a_folder_in_place_of_the_keyring_is_refused() {
    let place = set_up();
    fs::remove_file(place.path(KEYRING)).unwrap();
    fs::create_dir(place.path(KEYRING)).unwrap();
    let expected = "failed opening the keyring: the name is a link, a folder or a device: name the file itself";
    assert_line(&place.run(), expected);
}

#[test]
fn a_damaged_keyring_is_refused() {
    let place = set_up();
    let whole = fs::read(place.path(KEYRING)).unwrap();
    let mut altered = whole.clone();
    altered[whole.len() / 2] ^= 1;
    for (bytes, reason) in [
        (&b"not a keyring, but as long as the start of one"[..], "the file is not a keyring: check its name"),
        (
            &whole[..whole.len() - 1],
            "the keyring is cut off or has something behind its end: restore it from its backup",
        ),
        (&altered, "the file was altered or damaged: restore it from its backup"),
    ] {
        fs::write(place.path(KEYRING), bytes).unwrap();
        assert_line(&place.run(), &format!("failed opening the keyring: {reason}"));
    }
}

#[test]
fn a_lost_keyring_is_not_replaced() {
    let place = set_up();
    fs::remove_file(place.path(KEYRING)).unwrap();
    assert_line(
        &place.run(),
        "the data folder holds a database but no keyring; put the keyring back, nothing can be opened without it",
    );
    assert!(!place.path(KEYRING).exists());
}

#[test]
fn a_lost_damaged_or_foreign_key_file_is_refused() {
    let place = set_up();
    let key = fs::read(place.path("data.key")).unwrap();
    fs::remove_file(place.path("data.key")).unwrap();
    assert_line(
        &place.run(),
        "the key file of the keyring is gone; put back the file <data folder>.key, or set CLINIC_PASSPHRASE if the keyring has one",
    );
    fs::write(place.path("data.key"), "00".repeat(32)).unwrap();
    chmod(&place, "data.key", 0o600);
    assert_line(
        &place.run(),
        "failed opening the keyring: the key file cannot be used: the file was altered or damaged: restore it from its backup",
    );
    fs::write(place.path("data.key"), fs::read(set_up().path("data.key")).unwrap()).unwrap();
    assert_line(
        &place.run(),
        "failed opening the keyring: the key file is not that of the keyring: give the one that it was made with or last given",
    );
    fs::write(place.path("data.key"), key).unwrap();
    assert!(one_line(&place.run()).contains("bundle 1 of 1"));
}

#[test]
fn a_wrong_passphrase_is_refused() {
    let place = Place::new();
    place.bundle("1.json", "{");
    let run = |passphrase: &str| place.command().env("CLINIC_PASSPHRASE", passphrase).output().unwrap();
    assert!(one_line(&run("correct horse battery staple")).contains("bundle 1 of 1"));
    assert!(!place.path("data.key").exists(), "a passphrase needs no key file");
    assert_line(
        &run("incorrect horse battery staple"),
        "failed opening the keyring: the passphrase is not that of the keyring: give the one that it was made with or last given",
    );
    assert!(one_line(&run("correct horse battery staple")).contains("bundle 1 of 1"));
}

#[test]
fn a_data_folder_that_is_a_file_is_refused() {
    let place = Place::new();
    place.bundle("1.json", "{");
    fs::write(place.data(), "").unwrap();
    assert!(one_line(&place.run()).contains("the data folder cannot be used (not a directory)"));
}

#[test]
fn a_busy_port_is_named_before_anything_is_imported() {
    let place = Place::new();
    place.bundle("1.json", bundle(&[patient("a", "M-1")]));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_clinic"));
    command.env_remove("CLINIC_PASSPHRASE").args(["--port", &port]);
    command.arg("--data-dir").arg(place.data()).arg("--import").arg(place.path("bundles"));
    let line = one_line(&command.output().unwrap());
    assert!(line.contains(&format!("port {port} on 127.0.0.1 is taken; choose another with --port")), "{line}");
    assert_eq!(place.count("clinic_patients"), 0);
}

#[test]
fn a_database_of_a_newer_version_is_refused() {
    let place = set_up();
    for (area, newer) in [("clinic", "1002"), ("phi_keys", "1002"), ("phi_audit", "1001"), ("phi_session", "1001")] {
        let bump = |by: &str| {
            assert_eq!(place.change(format!("UPDATE {area}_schema SET version = version {by}")), 1);
        };
        bump("+ 1000");
        let line = one_line(&place.run());
        assert!(line.contains("newer") && line.contains(newer), "{area}: {line}");
        bump("- 1000");
    }
    assert!(one_line(&place.run()).contains("bundle 1 of 1"));
}

#[test]
fn a_database_of_the_version_before_is_brought_up_to_date() {
    let place = set_up();
    place.change("DROP TABLE clinic_imports".to_owned());
    assert_eq!(place.change("UPDATE clinic_schema SET version = 1".to_owned()), 1);
    assert!(one_line(&place.run()).contains("bundle 1 of 1"));
    assert_eq!(place.count("clinic_schema WHERE version = 2"), 1);
    assert_eq!(place.count("sqlite_schema WHERE name = 'clinic_imports'"), 1);
}

/// Every patient has one key, and those of whom it is recorded that they came in are there.
fn assert_nothing_half_written(place: &Place, patients: i64) {
    let keys = place.count("phi_keys_row WHERE kind = 2");
    assert!((patients..=patients + 1).contains(&keys), "{patients} patients, {keys} keys");
    let done = place.imports_recorded();
    assert!((patients - 1..=patients).contains(&done), "{patients} patients, {done} recorded");
    let unknown = "clinic_imports WHERE patient NOT IN (SELECT id FROM clinic_patients)";
    assert!(place.count(unknown) <= 1 && place.count("clinic_imports") <= 1);
}

fn assert_all_came_in(place: &Place, patients: i64) {
    assert_eq!(place.count("clinic_patients"), patients);
    assert_eq!(place.count("phi_keys_row WHERE kind = 2"), patients, "one key for each, none over");
    assert_eq!(place.imports_recorded(), patients, "each recorded once");
    assert_eq!(place.count("clinic_imports"), 0, "nothing is open");
}

/// The shell ignores the signal of the limit, so that writes fail as they do on a full disk.
#[test]
fn a_full_disk_is_named_and_leaves_whole_bundles_only() {
    let place = Place::new();
    let filler = |n: usize| {
        let text = "x".repeat(400_000);
        entry(
            &format!("o{n}"),
            &format!(r#"{{"resourceType":"Observation","id":"o{n}","note":[{{"text":"{text}"}}]}}"#),
        )
    };
    place.bundle("1.json", bundle(&[patient("a", "M-1")]));
    for number in 2..8 {
        let (id, mrn) = (format!("p{number}"), format!("M-{number}"));
        place.bundle(&format!("{number}.json"), bundle(&[patient(&id, &mrn), filler(number), filler(number + 10)]));
    }
    let program = place.command();
    let mut limited = Command::new("bash");
    // Blocks of 1,024 bytes.
    limited.args(["-c", "trap '' XFSZ; ulimit -f 2000; exec \"$0\" \"$@\""]).arg(program.get_program());
    limited.args(program.get_args()).env_remove("CLINIC_PASSPHRASE");
    let line = one_line(&limited.output().unwrap());
    let (bundles, patients) = (place.count("clinic_bundles"), place.count("clinic_patients"));
    assert!((1..7).contains(&bundles) && bundles == patients, "{bundles} bundles, {patients} patients");
    assert_nothing_half_written(&place, patients);
    // The limit may have been met behind the commit of the last bundle.
    let named = |number| line.starts_with(&format!("clinic: bundle {number} of 7 (path "));
    assert!(named(bundles) || named(bundles + 1), "{bundles} bundles: {line}");
    assert!(line.contains("): the disk is full or refuses to write; make room and run again to go on"), "{line}");
    assert_eq!(place.count("clinic_documents"), 1 + (bundles - 1) * 3, "whole bundles only");

    place.bundle("8.json", "{");
    assert!(one_line(&place.run()).contains("bundle 8 of 8"), "with room, the import goes on");
    assert_all_came_in(&place, 7);
}

#[test]
fn a_sealed_patient_is_nowhere_in_clear() {
    let place = Place::new();
    place.bundle("1.json", bundle(&[entry("p", PATIENT)]));
    place.bundle("2.json", "{");
    one_line(&place.run());
    let words =
        ["Quill", "Wilhelmina", "987-65-4321", "987654321", "555-0142", "1931-02-28", "MRN-7340021", "Larkspur"];
    for (path, bytes) in crate::support::files(&place.data()) {
        for word in words {
            assert!(!bytes.windows(word.len()).any(|part| part == word.as_bytes()), "{word} in {}", path.display());
        }
    }
}

/// Killed without warning, again and again, an import still ends with every patient once.
#[test]
fn an_import_that_was_killed_goes_on_where_it_was() {
    let place = Place::new();
    let all = 60;
    for number in 0..all {
        let (id, mrn) = (format!("p{number}"), format!("M-{number}"));
        place.bundle(&format!("{number:03}.json"), bundle(&[patient(&id, &mrn)]));
    }
    place.bundle("zzz.json", "{");
    for kill_at in [5, 20, 40] {
        let mut clinic = place.command().stderr(Stdio::null()).spawn().unwrap();
        while clinic.try_wait().unwrap().is_none() && place.count("clinic_bundles") < kill_at {}
        clinic.kill().unwrap();
        clinic.wait().unwrap();
        let (bundles, patients) = (place.count("clinic_bundles"), place.count("clinic_patients"));
        assert!(bundles >= kill_at && bundles == patients, "{bundles} bundles, {patients} patients");
        assert_nothing_half_written(&place, patients);
    }
    assert!(one_line(&place.run()).contains(&format!("bundle {} of {}", all + 1, all + 1)));
    assert_all_came_in(&place, all);
    assert_eq!(place.count("clinic_documents"), all);
}
