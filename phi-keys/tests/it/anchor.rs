//! What a store forgot, an anchor remembers.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use phi_keys::{
    AnchorError, AnchorFuture, Change, Committed, EphemeralKeyring, Error, FileAnchor, KeyId, KeyRow, KeyStore, KeyUse,
    Keys, KeysBuilder, MemoryKeyStore, RowKind, SqliteKeyStore, StoreAnchor,
};
use phi_types::{ManualClock, Timestamp};
use sqlx::SqlitePool;

use crate::support::sqlite::Database;
use crate::support::{Site, patient, subject};

const LEASE: Duration = Duration::from_secs(60);
/// The longest lease, and what clocks may differ.
const WINDOW: Duration = Duration::from_secs(3900);

struct Clinic {
    database: Database,
    kms: Arc<EphemeralKeyring>,
    clock: ManualClock,
}

impl Clinic {
    async fn new() -> Self {
        let database = Database::new().await;
        FileAnchor::create(anchor_of(&database)).unwrap();
        let kms = Arc::new(EphemeralKeyring::generate().unwrap());
        Self { database, kms, clock: ManualClock::at_unix_seconds(1_767_225_600) }
    }

    fn builder(&self, pool: &SqlitePool) -> KeysBuilder {
        let store = SqliteKeyStore::new(pool.clone());
        Keys::builder(store).kek(Arc::clone(&self.kms)).tenant("clinic").clock(self.clock.clone()).lease(LEASE)
    }

    fn anchored(&self, pool: &SqlitePool) -> KeysBuilder {
        self.builder(pool).anchor(FileAnchor::open(anchor_of(&self.database)).unwrap())
    }

    async fn run(&self, statement: &'static str) {
        sqlx::query(statement).execute(&self.database.pool).await.unwrap();
    }
}

fn anchor_of(database: &Database) -> PathBuf {
    database.folder.path().join("anchor")
}

/// A copy of the database as it is now, in a folder of its own.
async fn backup(database: &Database, into: &Path) -> SqlitePool {
    let copy = into.join("restored.db");
    let statement = format!("VACUUM INTO '{}'", copy.display());
    sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&database.pool).await.unwrap();
    SqlitePool::connect(&format!("sqlite://{}", copy.display())).await.unwrap()
}

#[tokio::test]
async fn a_restored_database_does_not_bring_a_shredded_subject_back() {
    let clinic = Clinic::new().await;
    let keys = clinic.anchored(&clinic.database.pool).build().await.unwrap();
    let gone = keys.data_key(&patient("a")).await.unwrap();
    let stays = keys.data_key(&patient("b")).await.unwrap().kid();
    let folder = tempfile::tempdir().unwrap();
    let restored = backup(&clinic.database, folder.path()).await;
    let report = keys.shred(&subject("a")).await.unwrap();
    drop(keys);

    // Nothing is served, nor written, until somebody accepts it.
    for _ in 0..2 {
        match clinic.anchored(&restored).build().await {
            Err(Error::RolledBack { found, expected }) => {
                assert_eq!((found + 1, expected), (report.generation, report.generation));
            }
            other => panic!("{other:?}"),
        }
    }
    let keys = clinic.anchored(&restored).dangerous_accept_rollback().build().await.unwrap();
    let replayed = keys.replayed();
    assert_eq!((replayed.subjects, replayed.keys.as_slice(), replayed.rebuilt), (1, &[gone.full_id()][..], true));
    assert_eq!(replayed.activity(Timestamp::UNIX_EPOCH).unwrap().kind, "key.replay");
    assert!(matches!(keys.data_key(&patient("a")).await, Err(Error::Shredded)));
    assert!(matches!(keys.data_key_by_id(gone.kid(), &patient("a")).await, Err(Error::Shredded)));
    assert_eq!(keys.data_key(&patient("b")).await.unwrap().kid(), stays);
    assert!(keys.generation().await.unwrap() > report.generation);
    // From now on this is the store, and the one that was restored from is too old.
    let again = clinic.anchored(&restored).build().await.unwrap();
    assert_eq!(again.replayed().activity(Timestamp::UNIX_EPOCH), None);
    assert!(matches!(clinic.anchored(&clinic.database.pool).build().await, Err(Error::RolledBack { .. })));
}

