//! Backups: what is saved comes back, nothing else passes for a backup, and keys stay out.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use phi_crypto::backup::{Backup, BackupError, Recovery, Saved};
use phi_crypto::file::FileError;
use phi_keys::{EphemeralKeyring, Keys, Scope, SqliteKeyStore};
use phi_types::{Detail, Outcome, Timestamp};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{Connection as _, SqliteConnection, SqlitePool};
use tempfile::TempDir;

use crate::support::{Clinic, subject};

fn scope() -> Scope {
    Scope::group("backup")
}

struct World {
    clinic: Clinic,
    folder: TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("data")).unwrap();
        Self { clinic: Clinic::new().await, folder }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn put(&self, name: &str, content: &[u8]) {
        let path = self.at("data").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    async fn save(&self, backup: Backup) -> Result<Saved, BackupError> {
        backup.write_to(self.at("saved"), &self.clinic.sealer, &scope()).await
    }

    async fn restore(&self) -> Result<phi_crypto::backup::Recovered, BackupError> {
        Recovery::of(self.at("saved")).restore_to(self.at("restored"), &self.clinic.opener, &scope()).await
    }

    /// The names that lie beside data and backup, which nothing may be left in.
    fn names(&self) -> Vec<String> {
        names(self.folder.path())
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Paths and contents below a folder.
fn tree(folder: &Path) -> Vec<(String, Option<Vec<u8>>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                folders.push(path);
                found.push((name, None));
            } else {
                found.push((name, Some(fs::read(path).unwrap())));
            }
        }
    }
    found.sort();
    found
}

async fn connect(path: &Path) -> SqliteConnection {
    crate::component::used("sqlite");
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    SqliteConnection::connect_with(&options.journal_mode(SqliteJournalMode::Wal)).await.unwrap()
}

