//! Many tasks and several processes at once.

use core::num::NonZeroU32;
use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use phi_keys::{Error, KeyId, KeyRow, KeyState, KeyStore, KeyUse, Keys, MemoryKeyStore, Revocation, Slot, StoreFuture};
use tokio::sync::{Barrier, Semaphore};

use crate::forward::forward;
use crate::support::{Site, Watched, patient, subject};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_tasks_on_cold_keys_ask_the_kms_once() {
    let (store, kms) = (Arc::new(MemoryKeyStore::new()), Watched::slow());
    let builder = || Keys::builder(Arc::clone(&store)).kek(Arc::clone(&kms));
    let kid = builder().build().await.unwrap().data_key(&patient("one")).await.unwrap().kid();

    for spread in [1, 1_000] {
        let keys = builder().build().await.unwrap();
        let before = kms.calls();
        let tasks = (0..1_000).map(|number| {
            let keys = keys.clone();
            let scope = if number % spread == 0 { patient("one") } else { patient(&number.to_string()) };
            tokio::spawn(async move { keys.data_key(&scope).await.unwrap().kid() })
        });
        let kids = futures(tasks).await;
        assert_eq!(kids[0], kid);
        let after = kms.calls();
        assert_eq!((after.0 - before.0, after.1 - before.1), (0, 1), "one unwrapping of the domain key, no wrapping");
    }
}

#[tokio::test]
async fn a_thousand_tasks_share_one_failure() {
    let (store, kms) = (Arc::new(MemoryKeyStore::new()), Watched::slow());
    let builder = || Keys::builder(Arc::clone(&store)).kek(Arc::clone(&kms));
    builder().build().await.unwrap().data_key(&patient("0")).await.unwrap();
    for spread in [1, 1_000] {
        let keys = builder().build().await.unwrap();
        let before = kms.calls().1;
        kms.down.store(true, Ordering::SeqCst);
        let tasks = (0..1_000).map(|number| {
            let (keys, scope) = (keys.clone(), patient(&(number % spread).to_string()));
            tokio::spawn(async move { keys.data_key(&scope).await.is_err() })
        });
        assert!(futures(tasks).await.into_iter().all(|failed| failed));
        assert_eq!(kms.calls().1 - before, 1, "a KMS that is down is not asked a thousand times");
        kms.down.store(false, Ordering::SeqCst);
    }
}

pub(crate) async fn futures<T>(tasks: impl Iterator<Item = tokio::task::JoinHandle<T>>) -> Vec<T> {
    let tasks = tasks.collect::<Vec<_>>();
    let mut results = Vec::with_capacity(tasks.len());
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}

