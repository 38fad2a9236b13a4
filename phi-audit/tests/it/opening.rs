//! What is refused when a log is opened, and how it says so.

use phi_audit::{AuditLog, Checkpoint, Error, SqliteAuditStore, StoreError};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use crate::snapshot::flips;
use crate::support::{Clinic, ORIGIN, connect, read};

fn text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[tokio::test]
async fn an_older_copy_of_the_database_is_refused() {
    let mut clinic = Clinic::new().await;
    let log = clinic.open().await;
    log.recorder().record(read(1)).await.unwrap();
    log.checkpoint().await.unwrap();
    let copy = clinic.folder.path().join("copy.db");
    clinic.run(&format!("VACUUM INTO '{}'", copy.display())).await;
    log.recorder().record(read(2)).await.unwrap();
    let known = log.checkpoint().await.unwrap();
    clinic.pool = connect(&copy).await;
    let error = clinic.try_open().await.unwrap_err();
    assert!(matches!(error, Error::RolledBack { stored: 3, known: 4 }), "{error:?}");
    assert!(text(&error).contains("rollback alarm"));
    assert_eq!(known.size(), 4);
    // The newest copy is welcome.
    let newest = clinic.folder.path().join("newest.db");
    Clinic { pool: connect(&clinic.folder.path().join("clinic.db")).await, ..clinic }
        .run(&format!("VACUUM INTO '{}'", newest.display()))
        .await;
}

#[tokio::test]
async fn an_older_copy_that_went_on_is_a_fork() {
    let mut clinic = Clinic::new().await;
    let log = clinic.open().await;
    let copy = clinic.folder.path().join("copy.db");
    clinic.run(&format!("VACUUM INTO '{}'", copy.display())).await;
    for number in 0..5 {
        log.recorder().record(read(number)).await.unwrap();
    }
    log.checkpoint().await.unwrap();
    let mark = std::fs::read(clinic.mark()).unwrap();
    // Somebody runs the copy with another mark, and then puts it in the place of the log.
    std::fs::remove_file(clinic.mark()).unwrap();
    clinic.pool = connect(&copy).await;
    let error = clinic.try_open().await.unwrap_err();
    assert!(matches!(error, Error::MarkMissing), "{error:?}");
    let forked = AuditLog::builder(SqliteAuditStore::new(clinic.pool.clone()))
        .keys(clinic.keys.clone())
        .origin(ORIGIN)
        .insecure_without_high_water_mark()
        .open()
        .await
        .unwrap();
    for number in 0..10 {
        forked.recorder().record(read(100 + number)).await.unwrap();
    }
    forked.checkpoint().await.unwrap();
    std::fs::write(clinic.mark(), mark).unwrap();
    assert!(matches!(clinic.try_open().await.unwrap_err(), Error::Inconsistent { size: 7 }));
}

#[tokio::test]
async fn two_copies_of_a_log_do_not_both_go_on_under_one_mark() {
    // The second copy reaches the same size as the first, or stays behind it, with other events.
    for ahead in [1, 5] {
        let (clinic, _) = Clinic::filled(2).await;
        let path = clinic.folder.path().join("copy.db");
        clinic.run(&format!("VACUUM INTO '{}'", path.display())).await;
        let twin = AuditLog::builder(SqliteAuditStore::new(connect(&path).await))
            .keys(clinic.keys.clone())
            .origin(ORIGIN)
            .high_water_mark(clinic.mark())
            .open()
            .await
            .unwrap();
        let mark = std::fs::read_to_string(clinic.mark()).unwrap();
        let log = clinic.try_open().await;
        assert!(matches!(log, Err(Error::RolledBack { .. })), "the mark is of the copy: {mark}");
        let original = std::fs::read(clinic.mark()).unwrap();
        // Opened at the same moment, before either raised the mark.
        std::fs::remove_file(clinic.mark()).unwrap();
        let (_, note): (i64, String) =
            sqlx::query_as("SELECT size, note FROM phi_audit_checkpoint ORDER BY size DESC LIMIT 1")
                .fetch_one(&clinic.pool)
                .await
                .unwrap();
        std::fs::write(clinic.mark(), note).unwrap();
        let log = clinic.open().await;
        std::fs::write(clinic.mark(), original).unwrap();
        for number in 0..ahead {
            twin.recorder().record(read(number)).await.unwrap();
        }
        twin.checkpoint().await.unwrap();
        log.recorder().record(read(100)).await.unwrap();
        let error = log.checkpoint().await.unwrap_err();
        assert!(matches!(error, Error::RolledBack { .. } | Error::Inconsistent { .. }), "{error:?}");
        twin.recorder().record(read(7)).await.unwrap();
        twin.checkpoint().await.unwrap();
    }
}

