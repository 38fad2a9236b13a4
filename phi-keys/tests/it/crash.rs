//! A process that is killed while it shreds, or while it replaces its domain key.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use core::time::Duration;

use phi_keys::{
    Error, FileAnchor, KeyState, KeyStore, KeyUse, Keys, KeysBuilder, LocalKeyring, SqliteKeyStore, StoreAnchor, Unlock,
};
use phi_types::ManualClock;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool};

use crate::support::{patient, subject};

const CHILD: &str = "PHI_KEYS_TEST_CRASH_FOLDER";
const SUBJECTS: usize = 60;

/// The longest lease, and what clocks may differ.
const WINDOW: Duration = Duration::from_secs(3900);

async fn open(folder: &Path) -> (Keys, SqlitePool) {
    let (builder, pool) = builder(folder).await;
    (builder.build().await.unwrap(), pool)
}

async fn builder(folder: &Path) -> (KeysBuilder, SqlitePool) {
    crate::component::used("sqlite");
    let unlock = Unlock::key_file(folder.join("key"));
    let keyring = LocalKeyring::open(folder.join("keyring"), unlock).unwrap();
    let options = SqliteConnectOptions::new()
        .filename(folder.join("clinic.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal);
    let pool = SqlitePool::connect_with(options).await.unwrap();
    let anchor = FileAnchor::open(folder.join("anchor")).unwrap();
    let keys = Keys::builder(SqliteKeyStore::new(pool.clone())).kek(keyring).anchor(anchor).tenant("clinic");
    (keys, pool)
}

async fn count(pool: &SqlitePool, statement: &'static str) -> i64 {
    sqlx::query(statement).fetch_one(pool).await.unwrap().get(0)
}

/// Runs in the child: shreds one subject after the other until it is killed.
#[tokio::test]
async fn child_that_shreds() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    let (keys, _pool) = open(Path::new(&folder)).await;
    for number in 0..SUBJECTS {
        let _ = keys.shred(&subject(&number.to_string())).await.unwrap();
    }
}

/// Runs in the child: replaces the domain key again and again, and seals under each, until it is killed.
#[tokio::test]
async fn child_that_stages() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    let (builder, pool) = builder(Path::new(&folder)).await;
    // Later than whatever the child before has written.
    let rows = SqliteKeyStore::new(pool).domain_rows().await.unwrap();
    let last = rows.iter().map(|row| row.created).max().unwrap();
    let clock = ManualClock::new(last.saturating_add(WINDOW));
    let keys = builder.clock(clock.clone()).build().await.unwrap();
    for number in 0.. {
        keys.data_key(&patient(&format!("{} of {}", number, std::process::id()))).await.unwrap();
        let _ = keys.stage_domain_key(KeyUse::Data).await.unwrap();
        clock.advance(WINDOW);
        let _ = keys.activate_domain_key(KeyUse::Data).await.unwrap();
    }
}

