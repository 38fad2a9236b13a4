//! The program as people run it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn run(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_phi-backup")).current_dir(folder).args(arguments).output().unwrap()
}

fn ok(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_folder_is_saved_drilled_and_restored() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::create_dir_all(at.join("data/Lovelace")).unwrap();
    fs::write(at.join("data/Lovelace/note"), "Ada").unwrap();
    fs::write(at.join("data/scan"), vec![7; 3_000_000]).unwrap();

    let said = ok(at, &["backup", "--keys", "keys", "--from", "data", "--to", "saved"]);
    assert!(said.starts_with("2 files of 3000003 bytes saved in "), "{said}");
    assert!(said.contains(r#"{"kind":"backup.create","outcome":"success""#) && !said.contains("Lovelace"), "{said}");
    let digest = said.lines().next().unwrap().rsplit(' ').next().unwrap();

    let drill = ["drill", "--keys", "keys", "--backup", "saved", "--scratch", "scratch", "--expect", digest];
    let said = ok(at, &drill);
    assert!(said.contains(r#""kind":"backup.drill","outcome":"success""#) && said.contains("recovery_ms"), "{said}");
    assert!(!at.join("scratch").exists());

    ok(at, &["restore", "--keys", "keys", "--backup", "saved", "--to", "restored"]);
    assert_eq!(fs::read(at.join("restored/Lovelace/note")).unwrap(), b"Ada");
    assert_eq!(fs::read(at.join("restored/scan")).unwrap(), vec![7; 3_000_000]);
}

#[test]
fn what_is_wrong_is_said_and_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::create_dir(at.join("data")).unwrap();
    fs::write(at.join("data/Lovelace"), "Ada").unwrap();
    ok(at, &["backup", "--keys", "keys", "--from", "data", "--to", "saved"]);

    let part = at.join("saved/part-000000.phif");
    let mut sealed = fs::read(&part).unwrap();
    *sealed.last_mut().unwrap() ^= 1;
    fs::write(part, sealed).unwrap();
    let refused = run(at, &["drill", "--keys", "keys", "--backup", "saved", "--scratch", "scratch"]);
    let (out, err) = (String::from_utf8(refused.stdout).unwrap(), String::from_utf8(refused.stderr).unwrap());
    assert!(!refused.status.success());
    assert!(out.contains(r#""kind":"backup.drill","outcome":"failed""#) && out.contains("damaged"), "{out}");
    assert!(err.contains("part 0 is missing or altered") && !err.contains("Lovelace"), "{err}");

    // The folder of the keys is a database with key tables, and no backup of patients' data.
    let keys = run(at, &["backup", "--keys", "keys", "--from", "keys", "--to", "of-keys"]);
    assert!(String::from_utf8(keys.stderr).unwrap().contains("key tables") && !at.join("of-keys").exists());
}

#[test]
fn the_help_names_every_command() {
    let help = ok(Path::new("."), &["--help"]);
    for command in ["backup", "drill", "restore"] {
        assert!(help.contains(command), "{help}");
    }
}
