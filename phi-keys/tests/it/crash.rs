//! A process that is killed while it shreds.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use phi_keys::{Error, FileAnchor, Keys, LocalKeyring, SqliteKeyStore, StoreAnchor, Unlock};
use sqlx::Row;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool};

use crate::support::{patient, subject};

const CHILD: &str = "PHI_KEYS_TEST_CRASH_FOLDER";
const SUBJECTS: usize = 60;

async fn open(folder: &Path) -> (Keys, SqlitePool) {
    let unlock = Unlock::key_file(folder.join("key"));
    let keyring = LocalKeyring::open(folder.join("keyring"), unlock).unwrap();
    let options = SqliteConnectOptions::new()
        .filename(folder.join("clinic.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal);
    let pool = SqlitePool::connect_with(options).await.unwrap();
    let anchor = FileAnchor::open(folder.join("anchor")).unwrap();
    let keys = Keys::builder(SqliteKeyStore::new(pool.clone())).kek(keyring).anchor(anchor).tenant("clinic");
    (keys.build().await.unwrap(), pool)
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

fn child(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["crash::child_that_shreds", "--exact"])
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
        let mut child = child(folder.path());
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