#[tokio::test]
async fn a_database_that_is_rolled_back_under_a_running_log_is_not_signed_again() {
    let (clinic, _) = Clinic::filled(5).await;
    let log = clinic.open().await;
    let before = log.checkpoint().await.unwrap();
    clinic.run("UPDATE phi_audit_head SET size = size - 2").await;
    assert!(matches!(log.checkpoint().await, Err(Error::RolledBack { .. } | Error::Inconsistent { .. })));
    clinic.run("UPDATE phi_audit_head SET size = size + 2, root = zeroblob(32)").await;
    assert!(matches!(log.checkpoint().await, Err(Error::Inconsistent { .. })));
    log.recorder().record(read(1)).await.unwrap();
    assert!(matches!(log.checkpoint().await, Err(Error::Inconsistent { .. })));
    let mark = std::fs::read_to_string(clinic.mark()).unwrap();
    assert_eq!(Checkpoint::open(&mark, log.verifier_key()).unwrap(), before);
}

#[tokio::test]
async fn every_flipped_bit_of_the_mark_is_refused() {
    let (clinic, _) = Clinic::filled(2).await;
    let mark = std::fs::read_to_string(clinic.mark()).unwrap();
    for (bit, changed) in flips(mark.as_bytes()).enumerate() {
        std::fs::write(clinic.mark(), changed).unwrap();
        assert!(matches!(clinic.try_open().await, Err(Error::Checkpoint(_) | Error::Mark(_))), "bit {bit}");
    }
    std::fs::write(clinic.mark(), [0xff, 0xfe]).unwrap();
    assert!(matches!(clinic.try_open().await, Err(Error::Mark(_))));
    std::fs::remove_file(clinic.mark()).unwrap();
    let error = clinic.try_open().await.unwrap_err();
    assert!(matches!(error, Error::MarkMissing) && text(&error).contains("put the file back"), "{error:?}");
    std::fs::write(clinic.mark(), mark).unwrap();
    clinic.open().await;
}

#[tokio::test]
async fn another_key_is_refused() {
    let (clinic, key) = Clinic::filled(2).await;
    let other = Clinic::new().await;
    let open = async |pool: &SqlitePool, keys: &phi_keys::Keys, mark: std::path::PathBuf| {
        AuditLog::builder(SqliteAuditStore::new(pool.clone()))
            .keys(keys.clone())
            .origin(ORIGIN)
            .verifier_key(key.clone())
            .high_water_mark(mark)
            .open()
            .await
    };
    assert!(matches!(open(&clinic.pool, &other.keys, clinic.mark()).await, Err(Error::ForeignKey)));
    open(&clinic.pool, &clinic.keys, clinic.mark()).await.unwrap();
    // Without the pin, the checkpoints of the database show it.
    let wrong = Clinic { keys: other.keys.clone(), ..clinic };
    assert!(matches!(wrong.try_open().await, Err(Error::Checkpoint(_))));
}

