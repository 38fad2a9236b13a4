//! What somebody who can write the database cannot do.

use core::time::Duration;
use std::collections::HashSet;
use std::sync::Arc;

use phi_keys::{
    Change, Committed, EphemeralKeyring, Error, FullId, KeyId, KeyRow, KeyState, KeyStore, KeyUse, Keys,
    MemoryKeyStore, RowKind, Scope, Slot, SqliteKeyStore, StoreError, StoreFuture,
};
use phi_types::{ManualClock, Timestamp};
use sqlx::{Row, SqlitePool};

use crate::forward::forward;
use crate::support::sqlite::Database;
use crate::support::{Site, patient};

const LEASE: Duration = Duration::from_secs(60);
const COLUMNS: [&str; 12] = [
    "kind", "tenant", "key_use", "scope", "version", "full_id", "parent", "state", "created", "wrapped", "mac", "more",
];

/// Whether a column cannot be read, or holds what only a later version may know.
fn is_unreadable(error: &StoreError) -> Option<&'static str> {
    match error {
        StoreError::Malformed(column) | StoreError::Unknown { column, .. } => Some(column),
        _ => None,
    }
}

struct Clinic {
    database: Database,
    keys: Keys,
    clock: ManualClock,
    kid: KeyId,
    scope: Scope,
}

async fn clinic() -> Clinic {
    let database = Database::new().await;
    let clock = ManualClock::at_unix_seconds(1_767_225_600);
    let keys = Keys::builder(SqliteKeyStore::new(database.pool.clone()))
        .kek(EphemeralKeyring::generate().unwrap())
        .tenant("clinic")
        .clock(clock.clone())
        .lease(LEASE)
        .build()
        .await
        .unwrap();
    let scope = patient("a");
    let kid = keys.data_key(&scope).await.unwrap().kid();
    Clinic { database, keys, clock, kid, scope }
}

/// A column as bytes, with what turns them back into the column.
async fn column(pool: &SqlitePool, rowid: i64, name: &str) -> (Vec<u8>, &'static str) {
    let select = format!("SELECT typeof({name}), {name} FROM phi_keys_row WHERE rowid = ?1");
    let row = sqlx::query(sqlx::AssertSqlSafe(select)).bind(rowid).fetch_one(pool).await.unwrap();
    match row.get::<&str, _>(0) {
        "integer" => (row.get::<i64, _>(1).to_be_bytes().to_vec(), "integer"),
        "text" => (row.get::<&str, _>(1).as_bytes().to_vec(), "text"),
        "blob" => (row.get::<&[u8], _>(1).to_vec(), "blob"),
        other => panic!("{other}"),
    }
}

async fn write(pool: &SqlitePool, rowid: i64, name: &str, bytes: &[u8], kind: &str) {
    let value = if kind == "text" { "CAST(?1 AS TEXT)" } else { "?1" };
    let update = format!("UPDATE phi_keys_row SET {name} = {value} WHERE rowid = ?2");
    let query = sqlx::query(sqlx::AssertSqlSafe(update));
    let query = match kind {
        "integer" => query.bind(i64::from_be_bytes(bytes.try_into().unwrap())),
        _ => query.bind(bytes.to_vec()),
    };
    query.bind(rowid).execute(pool).await.unwrap();
}

async fn rowid(pool: &SqlitePool, condition: &'static str) -> i64 {
    let select = format!("SELECT rowid FROM phi_keys_row WHERE {condition}");
    sqlx::query(sqlx::AssertSqlSafe(select)).fetch_one(pool).await.unwrap().get(0)
}