async fn run(database: &mut SqliteConnection, query: &'static str) {
    sqlx::query(query).execute(database).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_comes_back_with_names_times_and_modes() {
    let world = World::new().await;
    let large: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    world.put("Lovelace, Ada/scan.dcm", &large);
    world.put("Lovelace, Ada/empty", b"");
    world.put("Zoë/林", b"text");
    fs::create_dir(world.at("data/no files")).unwrap();
    let script = world.at("data/Zoë/林");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o540)).unwrap();
    let old = std::time::UNIX_EPOCH - Duration::from_secs(86_400);
    fs::File::open(world.at("data/Lovelace, Ada/empty")).unwrap().set_modified(old).unwrap();

    let told = Arc::new(AtomicU64::new(0));
    let tell = Arc::clone(&told);
    let backup = Backup::of_folder(world.at("data"));
    let saved = world.save(backup.on_progress(move |now| tell.store(now.done, Ordering::Relaxed))).await.unwrap();
    assert_eq!((saved.files, saved.bytes, saved.parts), (3, 800_004, 1));
    assert_eq!(told.load(Ordering::Relaxed), 800_004);
    assert_eq!(names(&world.at("saved")), ["manifest.phif", "part-000000.phif"]);
    let sealed = tree(&world.at("saved"));
    for hidden in ["Lovelace", "scan.dcm", "text"] {
        let shows = |bytes: &[u8]| bytes.windows(hidden.len()).any(|window| window == hidden.as_bytes());
        assert!(!sealed.iter().any(|(_, bytes)| shows(bytes.as_ref().unwrap())), "{hidden} shows");
    }

    let drill = Recovery::of(world.at("saved")).expect_digest(saved.digest);
    let drill = drill.drill_in(world.at("scratch"), &world.clinic.opener, &scope()).await.unwrap();
    let activity = drill.activity(Timestamp::UNIX_EPOCH);
    assert_eq!((activity.kind.as_ref(), activity.outcome), ("backup.drill", Outcome::Success));
    assert_eq!(activity.detail("bytes"), Some(&Detail::Count(800_004)));
    assert!(matches!(activity.detail("recovery_ms"), Some(Detail::Count(_))));
    assert_eq!(world.names(), ["data", "saved"], "a drill leaves something behind");

    let restored = world.restore().await.unwrap();
    assert_eq!((restored.files, restored.digest), (3, saved.digest));
    assert!(tree(&world.at("restored")) == tree(&world.at("data")));
    let metadata = |name: &str| fs::metadata(world.at(name)).unwrap();
    assert_eq!(metadata("restored/Zoë/林").permissions().mode() & 0o777, 0o540);
    assert_eq!(metadata("restored/Lovelace, Ada/empty").modified().unwrap(), old);
    assert_eq!(world.names(), ["data", "restored", "saved"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_saved_as_of_one_moment_while_it_is_written_to() {
    let world = World::new().await;
    let path = world.at("data/clinic.db");
    let mut database = connect(&path).await;
    run(&mut database, "CREATE TABLE pair (id INTEGER PRIMARY KEY, one INTEGER, other INTEGER, filler BLOB)").await;
    for _ in 0..200 {
        run(&mut database, "INSERT INTO pair (one, other, filler) VALUES (0, 0, zeroblob(3000))").await;
    }
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (stopped, written) = (Arc::clone(&stop), Arc::new(AtomicU64::new(0)));
    let rounds = Arc::clone(&written);
    // Every transaction changes the two halves of every row alike.
    let writer = tokio::spawn(async move {
        while !stopped.load(Ordering::Relaxed) {
            let mut transaction = database.begin().await.unwrap();
            sqlx::query("UPDATE pair SET one = one + 1").execute(&mut *transaction).await.unwrap();
            sqlx::query("UPDATE pair SET other = other + 1").execute(&mut *transaction).await.unwrap();
            transaction.commit().await.unwrap();
            rounds.fetch_add(1, Ordering::Relaxed);
        }
    });
    while written.load(Ordering::Relaxed) < 3 {
        tokio::task::yield_now().await;
    }
    let saved = world.save(Backup::of_folder(world.at("data"))).await.unwrap();
    assert_eq!(saved.files, 1, "the log beside the database was saved");
    stop.store(true, Ordering::Relaxed);
    writer.await.unwrap();

    let _restored = world.restore().await.unwrap();
    assert_eq!(names(&world.at("restored")), ["clinic.db"]);
    let mut restored = connect(&world.at("restored/clinic.db")).await;
    let query = "SELECT count(*), min(one), max(one), min(other), max(other) FROM pair";
    let (rows, a, b, c, d): (i64, i64, i64, i64, i64) = sqlx::query_as(query).fetch_one(&mut restored).await.unwrap();
    assert!(rows == 200 && a >= 3 && [b, c, d] == [a; 3], "{rows} rows of {a} {b} {c} {d}");
    assert_eq!(names(&world.at("data")).iter().filter(|name| name.starts_with(".phi")).count(), 0);
}

const LOCKED: &str = "PHI_CRYPTO_TEST_LOCKED_DATABASE";

/// Runs in a process of its own.
#[tokio::test]
async fn child_that_may_not_write() {
    let Ok(path) = std::env::var(LOCKED) else { return };
    let options = SqliteConnectOptions::new().filename(path).busy_timeout(Duration::ZERO);
    let mut database = SqliteConnection::connect_with(&options).await.unwrap();
    let refused = database.begin_with("BEGIN IMMEDIATE").await.err().unwrap();
    let code = refused.as_database_error().and_then(|error| error.code()).unwrap();
    assert_eq!(code.parse::<u32>().unwrap() & 0xff, 5, "SQLITE_BUSY");
}

/// Locks of a process on a file end when it closes any descriptor of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_saves_its_own_database_keeps_its_locks_on_it() {
    for mode in [SqliteJournalMode::Wal, SqliteJournalMode::Delete] {
        let world = World::new().await;
        let path = world.at("data/clinic.db");
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true).journal_mode(mode);
        let mut database = SqliteConnection::connect_with(&options).await.unwrap();
        run(&mut database, "CREATE TABLE note (text TEXT)").await;
        let transaction = database.begin_with("BEGIN IMMEDIATE").await.unwrap();
        let others_may_not_write = || {
            let mut child = Command::new(std::env::current_exe().unwrap());
            let child =
                child.args(["backups::child_that_may_not_write", "--exact"]).env(LOCKED, &path).output().unwrap();
            assert!(child.status.success(), "{mode:?}: {}", String::from_utf8_lossy(&child.stdout));
        };
        others_may_not_write();
        let saved = world.save(Backup::of_folder(world.at("data"))).await.unwrap();
        assert_eq!(saved.files, 1);
        others_may_not_write();
        transaction.rollback().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_looks_like_a_database_or_its_log_is_saved_as_it_is() {
    let world = World::new().await;
    for (name, bytes) in [
        ("text", vec![b'x'; 4096]),
        ("text-wal", vec![b'y'; 512]),
        ("no.db-journal", vec![b'z'; 100]),
        ("empty", Vec::new()),
        ("empty-shm", Vec::new()),
    ] {
        fs::write(world.at("data").join(name), bytes).unwrap();
    }
    let before = tree(&world.at("data"));
    let _saved = world.save(Backup::of_folder(world.at("data"))).await.unwrap();
    let _restored = world.restore().await.unwrap();
    assert_eq!(tree(&world.at("restored")), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn key_tables_stay_out() {
    let world = World::new().await;
    let pool =
        SqlitePool::connect(&format!("sqlite://{}?mode=rwc", world.at("data/clinic.db").display())).await.unwrap();
    let keys = Keys::builder(SqliteKeyStore::new(pool.clone())).kek(EphemeralKeyring::generate().unwrap());
    let keys = keys.tenant("clinic").build().await.unwrap();
    let key = keys.data_key(&Scope::subject(&subject("ada"))).await.unwrap();
    sqlx::query("CREATE TABLE patient (id TEXT)").execute(&pool).await.unwrap();
    sqlx::query("INSERT INTO patient VALUES ('ada')").execute(&pool).await.unwrap();

    for backup in [Backup::of_folder(world.at("data")), Backup::of_database(world.at("data/clinic.db"))] {
        assert!(matches!(world.save(backup).await, Err(BackupError::HoldsKeys)));
        assert_eq!(world.names(), ["data"]);
    }
    let holds_key = |path: &Path| {
        let (bytes, id) = (fs::read(path).unwrap(), key.full_id());
        bytes.windows(16).any(|window| window == id.kid().as_bytes())
    };
    pool.close().await;
    assert!(holds_key(&world.at("data/clinic.db")), "the test looks for the wrong bytes");
    let _saved = world.save(Backup::of_database(world.at("data/clinic.db")).without_key_tables()).await.unwrap();
    let _restored = world.restore().await.unwrap();
    assert!(!holds_key(&world.at("restored/clinic.db")), "key rows are left in free pages");
    let mut restored = connect(&world.at("restored/clinic.db")).await;
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT name FROM sqlite_schema").fetch_all(&mut restored).await.unwrap();
    assert_eq!(tables, ["patient"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn links_and_specials_are_refused_and_never_followed() {
    let world = World::new().await;
    fs::write(world.at("outside"), "secret").unwrap();
    symlink(world.at("outside"), world.at("data/link")).unwrap();
    symlink(world.folder.path(), world.at("data/up")).unwrap();
    let refused = world.save(Backup::of_folder(world.at("data"))).await;
    assert!(matches!(refused, Err(BackupError::Link { .. })));
    let saved = world.save(Backup::of_folder(world.at("data")).skipping_links()).await.unwrap();
    assert_eq!((saved.files, saved.skipped_links), (0, 2));

    let world = World::new().await;
    let _socket = std::os::unix::net::UnixListener::bind(world.at("data/socket")).unwrap();
    assert!(matches!(world.save(Backup::of_folder(world.at("data"))).await, Err(BackupError::Special { .. })));
    let inside = Backup::of_folder(world.at("data"));
    let inside = inside.write_to(world.at("data/saved"), &world.clinic.sealer, &scope()).await;
    assert!(matches!(inside, Err(BackupError::Inside)));
    assert_eq!(world.names(), ["data"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_over() {
    let world = World::new().await;
    world.put("a", b"1");
    fs::create_dir(world.at("saved")).unwrap();
    assert!(matches!(world.save(Backup::of_folder(world.at("data"))).await, Err(BackupError::Exists)));
    fs::remove_dir(world.at("saved")).unwrap();
    let _saved = world.save(Backup::of_folder(world.at("data"))).await.unwrap();
    fs::create_dir(world.at("restored")).unwrap();
    fs::write(world.at("restored/b"), "here before").unwrap();
    assert!(matches!(world.restore().await, Err(BackupError::Exists)));
    assert_eq!(tree(&world.at("restored")), [("b".to_owned(), Some(b"here before".to_vec()))]);
    assert_eq!(world.names(), ["data", "restored", "saved"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_changed_in_a_backup_is_refused_whole() {
    let world = World::new().await;
    world.put("a", &[7; 40_000]);
    world.put("b", b"2");
    let _saved = world.save(Backup::of_folder(world.at("data"))).await.unwrap();
    let (part, manifest) = (world.at("saved/part-000000.phif"), world.at("saved/manifest.phif"));
    let refused = async |what: &str| {
        let error = world.restore().await.expect_err(what);
        assert_eq!(world.names(), ["data", "saved"], "{what} left something");
        let drill = Recovery::of(world.at("saved"));
        assert!(drill.drill_in(world.at("scratch"), &world.clinic.opener, &scope()).await.is_err(), "{what}");
        let activity = error.activity("backup.drill", Timestamp::UNIX_EPOCH);
        assert_ne!(activity.outcome, Outcome::Success);
        error
    };
    for path in [&part, &manifest] {
        let whole = fs::read(path).unwrap();
        for at in [0, 9, 30, 60, 90, whole.len() / 2, whole.len() - 1] {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            fs::write(path, changed).unwrap();
            refused("a changed byte").await;
        }
        for length in [0, 79, 90, whole.len() - 1] {
            fs::write(path, &whole[..length]).unwrap();
            refused("a cut").await;
        }
        fs::write(path, [&whole[..], b"x"].concat()).unwrap();
        refused("a byte more").await;
        fs::write(path, whole).unwrap();
    }
    let whole = fs::read(&part).unwrap();
    fs::remove_file(&part).unwrap();
    assert!(matches!(refused("a missing part").await, BackupError::Damaged { part: 0, .. }));
    fs::write(&part, fs::read(&manifest).unwrap()).unwrap();
    assert!(matches!(refused("the manifest as a part").await, BackupError::Damaged { part: 0, .. }));
    fs::write(&part, whole).unwrap();
    let listed = fs::read(&manifest).unwrap();
    fs::remove_file(&manifest).unwrap();
    assert!(matches!(refused("no manifest").await, BackupError::NoManifest));
    fs::write(&manifest, listed).unwrap();
    let _restored = world.restore().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_and_manifests_of_two_backups_do_not_mix() {
    let world = World::new().await;
    world.put("a", b"1");
    let older = world.save(Backup::of_folder(world.at("data"))).await.unwrap();
    fs::rename(world.at("saved"), world.at("older")).unwrap();
    let newer = world.save(Backup::of_folder(world.at("data"))).await.unwrap();
    assert_ne!(older.digest, newer.digest);
    let expect = Recovery::of(world.at("older")).expect_digest(newer.digest);
    let refused = expect.restore_to(world.at("restored"), &world.clinic.opener, &scope()).await;
    assert!(matches!(refused, Err(BackupError::OtherBackup)));
    fs::copy(world.at("older/part-000000.phif"), world.at("saved/part-000000.phif")).unwrap();
    assert!(matches!(world.restore().await, Err(BackupError::Damaged { part: 0, .. })));
    let (other, group) = (Recovery::of(world.at("older")), Scope::group("x"));
    let other = other.restore_to(world.at("restored"), &world.clinic.opener, &group).await;
    assert!(matches!(other, Err(BackupError::Keys(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_outlasts_leases_and_not_its_key() {
    let world = World::new().await;
    for name in ["a", "b", "c"] {
        world.put(name, &[7; 300_000]);
    }
    let clock = world.clinic.clock.clone();
    let backup = Backup::of_folder(world.at("data")).on_progress(move |_| clock.advance(crate::support::LEASE));
    let _saved = world.save(backup).await.unwrap();
    let clock = world.clinic.clock.clone();
    let recovery = Recovery::of(world.at("saved")).clock(world.clinic.clock.clone());
    let recovery = recovery.on_progress(move |_| clock.advance(crate::support::LEASE));
    let restored = recovery.restore_to(world.at("restored"), &world.clinic.opener, &scope()).await.unwrap();
    assert!(restored.took > crate::support::LEASE * 10, "{:?}", restored.took);
    assert!(tree(&world.at("restored")) == tree(&world.at("data")));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gives_up_leaves_nothing() {
    let world = World::new().await;
    for number in 0..60 {
        world.put(&format!("{number}"), &[7; 400_000]);
    }
    let (send, mut begun) = tokio::sync::mpsc::unbounded_channel();
    let backup = Backup::of_folder(world.at("data")).on_progress(move |now| {
        let _ = send.send(now);
    });
    tokio::select! {
        _ = world.save(backup) => panic!("it ended before it was given up"),
        _ = async { while begun.recv().await.unwrap().done == 0 {} } => {}
    }
    // The channel closes when the thread is done.
    while begun.recv().await.is_some() {}
    while world.names() != ["data"] {
        std::thread::yield_now();
    }
}

/// Disks of one megabyte want a privilege that continuous integration may lack; it then says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_said_and_leaves_nothing() {
    let world = World::new().await;
    world.put("a", &[7; 3_000_000]);
    fs::create_dir(world.at("small")).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "none"]).arg(world.at("small")).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        eprintln!("NOT RUN: no small disk can be mounted here");
        return;
    }
    let target = world.at("small/saved");
    let refused = Backup::of_folder(world.at("data")).write_to(target, &world.clinic.sealer, &scope()).await;
    let left = names(&world.at("small"));
    let saved = world.save(Backup::of_folder(world.at("data"))).await;
    let restore = Recovery::of(world.at("saved"));
    let restore = restore.restore_to(world.at("small/restored"), &world.clinic.opener, &scope()).await;
    let left_again = names(&world.at("small"));
    assert!(Command::new("umount").arg(world.at("small")).status().unwrap().success());
    assert!(matches!(refused, Err(BackupError::NoSpace)), "{refused:?}");
    assert!(saved.is_ok() && matches!(restore, Err(BackupError::NoSpace)), "{restore:?}");
    assert!(left.is_empty() && left_again.is_empty(), "{left:?} {left_again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_name_no_file() {
    let world = World::new().await;
    world.put("Lovelace/7431", b"x");
    symlink("/", world.at("data/Lovelace/link-7431")).unwrap();
    let error = world.save(Backup::of_folder(world.at("data"))).await.unwrap_err();
    let missing = Backup::of_database(world.at("Lovelace-7431.db"));
    let missing = world.save(missing).await.unwrap_err();
    for error in [error, missing, BackupError::File(FileError::Refused)] {
        let text = format!("{error} {error:?}");
        assert!(!text.contains("7431") && !text.contains("Lovelace"), "{text}");
        assert!(error.to_string().starts_with(char::is_lowercase) && !error.to_string().ends_with('.'));
    }
}

/// A process that is killed at any moment leaves a backup that restores, or none.
#[test]
fn killed_at_any_moment_it_leaves_a_whole_backup_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    for number in 0..20 {
        fs::write(data.join(number.to_string()), vec![7; 100_000 * (number % 5)]).unwrap();
    }
    let (mut killed, mut whole) = (0, 0);
    for round in 0..12_u64 {
        let target = folder.path().join(format!("saved-{round}"));
        let child = ["--exact", "backups::saves_until_it_is_killed", "--ignored", "--nocapture"];
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(child)
            .env("PHI_TEST_BACKUP", folder.path())
            .env("PHI_TEST_TARGET", &target)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        if round == 0 {
            assert!(child.wait().unwrap().success());
        } else {
            // Later each time, from before it begins until it is likely over.
            let begun = || fs::read_dir(folder.path()).unwrap().any(|entry| is_staging(&entry.unwrap().file_name()));
            while !begun() && child.try_wait().unwrap().is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(Duration::from_millis(round * round));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        if target.exists() {
            whole += 1;
            assert!(target.join("manifest.phif").exists());
            assert_eq!(names(&target), ["manifest.phif", "part-000000.phif"]);
        } else {
            killed += 1;
        }
        for entry in fs::read_dir(folder.path()).unwrap() {
            let entry = entry.unwrap();
            if is_staging(&entry.file_name()) {
                fs::remove_dir_all(entry.path()).unwrap();
            }
        }
    }
    assert!(killed > 0 && whole > 0, "{killed} killed, {whole} whole");
}

fn is_staging(name: &std::ffi::OsStr) -> bool {
    name.to_str().unwrap().starts_with(".phi-backup-")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by `killed_at_any_moment_it_leaves_a_whole_backup_or_none`"]
async fn saves_until_it_is_killed() {
    let clinic = Clinic::new().await;
    let (folder, target) = (std::env::var("PHI_TEST_BACKUP").unwrap(), std::env::var("PHI_TEST_TARGET").unwrap());
    // Slow enough to be killed in the middle.
    let backup = Backup::of_folder(Path::new(&folder).join("data"))
        .on_progress(|_| std::thread::sleep(Duration::from_millis(1)));
    let _saved = backup.write_to(&target, &clinic.sealer, &scope()).await.unwrap();
    // It restores in the process that has the keys.
    let scratch = Path::new(&folder).join(".phi-backup-drill");
    let _drilled = Recovery::of(&target).drill_in(scratch, &clinic.opener, &scope()).await.unwrap();
}
