//! A job that is killed at any moment goes on, and nothing is unreadable in between.

use std::hash::{BuildHasher as _, RandomState};
use std::io::{BufRead as _, BufReader};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use phi_crypto::reseal::ResealJob;
use phi_crypto::{Opener, Sealer, Suite};
use phi_keys::{Keys, LocalKeyring, SqliteKeyStore, Unlock};
use phi_types::NoRecorder;
use sqlx::SqlitePool;
use tempfile::TempDir;

use super::rows::{check_all, check_tags, connect, documents, fill, patients};

const FOLDER: &str = "PHI_CRYPTO_RESEAL_FOLDER";
const ROUND: &str = "PHI_CRYPTO_RESEAL_ROUND";
const KILLS: usize = 20;
const PATIENTS: usize = 40;

async fn open(folder: &Path) -> (SqlitePool, Keys) {
    let pool = connect(&folder.join("clinic.db")).await;
    let store = SqliteKeyStore::new(pool.clone());
    store.migrate().await.unwrap();
    let (path, key) = (folder.join("clinic.keyring"), folder.join("clinic.key"));
    let keyring = if path.exists() {
        LocalKeyring::open(path, Unlock::key_file(key)).unwrap()
    } else {
        LocalKeyring::create(path, Unlock::create_key_file(key).unwrap()).unwrap()
    };
    let keys = Keys::builder(store).kek(keyring).tenant("clinic").build().await.unwrap();
    (pool, keys)
}

async fn job(folder: &Path, round: u8) -> ResealJob {
    let (pool, keys) = open(folder).await;
    let suite = if round.is_multiple_of(2) { Suite::Aes256Gcm } else { Suite::ChaCha20Poly1305 };
    let sealer = Sealer::builder(keys.clone()).suite(suite).build();
    ResealJob::builder(format!("round {round}"), sealer, Opener::builder(keys).build(), NoRecorder)
        .rows_per_chunk(NonZeroU32::new(8).unwrap())
        .table(patients(round + 1))
        .table(documents())
        .open(pool)
        .await
        .unwrap()
}

/// Not a test by itself: the process that gets killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs as a child of the test below"]
async fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let round = std::env::var(ROUND).unwrap().parse().unwrap();
    let mut job = job(&PathBuf::from(folder), round).await;
    println!("begun");
    while job.next_chunk().await.unwrap().is_some() {
        println!("chunk");
    }
    println!("finished");
}

/// Runs the child and kills it a moment after so many chunks. Whether it had finished before.
fn run(folder: &Path, round: u8, chunks: usize, moment: Duration) -> bool {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "reseal::kill::child", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    // The first line is preceded by what the test harness says.
    lines.by_ref().filter(|line| line.contains("begun") || line == "chunk").take(chunks + 1).for_each(drop);
    std::thread::sleep(moment);
    // SIGKILL.
    child.kill().unwrap();
    child.wait().unwrap();
    lines.any(|line| line.contains("finished"))
}

fn random(below: u64) -> u64 {
    // Each state has keys of its own.
    RandomState::new().hash_one(0) % below
}

/// `cargo xtask crash` asks for more kills than these.
#[tokio::test]
async fn a_reseal_that_is_killed_converges_and_leaves_nothing_unreadable() {
    let wanted = std::env::var("PHI_TEST_CRASH_ITERATIONS").ok().map_or(KILLS, |kills| kills.parse().unwrap());
    let folder = TempDir::new().unwrap();
    let (pool, keys) = open(folder.path()).await;
    fill(&pool, &keys, PATIENTS).await;
    let (mut kills, mut amid) = (0, 0);
    for round in 1_u8.. {
        loop {
            let path = folder.path().to_owned();
            let (chunks, moment) = (random(6), Duration::from_micros(random(4_000)));
            let chunks = usize::try_from(chunks).unwrap();
            let run = tokio::task::spawn_blocking(move || run(&path, round, chunks, moment));
            if run.await.unwrap() {
                break;
            }
            kills += 1;
            let [one, two] = check_all(&pool, &keys).await;
            assert_eq!(one + two, PATIENTS * 5);
            amid += usize::from(one > 0 && two > 0);
        }
        // What the last process did is done, whether it lived to say so or not.
        let mut job = job(folder.path(), round).await;
        assert_eq!(job.run().await.unwrap().counts.rows, 160, "each row is counted once");
        let suites = check_all(&pool, &keys).await;
        assert_eq!(suites[usize::from(round % 2)], PATIENTS * 5, "{suites:?}");
        check_tags(&pool, &keys, round + 1).await;
        // Where a kill falls is the machine's affair; there are as many as it takes for a part of them to fall amid the rows.
        if kills >= wanted && amid * 4 > wanted || round == u8::MAX - 1 {
            break;
        }
    }
    assert!(
        kills >= wanted.min(KILLS) && amid * 4 > wanted.min(KILLS),
        "{amid} of {kills} kills fell between the first and the last row"
    );
}
