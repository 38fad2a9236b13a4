//! What is left of a shredded subject.

use core::time::Duration;

use phi_keys::{EphemeralKeyring, Error, KeyStore, Keys, Residue, RowKind, SqliteKeyStore, StoreError};
use phi_types::{Detail, ManualClock, Timestamp};
use sqlx::sqlite::SqliteJournalMode::{Delete, Persist, Wal};
use sqlx::{Connection, Row, SqlitePool};
use std::sync::Arc;

use crate::support::sqlite::Database;
use crate::support::{patient, subject};

async fn keys(pool: &SqlitePool, kms: &Arc<EphemeralKeyring>) -> Keys {
    Keys::builder(SqliteKeyStore::new(pool.clone())).kek(Arc::clone(kms)).tenant("clinic").build().await.unwrap()
}

async fn wrapped(pool: &SqlitePool) -> Vec<Vec<u8>> {
    let rows = sqlx::query("SELECT wrapped FROM phi_keys_row WHERE kind = 2").fetch_all(pool).await.unwrap();
    rows.iter().map(|row| row.get::<Vec<u8>, _>(0)).collect()
}

fn holds(database: &Database, needle: &[u8]) -> Vec<String> {
    let holds = |bytes: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    database.files().into_iter().filter(|(_, bytes)| holds(bytes)).map(|(name, _)| name).collect()
}

#[tokio::test]
async fn no_file_of_the_database_holds_the_wrapped_key_after_a_shred() {
    for mode in [Wal, Delete] {
        let database = Database::with(mode).await;
        let kms = Arc::new(EphemeralKeyring::generate().unwrap());
        let keys = keys(&database.pool, &kms).await;
        keys.data_key(&patient("a")).await.unwrap();
        let [gone] = wrapped(&database.pool).await.try_into().unwrap();
        // Others before and after, so that the row lies in the middle of a page.
        for number in 0..20 {
            keys.data_key(&patient(&number.to_string())).await.unwrap();
        }
        let stays = wrapped(&database.pool).await.into_iter().find(|bytes| *bytes != gone).unwrap();
        // The secret parts alone are searched for as well, in case a page was rearranged.
        assert!(!holds(&database, &gone).is_empty() && !holds(&database, &gone[41..]).is_empty());

        let report = keys.shred(&subject("a")).await.unwrap();
        assert!(report.purged && !report.repeated);
        assert_eq!(report.keys.len(), 1);
        for needle in [&gone[..], &gone[17..41], &gone[41..73], &gone[73..]] {
            assert_eq!(holds(&database, needle), Vec::<String>::new(), "{mode:?}");
        }
        assert!(!holds(&database, &stays).is_empty(), "only the subject's key is gone");
        assert!(matches!(keys.data_key(&patient("a")).await, Err(Error::Shredded)));
    }
}

#[tokio::test]
async fn a_log_that_a_reader_holds_open_is_reported_and_emptied_later() {
    let database = Database::new().await;
    let kms = Arc::new(EphemeralKeyring::generate().unwrap());
    let options =
        sqlx::sqlite::SqliteConnectOptions::new().filename(database.path()).busy_timeout(Duration::from_millis(50));
    let pool = SqlitePool::connect_with(options).await.unwrap();
    let keys = keys(&pool, &kms).await;
    keys.data_key(&patient("a")).await.unwrap();
    let [gone] = wrapped(&pool).await.try_into().unwrap();

    let mut reader = database.pool.begin().await.unwrap();
    sqlx::query("SELECT count(*) FROM phi_keys_row").fetch_one(&mut *reader).await.unwrap();
    let report = keys.shred(&subject("a")).await.unwrap();
    assert!(!report.purged);
    assert!(!holds(&database, &gone).is_empty(), "the reader's view still needs the old page");
    reader.rollback().await.unwrap();

    let report = keys.shred(&subject("a")).await.unwrap();
    assert!(report.purged && report.repeated);
    assert_eq!(holds(&database, &gone), Vec::<String>::new());
}

#[tokio::test]
async fn a_persistent_journal_is_cut_off() {
    let database = Database::with(Persist).await;
    let kms = Arc::new(EphemeralKeyring::generate().unwrap());
    let keys = keys(&database.pool, &kms).await;
    keys.data_key(&patient("a")).await.unwrap();
    let [gone] = wrapped(&database.pool).await.try_into().unwrap();
    // The application's own writes leave a journal that holds the page with the key.
    let mut other = SqlitePool::connect_with(
        sqlx::sqlite::SqliteConnectOptions::new().filename(database.path()).journal_mode(Persist),
    )
    .await
    .unwrap()
    .acquire()
    .await
    .unwrap();
    sqlx::query("UPDATE phi_keys_row SET created = created + 1 WHERE kind = 2").execute(&mut *other).await.unwrap();
    assert!(holds(&database, &gone).contains(&"clinic.db-journal".to_owned()));
    let report = keys.shred(&subject("a")).await.unwrap();
    assert!(report.purged && report.residues.is_empty());
    assert_eq!(holds(&database, &gone), Vec::<String>::new());

    // Somebody else is writing: the journal cannot be cut off now, and the report says so.
    sqlx::query("CREATE TABLE other (n)").execute(&mut *other).await.unwrap();
    let store = SqliteKeyStore::new(
        SqlitePool::connect_with(
            sqlx::sqlite::SqliteConnectOptions::new()
                .filename(database.path())
                .journal_mode(Persist)
                .busy_timeout(Duration::from_millis(50)),
        )
        .await
        .unwrap(),
    );
    let mut writing = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    sqlx::query("INSERT INTO other VALUES (1)").execute(&mut *writing).await.unwrap();
    assert_eq!(store.purge().await.unwrap(), [Residue::RollbackJournal]);
    writing.rollback().await.unwrap();
    assert_eq!(store.purge().await.unwrap(), []);
}

