//! The command line verifier, on live databases and on copies.

use std::path::Path;
use std::process::{Command, Output};

use phi_audit::VerifierKey;
use phi_keys::PublicKey;

use crate::support::{Clinic, read};

pub(crate) fn verify(database: &Path, key: &str, at_least: Option<&Path>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_phi-audit"));
    command.arg("verify").arg(database).args(["--key", key]);
    if let Some(path) = at_least {
        command.arg("--at-least").arg(path);
    }
    command.output().unwrap()
}

pub(crate) fn said(output: &Output) -> (i32, String) {
    let text = [&output.stdout[..], &output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

/// A copy as an administrator makes one: the database file alone, after the log was closed.
async fn copied() -> (Clinic, VerifierKey) {
    let (clinic, key) = Clinic::filled(30).await;
    clinic.pool.close().await;
    (clinic, key)
}

#[tokio::test]
async fn a_running_log_is_verified_without_disturbing_it() {
    let (clinic, key) = Clinic::filled(30).await;
    let log = clinic.open().await;
    log.recorder().record(read(1)).await.unwrap();
    let (code, text) = said(&verify(&clinic.path(), &key.to_string(), None));
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("consistent; freshness not proven") && text.contains("pending      1"), "{text}");
    let (code, text) = said(&verify(&clinic.path(), &key.to_string(), Some(&clinic.mark())));
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("consistent; contains the known checkpoint of 34 entries"), "{text}");
    log.recorder().record(read(2)).await.unwrap();
}

#[tokio::test]
async fn a_copy_without_its_wal_is_verified_and_nothing_is_written_beside_it() {
    let (clinic, key) = copied().await;
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.db");
    std::fs::copy(clinic.path(), &copy).unwrap();
    let before = std::fs::read(&copy).unwrap();
    let (code, text) = said(&verify(&copy, &key.to_string(), Some(&clinic.mark())));
    assert_eq!(code, 0, "{text}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(std::fs::read(&copy).unwrap(), before);
}

#[tokio::test]
async fn the_first_wrong_entry_is_named() {
    let (clinic, key) = Clinic::filled(30).await;
    clinic.run("UPDATE phi_audit_entry SET entry = zeroblob(length(entry)) WHERE idx IN (9, 17)").await;
    let (code, text) = said(&verify(&clinic.path(), &key.to_string(), None));
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("NOT CONSISTENT: entry 9: edited"), "{text}");
    assert!(text.contains("wrong        entry 17: edited"), "{text}");
}

#[tokio::test]
async fn a_rolled_back_copy_is_told_from_an_altered_one() {
    let (clinic, key) = Clinic::filled(30).await;
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("old.db");
    clinic.run(&format!("VACUUM INTO '{}'", copy.display())).await;
    let log = clinic.open().await;
    log.checkpoint().await.unwrap();
    let (code, text) = said(&verify(&copy, &key.to_string(), None));
    assert_eq!((code, text.contains("freshness not proven")), (0, true), "{text}");
    let (code, text) = said(&verify(&copy, &key.to_string(), Some(&clinic.mark())));
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("NOT CONSISTENT: rolled back: 32 entries, but 34 are known"), "{text}");
}

#[tokio::test]
async fn what_cannot_be_verified_is_exit_code_2() {
    let (clinic, key) = copied().await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("empty"), "").unwrap();
    std::fs::write(path("noise"), [7; 5_000]).unwrap();
    std::fs::write(path("note"), "not a note\n").unwrap();
    let other = crate::support::connect(&path("other.db")).await;
    sqlx::query("CREATE TABLE patients (id)").execute(&other).await.unwrap();
    other.close().await;
    let key = key.to_string();
    for (database, key, at_least, expected) in [
        (path("missing"), &key, None, "No such file"),
        (path("empty"), &key, None, "phi-audit:"),
        (path("noise"), &key, None, "phi-audit:"),
        (path("other.db"), &key, None, "holds no audit log"),
        (clinic.path(), &"nonsense".to_owned(), None, "not a verifier key"),
        (clinic.path(), &key, Some(path("note")), "the checkpoint of --at-least"),
        (clinic.path(), &key, Some(path("missing")), "the file of --at-least"),
    ] {
        let (code, text) = said(&verify(&database, key, at_least.as_deref()));
        assert_eq!(code, 2, "{text}");
        assert!(text.contains(expected), "{expected}: {text}");
    }
    // A key of the same name that is not this log's: everything is badly signed.
    let foreign = VerifierKey::new("clinic.example/audit", PublicKey::Ed25519([3; 32])).unwrap().to_string();
    let (code, text) = said(&verify(&clinic.path(), &foreign, None));
    assert_eq!((code, text.contains("bad signature")), (1, true), "{text}");
}
