//! A process that stands still with a lease, while its key is replaced, retired and destroyed.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use phi_keys::derive::Label;
use phi_keys::f1::{self, MessageKey, Nonce, Suite};
use phi_keys::{Error, KeyId, Keys, KeysBuilder, LocalKeyring, SqliteKeyStore, Unlock};
use phi_types::{Clock, ManualClock, SystemClock};
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, waitpid};
use sqlx::Row;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool};

use crate::support::patient;

const CHILD: &str = "PHI_KEYS_TEST_STOPPED_FOLDER";
const WRITE: &str = "INSERT INTO record (kid, sealed) VALUES (?1, ?2)";
const LEASE: Duration = Duration::from_millis(400);
const WINDOW: Duration = Duration::from_secs(3900);
const VALUE: &[u8] = b"a value";

async fn open(folder: &Path) -> (KeysBuilder, SqlitePool) {
    crate::component::used("sqlite");
    let keyring = LocalKeyring::open(folder.join("keyring"), Unlock::key_file(folder.join("key"))).unwrap();
    let options = SqliteConnectOptions::new()
        .filename(folder.join("clinic.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal);
    let pool = SqlitePool::connect_with(options).await.unwrap();
    (Keys::builder(SqliteKeyStore::new(pool.clone())).kek(keyring).tenant("clinic"), pool)
}

/// Seals as long as the lease lasts.
fn seal(key: &phi_keys::DataKey) -> Option<Vec<u8>> {
    let derived = key.derive(Label::FIELD, b"record").ok()?;
    let message_key = MessageKey::derive(&derived, Label::FIELD, Suite::Aes256Gcm, f1::fresh_salt().unwrap());
    Some(message_key.seal(Nonce::random().unwrap(), b"", VALUE).unwrap())
}

/// Runs in the child: seals and writes until it is killed, and writes down when a lease was over.
#[tokio::test]
async fn child_that_seals() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    let (builder, pool) = open(Path::new(&folder)).await;
    let keys = builder.lease(LEASE).build().await.unwrap();
    let mut key = keys.data_key(&patient("a")).await.unwrap();
    loop {
        let kid = key.kid().as_bytes().to_vec();
        let sealed = seal(&key);
        sqlx::query(WRITE).bind(kid).bind(&sealed).execute(&pool).await.unwrap();
        if sealed.is_none() {
            key = keys.data_key(&patient("a")).await.unwrap();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Runs in the child: seals one value, stands still with it in hand until somebody wakes it, and writes it then.
#[tokio::test]
async fn child_that_holds_a_value() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    let (builder, pool) = open(Path::new(&folder)).await;
    let key = builder.build().await.unwrap().data_key(&patient("a")).await.unwrap();
    let (kid, sealed) = (key.kid().as_bytes().to_vec(), seal(&key).unwrap());
    // No lock on the database is to stand still with it.
    pool.close().await;
    kill_process(getpid(), Signal::STOP).unwrap();
    let (_, pool) = open(Path::new(&folder)).await;
    sqlx::query(WRITE).bind(kid).bind(sealed).execute(&pool).await.unwrap();
}

fn start(child: &str, folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([child, "--exact"])
        .env(CHILD, folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn wait_until_it_stands_still(child: &Child) {
    let (_, status) = waitpid(Some(Pid::from_child(child)), WaitOptions::UNTRACED).unwrap().unwrap();
    assert!(status.stopped(), "it ended with its value: {status:?}");
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

async fn rows(pool: &SqlitePool, after: i64) -> Vec<(i64, KeyId, Option<Vec<u8>>)> {
    let rows = sqlx::query("SELECT rowid, kid, sealed FROM record WHERE rowid > ?1 ORDER BY rowid").bind(after);
    let rows = rows.fetch_all(pool).await.unwrap();
    let kid = |row: &sqlx::sqlite::SqliteRow| KeyId::from_bytes(row.get::<Vec<u8>, _>(1).try_into().unwrap());
    rows.iter().map(|row| (row.get(0), kid(row), row.get(2))).collect()
}

async fn last(pool: &SqlitePool) -> i64 {
    rows(pool, 0).await.last().map_or(0, |row| row.0)
}

async fn wait_for(pool: &SqlitePool, after: i64, count: usize) {
    for _ in 0..12_000 {
        if rows(pool, after).await.len() >= count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the process that seals is gone");
}

/// Opens every value that is there, and gives its kid.
async fn open_all(keys: &Keys, pool: &SqlitePool) -> Vec<KeyId> {
    let mut kids = Vec::new();
    for (number, kid, sealed) in rows(pool, 0).await {
        let Some(sealed) = sealed else { continue };
        let key = keys.data_key_by_id(kid, &patient("a")).await;
        let key = key.unwrap_or_else(|error| panic!("value {number} cannot be opened: {error:?}"));
        let derived = key.derive(Label::FIELD, b"record").unwrap();
        let parts = f1::parse(&sealed).unwrap();
        let message_key = MessageKey::derive(&derived, Label::FIELD, parts.suite(), parts.salt());
        assert_eq!(message_key.open(&parts, b"").unwrap().as_slice(), VALUE);
        kids.push(kid);
    }
    kids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_was_stopped_with_a_lease_leaves_nothing_unreadable() {
    let folder = tempfile::tempdir().unwrap();
    let unlock = Unlock::create_key_file(folder.path().join("key")).unwrap();
    LocalKeyring::create(folder.path().join("keyring"), unlock).unwrap();
    let (builder, pool) = open(folder.path()).await;
    let clock = ManualClock::new(SystemClock::new().now());
    let keys = builder.clock(clock.clone()).build().await.unwrap();
    sqlx::query("CREATE TABLE record (kid BLOB NOT NULL, sealed BLOB)").execute(&pool).await.unwrap();
    let old = keys.data_key(&patient("a")).await.unwrap().kid();
    let references = {
        let pool = pool.clone();
        move |kid: KeyId| {
            let pool = pool.clone();
            async move {
                let query = sqlx::query("SELECT count(*) FROM record WHERE kid = ?1 AND sealed IS NOT NULL");
                let count = query.bind(kid.as_bytes().to_vec()).fetch_one(&pool).await?;
                Ok(u64::try_from(count.get::<i64, _>(0))?)
            }
        }
    };

    let mut holder = start("stopped::child_that_holds_a_value", folder.path());
    wait_until_it_stands_still(&holder);
    let mut child = start("stopped::child_that_seals", folder.path());
    wait_for(&pool, 0, 10).await;
    signal(&child, Signal::STOP);
    // Longer than the lease of whoever was stopped in the middle of it.
    std::thread::sleep(LEASE * 2);
    // Were it stopped within a write, the database would be locked: this shows that it is not, or waits until it is not.
    let change = loop {
        match keys.rotate_data_key(&patient("a")).await {
            Err(Error::Store(_)) => {
                signal(&child, Signal::CONT);
                std::thread::sleep(Duration::from_millis(3));
                signal(&child, Signal::STOP);
                std::thread::sleep(LEASE * 2);
            }
            change => break change.unwrap(),
        }
    };
    let stopped_at = last(&pool).await;
    signal(&child, Signal::CONT);
    wait_for(&pool, stopped_at, 20).await;

    // What it held was refused; at most what it had sealed before it was stopped was still written.
    let after = rows(&pool, stopped_at).await;
    let late = after.iter().filter(|(_, kid, sealed)| *kid == old && sealed.is_some()).count();
    assert!(late <= 1, "{late} values under a lease that was over");
    let refused = after.iter().position(|(_, kid, sealed)| *kid == old && sealed.is_none());
    assert_eq!(refused, Some(late), "its lease was over");
    assert!(after.iter().skip(late + 1).all(|(_, kid, _)| *kid == change.key.kid()));
    assert!(open_all(&keys, &pool).await.contains(&old));

    // While a value is under the old key, it is not retired.
    clock.advance(WINDOW);
    assert!(matches!(keys.retire(old, &references).await, Err(Error::Referenced { .. })));
    sqlx::query("DELETE FROM record WHERE kid = ?1").bind(old.as_bytes().to_vec()).execute(&pool).await.unwrap();
    let _ = keys.retire(old, &references).await.unwrap();
    // Sealed in time, and written only now.
    signal(&holder, Signal::CONT);
    assert!(holder.wait().unwrap().success());
    clock.advance(WINDOW);
    assert!(matches!(keys.destroy(old, &references).await, Err(Error::Referenced { found: 1 })));
    let _ = keys.reinstate(old).await.unwrap();
    assert!(open_all(&keys, &pool).await.contains(&old));

    sqlx::query("DELETE FROM record WHERE kid = ?1").bind(old.as_bytes().to_vec()).execute(&pool).await.unwrap();
    clock.advance(WINDOW);
    let _ = keys.retire(old, &references).await.unwrap();
    clock.advance(WINDOW);
    let _ = keys.destroy(old, &references).await.unwrap();
    wait_for(&pool, last(&pool).await, 5).await;
    child.kill().unwrap();
    child.wait().unwrap();
    let kids = open_all(&keys, &pool).await;
    assert!(!kids.is_empty() && kids.iter().all(|kid| *kid == change.key.kid()));
}