/// Flips every bit of every column of one row; each must be refused for what it is, and undoing it must heal.
async fn flip_every_bit(clinic: &Clinic, condition: &'static str) {
    let pool = &clinic.database.fast_pool().await;
    let rowid = rowid(pool, condition).await;
    let mut flipped = 0;
    for name in COLUMNS {
        let (good, kind) = column(pool, rowid, name).await;
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            write(pool, rowid, name, &bad, kind).await;
            clinic.clock.advance(LEASE);
            let refused = clinic.keys.data_key_by_id(clinic.kid, &clinic.scope).await;
            match refused {
                Err(Error::RowRejected(_) | Error::Incomplete) => {}
                Err(Error::Store(error)) => assert_eq!(is_unreadable(&error), Some(name), "{condition}"),
                other => panic!("{condition}: column {name}, bit {bit}: {other:?}"),
            }
            flipped += 1;
            write(pool, rowid, name, &good, kind).await;
        }
    }
    clinic.clock.advance(LEASE);
    clinic.keys.data_key_by_id(clinic.kid, &clinic.scope).await.unwrap();
    assert!(flipped > 1_000, "{flipped}");
}

#[tokio::test]
async fn every_column_is_flipped() {
    let clinic = clinic().await;
    let columns = sqlx::query("SELECT name FROM pragma_table_info('phi_keys_row')");
    let columns = columns.fetch_all(&clinic.database.pool).await.unwrap();
    assert_eq!(columns.iter().map(|row| row.get(0)).collect::<HashSet<&str>>(), HashSet::from(COLUMNS));
}

#[tokio::test]
async fn every_flipped_bit_of_a_data_key_row_is_refused() {
    flip_every_bit(&clinic().await, "kind = 2").await;
    let rotated = clinic().await;
    let _ = rotated.keys.rotate_data_key(&rotated.scope).await.unwrap();
    flip_every_bit(&rotated, "kind = 2 AND length(more) > 0").await;
}

#[tokio::test]
async fn every_flipped_bit_of_a_domain_key_row_is_refused() {
    flip_every_bit(&clinic().await, "kind = 1 AND tenant = 'clinic'").await;
    let rotated = clinic().await;
    let _ = rotated.keys.rotate_domain_key(KeyUse::Data).await.unwrap();
    flip_every_bit(&rotated, "kind = 1 AND length(more) > 0").await;
}

/// Rows of the root slot are read when a store is opened, when a domain key is made and when a subject is shredded.
#[tokio::test]
async fn every_flipped_bit_of_the_root_slot_is_refused_on_opening() {
    let database = Database::new().await;
    let kms = Arc::new(EphemeralKeyring::generate().unwrap());
    let open = || Keys::builder(SqliteKeyStore::new(database.pool.clone())).kek(Arc::clone(&kms)).build();
    open().await.unwrap();
    let pool = &database.fast_pool().await;
    for condition in ["kind = 1", "kind = 4"] {
        let rowid = rowid(pool, condition).await;
        for name in COLUMNS {
            let (good, kind) = column(pool, rowid, name).await;
            for bit in 0..good.len() * 8 {
                let mut bad = good.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                write(pool, rowid, name, &bad, kind).await;
                let refused = open().await;
                let as_it_is = match &refused {
                    Err(Error::Store(error)) => is_unreadable(error).is_some(),
                    Err(error) => matches!(
                        error,
                        Error::RowRejected(_)
                            | Error::KeyRejected(_)
                            | Error::RootMissing
                            | Error::NoKek
                            | Error::Kms(_)
                    ),
                    Ok(_) => false,
                };
                assert!(as_it_is, "{condition}: column {name}, bit {bit}: {refused:?}");
                write(pool, rowid, name, &good, kind).await;
            }
        }
    }
    open().await.unwrap();
}

