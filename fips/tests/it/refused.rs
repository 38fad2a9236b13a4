//! What is not approved is refused by name, before anything is written.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use phi_crypto::backup::{Backup, BackupError};
use phi_crypto::file::FileError;
use phi_crypto::reseal::{Column, LeftBecause, ResealJob, RowKey, Table};
use phi_crypto::{Field, OpenError, OpenManyError, Opener, Sealed, Sealer, Suite};
use phi_keys::backend::{AeadKey, Backend, NotApproved};
use phi_keys::derive::Label;
use phi_keys::f1::{self, MessageKey, Nonce};
use phi_keys::{EphemeralKeyring, Error, KeyringError, Keys, LocalKeyring, MemoryKeyStore, Scope, Unlock};
use phi_types::{Activity, Recorder, Recording, SubjectId};
use sqlx::SqlitePool;
use sqlx::sqlite::SqliteConnectOptions;

use crate::support::{Clinic, bed, fips, opener, sealer, ward};

#[tokio::test]
async fn chacha20_seals_and_opens_nothing() {
    let clinic = Clinic::new(Backend::ring());
    let (ring, module) = (clinic.keys(Backend::ring()).await, clinic.keys(fips()).await);
    for suite in [Suite::ChaCha20Poly1305, Suite::ChaCha20Poly1305Padded] {
        let sealing = Sealer::builder(module.clone()).suite(suite).build().for_scope(&ward()).await;
        assert!(matches!(sealing, Err(Error::NotApproved(NotApproved::ChaCha20Poly1305))));
        assert!(matches!(AeadKey::new(fips(), suite, &[7; 32]), Err(NotApproved::ChaCha20Poly1305)));
        let derived = MessageKey::derive_on(fips(), &[7; 32], Label::FIELD, suite, [3; 12]);
        assert!(matches!(derived, Err(NotApproved::ChaCha20Poly1305)));

        let sealed = Sealer::builder(ring.clone()).suite(suite).build().for_scope(&ward()).await.unwrap();
        let sealed: Sealed<String> = sealed.seal("Ada", &bed()).unwrap();
        let refused = OpenError::NotApproved(NotApproved::ChaCha20Poly1305);
        let scoped = opener(&module).await;
        assert_eq!(scoped.open(&sealed, &bed()).map(|_| ()), Err(refused));
        let mut bytes = sealed.as_bytes().to_vec();
        assert_eq!(scoped.open_in_place(&mut bytes, &bed()).map(|_| ()), Err(refused));
        assert_eq!(bytes, sealed.as_bytes());
        let many = scoped.open_many(&[(&sealed, bed())]);
        assert_eq!(many.into_iter().next().unwrap().map(|_| ()), Err(refused));
        let all = Opener::builder(module.clone()).build();
        let many = all.open_many(&[(&ward(), &sealed, bed())]).await;
        assert!(matches!(&many[0], Err(OpenManyError::Open(why)) if *why == refused));
        assert!(refused.to_string().contains("AES-256-GCM"));

        // The way over: on ring, before the change of backend.
        let opened = opener(&ring).await.open(&sealed, &bed()).unwrap();
        let resealed = sealer(&ring).await.seal(opened.expose(), &bed()).unwrap();
        assert_eq!(scoped.open(&resealed, &bed()).unwrap().expose(), "Ada");
    }
}

#[tokio::test]
async fn nonces_of_others_are_refused() {
    let module = Clinic::new(fips()).keys(fips()).await;
    let hedged = Sealer::builder(module).build().hedged().for_scope(&ward()).await;
    assert!(matches!(hedged, Err(Error::NotApproved(NotApproved::HedgedNonce))));

    let key = MessageKey::derive_on(fips(), &[7; 32], Label::FIELD, Suite::Aes256Gcm, [3; 12]).unwrap();
    let mut out = b"before".to_vec();
    let sealed = key.seal_into(Nonce::dangerous_from_bytes([9; 12]), b"", b"x", &mut out);
    assert_eq!(sealed, Err(f1::SealError::NotApproved(NotApproved::ChosenNonce)));
    assert_eq!(out, b"before");
    let key = AeadKey::new(fips(), Suite::Aes256Gcm, &[7; 32]).unwrap();
    let chosen = key.seal(Nonce::dangerous_from_bytes([9; 12]), b"", &mut out);
    assert_eq!(chosen, Err(f1::SealError::NotApproved(NotApproved::ChosenNonce)));
    assert_eq!(out, b"before");
}

#[tokio::test]
async fn no_file_is_sealed() {
    let sealer = sealer(&Clinic::new(fips()).keys(fips()).await).await;
    let mut sink = Vec::new();
    let refused = sealer.file(&mut sink, &bed()).map(|_| ()).unwrap_err();
    assert!(matches!(refused, FileError::NotApproved(NotApproved::FileSealing)));
    assert!(refused.to_string().contains("on the ring backend"));
    assert!(sink.is_empty());
}

