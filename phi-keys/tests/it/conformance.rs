use core::future::Future;
use std::sync::Arc;
#[cfg(unix)]
use std::sync::atomic::{AtomicU32, Ordering};

use phi_keys::{
    EphemeralKeyring, KeyStore, Keys, Kms, MemoryKeyStore, RevocationChannel, RevocationNotice, StoreError,
    StoreFuture, conformance,
};
use phi_types::SystemClock;
use tokio::sync::broadcast;

use crate::faults::{Faulty, Hours};
use crate::support::wire::{Wire, disturb};

#[tokio::test]
async fn the_store_in_memory_conforms() {
    conformance::key_store(&MemoryKeyStore::new()).await.unwrap();
}

#[tokio::test]
async fn the_ephemeral_keyring_conforms() {
    let keyring = EphemeralKeyring::generate().unwrap();
    conformance::kms(&keyring).await.unwrap();
    conformance::kms_admin(&keyring).await.unwrap();
    conformance::kms(&keyring).await.unwrap();
}

#[cfg(all(feature = "local", unix))]
#[tokio::test]
async fn the_local_keyring_conforms_before_and_after_a_rotation() {
    use phi_keys::{LocalKeyring, Unlock};

    let folder = tempfile::tempdir().unwrap();
    let unlock = Unlock::create_key_file(folder.path().join("key")).unwrap();
    let keyring = LocalKeyring::create(folder.path().join("keyring"), unlock).unwrap();
    conformance::kms(&keyring).await.unwrap();
    keyring.rotate().unwrap();
    conformance::kms(&keyring).await.unwrap();
    conformance::kms_admin(&keyring).await.unwrap();

    let other = Unlock::create_key_file(folder.path().join("another key")).unwrap();
    let other = LocalKeyring::create(folder.path().join("another keyring"), other).unwrap();
    let keyring = Arc::new(keyring);
    keys_under(Arc::clone(&keyring) as _).await;
    conformance::kms_faults(|| async { MemoryKeyStore::new() }, Arc::clone(&keyring) as _).await.unwrap();
    conformance::kek_rotation(|| async { MemoryKeyStore::new() }, Arc::clone(&keyring) as _).await.unwrap();
    keys_under_two(keyring, Arc::new(other)).await;
}