/// Every process is a key manager of its own; all stand at the barrier and then ask at once.
async fn one_winner(stores: Vec<Arc<dyn KeyStore>>, kms: Arc<Watched>) {
    for round in 0..20 {
        let scope = patient(&format!("patient {round}"));
        let barrier = Arc::new(Barrier::new(stores.len()));
        let tasks = stores.iter().map(|store| {
            let (store, kms, barrier, scope) =
                (Arc::clone(store), Arc::clone(&kms), Arc::clone(&barrier), scope.clone());
            tokio::spawn(async move {
                // In the first round the root key, the domain key and the data key are all raced for.
                let builder = Keys::builder(store).kek(kms).tenant("clinic");
                barrier.wait().await;
                let keys = builder.build().await.unwrap();
                (keys.fingerprint(), keys.data_key(&scope).await.unwrap().full_id())
            })
        });
        let found = futures(tasks).await;
        assert!(found.iter().all(|ids| *ids == found[0]), "round {round}: {found:?}");
    }
    let store = &stores[0];
    let uses = store.domain_rows().await.unwrap().into_iter().map(|row| row.slot.key_use).collect::<Vec<_>>();
    assert_eq!(uses.len(), 2, "one root key and one domain key: {uses:?}");
    assert!(uses.contains(&KeyUse::Root) && uses.contains(&KeyUse::Data));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_several_creators_in_memory_one_wins() {
    let store: Arc<dyn KeyStore> = Arc::new(MemoryKeyStore::new());
    one_winner(vec![store; 8], Watched::slow()).await;
}

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_several_creators_on_one_database_one_wins() {
    let database = crate::support::sqlite::Database::new().await;
    let mut stores: Vec<Arc<dyn KeyStore>> = Vec::new();
    for _ in 0..4 {
        stores.push(Arc::new(phi_keys::SqliteKeyStore::new(database.another_pool().await)));
    }
    one_winner(stores, Watched::slow()).await;
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_several_creators_on_one_server_one_wins() {
    let Some(schema) = crate::support::postgres::Schema::new().await else { return };
    let mut stores: Vec<Arc<dyn KeyStore>> = Vec::new();
    for _ in 0..4 {
        stores.push(Arc::new(phi_keys::PostgresKeyStore::new(schema.pool().await)));
    }
    one_winner(stores, Watched::slow()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_shred_wins_against_every_reader() {
    let site = Site::new();
    let keys = site.keys().await;
    for round in 0..100 {
        let scope = patient(&format!("patient {round}"));
        keys.data_key(&scope).await.unwrap();
        let barrier = Arc::new(Barrier::new(9));
        let readers = (0..8).map(|_| {
            let (keys, scope, barrier) = (keys.clone(), scope.clone(), Arc::clone(&barrier));
            tokio::spawn(async move {
                barrier.wait().await;
                let mut handles = Vec::new();
                for _ in 0..20 {
                    handles.extend(keys.data_key(&scope).await.ok());
                    tokio::task::yield_now().await;
                }
                handles
            })
        });
        let readers = readers.collect::<Vec<_>>();
        barrier.wait().await;
        let _ = keys.shred(&subject(&format!("patient {round}"))).await.unwrap();
        for reader in readers {
            for handle in reader.await.unwrap() {
                assert!(!handle.is_live(), "round {round}: a handle outlived the shred");
            }
        }
        assert!(matches!(keys.data_key(&scope).await, Err(Error::Shredded)));
    }
}

/// A store whose next reader of data keys, of a kid or of all domain keys waits, with what it read, until it is let go.
#[derive(Debug)]
struct Paused {
    inner: Arc<MemoryKeyStore>,
    reading: AtomicBool,
    arrived: Semaphore,
    go: Semaphore,
}

impl Paused {
    fn new() -> Arc<Self> {
        let (inner, reading) = (Arc::default(), AtomicBool::new(false));
        Arc::new(Self { inner, reading, arrived: Semaphore::new(0), go: Semaphore::new(0) })
    }

    async fn hold(&self) {
        if self.reading.swap(false, Ordering::SeqCst) {
            self.arrived.add_permits(1);
            self.go.acquire().await.unwrap().forget();
        }
    }
}

impl KeyStore for Paused {
    forward!(self.inner: prepare, commit, tombstones, purge);

    fn slot<'a>(&'a self, slot: &'a Slot) -> StoreFuture<'a, Vec<KeyRow>> {
        Box::pin(async move {
            let rows = self.inner.slot(slot).await;
            if slot.scope.is_some() {
                self.hold().await;
            }
            rows
        })
    }

    fn by_kid(&self, kid: KeyId) -> StoreFuture<'_, Option<KeyRow>> {
        Box::pin(async move {
            let rows = self.inner.by_kid(kid).await;
            self.hold().await;
            rows
        })
    }

    fn domain_rows(&self) -> StoreFuture<'_, Vec<KeyRow>> {
        Box::pin(async move {
            let rows = self.inner.domain_rows().await;
            self.hold().await;
            rows
        })
    }

    fn data_rows<'a>(
        &'a self,
        tenant: &'a str,
        after: Option<&'a KeyRow>,
        limit: NonZeroU32,
    ) -> StoreFuture<'a, Vec<KeyRow>> {
        Box::pin(async move {
            let rows = self.inner.data_rows(tenant, after, limit).await;
            self.hold().await;
            rows
        })
    }
}

#[tokio::test]
async fn who_read_before_a_shred_and_comes_back_after_it_gets_nothing() {
    for by_kid in [false, true] {
        let store = Paused::new();
        let kms = Watched::new();
        let build = || Keys::builder(Arc::clone(&store)).kek(Arc::clone(&kms)).build();
        let kid = build().await.unwrap().data_key(&patient("a")).await.unwrap().kid();

        let keys = build().await.unwrap();
        store.reading.store(true, Ordering::SeqCst);
        let reader = tokio::spawn({
            let keys = keys.clone();
            async move {
                let scope = patient("a");
                if by_kid { keys.data_key_by_id(kid, &scope).await } else { keys.data_key(&scope).await }
            }
        });
        store.arrived.acquire().await.unwrap().forget();
        let _ = keys.shred(&subject("a")).await.unwrap();
        store.go.add_permits(1);
        let refused = reader.await.unwrap();
        assert!(matches!(refused, Err(Error::Shredded)), "{refused:?}");
        assert_eq!(keys.cached(), 0);
    }
}