#[tokio::test]
async fn missing_settings_are_named() {
    let clinic = Clinic::new().await;
    let builder = || AuditLog::builder(SqliteAuditStore::new(clinic.pool.clone()));
    let named = async |builder: phi_audit::AuditLogBuilder| text(&builder.open().await.unwrap_err());
    assert!(named(builder()).await.contains("AuditLogBuilder::keys"));
    assert!(named(builder().keys(clinic.keys.clone())).await.contains("AuditLogBuilder::origin"));
    let keyed = || builder().keys(clinic.keys.clone());
    assert!(named(keyed().origin(ORIGIN)).await.contains("high_water_mark"));
    for origin in ["", "two words", "plus+sign", "line\nbreak", &"x".repeat(256)] {
        assert!(named(keyed().origin(origin).high_water_mark(clinic.mark())).await.contains("origin"));
    }
    let nowhere = clinic.folder.path().join("no").join("such").join("folder");
    let error = keyed().origin(ORIGIN).high_water_mark(nowhere).open().await.unwrap_err();
    assert!(matches!(error, Error::Mark(_)) && text(&error).contains("folder"), "{error:?}");
}

#[tokio::test]
async fn a_database_that_could_lose_events_is_refused() {
    let clinic = Clinic::new().await;
    let path = clinic.folder.path().join("weak.db");
    let options = || SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    for (options, mend) in [
        (
            options().journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Normal),
            "SqliteSynchronous::Full",
        ),
        (options().journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Off), "SqliteSynchronous::Full"),
        (
            options().journal_mode(SqliteJournalMode::Delete).synchronous(SqliteSynchronous::Normal),
            "SqliteSynchronous::Full",
        ),
        (options().journal_mode(SqliteJournalMode::Memory), "SqliteJournalMode::Wal"),
        (options().journal_mode(SqliteJournalMode::Off), "SqliteJournalMode::Wal"),
        (SqliteConnectOptions::new().in_memory(true), "connect to a file"),
    ] {
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
        let weak = Clinic { folder: tempfile::tempdir().unwrap(), keys: clinic.keys.clone(), pool };
        let error = weak.try_open().await.unwrap_err();
        assert!(matches!(&error, Error::Store(StoreError::NotDurable(_))) && text(&error).contains(mend), "{error:?}");
        weak.pool.close().await;
    }
    for (number, options) in [
        options().journal_mode(SqliteJournalMode::Delete),
        options().journal_mode(SqliteJournalMode::Truncate).synchronous(SqliteSynchronous::Extra),
    ]
    .into_iter()
    .enumerate()
    {
        let options = options.filename(clinic.folder.path().join(format!("{number}.db")));
        let pool = SqlitePool::connect_with(options).await.unwrap();
        Clinic { folder: tempfile::tempdir().unwrap(), keys: clinic.keys.clone(), pool }.open().await;
    }
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let (clinic, _) = Clinic::filled(1).await;
    clinic.run("UPDATE phi_audit_schema SET version = 2").await;
    let error = clinic.try_open().await.unwrap_err();
    assert!(matches!(error, Error::Store(StoreError::NewerSchema { found: 2, known: 1 })));
    assert!(text(&error).contains("use a later version"));
}

#[tokio::test]
async fn a_mark_that_cannot_be_written_fails_until_it_can() {
    let clinic = Clinic::new().await;
    let folder = clinic.folder.path().join("mark");
    std::fs::create_dir(&folder).unwrap();
    let mark = folder.join("audit.mark");
    let log = AuditLog::builder(SqliteAuditStore::new(clinic.pool.clone()))
        .keys(clinic.keys.clone())
        .origin(ORIGIN)
        .high_water_mark(&mark)
        .open()
        .await
        .unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    log.recorder().record(read(1)).await.unwrap();
    for _ in 0..2 {
        assert!(matches!(log.checkpoint().await, Err(Error::Mark(_))), "signed, but not kept");
    }
    std::fs::create_dir(&folder).unwrap();
    let checkpoint = log.checkpoint().await.unwrap();
    assert_eq!(std::fs::read_to_string(&mark).unwrap(), checkpoint.note());
    assert_eq!(log.status().await.unwrap().checkpoint, Some(checkpoint));
}