#[tokio::test]
async fn every_flipped_bit_of_a_tombstone_keeps_the_subject_shredded() {
    let clinic = clinic().await;
    let Clinic { database, keys, clock, .. } = &clinic;
    // An old copy of the key row, which its MAC does not tell from a new one.
    sqlx::query("CREATE TABLE copy AS SELECT * FROM phi_keys_row WHERE kind = 2")
        .execute(&database.pool)
        .await
        .unwrap();
    let _ = keys.shred(&crate::support::subject("a")).await.unwrap();
    sqlx::query("INSERT INTO phi_keys_row SELECT * FROM copy").execute(&database.pool).await.unwrap();
    clock.advance(LEASE);
    assert!(matches!(keys.data_key_by_id(clinic.kid, &clinic.scope).await, Err(Error::Shredded)));
    assert!(matches!(keys.data_key(&clinic.scope).await, Err(Error::Shredded)));

    let rowid = rowid(&database.pool, "kind = 3").await;
    // With another place it would be nobody's, and missed when the store is opened.
    for name in COLUMNS.into_iter().filter(|name| !["kind", "tenant", "key_use", "scope"].contains(name)) {
        let (good, kind) = column(&database.pool, rowid, name).await;
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            write(&database.pool, rowid, name, &bad, kind).await;
            let refused = keys.data_key(&clinic.scope).await;
            let as_it_is = match &refused {
                Err(Error::Store(error)) => is_unreadable(error) == Some(name),
                refused => matches!(refused, Err(Error::RowRejected(RowKind::Tombstone))),
            };
            assert!(as_it_is, "column {name}, bit {bit}: {refused:?}");
            write(&database.pool, rowid, name, &good, kind).await;
        }
    }
}

#[tokio::test]
async fn a_forged_key_is_not_used() {
    let site = Site::new();
    let keys = site.keys().await;
    keys.data_key(&patient("a")).await.unwrap();
    let rows = site.store.domain_rows().await.unwrap();
    let domain = rows.iter().find(|row| row.slot.key_use == KeyUse::Data).unwrap();

    // A domain key that the forger knows, active and newer than the real one, with every MAC but the right one.
    for mac in [[0; 32], domain.mac, *FullId::from_bytes([0xff; 32]).as_bytes()] {
        let store = copy(&site, &[]).await;
        let id = Some(FullId::from_bytes([7; 32]));
        let slot = Slot::new("clinic", KeyUse::Data, None);
        let forged = KeyRow::new(
            RowKind::Domain,
            slot,
            2,
            id,
            None,
            KeyState::Active,
            Timestamp::UNIX_EPOCH,
            domain.wrapped.clone(),
            mac,
        );
        assert_eq!(store.commit(&Change::new().insert(forged)).await.unwrap(), Committed::Done);
        let opened = Keys::builder(store).kek(Arc::clone(&site.kms)).tenant("clinic").build().await;
        assert!(matches!(opened, Err(Error::RowRejected(RowKind::Domain))), "{opened:?}");
    }

    // The same while the process runs: the domain keys are read again when their lease ends.
    let clock = ManualClock::at_unix_seconds(1_767_225_600);
    let running = site.builder().clock(clock.clone()).lease(LEASE).build().await.unwrap();
    running.data_key(&patient("b")).await.unwrap();
    let mut forged = domain.clone();
    (forged.version, forged.full_id) = (2, Some(FullId::from_bytes([7; 32])));
    site.store.commit(&Change::new().insert(forged)).await.unwrap();
    clock.advance(LEASE);
    assert!(matches!(running.data_key(&patient("b")).await, Err(Error::RowRejected(RowKind::Domain))));
}