#[tokio::test]
async fn forged_and_unreadable_rows_do_not_stop_a_shred() {
    for damage in [
        "UPDATE phi_keys_row SET mac = zeroblob(32) WHERE kind = 2",
        "UPDATE phi_keys_row SET mac = zeroblob(31), state = 99 WHERE kind = 2",
        "UPDATE phi_keys_row SET full_id = x'01' WHERE kind = 2",
        "UPDATE phi_keys_row SET more = x'010d00000000' WHERE kind = 2",
        "INSERT INTO phi_keys_row SELECT 3, tenant, key_use, scope, 0, x'', x'', 5, created, x'', zeroblob(32), x'' \
         FROM phi_keys_row WHERE kind = 2",
        "INSERT INTO phi_keys_row SELECT 3, tenant, key_use, scope, 0, x'', x'', 5, created, x'', zeroblob(3), x'' \
         FROM phi_keys_row WHERE kind = 2",
        "INSERT INTO phi_keys_row SELECT 9, '', 1, x'', 0, x'', x'', 5, created, x'', zeroblob(3), x'' \
         FROM phi_keys_row WHERE kind = 2",
    ] {
        let database = Database::new().await;
        let kms = Arc::new(EphemeralKeyring::generate().unwrap());
        let keys = keys(&database.pool, &kms).await;
        let handle = keys.data_key(&patient("a")).await.unwrap();
        let [gone] = wrapped(&database.pool).await.try_into().unwrap();
        sqlx::query(damage).execute(&database.pool).await.unwrap();
        let report = keys.shred(&subject("a")).await.unwrap();
        let named = if damage.contains("full_id") { vec![] } else { vec![handle.full_id()] };
        assert_eq!((report.keys, report.repeated), (named, false), "{damage}");
        assert!(!handle.is_live());
        assert_eq!(holds(&database, &gone[41..]), Vec::<String>::new(), "{damage}");
        let refused = keys.data_key(&patient("a")).await;
        assert!(matches!(refused, Err(Error::Shredded)), "{damage}: {refused:?}");
        let again = keys.shred(&subject("a")).await.unwrap();
        assert!(again.repeated, "{damage}: the tombstone is authentic now");
    }
}

#[tokio::test]
async fn a_shred_without_an_authentic_generation_row_says_so() {
    let database = Database::new().await;
    let kms = Arc::new(EphemeralKeyring::generate().unwrap());
    let keys = keys(&database.pool, &kms).await;
    keys.data_key(&patient("a")).await.unwrap();
    sqlx::query("UPDATE phi_keys_row SET mac = zeroblob(32) WHERE kind = 4").execute(&database.pool).await.unwrap();
    let refused = keys.shred(&subject("a")).await;
    assert!(matches!(refused, Err(Error::RowRejected(RowKind::Generation))), "{refused:?}");
}

#[tokio::test]
async fn repeating_a_shred_changes_nothing_and_never_fails() {
    let database = Database::new().await;
    let kms = Arc::new(EphemeralKeyring::generate().unwrap());
    let keys = keys(&database.pool, &kms).await;
    let id = keys.data_key(&patient("a")).await.unwrap().full_id();
    let first = keys.shred(&subject("a")).await.unwrap();
    let again = keys.shred(&subject("a")).await.unwrap();
    assert_eq!((first.keys.clone(), first.repeated), (vec![id], false));
    assert_eq!((again.keys.clone(), again.repeated), (vec![id], true));
    assert!(again.generation > first.generation);

    // Also a subject that never had a key gets none afterwards.
    let never = keys.shred(&subject("never")).await.unwrap();
    assert!(never.keys.is_empty() && !never.repeated);
    assert!(matches!(keys.data_key(&patient("never")).await, Err(Error::Shredded)));

    let activity = first.activity(Timestamp::UNIX_EPOCH);
    assert_eq!(activity.kind, "key.shred");
    assert_eq!(activity.subject, Some(subject("a")));
    assert_eq!(activity.detail("keys"), Some(&Detail::Count(1)));
}