/// To the anchor, a row that is replaced after it was read looks like an older one that was put back.
#[cfg(unix)]
#[tokio::test]
async fn a_row_that_is_replaced_while_it_is_read_is_read_again() {
    use phi_keys::{EphemeralKeyring, FileAnchor, KmsAdmin};

    for read in 0..4 {
        let folder = tempfile::tempdir().unwrap();
        let anchor = FileAnchor::create(folder.path().join("anchor")).unwrap();
        let (store, kek) = (Paused::new(), Arc::new(EphemeralKeyring::generate().unwrap()));
        let builder = Keys::builder(Arc::clone(&store)).kek(Arc::clone(&kek)).anchor(anchor);
        let keys = builder.build().await.unwrap();
        let kid = keys.data_key(&patient("a")).await.unwrap().kid();
        let _ = keys.revoke(&Revocation::All).await.unwrap();

        store.reading.store(true, Ordering::SeqCst);
        let reader = tokio::spawn({
            let keys = keys.clone();
            async move {
                match read {
                    0 => keys.data_key_by_id(kid, &patient("a")).await.map(drop),
                    1 => keys.reinstate(kid).await.map(drop),
                    2 => keys.rewrap_data_keys().await.map(drop),
                    _ => keys.kek_versions().await.map(drop),
                }
            }
        });
        store.arrived.acquire().await.unwrap().forget();
        let _ = keys.rotate_data_key(&patient("a")).await.unwrap();
        let _ = KmsAdmin::rotate(&*kek).await.unwrap();
        assert_eq!(keys.rewrap().await.unwrap().rewrapped, 2);
        store.go.add_permits(1);
        let outcome = reader.await.unwrap();
        let as_it_is = match read {
            1 => matches!(outcome, Err(Error::State(KeyState::DecryptOnly))),
            _ => outcome.is_ok(),
        };
        assert!(as_it_is, "{read}: {outcome:?}");
    }
}

/// A store in which another process makes a key right after the subject's rows were read.
#[derive(Debug)]
struct Overtaken {
    inner: Arc<MemoryKeyStore>,
    other: Mutex<Option<Keys>>,
}

impl KeyStore for Overtaken {
    forward!(self.inner: prepare, commit, by_kid, domain_rows, tombstones, data_rows, purge);

    fn slot<'a>(&'a self, slot: &'a Slot) -> StoreFuture<'a, Vec<KeyRow>> {
        Box::pin(async move {
            let rows = self.inner.slot(slot).await;
            let other = if slot.scope.is_some() { self.other.lock().unwrap().take() } else { None };
            if let Some(other) = other {
                other.data_key(&patient("a")).await.unwrap();
            }
            rows
        })
    }
}

#[tokio::test]
async fn a_shred_names_the_key_that_was_made_while_it_ran() {
    let site = Site::new();
    let other = site.keys().await;
    let store = Overtaken { inner: Arc::clone(&site.store), other: Mutex::new(Some(other.clone())) };
    let keys = Keys::builder(store).kek(Arc::clone(&site.kms)).tenant("clinic").build().await.unwrap();
    let report = keys.shred(&subject("a")).await.unwrap();
    // The other process still holds its lease, so this is the key that it made.
    let made = other.data_key(&patient("a")).await.unwrap().full_id();
    assert_eq!((report.keys, report.repeated), (vec![made], false));
    assert_eq!(keys.shred(&subject("a")).await.unwrap().keys, [made], "the tombstone names it");
}

#[tokio::test]
async fn a_cancelled_task_does_not_take_the_others_down() {
    let (store, kms) = (Arc::new(MemoryKeyStore::new()), Watched::slow());
    let builder = || Keys::builder(Arc::clone(&store)).kek(Arc::clone(&kms));
    builder().build().await.unwrap().data_key(&patient("a")).await.unwrap();
    let keys = builder().build().await.unwrap();
    let leader = tokio::spawn({
        let keys = keys.clone();
        async move { keys.data_key(&patient("a")).await }
    });
    let follower = tokio::spawn({
        let keys = keys.clone();
        async move { keys.data_key(&patient("a")).await }
    });
    for _ in 0..5 {
        tokio::task::yield_now().await;
    }
    leader.abort();
    assert!(follower.await.unwrap().is_ok());
    assert!(leader.await.is_err());
}