#[tokio::test]
async fn rows_cannot_change_places() {
    let site = Site::new();
    let keys = site.keys().await;
    let other = site.builder().tenant("hospital").build().await.unwrap();
    keys.data_key(&patient("a")).await.unwrap();
    keys.data_key(&patient("b")).await.unwrap();
    other.data_key(&patient("a")).await.unwrap();
    keys.domain_key(KeyUse::Index).await.unwrap();
    let everything = all_rows(&site).await;

    for from in &everything {
        for to in &everything {
            // Without the root row nothing opens at all.
            if from.kind != to.kind
                || from == to
                || !from.kind.has_key()
                || [&from.slot, &to.slot].contains(&&Slot::root())
            {
                continue;
            }
            // The row at `to` becomes the row at `from`, but says that it belongs where it is.
            let mut moved = from.clone();
            (moved.slot, moved.version) = (to.slot.clone(), to.version);
            let store = copy(&site, &[to, from]).await;
            store.commit(&Change::new().insert(moved)).await.unwrap();
            let opened = Keys::builder(store).kek(Arc::clone(&site.kms)).tenant(to.slot.tenant.clone()).build().await;
            let result = match opened {
                Ok(keys) if to.kind == RowKind::Data => {
                    let scope = if keys.data_key(&patient("a")).await.is_err() { "a" } else { "b" };
                    keys.data_key(&patient(scope)).await.map(drop)
                }
                Ok(keys) => keys.domain_key(to.slot.key_use).await.map(drop),
                Err(error) => Err(error),
            };
            assert!(matches!(result, Err(Error::RowRejected(_))), "{from:?} at {to:?}: {result:?}");
        }
    }
}

#[tokio::test]
async fn a_domain_key_row_that_is_removed_is_missed() {
    let site = Site::new();
    let keys = site.keys().await;
    keys.data_key(&patient("a")).await.unwrap();
    keys.domain_key(KeyUse::Index).await.unwrap();
    for row in site.store.domain_rows().await.unwrap().iter().filter(|row| row.slot != Slot::root()) {
        let store = copy(&site, &[row]).await;
        let opened = Keys::builder(store).kek(Arc::clone(&site.kms)).tenant("clinic").build().await;
        assert!(matches!(opened, Err(Error::Incomplete)), "{row:?}: {opened:?}");
    }
}

/// A store that answers for one place with the rows of another, as a table behind a view can be made to.
#[derive(Debug)]
struct Swapped {
    rows: Arc<MemoryKeyStore>,
    asked: Slot,
    given: Slot,
}

impl KeyStore for Swapped {
    forward!(self.rows: prepare, commit, by_kid, domain_rows, tombstones, data_rows, purge);

    fn slot<'a>(&'a self, slot: &'a Slot) -> StoreFuture<'a, Vec<KeyRow>> {
        self.rows.slot(if *slot == self.asked { &self.given } else { slot })
    }
}

#[tokio::test]
async fn an_authentic_row_of_another_place_is_refused() {
    let site = Site::new();
    let keys = site.keys().await;
    let mut slots = Vec::new();
    for name in ["a", "b"] {
        let kid = keys.data_key(&patient(name)).await.unwrap().kid();
        slots.push(site.store.by_kid(kid).await.unwrap().unwrap().slot);
    }
    keys.domain_key(KeyUse::Index).await.unwrap();
    keys.domain_key(KeyUse::Session).await.unwrap();
    let domain = |tenant: &str, key_use| Slot::new(tenant, key_use, None);
    for (asked, given) in [
        (slots[0].clone(), slots[1].clone()),
        (domain("clinic", KeyUse::Session), domain("clinic", KeyUse::Index)),
        (domain("clinic", KeyUse::Session), Slot::root()),
    ] {
        let store = Swapped { rows: Arc::clone(&site.store), asked: asked.clone(), given: given.clone() };
        let keys = Keys::builder(store).kek(Arc::clone(&site.kms)).tenant("clinic").build().await.unwrap();
        let result = match asked.scope {
            Some(_) => keys.data_key(&patient("a")).await.map(drop),
            None => keys.session_key().await.map(drop),
        };
        assert!(matches!(result, Err(Error::RowRejected(_))), "{given:?} at {asked:?}: {result:?}");
    }
}

/// Another store with the same rows but a few.
async fn copy(site: &Site, without: &[&KeyRow]) -> Arc<MemoryKeyStore> {
    let store = Arc::new(MemoryKeyStore::new());
    let rows = all_rows(site).await.into_iter().filter(|row| !without.contains(&row));
    let change = rows.fold(Change::new(), Change::insert);
    assert_eq!(store.commit(&change).await.unwrap(), Committed::Done);
    store
}

