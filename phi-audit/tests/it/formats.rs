//! The formats, as another implementation reads them, and as every later version must.

use std::path::{Path, PathBuf};
use std::process::Command;

use phi_audit::{Event, Problem, SqliteAuditStore, VerifierKey, verify_store};
use phi_keys::{PublicKey, Signer};
use phi_types::{Action, Activity, Actor, Outcome, Timestamp};

use crate::support::{Clinic, ORIGIN, P256, read};

fn tests() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests"))
}

fn golden_key() -> VerifierKey {
    key_of("v1")
}

fn key_of(golden: &str) -> VerifierKey {
    std::fs::read_to_string(tests().join(format!("golden/{golden}.vkey"))).unwrap().trim().parse().unwrap()
}

/// Runs the independent verifier; `None` where there is no Python.
pub(crate) fn python(arguments: &[&Path], key: Option<&VerifierKey>) -> Option<(bool, String)> {
    let mut command = Command::new(crate::component::python()?);
    command.arg(tests().join("verify.py")).args(arguments).args(key.map(ToString::to_string));
    let output = command.output().unwrap();
    let text = [&output.stdout[..], &output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
}

#[test]
fn an_independent_implementation_agrees_with_the_vectors() {
    let Some((agrees, text)) = python(&[Path::new("vectors"), &tests().join("vectors/phi-audit-v1.json")], None) else {
        return;
    };
    assert!(agrees, "{text}");
    let Some((agrees, text)) = python(&[Path::new("ecdsa"), &tests().join("vectors/phi-audit-ecdsa-v1.json")], None)
    else {
        return;
    };
    assert!(agrees && text.contains("9 checkpoints, 26 invalid checkpoints and 23 invalid keys"), "{text}");
}

#[test]
fn an_independent_implementation_verifies_the_golden_logs() {
    for (golden, entries) in [("v1", "261 entries"), ("v1-ecdsa", "12 entries")] {
        let database = tests().join(format!("golden/{golden}.db"));
        let Some((agrees, text)) = python(&[Path::new("log"), &database], Some(&key_of(golden))) else { return };
        assert!(agrees && text.contains(entries), "{text}");
    }
}

#[tokio::test]
async fn an_independent_implementation_verifies_todays_log_and_notices_alterations() {
    let (clinic, key) = Clinic::filled(300).await;
    let copy = |name: &str| clinic.folder.path().join(name);
    for (name, sql, fine) in [
        ("right.db", "SELECT 1", true),
        (
            "edited.db",
            "UPDATE phi_audit_entry SET entry = CAST(replace(entry, 'dr.1', 'dr.2') AS BLOB) WHERE idx = 3",
            false,
        ),
        ("removed.db", "DELETE FROM phi_audit_entry WHERE idx = 100", false),
        ("column.db", "UPDATE phi_audit_entry SET session = 'other' WHERE idx = 5", false),
        ("checkpoint.db", "UPDATE phi_audit_checkpoint SET note = replace(note, 'A', 'B')", false),
        ("tile.db", "UPDATE phi_audit_tile SET hashes = zeroblob(32) WHERE level = 1", false),
    ] {
        clinic.run(&format!("VACUUM INTO '{}'", copy(name).display())).await;
        let altered = crate::support::connect(&copy(name)).await;
        sqlx::query(sql).execute(&altered).await.unwrap();
        altered.close().await;
        let Some((agrees, text)) = python(&[Path::new("log"), &copy(name)], Some(&key)) else { return };
        assert_eq!(agrees, fine, "{name}: {text}");
        let store = SqliteAuditStore::open_read_only(&copy(name)).await.unwrap();
        let report = verify_store(&store, &key, None, &mut |_, _| {}).await.unwrap();
        assert_eq!(report.is_consistent(), fine, "{name}: {:?}", report.findings);
    }
}

#[tokio::test]
async fn the_golden_log_of_version_1_is_read() {
    let store = SqliteAuditStore::open_read_only(&tests().join("golden/v1.db")).await.unwrap();
    let report = verify_store(&store, &golden_key(), None, &mut |_, _| {}).await.unwrap();
    assert_eq!(report.findings, []);
    assert_eq!((report.size, report.pending, report.quarantined, report.writers), (261, 1, 1, 1));
    assert_eq!((report.checkpoints, report.unsigned()), (4, 0));
    let entries = phi_audit::AuditStore::entries(&store, 0, 300).await.unwrap();
    let event = Event::decode(&entries[2].entry).unwrap();
    assert_eq!((event.kind.as_str(), event.at.to_string().as_str()), ("record.read", "2026-01-01T00:00:01.000000Z"));
    assert_eq!(event.actor.unwrap().to_string(), "human:dr.1@clinic.example");
    let other = VerifierKey::new(golden_key().name(), PublicKey::Ed25519([1; 32])).unwrap();
    let report = verify_store(&store, &other, None, &mut |_, _| {}).await.unwrap();
    assert!(report.findings.iter().any(|finding| finding.problem == Problem::Unsigned));
}

#[tokio::test]
async fn the_golden_log_that_is_signed_with_ecdsa_is_read() {
    let key = key_of("v1-ecdsa");
    assert_eq!(key.public_key().algorithm(), "ECDSA-P256-SHA256");
    let store = SqliteAuditStore::open_read_only(&tests().join("golden/v1-ecdsa.db")).await.unwrap();
    let report = verify_store(&store, &key, None, &mut |_, _| {}).await.unwrap();
    assert_eq!(report.findings, []);
    assert_eq!((report.size, report.checkpoints, report.unsigned()), (12, 4, 0));
    for other in [*golden_key().public_key(), P256::generate().public_key()].map(|key| VerifierKey::new(ORIGIN, key)) {
        let report = verify_store(&store, &other.unwrap(), None, &mut |_, _| {}).await.unwrap();
        assert!(report.findings.iter().any(|finding| finding.problem == Problem::Unsigned));
    }
}

#[tokio::test]
#[ignore = "writes the file that the test above reads; the formats of version 1 are frozen"]
async fn write_golden_ecdsa() {
    let (clinic, key) = Clinic::filled_and_signed(10, Some(P256::generate())).await;
    let golden = tests().join("golden");
    let _ = std::fs::remove_file(golden.join("v1-ecdsa.db"));
    clinic.run(&format!("VACUUM INTO '{}'", golden.join("v1-ecdsa.db").display())).await;
    std::fs::write(golden.join("v1-ecdsa.vkey"), format!("{key}\n")).unwrap();
}

#[tokio::test]
#[ignore = "writes the file that the test above reads; the formats of version 1 are frozen"]
async fn write_golden() {
    let clinic = Clinic::new().await;
    let log = clinic.open().await;
    let proxy = Actor::patient_proxy("grace.hopper").unwrap();
    for number in 1..=258_u64 {
        let activity = match number {
            1..=20 => read(number),
            21 => {
                read(number).by(proxy.clone()).with("text", "Überlauf").with("flag", true).with("bytes", vec![0, 255])
            }
            _ => Activity::new("x", Action::Execute, Outcome::Success, Timestamp::from_unix_seconds(1)),
        };
        log.recorder().record(activity).await.unwrap();
        if number == 100 {
            log.checkpoint().await.unwrap();
        }
    }
    clinic
        .run("INSERT INTO phi_audit_pending (writer, sequence, entry, mac) VALUES (zeroblob(16), 0, zeroblob(9), zeroblob(32))")
        .await;
    log.checkpoint().await.unwrap();
    log.recorder().record(read(1)).await.unwrap();
    let golden = tests().join("golden");
    let _ = std::fs::remove_file(golden.join("v1.db"));
    clinic.run(&format!("VACUUM INTO '{}'", golden.join("v1.db").display())).await;
    std::fs::write(golden.join("v1.vkey"), format!("{}\n", log.verifier_key())).unwrap();
}
