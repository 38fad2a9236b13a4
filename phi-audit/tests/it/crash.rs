//! A process that is killed in the middle of writing loses nothing that it was told is durable.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use phi_audit::{AuditLog, Query, SqliteAuditStore};
use phi_keys::{Keys, LocalKeyring, SqliteKeyStore, Unlock};
use phi_types::Detail;
use tempfile::TempDir;

use crate::support::{ORIGIN, connect, read};

const FOLDER: &str = "PHI_AUDIT_CRASH_FOLDER";
const ROUNDS: usize = 5;

async fn open(folder: &Path) -> AuditLog {
    let pool = connect(&folder.join("clinic.db")).await;
    let store = SqliteKeyStore::new(pool.clone());
    store.migrate().await.unwrap();
    let (path, key) = (folder.join("clinic.keyring"), folder.join("clinic.key"));
    let keyring = if path.exists() {
        LocalKeyring::open(path, Unlock::key_file(key)).unwrap()
    } else {
        LocalKeyring::create(path, Unlock::create_key_file(key).unwrap()).unwrap()
    };
    let keys = Keys::builder(store).kek(keyring).build().await.unwrap();
    AuditLog::builder(SqliteAuditStore::new(pool))
        .keys(keys)
        .origin(ORIGIN)
        .high_water_mark(folder.join("audit.mark"))
        .open()
        .await
        .unwrap()
}

/// Not a test by itself: the process that gets killed. Says each number only after it is durable.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs as a child of the test below"]
async fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let log = open(&PathBuf::from(folder)).await;
    let start = u64::from(std::process::id()) * 1_000_000;
    let writers: Vec<_> = (0..8_u64)
        .map(|writer| {
            let log = log.clone();
            tokio::spawn(async move {
                for step in 0.. {
                    let number = start + step * 8 + writer;
                    log.recorder().record(read(number)).await.unwrap();
                    println!("durable {number}");
                    if step % 16 == writer {
                        log.checkpoint().await.unwrap();
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
}

/// Runs the child, kills it after so many acknowledgements, and returns those that it had printed by then.
fn killed(folder: &Path, after: usize) -> Vec<u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let number = |line: String| line.split_once("durable ").and_then(|(_, number)| number.parse().ok());
    let mut acknowledged: Vec<u64> = lines.by_ref().map_while(Result::ok).filter_map(number).take(after).collect();
    // SIGKILL.
    child.kill().unwrap();
    child.wait().unwrap();
    acknowledged.extend(lines.map_while(Result::ok).filter_map(number));
    acknowledged
}

/// `cargo xtask crash` asks for more kills than these.
#[tokio::test]
async fn acknowledged_events_survive_kill_9() {
    let kills = std::env::var("PHI_TEST_CRASH_ITERATIONS").ok().map_or(ROUNDS, |kills| kills.parse().unwrap());
    for _ in 0..kills.div_ceil(ROUNDS) {
        kill_the_writers_of_one_log().await;
    }
}

async fn kill_the_writers_of_one_log() {
    let folder = TempDir::new().unwrap();
    let mut acknowledged = BTreeSet::new();
    for round in 0..ROUNDS {
        let path = folder.path().to_owned();
        let numbers = tokio::task::spawn_blocking(move || killed(&path, 40 + round * 37)).await.unwrap();
        assert!(numbers.len() >= 40, "the child ended by itself");
        acknowledged.extend(numbers);
        let log = open(folder.path()).await;
        let (mut query, mut found) = (Query::new().kind("record.read").limit(1_000), Vec::new());
        loop {
            let page = log.query(&query).await.unwrap();
            found.extend(page.events.iter().filter_map(|found| match found.event.detail("number") {
                Some(Detail::Count(number)) => Some(*number),
                _ => None,
            }));
            let Some(next) = page.next else { break };
            query = query.before(next);
        }
        let distinct: BTreeSet<u64> = found.iter().copied().collect();
        assert_eq!(distinct.len(), found.len(), "nothing is doubled");
        assert!(
            acknowledged.is_subset(&distinct),
            "lost: {:?}",
            acknowledged.difference(&distinct).take(5).collect::<Vec<_>>()
        );
        let report = log.verify().await.unwrap();
        assert_eq!(report.findings, []);
        // Each killed writer, and the one that looks.
        assert_eq!(usize::try_from(report.unknown_ends).unwrap(), round + 2);
        log.close().await.unwrap();
    }
}
