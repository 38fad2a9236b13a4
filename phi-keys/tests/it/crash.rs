//! A process that is killed while it shreds.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use phi_keys::{Error, Keys, LocalKeyring, SqliteKeyStore, Unlock};
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
    let keys = Keys::builder(SqliteKeyStore::new(pool.clone())).kek(keyring).tenant("clinic").build().await.unwrap();
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
    std::fs::write(Path::new(&folder).join("started"), b"").unwrap();
    for number in 0..SUBJECTS {
        let _ = keys.shred(&subject(&number.to_string())).await.unwrap();
    }
}

#[tokio::test]
async fn a_killed_shred_is_whole_or_not_there_and_can_be_repeated() {
    for delay in [2, 11, 37] {
        let folder = tempfile::tempdir().unwrap();
        LocalKeyring::create(
            folder.path().join("keyring"),
            Unlock::create_key_file(folder.path().join("key")).unwrap(),
        )
        .unwrap();
        let (keys, pool) = open(folder.path()).await;
        for number in 0..SUBJECTS {
            keys.data_key(&patient(&number.to_string())).await.unwrap();
        }
        drop(keys);
        pool.close().await;

        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["crash::child_that_shreds", "--exact"])
            .env(CHILD, folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while !folder.path().join("started").exists() {
            assert!(child.try_wait().unwrap().is_none(), "the child ended before it began");
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(delay));
        child.kill().unwrap();
        child.wait().unwrap();

        let (keys, pool) = open(folder.path()).await;
        let mut shredded = 0;
        for number in 0..SUBJECTS {
            match keys.data_key(&patient(&number.to_string())).await {
                Ok(_) => {}
                Err(Error::Shredded) => shredded += 1,
                Err(error) => panic!("{error:?}"),
            }
        }
        let tombstones = count(&pool, "SELECT count(*) FROM phi_keys_row WHERE kind = 3").await;
        let rows = count(&pool, "SELECT count(*) FROM phi_keys_row WHERE kind = 2").await;
        assert_eq!((tombstones, rows), (shredded, i64::try_from(SUBJECTS).unwrap() - shredded));
        for number in 0..SUBJECTS {
            let report = keys.shred(&subject(&number.to_string())).await.unwrap();
            assert_eq!(report.keys.len(), 1, "the tombstone remembers which key is gone");
        }
        assert_eq!(count(&pool, "SELECT count(*) FROM phi_keys_row WHERE kind = 2").await, 0);
    }
}