fn child(folder: &Path, name: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact"])
        .env(CHILD, folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn a_killed_shred_is_whole_or_not_there_and_can_be_repeated() {
    // How many records of the anchor are waited for: two for each shred, the first of them before it.
    for after in [1, 2, 9, 30, 61] {
        let folder = tempfile::tempdir().unwrap();
        LocalKeyring::create(
            folder.path().join("keyring"),
            Unlock::create_key_file(folder.path().join("key")).unwrap(),
        )
        .unwrap();
        let anchor = FileAnchor::create(folder.path().join("anchor")).unwrap();
        let (keys, pool) = open(folder.path()).await;
        for number in 0..SUBJECTS {
            keys.data_key(&patient(&number.to_string())).await.unwrap();
        }
        drop(keys);
        pool.close().await;

        let before = anchor.read(0).await.unwrap().len();
        let mut child = child(folder.path(), "crash::child_that_shreds");
        while anchor.read(0).await.unwrap().len() < before + after {
            assert!(child.try_wait().unwrap().is_none(), "the child ended before it was killed");
        }
        child.kill().unwrap();
        child.wait().unwrap();

        // What is there is whole, before anything is brought in order.
        let options = SqliteConnectOptions::new().filename(folder.path().join("clinic.db"));
        let pool = SqlitePool::connect_with(options).await.unwrap();
        let tombstones = count(&pool, "SELECT count(*) FROM phi_keys_row WHERE kind = 3").await;
        let rows = count(&pool, "SELECT count(*) FROM phi_keys_row WHERE kind = 2").await;
        let total = i64::try_from(SUBJECTS).unwrap();
        assert_eq!(tombstones + rows, total);
        assert!((1..total).contains(&(tombstones + 1)), "the kill landed in the middle: {tombstones} of {total}");
        pool.close().await;

        let (keys, pool) = open(folder.path()).await;
        let replayed = i64::try_from(keys.replayed().subjects).unwrap();
        assert!(replayed <= 1, "at most the one on its way was in the anchor alone");
        let mut shredded = 0;
        for number in 0..SUBJECTS {
            match keys.data_key(&patient(&number.to_string())).await {
                Ok(_) => {}
                Err(Error::Shredded) => shredded += 1,
                Err(error) => panic!("{error:?}"),
            }
        }
        assert_eq!(shredded, tombstones + replayed);
        for number in 0..SUBJECTS {
            let report = keys.shred(&subject(&number.to_string())).await.unwrap();
            assert_eq!(report.keys.len(), 1, "the tombstone remembers which key is gone");
        }
        assert_eq!(count(&pool, "SELECT count(*) FROM phi_keys_row WHERE kind = 2").await, 0);
    }
}

#[tokio::test]
async fn a_killed_replacement_of_a_domain_key_leaves_one_that_is_used_and_at_most_one_that_waits() {
    let folder = tempfile::tempdir().unwrap();
    let unlock = Unlock::create_key_file(folder.path().join("key")).unwrap();
    LocalKeyring::create(folder.path().join("keyring"), unlock).unwrap();
    FileAnchor::create(folder.path().join("anchor")).unwrap();
    let (keys, pool) = open(folder.path()).await;
    let store = SqliteKeyStore::new(pool.clone());
    drop(keys);
    let (mut waiting, mut round) = (0, 0_u32);
    // What a child does takes it some milliseconds, so each of them is killed at another place: before and after an activation.
    while round < 8 || (!(1..round).contains(&waiting) && round < 100) {
        let before = store.domain_rows().await.unwrap().len();
        let mut child = child(folder.path(), "crash::child_that_stages");
        while store.domain_rows().await.unwrap().len() < before + 2 {
            assert!(child.try_wait().unwrap().is_none(), "the child ended before it was killed");
        }
        std::thread::sleep(Duration::from_micros(u64::from(round % 12) * 700));
        child.kill().unwrap();
        child.wait().unwrap();

        // Another process, which knows nothing of the one that was killed.
        let (keys, _pool) = open(folder.path()).await;
        let mut rows = store.domain_rows().await.unwrap();
        rows.retain(|row| row.slot.key_use == KeyUse::Data);
        let count = |state| rows.iter().filter(|row| row.state == state).count();
        assert_eq!(count(KeyState::Active), 1, "round {round}");
        assert!(count(KeyState::Pending) <= 1, "round {round}");
        waiting += u32::try_from(count(KeyState::Pending)).unwrap();
        round += 1;
        let known = keys.domain_keys(KeyUse::Data).await.unwrap();
        assert_eq!(known.len(), rows.len(), "every one of them opens");
        let rewrapped = keys.rewrap_data_keys().await.unwrap();
        assert_eq!(i64::try_from(rewrapped.rewrapped + rewrapped.unchanged).unwrap(), {
            self::count(&pool, "SELECT count(*) FROM phi_keys_row WHERE kind = 2").await
        });
    }
    assert!((1..round).contains(&waiting), "{waiting} of {round} kills landed before an activation");
}