#[tokio::test]
async fn without_an_anchor_a_restored_database_brings_everything_back() {
    let clinic = Clinic::new().await;
    let keys = clinic.builder(&clinic.database.pool).build().await.unwrap();
    let kid = keys.data_key(&patient("a")).await.unwrap().kid();
    let folder = tempfile::tempdir().unwrap();
    let restored = backup(&clinic.database, folder.path()).await;
    let _ = keys.shred(&subject("a")).await.unwrap();
    let keys = clinic.builder(&restored).build().await.unwrap();
    assert_eq!(keys.data_key(&patient("a")).await.unwrap().kid(), kid, "which is why it is not claimed");
}

/// Puts the data key row of a shredded subject back in the place of its tombstone.
async fn undo(clinic: &Clinic) {
    clinic.run("DELETE FROM phi_keys_row WHERE kind = 3").await;
    clinic.run("INSERT INTO phi_keys_row SELECT * FROM kept").await;
}

#[tokio::test]
async fn a_tombstone_that_is_removed_is_missed_and_an_anchor_brings_it_back() {
    for with_anchor in [false, true] {
        let clinic = Clinic::new().await;
        let builder = || {
            let pool = &clinic.database.pool;
            if with_anchor { clinic.anchored(pool) } else { clinic.builder(pool) }
        };
        let running = builder().build().await.unwrap();
        let kid = running.data_key(&patient("a")).await.unwrap().kid();
        let other = builder().build().await.unwrap();
        clinic.run("CREATE TABLE kept AS SELECT * FROM phi_keys_row WHERE kind = 2").await;
        let _ = other.shred(&subject("a")).await.unwrap();
        undo(&clinic).await;
        clinic.clock.advance(LEASE);
        // Two processes that go on running: the one that shredded, and one that learns of it from the anchor alone.
        for keys in [&running, &other] {
            let found = keys.data_key_by_id(kid, &patient("a")).await;
            assert_eq!(matches!(found, Err(Error::Shredded)), with_anchor, "{found:?}");
        }
        match builder().build().await {
            Ok(keys) if with_anchor => {
                assert_eq!((keys.replayed().subjects, keys.replayed().rebuilt), (1, true));
                assert!(matches!(keys.data_key(&patient("a")).await, Err(Error::Shredded)));
                assert_eq!(builder().build().await.unwrap().replayed().subjects, 0);
            }
            Err(Error::Forgotten) if !with_anchor => {
                let accepted = builder().dangerous_accept_rollback().build().await.unwrap();
                assert!(accepted.replayed().rebuilt);
                assert!(builder().build().await.is_ok(), "accepted once and for all");
            }
            other => panic!("{with_anchor}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn any_one_of_many_tombstones_is_missed() {
    let clinic = Clinic::new().await;
    let keys = clinic.builder(&clinic.database.pool).build().await.unwrap();
    for number in 0..8 {
        let _ = keys.shred(&subject(&number.to_string())).await.unwrap();
    }
    let build = || clinic.builder(&clinic.database.pool).build();
    for number in 0..8 {
        clinic.run("CREATE TABLE kept AS SELECT * FROM phi_keys_row WHERE kind = 3").await;
        let delete = format!(
            "DELETE FROM phi_keys_row WHERE kind = 3 AND rowid = (SELECT rowid FROM phi_keys_row WHERE kind = 3 LIMIT 1 OFFSET {number})"
        );
        sqlx::query(sqlx::AssertSqlSafe(delete)).execute(&clinic.database.pool).await.unwrap();
        let opened = build().await;
        assert!(matches!(opened, Err(Error::Forgotten)), "{opened:?}");
        clinic.run("INSERT OR IGNORE INTO phi_keys_row SELECT * FROM kept").await;
        clinic.run("DROP TABLE kept").await;
        build().await.unwrap();
    }
    // A forged one in the place of an authentic one is a missing one; one that is too many is nobody's.
    clinic.run("UPDATE phi_keys_row SET mac = zeroblob(32) WHERE kind = 3 AND rowid % 2 = 0").await;
    assert!(matches!(build().await, Err(Error::Forgotten)));
}

#[tokio::test]
async fn tombstones_from_before_the_anchor_are_noted_in_it() {
    let clinic = Clinic::new().await;
    let keys = clinic.builder(&clinic.database.pool).build().await.unwrap();
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let without_the_key = backup(&clinic.database, folders[0].path()).await;
    let gone = keys.data_key(&patient("a")).await.unwrap().full_id();
    let with_the_key = backup(&clinic.database, folders[1].path()).await;
    let _ = keys.shred(&subject("a")).await.unwrap();
    let _ = keys.shred(&subject("never")).await.unwrap();
    clinic.anchored(&clinic.database.pool).build().await.unwrap();
    for restored in [with_the_key, without_the_key] {
        let keys = clinic.anchored(&restored).dangerous_accept_rollback().build().await.unwrap();
        assert_eq!((keys.replayed().subjects, keys.replayed().keys.as_slice()), (2, &[gone][..]));
        for name in ["a", "never"] {
            assert!(matches!(keys.data_key(&patient(name)).await, Err(Error::Shredded)));
        }
    }
}

#[tokio::test]
async fn a_new_domain_key_is_noted_too() {
    let clinic = Clinic::new().await;
    let keys = clinic.anchored(&clinic.database.pool).build().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let restored = backup(&clinic.database, folder.path()).await;
    keys.domain_key(KeyUse::Index).await.unwrap();
    let refused = clinic.anchored(&restored).build().await;
    assert!(matches!(refused, Err(Error::RolledBack { found: 0, expected: 1 })), "{refused:?}");
}

#[tokio::test]
async fn a_transaction_that_is_rolled_back_leaves_nothing_in_the_anchor() {
    let clinic = Clinic::new().await;
    let pool = &clinic.database.pool;
    let keys = clinic.anchored(pool).build().await.unwrap();
    let kid = keys.data_key(&patient("a")).await.unwrap().kid();
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let pending = keys.shred_in(&mut transaction, &subject("a")).await.unwrap();
    transaction.rollback().await.unwrap();
    drop(pending);
    assert_eq!(keys.data_key(&patient("a")).await.unwrap().kid(), kid);
    assert_eq!(clinic.anchored(pool).build().await.unwrap().replayed().subjects, 0);

    // Committed, and killed before the anchor heard of it: the next key manager tells it.
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let pending = keys.shred_in(&mut transaction, &subject("a")).await.unwrap();
    transaction.commit().await.unwrap();
    drop(pending);
    drop(clinic.anchored(pool).build().await.unwrap());
    clinic.run("DELETE FROM phi_keys_row WHERE kind = 3").await;
    assert_eq!(clinic.anchored(pool).build().await.unwrap().replayed().subjects, 1);
}

/// An anchor that takes nothing while it is down, and gives nothing while it is gone.
#[derive(Debug)]
struct Down {
    anchor: FileAnchor,
    down: Arc<AtomicBool>,
    gone: Arc<AtomicBool>,
}

impl Down {
    fn new(clinic: &Clinic) -> (Self, Arc<AtomicBool>, Arc<AtomicBool>) {
        let (down, gone) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let anchor = FileAnchor::open(anchor_of(&clinic.database)).unwrap();
        (Self { anchor, down: Arc::clone(&down), gone: Arc::clone(&gone) }, down, gone)
    }
}

impl StoreAnchor for Down {
    fn read(&self, from: u64) -> AnchorFuture<'_, Vec<Vec<u8>>> {
        if self.gone.load(Ordering::SeqCst) {
            return Box::pin(async { Err(AnchorError::unavailable("gone")) });
        }
        self.anchor.read(from)
    }

    fn append<'a>(&'a self, records: &'a [Vec<u8>]) -> AnchorFuture<'a, ()> {
        if self.down.load(Ordering::SeqCst) {
            return Box::pin(async { Err(AnchorError::unavailable("down")) });
        }
        self.anchor.append(records)
    }
}

#[tokio::test]
async fn without_its_anchor_a_key_lasts_until_its_lease_or_the_grace_ends() {
    for grace in [Duration::ZERO, Duration::from_secs(600)] {
        let clinic = Clinic::new().await;
        let (anchor, _, gone) = Down::new(&clinic);
        let keys = clinic.builder(&clinic.database.pool).outage_grace(grace).anchor(anchor).build().await.unwrap();
        clinic.clock.advance(LEASE / 3);
        let kid = keys.data_key(&patient("a")).await.unwrap().kid();
        keys.domain_key(KeyUse::Index).await.unwrap();
        // It is time to renew the lease ahead of its end, and what the anchor said last is a lease old.
        clinic.clock.advance(LEASE * 5 / 6);
        gone.store(true, Ordering::SeqCst);
        for number in 0..10 {
            assert_eq!(keys.data_key(&patient("a")).await.unwrap().kid(), kid);
            assert!(keys.domain_key(KeyUse::Index).await.unwrap().is_live());
            assert_eq!(keys.data_key_many(&[(&patient("a"), None)]).await.remove(0).unwrap().kid(), kid, "{number}");
        }
        clinic.clock.advance(LEASE / 6);
        let after = keys.data_key(&patient("a")).await;
        let lasts = !grace.is_zero();
        assert_eq!(after.as_ref().is_ok_and(|key| key.kid() == kid), lasts, "{after:?}");
        assert_eq!(matches!(after, Err(Error::Anchor(AnchorError::Unavailable(_)))), !lasts, "{after:?}");
        clinic.clock.advance(grace + LEASE);
        let after = keys.data_key(&patient("a")).await;
        assert!(matches!(after, Err(Error::Anchor(AnchorError::Unavailable(_)))), "{after:?}");
        gone.store(false, Ordering::SeqCst);
        assert_eq!(keys.data_key(&patient("a")).await.unwrap().kid(), kid);
    }
}

#[tokio::test]
async fn without_its_anchor_nothing_is_shredded() {
    let clinic = Clinic::new().await;
    let (anchor, down, _) = Down::new(&clinic);
    let keys = clinic.builder(&clinic.database.pool).anchor(anchor).build().await.unwrap();
    let kid = keys.data_key(&patient("a")).await.unwrap().kid();
    down.store(true, Ordering::SeqCst);
    assert!(matches!(keys.shred(&subject("a")).await, Err(Error::Anchor(AnchorError::Unavailable(_)))));
    assert_eq!(keys.data_key(&patient("a")).await.unwrap().kid(), kid);
    down.store(false, Ordering::SeqCst);
    assert_eq!(keys.shred(&subject("a")).await.unwrap().keys.len(), 1);
}

/// The row of a kid, as it is stored.
async fn row_of(clinic: &Clinic, kid: KeyId) -> KeyRow {
    SqliteKeyStore::new(clinic.database.pool.clone()).by_kid(kid).await.unwrap().unwrap()
}

async fn put_back(clinic: &Clinic, kept: &KeyRow) {
    let now = row_of(clinic, kept.full_id.unwrap().kid()).await;
    let back = Change::new().replace(now, kept.clone());
    let store = SqliteKeyStore::new(clinic.database.pool.clone());
    assert_eq!(store.commit(&back).await.unwrap(), Committed::Done);
}

fn outdated<T>(outcome: &Result<T, Error>, of: RowKind) -> bool {
    matches!(outcome, Err(Error::RowOutdated { kind, .. }) if *kind == of)
}

/// An older copy of a data key's row, beside processes that know better, that could know better, and that have an anchor of
/// their own.
#[tokio::test]
async fn an_older_copy_of_a_data_keys_row_is_neither_used_nor_worked_on() {
    for act in 0..6 {
        let clinic = Clinic::new().await;
        let keys = clinic.anchored(&clinic.database.pool).build().await.unwrap();
        let old = keys.data_key(&patient("a")).await.unwrap().kid();
        // One that learns of it from the anchor, and one with an anchor of its own that has read it.
        let other = clinic.anchored(&clinic.database.pool).build().await.unwrap();
        let apart = FileAnchor::create(clinic.database.folder.path().join("apart")).unwrap();
        let apart = clinic.builder(&clinic.database.pool).anchor(apart).build().await.unwrap();
        let active = row_of(&clinic, old).await;
        let new = keys.rotate_data_key(&patient("a")).await.unwrap().key.kid();
        let decrypt_only = row_of(&clinic, old).await;
        clinic.clock.advance(WINDOW);
        let nothing = |_| async { Ok(0) };
        let _ = keys.retire(old, &nothing).await.unwrap();
        apart.data_key(&patient("a")).await.unwrap();

        let parent = keys.rotate_domain_key(KeyUse::Data).await.unwrap();
        put_back(&clinic, if act == 0 { &decrypt_only } else { &active }).await;
        clinic.clock.advance(WINDOW);
        for keys in [&other, &keys, &apart] {
            // Each of them is the first thing that the process does since.
            let outcome = match act {
                0 => keys.retire(old, &nothing).await.map(drop),
                1 => keys.rewrap_data_keys().await.map(drop),
                2 => keys.rotate_data_key(&patient("a")).await.map(drop),
                3 => keys.data_key(&patient("a")).await.map(drop),
                4 => keys.data_keys(&patient("a")).await.map(drop),
                _ => {
                    let (a, b) = (patient("a"), patient("b"));
                    let mut many = keys.data_key_many(&[(&a, Some(old)), (&b, None)]).await;
                    many.pop().unwrap().unwrap();
                    many.pop().unwrap().map(drop)
                }
            };
            assert!(outdated(&outcome, RowKind::Data), "{act}: {outcome:?}");
            assert!(outdated(&keys.data_key_by_id(new, &patient("a")).await, RowKind::Data));
        }
        // Nothing was built on it: with the newest row all is as it was.
        assert!(parent.replaced.is_some());
        let now = row_of(&clinic, old).await;
        assert!(now == active || now == decrypt_only);
    }
}

#[tokio::test]
async fn an_older_copy_of_a_domain_keys_row_is_neither_used_nor_worked_on() {
    for act in 0..9 {
        let clinic = Clinic::new().await;
        let keys = clinic.anchored(&clinic.database.pool).build().await.unwrap();
        let old = keys.domain_key(KeyUse::Index).await.unwrap().kid();
        // It seals sessions or signs, say, and never asks for a data key.
        let other = clinic.anchored(&clinic.database.pool).build().await.unwrap();
        other.domain_key(KeyUse::Index).await.unwrap();
        let active = row_of(&clinic, old).await;
        let _ = keys.rotate_domain_key(KeyUse::Index).await.unwrap();
        let _ = keys.stage_domain_key(KeyUse::Index).await.unwrap();
        let decrypt_only = row_of(&clinic, old).await;
        clinic.clock.advance(WINDOW);
        let nothing = |_| async { Ok(0) };
        let _ = keys.retire(old, &nothing).await.unwrap();
        let retired = row_of(&clinic, old).await;
        clinic.clock.advance(WINDOW);
        let back = match act {
            0 => {
                let _ = keys.reinstate(old).await.unwrap();
                &retired
            }
            1 => &decrypt_only,
            _ => &active,
        };
        put_back(&clinic, back).await;
        clinic.clock.advance(LEASE);
        for keys in [&other, &keys] {
            let outcome = match act {
                0 => keys.destroy(old, &nothing).await.map(drop),
                1 => keys.retire(old, &nothing).await.map(drop),
                2 => keys.domain_keys(KeyUse::Index).await.map(drop),
                3 => keys.rotate_domain_key(KeyUse::Index).await.map(drop),
                4 => keys.activate_domain_key(KeyUse::Index).await.map(drop),
                5 => keys.stage_domain_key(KeyUse::Index).await.map(drop),
                6 => keys.rewrap().await.map(drop),
                7 => keys.complete().await.map(drop),
                _ => keys.kek_versions().await.map(drop),
            };
            assert!(outdated(&outcome, RowKind::Domain), "{act}: {outcome:?}");
        }
        assert!(outdated(&clinic.anchored(&clinic.database.pool).build().await, RowKind::Domain));
        assert!(row_of(&clinic, old).await == *back);
    }
}

#[tokio::test]
async fn a_row_that_is_put_back_while_its_key_is_retired_is_not_replaced() {
    let clinic = Clinic::new().await;
    let keys = clinic.anchored(&clinic.database.pool).build().await.unwrap();
    let old = keys.data_key(&patient("a")).await.unwrap().kid();
    let _ = keys.rotate_data_key(&patient("a")).await.unwrap();
    clinic.clock.advance(WINDOW);
    let kept = row_of(&clinic, old).await;
    // What it takes to count references is time enough.
    let meanwhile = {
        let (keys, pool, kept) = (keys.clone(), clinic.database.pool.clone(), kept.clone());
        move |_| {
            let (keys, store, kept) = (keys.clone(), SqliteKeyStore::new(pool.clone()), kept.clone());
            async move {
                let _ = keys.rotate_domain_key(KeyUse::Data).await.unwrap();
                assert!(keys.rewrap_data_keys().await.unwrap().rewrapped > 0);
                let now = store.by_kid(kept.full_id.unwrap().kid()).await.unwrap().unwrap();
                assert_eq!(store.commit(&Change::new().replace(now, kept)).await.unwrap(), Committed::Done);
                Ok(0)
            }
        }
    };
    let refused = keys.retire(old, &meanwhile).await;
    assert!(outdated(&refused, RowKind::Data), "{refused:?}");
    assert!(row_of(&clinic, old).await == kept);
}

#[tokio::test]
async fn what_was_accepted_becomes_no_older() {
    let clinic = Clinic::new().await;
    let keys = clinic.anchored(&clinic.database.pool).build().await.unwrap();
    let old = keys.data_key(&patient("a")).await.unwrap().kid();
    let first = row_of(&clinic, old).await;
    let _ = keys.rotate_data_key(&patient("a")).await.unwrap();
    let second = row_of(&clinic, old).await;
    clinic.clock.advance(WINDOW);
    let _ = keys.retire(old, &|_| async { Ok(0) }).await.unwrap();
    let third = row_of(&clinic, old).await;
    put_back(&clinic, &second).await;

    let builder = || clinic.anchored(&clinic.database.pool);
    let refused = builder().build().await.unwrap().data_key(&patient("a")).await;
    assert!(outdated(&refused, RowKind::Data), "{refused:?}");
    let accepted = builder().dangerous_accept_rollback().build().await.unwrap();
    assert!(accepted.replayed().older_rows);
    assert_eq!(accepted.replayed().activity(Timestamp::UNIX_EPOCH).unwrap().kind, "key.replay");
    // Before anybody has asked for it.
    put_back(&clinic, &first).await;
    for keys in [accepted, builder().build().await.unwrap()] {
        assert!(outdated(&keys.data_key(&patient("a")).await, RowKind::Data));
    }
    put_back(&clinic, &second).await;
    let keys = builder().build().await.unwrap();
    keys.data_key_by_id(old, &patient("a")).await.unwrap();
    // The way that was left has rows with the same numbers.
    clinic.clock.advance(LEASE);
    let _ = keys.retire(old, &|_| async { Ok(0) }).await.unwrap();
    put_back(&clinic, &third).await;
    clinic.clock.advance(LEASE);
    let refused = keys.data_key_by_id(old, &patient("a")).await;
    assert!(row_of(&clinic, old).await.revision == third.revision && outdated(&refused, RowKind::Data), "{refused:?}");
}

#[tokio::test]
async fn a_domain_key_that_was_removed_with_its_generation_is_not_made_anew() {
    let clinic = Clinic::new().await;
    let keys = clinic.anchored(&clinic.database.pool).build().await.unwrap();
    clinic.run("CREATE TABLE kept AS SELECT * FROM phi_keys_row WHERE kind = 4").await;
    keys.domain_key(KeyUse::Index).await.unwrap();
    clinic.run("DELETE FROM phi_keys_row WHERE kind = 4 OR (kind = 1 AND key_use = 3)").await;
    clinic.run("INSERT INTO phi_keys_row SELECT * FROM kept").await;
    clinic.clock.advance(LEASE);
    let refused = keys.domain_key(KeyUse::Index).await;
    assert!(matches!(refused, Err(Error::RolledBack { found: 0, expected: 1 })), "{refused:?}");
}

#[tokio::test]
async fn an_anchor_that_takes_nothing_lets_no_row_be_replaced_and_every_key_be_had() {
    let clinic = Clinic::new().await;
    let (anchor, down, _) = Down::new(&clinic);
    let keys = clinic.builder(&clinic.database.pool).anchor(anchor).build().await.unwrap();
    let old = keys.data_key(&patient("a")).await.unwrap().kid();
    let kept = row_of(&clinic, old).await;
    // It fails after the commit: what was done is reported, and this process knows it.
    down.store(true, Ordering::SeqCst);
    let new = keys.rotate_data_key(&patient("a")).await.unwrap().key.kid();
    assert_eq!(keys.data_key(&patient("a")).await.unwrap().kid(), new);
    keys.data_key(&patient("b")).await.unwrap();
    clinic.clock.advance(LEASE);
    assert_eq!(keys.data_key(&patient("a")).await.unwrap().kid(), new);
    let refused = keys.rotate_data_key(&patient("a")).await;
    assert!(matches!(refused, Err(Error::Anchor(AnchorError::Unavailable(_)))), "{refused:?}");
    clinic.clock.advance(LEASE);
    assert_eq!(keys.data_key(&patient("a")).await.unwrap().kid(), new, "nothing was done");

    put_back(&clinic, &kept).await;
    clinic.clock.advance(LEASE);
    assert!(outdated(&keys.data_key(&patient("a")).await, RowKind::Data));
    let another = || clinic.anchored(&clinic.database.pool).build();
    another().await.unwrap().data_key_by_id(old, &patient("a")).await.unwrap();
    // The next reading tells the anchor.
    down.store(false, Ordering::SeqCst);
    clinic.clock.advance(LEASE);
    assert!(outdated(&keys.data_key(&patient("a")).await, RowKind::Data));
    let refused = another().await.unwrap().data_key_by_id(old, &patient("a")).await;
    assert!(outdated(&refused, RowKind::Data), "{refused:?}");
}

#[tokio::test]
async fn an_anchor_of_another_store_is_refused() {
    let (clinic, other) = (Clinic::new().await, Clinic::new().await);
    for one in [&clinic, &other] {
        let keys = one.anchored(&one.database.pool).build().await.unwrap();
        let _ = keys.shred(&subject("a")).await.unwrap();
    }
    let foreign = FileAnchor::open(anchor_of(&other.database)).unwrap();
    let refused = clinic.builder(&clinic.database.pool).anchor(foreign).build().await;
    assert!(matches!(refused, Err(Error::AnchorRejected)), "{refused:?}");

    // A database that was lost altogether, with a KEK that pins nothing new.
    let site = Site::new();
    let anchor = FileAnchor::open(anchor_of(&clinic.database)).unwrap();
    let refused = Keys::builder(MemoryKeyStore::new()).kek(Arc::clone(&site.kms)).anchor(anchor).build().await;
    assert!(matches!(refused, Err(Error::RootMissing)), "{refused:?}");
}

/// A folder with an anchor of three records, and the file's bytes.
async fn three() -> (Clinic, Vec<u8>) {
    let clinic = Clinic::new().await;
    let keys = clinic.anchored(&clinic.database.pool).build().await.unwrap();
    keys.data_key(&patient("a")).await.unwrap();
    let _ = keys.shred(&subject("a")).await.unwrap();
    let bytes = fs::read(anchor_of(&clinic.database)).unwrap();
    (clinic, bytes)
}

fn private(folder: &Path, bytes: &[u8]) -> PathBuf {
    let path = folder.join("altered");
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

#[tokio::test]
async fn every_flipped_bit_of_an_anchor_is_refused() {
    let (clinic, good) = three().await;
    let folder = tempfile::tempdir().unwrap();
    let whole = FileAnchor::open(private(folder.path(), &good)).unwrap().read(0).await.unwrap();
    assert_eq!(whole.len(), 3);
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let read = match FileAnchor::open(private(folder.path(), &bad)) {
            Ok(anchor) => anchor.read(0).await,
            Err(error) => Err(error),
        };
        match read {
            Err(AnchorError::Damaged | AnchorError::Newer { .. }) => {}
            // A last byte that became zero cannot be told from one that was never written.
            Ok(records) => {
                assert!(bit / 8 == good.len() - 1 && bad.ends_with(&[0]) && records == whole[..2], "bit {bit}");
            }
            Err(other) => panic!("bit {bit}: {other:?}"),
        }
    }
    // With a right checksum, it is the MAC that refuses.
    for (at, record) in whole.iter().enumerate() {
        for bit in 0..record.len() * 8 {
            let mut bad = record.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let _ = fs::remove_file(folder.path().join("forged"));
            let anchor = FileAnchor::create(folder.path().join("forged")).unwrap();
            anchor.append(&[&whole[..at], &[bad]].concat()).await.unwrap();
            let refused = clinic.builder(&clinic.database.pool).anchor(anchor).build().await;
            assert!(matches!(refused, Err(Error::AnchorRejected)), "record {at}, bit {bit}: {refused:?}");
        }
    }
}

#[tokio::test]
async fn an_anchor_that_was_cut_off_anywhere_is_readable_and_goes_on() {
    let (_clinic, good) = three().await;
    let folder = tempfile::tempdir().unwrap();
    let whole = FileAnchor::open(private(folder.path(), &good)).unwrap().read(0).await.unwrap();
    for length in 0..good.len() {
        for zeros in [0, 1, 40] {
            let mut torn = good[..length].to_vec();
            torn.resize(length + zeros, 0);
            if length < 9 && zeros > 0 {
                continue;
            }
            let path = private(folder.path(), &torn);
            let anchor = FileAnchor::open(&path).unwrap();
            let records = anchor.read(0).await.unwrap();
            assert!(whole.starts_with(&records), "{length} bytes and {zeros} zeros");
            anchor.append(&[b"next".to_vec()]).await.unwrap();
            let expected = [&records[..], &[b"next".to_vec()]].concat();
            assert_eq!(anchor.read(0).await.unwrap(), expected, "{length}");
            assert_eq!(FileAnchor::open(&path).unwrap().read(0).await.unwrap(), expected, "{length}");
        }
    }
}

#[tokio::test]
async fn a_file_that_is_no_private_anchor_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("anchor");
    assert!(matches!(FileAnchor::open(&path), Err(AnchorError::Unavailable(_))), "a missing one is no empty one");
    FileAnchor::create(&path).unwrap();
    assert!(FileAnchor::create(&path).is_err());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(matches!(FileAnchor::open(&link), Err(AnchorError::NotAFile)));
    for (bytes, newer) in [(&b"PHIANCH\n\x02"[..], true), (b"PHIANCH-\x01", false), (b"something else", false)] {
        let refused = FileAnchor::open(private(folder.path(), bytes));
        match refused {
            Err(AnchorError::Newer { found: 2 }) => assert!(newer),
            Err(AnchorError::Damaged) => assert!(!newer),
            other => panic!("{other:?}"),
        }
    }
    // Shorter than it was: somebody cut it off while it was in use.
    let anchor = FileAnchor::open(&path).unwrap();
    anchor.append(&[b"record".to_vec()]).await.unwrap();
    fs::write(&path, b"PHIANCH\n\x01").unwrap();
    assert!(matches!(anchor.read(0).await, Err(AnchorError::Damaged)));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(FileAnchor::open(&path), Err(AnchorError::Permissions(0o640))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_writers_share_one_anchor() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("anchor");
    FileAnchor::create(&path).unwrap();
    let tasks = (0..8_u8).map(|writer| {
        // As a process of its own would.
        let anchor = FileAnchor::open(&path).unwrap();
        tokio::spawn(async move {
            for number in 0..25_u8 {
                anchor.append(&[vec![writer, number]]).await.unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let records = FileAnchor::open(&path).unwrap().read(0).await.unwrap();
    for writer in 0..8 {
        let theirs = records.iter().filter(|record| record[0] == writer).map(|record| record[1]).collect::<Vec<_>>();
        assert_eq!(theirs, (0..25).collect::<Vec<_>>());
    }
}