#[tokio::test]
async fn the_store_in_memory_is_shared() {
    let store = MemoryKeyStore::new();
    conformance::key_store_shared(&store, &store).await.unwrap();
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn the_sqlite_store_conforms_in_every_durable_journal_mode() {
    use phi_keys::SqliteKeyStore;
    use sqlx::sqlite::SqliteJournalMode::{Delete, Memory, Off, Persist, Truncate, Wal};

    use crate::support::sqlite::Database;

    for mode in [Wal, Delete, Truncate, Persist] {
        let database = Database::with(mode).await;
        conformance::key_store(&SqliteKeyStore::new(database.pool.clone())).await.unwrap();
        let database = Database::with(mode).await;
        let there = SqliteKeyStore::new(database.another_pool_with(mode).await);
        conformance::key_store_shared(&SqliteKeyStore::new(database.pool.clone()), &there).await.unwrap();
    }
    for mode in [Off, Memory] {
        let database = Database::with(mode).await;
        let refused = SqliteKeyStore::new(database.pool.clone()).prepare().await;
        assert!(matches!(refused, Err(StoreError::NotDurable)), "{mode:?}: {refused:?}");
    }
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_sqlite_database_without_a_file_conforms() {
    crate::component::used("sqlite");
    let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await.unwrap();
    conformance::key_store(&phi_keys::SqliteKeyStore::new(pool)).await.unwrap();
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_sqlite_database_holds_the_hierarchy() {
    use phi_keys::SqliteKeyStore;

    use crate::support::On;
    use crate::support::sqlite::Database;

    hierarchy_on(|| async {
        let database = Database::new().await;
        On::new(SqliteKeyStore::new(database.pool.clone()), database)
    })
    .await;
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
const fn later(what: conformance::Later) -> &'static str {
    match what {
        conformance::Later::State(99) => "UPDATE phi_keys_row SET state = 99 WHERE kind = 2",
        _ => "UPDATE phi_keys_schema SET version = version + 1",
    }
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_sqlite_database_of_a_later_version_is_named_as_such() {
    let database = crate::support::sqlite::Database::new().await;
    let store = Arc::new(phi_keys::SqliteKeyStore::new(database.pool.clone()));
    let write = |what| {
        let pool = &database.pool;
        async move { sqlx::query(later(what)).execute(pool).await.map(|_| ()).unwrap() }
    };
    conformance::key_store_later(store, write).await.unwrap();
}

/// In memory, since what fails is in front of the database.
#[cfg(feature = "sqlite")]
#[tokio::test]
async fn no_fault_of_a_sqlite_database_loses_a_key() {
    crate::component::used("sqlite");
    conformance::store_faults(|| async {
        let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await.unwrap();
        phi_keys::SqliteKeyStore::new(pool)
    })
    .await
    .unwrap();
}

#[cfg(feature = "postgres")]
async fn postgres() -> impl KeyStore {
    use crate::support::On;
    use crate::support::postgres::Schema;

    let schema = Schema::new().await.unwrap();
    On::new(phi_keys::PostgresKeyStore::new(schema.pool().await), schema)
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_postgres_database_holds_the_hierarchy() {
    if crate::support::postgres::Schema::new().await.is_some() {
        hierarchy_on(postgres).await;
    }
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn no_fault_of_a_postgres_database_loses_a_key() {
    if crate::support::postgres::Schema::new().await.is_some() {
        conformance::store_faults(postgres).await.unwrap();
    }
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_postgres_database_of_a_later_version_is_named_as_such() {
    let Some(schema) = crate::support::postgres::Schema::new().await else { return };
    let pool = &schema.pool().await;
    let store = Arc::new(phi_keys::PostgresKeyStore::new(pool.clone()));
    let write = |what| async move { sqlx::query(later(what)).execute(pool).await.map(|_| ()).unwrap() };
    conformance::key_store_later(store, write).await.unwrap();
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn the_channel_of_postgres_conforms() {
    use phi_keys::PostgresRevocations;
    use phi_keys::conformance::Disturbance;
    use sqlx::AssertSqlSafe;

    use crate::support::Tick;
    use crate::support::postgres::Schema;

    let Some(schema) = Schema::new().await else { return };
    let name = format!("{}_conformance", schema.search_path());
    let (pool, ends) = (schema.pool().await, [schema.pool().await, schema.pool().await]);
    let ends = ends.map(|pool| Arc::new(PostgresRevocations::named(pool, name.clone())) as _);
    let disturb = |what| {
        let statement = match what {
            Disturbance::Garbage => format!("SELECT pg_notify('{name}', 'phi-revoke-9')"),
            _ => format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND query LIKE '%{name}%'"
            ),
        };
        let pool = pool.clone();
        async move { sqlx::query(AssertSqlSafe(statement)).execute(&pool).await.map(|_| ()).unwrap() }
    };
    conformance::revocations(ends, disturb, Tick).await.unwrap();
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn the_postgres_store_conforms() {
    use phi_keys::PostgresKeyStore;

    use crate::support::postgres::Schema;

    let Some(schema) = Schema::new().await else { return };
    conformance::key_store(&PostgresKeyStore::new(schema.pool().await)).await.unwrap();
    let Some(schema) = Schema::new().await else { return };
    let (here, there) = (PostgresKeyStore::new(schema.pool().await), PostgresKeyStore::new(schema.pool().await));
    conformance::key_store_shared(&here, &there).await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_anchor_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let anchor = phi_keys::FileAnchor::create(folder.path().join("anchor")).unwrap();
    conformance::store_anchor(&anchor).await.unwrap();
    let shared = folder.path().join("shared");
    let here = phi_keys::FileAnchor::create(&shared).unwrap();
    conformance::store_anchor_shared(&here, &phi_keys::FileAnchor::open(shared).unwrap()).await.unwrap();
    rollback_on(|| async { MemoryKeyStore::new() }).await;
}

/// An older store beside a newer anchor, as a restored backup is.
#[cfg(unix)]
async fn rollback_on<F, S>(fresh: impl Fn() -> F + Send + Sync)
where
    F: Future<Output = S> + Send,
    S: KeyStore,
{
    let folder = tempfile::tempdir().unwrap();
    let number = AtomicU32::new(0);
    let anchor = || {
        let name = number.fetch_add(1, Ordering::Relaxed).to_string();
        phi_keys::FileAnchor::create(folder.path().join(name)).unwrap()
    };
    conformance::rollback(fresh, anchor, kek("only")).await.unwrap();
}

fn kek(name: &str) -> Arc<EphemeralKeyring> {
    Arc::new(EphemeralKeyring::named(name, SystemClock::new()).unwrap())
}

/// Everything that a KEK shows under a store.
#[cfg(any(
    feature = "aws",
    feature = "azure",
    feature = "gcp",
    feature = "local",
    feature = "pkcs11",
    feature = "vault"
))]
pub(crate) async fn keys_under(kek: Arc<dyn Kms>) {
    let fresh = || async { MemoryKeyStore::new() };
    conformance::hierarchy(fresh, Arc::clone(&kek)).await.unwrap();
    conformance::shredding(fresh, Arc::clone(&kek)).await.unwrap();
    conformance::kms_cache(kek).await.unwrap();
}

/// Everything that two KEKs show together.
#[cfg(any(
    feature = "aws",
    feature = "azure",
    feature = "gcp",
    feature = "local",
    feature = "pkcs11",
    feature = "vault"
))]
pub(crate) async fn keys_under_two(one: Arc<dyn Kms>, other: Arc<dyn Kms>) {
    conformance::kms_pair(Arc::clone(&one), Arc::clone(&other)).await.unwrap();
    conformance::forgeries(|| async { MemoryKeyStore::new() }, [one, other]).await.unwrap();
}

/// Everything that a store shows together with KEKs.
async fn hierarchy_on<F, S>(fresh: impl Fn() -> F + Send + Sync)
where
    F: Future<Output = S> + Send,
    S: KeyStore,
{
    conformance::hierarchy(&fresh, kek("only")).await.unwrap();
    conformance::kek_rotation(&fresh, kek("only")).await.unwrap();
    conformance::rotation(&fresh, kek("only")).await.unwrap();
    conformance::shredding(&fresh, kek("only")).await.unwrap();
    conformance::forgeries(&fresh, [kek("east"), kek("west")]).await.unwrap();
    #[cfg(unix)]
    rollback_on(&fresh).await;
}

#[tokio::test]
async fn the_store_in_memory_holds_the_hierarchy() {
    hierarchy_on(|| async { MemoryKeyStore::new() }).await;
}

#[tokio::test]
async fn a_cache_in_front_of_any_kek_asks_it_once() {
    for kek in [kek("only") as Arc<dyn Kms>, Faulty::loose("only")] {
        conformance::kms_cache(kek).await.unwrap();
    }
}

#[tokio::test]
async fn two_keks_hold_keys_together() {
    conformance::kms_pair(kek("east"), kek("west")).await.unwrap();
    conformance::kms_pair(Faulty::loose("east"), kek("west")).await.unwrap();
    conformance::kms_pair(Faulty::loose("east"), Faulty::loose("west")).await.unwrap();
}

#[tokio::test]
async fn the_local_signer_conforms() {
    let keys = Keys::builder(MemoryKeyStore::new()).kek(kek("only")).build().await.unwrap();
    conformance::signer(&keys.signer("audit").await.unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_channel_within_the_process_conforms() {
    let (sender, _) = broadcast::channel(64);
    let wires = [Wire::new(&sender), Wire::new(&sender)];
    conformance::revocations(wires.map(|wire| wire as _), |what| disturb(sender.clone(), what), Hours::new())
        .await
        .unwrap();
}

/// Loses nothing, and delivers everything twice.
#[derive(Debug)]
struct Doubling {
    sender: broadcast::Sender<String>,
    receiver: tokio::sync::Mutex<broadcast::Receiver<String>>,
    again: std::sync::Mutex<Option<RevocationNotice>>,
}

impl RevocationChannel for Doubling {
    fn publish<'a>(&'a self, notice: &'a RevocationNotice) -> StoreFuture<'a, ()> {
        Box::pin(async move { self.sender.send(notice.to_text()).map(drop).map_err(StoreError::unavailable) })
    }

    fn next(&self) -> StoreFuture<'_, RevocationNotice> {
        Box::pin(async move {
            if let Some(again) = self.again.lock().unwrap().take() {
                return Ok(again);
            }
            let text = self.receiver.lock().await.recv().await.map_err(StoreError::unavailable)?;
            let notice = RevocationNotice::from_text(&text);
            *self.again.lock().unwrap() = Some(notice.clone());
            Ok(notice)
        })
    }
}

#[tokio::test]
async fn a_channel_that_loses_nothing_and_delivers_twice_conforms() {
    let (sender, _) = broadcast::channel(4_096);
    let ends = [(); 2].map(|()| {
        let receiver = tokio::sync::Mutex::new(sender.subscribe());
        Arc::new(Doubling { sender: sender.clone(), receiver, again: std::sync::Mutex::default() }) as _
    });
    conformance::revocations(ends, |what| disturb(sender.clone(), what), Hours::new()).await.unwrap();
}