#[tokio::test]
async fn a_value_under_chacha20_is_left_by_resealing_and_named() {
    let clinic = Clinic::new(Backend::ring());
    let (ring, module) = (clinic.keys(Backend::ring()).await, clinic.keys(fips()).await);
    let options = SqliteConnectOptions::new().filename(clinic.folder.path().join("clinic.db")).create_if_missing(true);
    let pool = SqlitePool::connect_with(options).await.unwrap();
    sqlx::query("CREATE TABLE patient (id TEXT PRIMARY KEY, name BLOB)").execute(&pool).await.unwrap();
    const NAME: Field = Field::new("Patient", "name");
    for (id, suite) in [("other", Suite::ChaCha20Poly1305), ("same", Suite::Aes256Gcm)] {
        let scope = Scope::Subject(SubjectId::new(id).unwrap());
        let sealer = Sealer::builder(ring.clone()).suite(suite).build().for_scope(&scope).await.unwrap();
        let name: Sealed<String> = sealer.seal("Ada", &NAME.record_id(id)).unwrap();
        sqlx::query("INSERT INTO patient VALUES (?, ?)").bind(id).bind(name.as_bytes()).execute(&pool).await.unwrap();
        // What lies under the older key is to be resealed.
        let _ = ring.rotate_data_key(&scope).await.unwrap();
    }
    let opener = Opener::builder(module.clone()).build();
    let sealer = Sealer::builder(module).build();
    let table = Table::new("patient", RowKey::text("id")).subject("id").column(Column::new("name", NAME));
    let job = ResealJob::builder("newer keys", sealer, opener, Silent).table(table);
    let mut job = job.open(pool).await.unwrap();
    let mut left = Vec::new();
    while let Some(progress) = job.next_chunk().await.unwrap() {
        left.extend(progress.left);
    }
    let left: Vec<_> = left.iter().map(|row| (row.expose_key(), row.column, row.reason)).collect();
    assert_eq!(left, [("other", "name", LeftBecause::NotApproved)]);
    assert_eq!(job.progress().counts.resealed, 1);
}

#[derive(Debug)]
struct Silent;

impl Recorder for Silent {
    fn record(&self, _: Activity) -> Recording<'_> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Not even the scratch folder is looked at, where the copy of a database would be in clear.
#[tokio::test]
async fn no_backup_is_begun() {
    let keys = Clinic::new(fips()).keys(fips()).await;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("data")).unwrap();
    std::fs::write(at("data").join("note"), "Ada Lovelace").unwrap();
    std::fs::write(at("data").join("clinic.db"), b"SQLite format 3\0 and nothing that SQLite could read").unwrap();
    std::fs::create_dir(at("scratch")).unwrap();
    let names = || {
        let mut names = walk(folder.path());
        names.sort();
        names
    };
    let before = names();
    let sealer = Sealer::builder(keys).build();
    let backup = |source: Backup| {
        let calls = Arc::new(AtomicUsize::new(0));
        let called = Arc::clone(&calls);
        let source = source.scratch(at("scratch")).on_progress(move |_| {
            called.fetch_add(1, Ordering::Relaxed);
        });
        let (sealer, target) = (sealer.clone(), at("saved"));
        async move { (source.write_to(target, &sealer, &ward()).await, calls.load(Ordering::Relaxed)) }
    };
    for source in [
        Backup::of_folder(at("data")),
        Backup::of_database(at("data").join("clinic.db")),
        Backup::of_folder(at("nowhere")),
    ] {
        let (refused, calls) = backup(source).await;
        assert!(
            matches!(refused, Err(BackupError::File(FileError::NotApproved(NotApproved::FileSealing)))),
            "{refused:?}"
        );
        assert_eq!(calls, 0);
        assert_eq!(names(), before);
    }
}

/// Everything below a folder.
fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(walk(&path));
        }
        found.push(path);
    }
    found
}

#[test]
fn no_passphrase_opens_a_keyring() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keyring");
    let passphrase = || Unlock::passphrase("correct horse battery staple");
    let refused = |keyring: Result<LocalKeyring, KeyringError>| {
        assert!(matches!(keyring, Err(KeyringError::NotApproved(NotApproved::Passphrase))));
    };
    refused(LocalKeyring::create(&path, passphrase().on(fips())));
    assert!(!path.exists());
    LocalKeyring::create(&path, passphrase()).unwrap();
    refused(LocalKeyring::open(&path, passphrase().on(fips())));

    // The way over, and no way back: the keyring keeps its backend whatever it is protected by.
    let key_file = Unlock::create_key_file(folder.path().join("key")).unwrap();
    LocalKeyring::open(&path, passphrase()).unwrap().relock(key_file).unwrap();
    let keyring = LocalKeyring::open(&path, Unlock::key_file(folder.path().join("key")).on(fips())).unwrap();
    assert!(matches!(keyring.relock(passphrase()), Err(KeyringError::NotApproved(NotApproved::Passphrase))));
    LocalKeyring::open(&path, Unlock::key_file(folder.path().join("key"))).unwrap();
}

#[tokio::test]
async fn a_kek_on_another_backend_is_refused() {
    let clinic = Clinic::new(Backend::ring());
    let build = async |kek: LocalKeyring, own| Keys::builder(MemoryKeyStore::new()).kek(kek).backend(own).build().await;
    let ephemeral = async |kek: EphemeralKeyring, own| {
        let kek = phi_keys::Timeout::new(kek, std::time::Duration::from_secs(2), Never);
        Keys::builder(MemoryKeyStore::new()).kek(kek).backend(own).build().await
    };
    // The second is a key manager that somebody forgot to move.
    for (own, other) in [(fips(), Backend::ring()), (Backend::ring(), fips())] {
        let refused = build(clinic.keyring(other), own).await.unwrap_err();
        assert!(matches!(refused, Error::Config(mend)
            if ["KeysBuilder::backend", "Unlock::on", "generate_on"].iter().all(|name| mend.contains(name))));
        let refused = ephemeral(EphemeralKeyring::generate_on(other).unwrap(), own).await;
        assert!(matches!(refused, Err(Error::Config(_))));
        ephemeral(EphemeralKeyring::generate_on(own).unwrap(), own).await.unwrap();
        // A clinic of its own: a keyring pins the root key of one store.
        build(Clinic::new(own).keyring(own), own).await.unwrap();
    }
}

/// A timer that never fires.
#[derive(Debug)]
struct Never;

impl phi_keys::Sleeper for Never {
    fn sleep(&self, _: std::time::Duration) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(std::future::pending())
    }
}