#[tokio::test]
async fn another_process_sees_a_shred_within_its_lease() {
    let database = Database::new().await;
    let kms = Arc::new(EphemeralKeyring::generate().unwrap());
    let here = keys(&database.pool, &kms).await;
    let clock = ManualClock::at_unix_seconds(1_767_225_600);
    let there = Keys::builder(SqliteKeyStore::new(database.another_pool().await))
        .kek(Arc::clone(&kms))
        .tenant("clinic")
        .clock(clock.clone())
        .lease(Duration::from_secs(30))
        .build()
        .await
        .unwrap();
    let handle = there.data_key(&patient("a")).await.unwrap();
    let kid = handle.kid();
    assert_eq!(here.data_key(&patient("a")).await.unwrap().kid(), kid);

    let _ = here.shred(&subject("a")).await.unwrap();
    assert!(handle.is_live(), "the other process cannot know yet");
    clock.advance(Duration::from_secs(30));
    assert!(!handle.is_live());
    assert!(matches!(there.data_key(&patient("a")).await, Err(Error::Shredded)));
    assert!(matches!(there.data_key_by_id(kid, &patient("a")).await, Err(Error::Shredded)));
}

#[tokio::test]
async fn a_shred_within_a_transaction_is_the_transaction_s() {
    let database = Database::new().await;
    let kms = Arc::new(EphemeralKeyring::generate().unwrap());
    let keys = keys(&database.pool, &kms).await;
    sqlx::query("CREATE TABLE patient (id TEXT, ssn_index BLOB)").execute(&database.pool).await.unwrap();
    sqlx::query("INSERT INTO patient VALUES ('a', x'01')").execute(&database.pool).await.unwrap();
    let kid = keys.data_key(&patient("a")).await.unwrap().kid();
    let [gone] = wrapped(&database.pool).await.try_into().unwrap();

    // Rolled back: nothing was shredded, and while it lasted nobody got the key.
    let mut transaction = database.pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let pending = keys.shred_in(&mut transaction, &subject("a")).await.unwrap();
    assert!(matches!(keys.data_key(&patient("a")).await, Err(Error::ShredUnderWay)));
    assert!(keys.data_key_by_id(kid, &patient("a")).await.is_err());
    let rotated = keys.rotate_data_key(&patient("a")).await;
    assert!(matches!(rotated, Err(Error::ShredUnderWay)), "nor another one is made: {rotated:?}");
    transaction.rollback().await.unwrap();
    drop(pending);
    let handle = keys.data_key(&patient("a")).await.unwrap();
    assert_eq!(handle.kid(), kid);

    // Committed, together with the caller's own update.
    let mut transaction = database.pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    sqlx::query("UPDATE patient SET ssn_index = NULL WHERE id = 'a'").execute(&mut *transaction).await.unwrap();
    let pending = keys.shred_in(&mut transaction, &subject("a")).await.unwrap();
    assert!(!handle.is_live(), "leases end before the commit, not after it");
    transaction.commit().await.unwrap();
    let report = pending.committed().await.unwrap();
    assert!(report.purged);
    assert!(matches!(keys.data_key(&patient("a")).await, Err(Error::Shredded)));
    assert_eq!(holds(&database, &gone[41..]), Vec::<String>::new());
    let index = sqlx::query("SELECT ssn_index FROM patient").fetch_one(&database.pool).await.unwrap();
    assert_eq!(index.get::<Option<Vec<u8>>, _>(0), None);
}

#[tokio::test]
async fn a_connection_without_a_transaction_is_refused() {
    let database = Database::new().await;
    let kms = Arc::new(EphemeralKeyring::generate().unwrap());
    let keys = keys(&database.pool, &kms).await;
    let handle = keys.data_key(&patient("a")).await.unwrap();
    // What the caller does next would not be undone together with the shred.
    let mut connection = database.pool.acquire().await.unwrap();
    let refused = keys.shred_in(&mut connection, &subject("a")).await;
    assert!(matches!(refused, Err(Error::Config(_))), "{refused:?}");
    assert!(handle.is_live() && wrapped(&database.pool).await.len() == 1);
}

#[tokio::test]
async fn a_transaction_on_another_database_is_refused() {
    let (database, other) = (Database::new().await, Database::new().await);
    let kms = Arc::new(EphemeralKeyring::generate().unwrap());
    let keys = keys(&database.pool, &kms).await;
    let mut transaction = other.pool.begin().await.unwrap();
    let refused = keys.shred_in(&mut transaction, &subject("a")).await;
    assert!(matches!(refused, Err(Error::Store(StoreError::NotMigrated))), "{refused:?}");
    drop(transaction);

    let stranger = Arc::new(EphemeralKeyring::generate().unwrap());
    let _ = self::keys(&other.pool, &stranger).await;
    let mut connection = other.pool.acquire().await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    let refused = keys.shred_in(&mut transaction, &subject("a")).await;
    assert!(matches!(refused, Err(Error::RowRejected(_))), "{refused:?}");
    drop(transaction);
    assert!(keys.data_key(&patient("a")).await.is_ok(), "a failed shred leaves the subject usable");
}
