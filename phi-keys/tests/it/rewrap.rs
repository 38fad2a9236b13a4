//! KEK rotation.

use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use phi_keys::{
    Carrier, EphemeralKeyring, Error, KeyStore, KeyUse, Keys, Kms, KmsError, KmsFuture, LocalKeyring, MemoryKeyStore,
    Unlock, WrapContext, Wrapped,
};
use phi_types::{Detail, Timestamp};
use tempfile::TempDir;

use crate::forward::forward;
use crate::support::patient;

const USES: [KeyUse; 4] = [KeyUse::Data, KeyUse::Index, KeyUse::Audit, KeyUse::Session];

fn keyring() -> (TempDir, LocalKeyring) {
    let folder = tempfile::tempdir().unwrap();
    let unlock = Unlock::create_key_file(folder.path().join("key")).unwrap();
    let keyring = LocalKeyring::create(folder.path().join("keyring"), unlock).unwrap();
    (folder, keyring)
}

async fn filled(store: &Arc<MemoryKeyStore>, kms: impl Kms) -> Keys {
    let keys = Keys::builder(Arc::clone(store)).kek(kms).build().await.unwrap();
    for key_use in USES {
        keys.domain_key(key_use).await.unwrap();
    }
    keys
}

/// The version under which every domain key row is, read from the bytes.
async fn versions(store: &MemoryKeyStore) -> Vec<String> {
    let rows = store.domain_rows().await.unwrap();
    let mut versions = rows
        .iter()
        .map(|row| {
            let length = usize::try_from(u32::from_be_bytes(row.wrapped[1..5].try_into().unwrap())).unwrap();
            Wrapped::from_bytes(&row.wrapped[5..5 + length]).unwrap().kek_version().to_owned()
        })
        .collect::<Vec<_>>();
    versions.sort_unstable();
    versions
}

#[tokio::test]
async fn a_rewrap_moves_every_domain_key_and_nothing_else() {
    let store = Arc::new(MemoryKeyStore::new());
    let (_folder, keyring) = keyring();
    let keys = filled(&store, keyring.clone()).await;
    let data = keys.data_key(&patient("a")).await.unwrap();
    let row = store.by_kid(data.kid()).await.unwrap();
    assert_eq!(versions(&store).await, ["1"; 5]);

    assert_eq!(keyring.rotate().unwrap(), 2);
    let report = keys.rewrap().await.unwrap();
    assert_eq!((report.rewrapped, report.unchanged), (5, 0));
    assert_eq!(report.keks, [format!("{} version 2", keyring.id())]);
    assert_eq!(versions(&store).await, ["2"; 5]);
    assert_eq!(store.by_kid(data.kid()).await.unwrap(), row, "a data key row is not touched");

    let again = keys.rewrap().await.unwrap();
    assert_eq!((again.rewrapped, again.unchanged), (0, 5));
    assert_eq!(again.activity(Timestamp::UNIX_EPOCH).detail("unchanged"), Some(&Detail::Count(5)));

    let reopened = Keys::builder(Arc::clone(&store)).kek(keyring).build().await.unwrap();
    assert_eq!(reopened.fingerprint(), keys.fingerprint());
    assert_eq!(reopened.data_key(&patient("a")).await.unwrap().full_id(), data.full_id());
}

/// Fails after so many wrappings, as a KMS that throttles does.
#[derive(Debug)]
struct Limited(LocalKeyring, AtomicU64);

impl Kms for Limited {
    forward!(self.0: kek_id, unwrap_dek, status, root_pin);

    fn wrap_dek<'a>(&'a self, carrier: &'a Carrier, context: &'a WrapContext) -> KmsFuture<'a, Wrapped> {
        let left = self.1.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match left {
            Ok(_) => self.0.wrap_dek(carrier, context),
            Err(_) => Box::pin(async { Err(KmsError::unavailable("throttled")) }),
        }
    }
}

#[tokio::test]
async fn an_interrupted_rewrap_is_finished_by_the_next() {
    for allowed in 0..5 {
        let store = Arc::new(MemoryKeyStore::new());
        let (_folder, keyring) = keyring();
        let limited = Arc::new(Limited(keyring.clone(), AtomicU64::new(5)));
        let keys = filled(&store, Arc::clone(&limited)).await;
        keyring.rotate().unwrap();

        limited.1.store(allowed, Ordering::SeqCst);
        assert!(matches!(keys.rewrap().await, Err(Error::Kms(KmsError::Unavailable(_)))));
        // Half rewrapped, everything still opens.
        let between = Keys::builder(Arc::clone(&store)).kek(keyring.clone()).build().await.unwrap();
        for key_use in USES {
            let (a, b) = (keys.domain_key(key_use).await.unwrap(), between.domain_key(key_use).await.unwrap());
            assert_eq!(a.full_id(), b.full_id());
        }
        limited.1.store(100, Ordering::SeqCst);
        let report = keys.rewrap().await.unwrap();
        assert_eq!((report.rewrapped, report.unchanged), (5 - allowed, allowed));
        assert_eq!(versions(&store).await, ["2"; 5]);
    }
}

#[tokio::test]
async fn another_process_follows_a_rotation_that_it_did_not_make() {
    let store = Arc::new(MemoryKeyStore::new());
    let (folder, keyring) = keyring();
    let unlock = || Unlock::key_file(folder.path().join("key"));
    let other = LocalKeyring::open(folder.path().join("keyring"), unlock()).unwrap();
    let keys = filled(&store, keyring.clone()).await;
    keyring.rotate().unwrap();
    let _ = keys.rewrap().await.unwrap();
    // `other` was opened before version 2 and before the root key was pinned.
    assert_eq!(other.version(), 1);
    let there = Keys::builder(Arc::clone(&store)).kek(other.clone()).build().await.unwrap();
    assert_eq!(there.fingerprint(), keys.fingerprint());
    assert_eq!(other.version(), 2);
}

#[tokio::test]
async fn adding_and_dropping_a_kms_touches_only_domain_keys() {
    let store = Arc::new(MemoryKeyStore::new());
    let (_folder, keyring) = keyring();
    let first = filled(&store, keyring.clone()).await;
    let kid = first.data_key(&patient("a")).await.unwrap().kid();
    let new = Arc::new(EphemeralKeyring::generate().unwrap());

    let both = Keys::builder(Arc::clone(&store)).kek(keyring.clone()).kek(Arc::clone(&new)).build().await.unwrap();
    assert_eq!(both.rewrap().await.unwrap().rewrapped, 5);
    let only_new = Keys::builder(Arc::clone(&store)).kek(Arc::clone(&new)).build().await.unwrap();
    assert_eq!(only_new.rewrap().await.unwrap().rewrapped, 5);
    assert_eq!(only_new.data_key(&patient("a")).await.unwrap().kid(), kid);
    assert!(matches!(Keys::builder(Arc::clone(&store)).kek(keyring).build().await, Err(Error::NoKek)));
}

#[tokio::test]
async fn two_rewraps_at_once_agree() {
    let store = Arc::new(MemoryKeyStore::new());
    let (_folder, keyring) = keyring();
    let keys = filled(&store, keyring.clone()).await;
    keyring.rotate().unwrap();
    let (a, b) = tokio::join!(keys.rewrap(), keys.rewrap());
    let (a, b) = (a.unwrap(), b.unwrap());
    assert_eq!(a.rewrapped + b.rewrapped, 5, "{a:?} {b:?}");
    assert_eq!(versions(&store).await, ["2"; 5]);
}