async fn all_rows(site: &Site) -> Vec<KeyRow> {
    let mut rows = site.store.slot(&Slot::root()).await.unwrap();
    rows.extend(site.store.domain_rows().await.unwrap().into_iter().filter(|row| row.slot != Slot::root()));
    for tenant in ["clinic", "hospital"] {
        for name in ["a", "b"] {
            // The pseudonym is not public, so a data key row is found by the kid that its own key manager names.
            let keys = site.builder().tenant(tenant).build().await.unwrap();
            let kid = keys.data_key(&patient(name)).await.unwrap().kid();
            rows.extend(site.store.by_kid(kid).await.unwrap());
        }
    }
    rows
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused() {
    let database = Database::new().await;
    let store = SqliteKeyStore::new(database.pool.clone());
    assert!(matches!(store.domain_rows().await, Err(StoreError::NotMigrated)));
    store.migrate().await.unwrap();
    sqlx::query("UPDATE phi_keys_schema SET version = 3").execute(&database.pool).await.unwrap();
    let opened = Keys::builder(store).kek(EphemeralKeyring::generate().unwrap()).build().await;
    assert!(matches!(opened, Err(Error::Store(StoreError::Newer { found: 3, supported: 2 }))), "{opened:?}");
}

#[tokio::test]
async fn a_database_that_may_lose_writes_is_refused() {
    use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};

    let folder = tempfile::tempdir().unwrap();
    let options = SqliteConnectOptions::new()
        .filename(folder.path().join("clinic.db"))
        .create_if_missing(true)
        .synchronous(SqliteSynchronous::Normal);
    let store = SqliteKeyStore::new(SqlitePool::connect_with(options).await.unwrap());
    assert!(matches!(store.migrate().await, Err(StoreError::NotDurable)));
}

#[tokio::test]
async fn the_tables_of_version_1_are_taken_over() {
    let database = Database::new().await;
    let kms = Arc::new(EphemeralKeyring::generate().unwrap());
    let open = || Keys::builder(SqliteKeyStore::new(database.pool.clone())).kek(Arc::clone(&kms)).build();
    let kid = open().await.unwrap().data_key(&patient("a")).await.unwrap().kid();
    for statement in ["ALTER TABLE phi_keys_row DROP COLUMN more", "UPDATE phi_keys_schema SET version = 1"] {
        sqlx::query(statement).execute(&database.pool).await.unwrap();
    }
    for _ in 0..2 {
        assert_eq!(open().await.unwrap().data_key(&patient("a")).await.unwrap().kid(), kid);
    }
}

#[tokio::test]
async fn a_row_that_only_a_later_version_knows_is_named_as_such() {
    let database = Database::new().await;
    let store = SqliteKeyStore::new(database.pool.clone());
    let keys = Keys::builder(store.clone()).kek(EphemeralKeyring::generate().unwrap()).build().await.unwrap();
    let kid = keys.data_key(&patient("a")).await.unwrap().kid();
    for (update, expected) in
        [("state = 6", ("state", 6)), ("key_use = 9", ("key_use", 9)), ("more = x'010e00000000'", ("more", 14))]
    {
        let mut transaction = database.pool.begin().await.unwrap();
        let update = format!("UPDATE phi_keys_row SET {update} WHERE kind = 2");
        sqlx::query(sqlx::AssertSqlSafe(update)).execute(&mut *transaction).await.unwrap();
        transaction.commit().await.unwrap();
        match store.by_kid(kid).await {
            Err(StoreError::Unknown { column, found }) => assert_eq!((column, found), expected),
            other => panic!("{other:?}"),
        }
        let restore = "UPDATE phi_keys_row SET state = 2, key_use = 2, more = x'' WHERE kind = 2";
        sqlx::query(restore).execute(&database.pool).await.unwrap();
    }
    assert!(store.by_kid(kid).await.unwrap().is_some());
}
