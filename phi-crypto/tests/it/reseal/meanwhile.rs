//! What others do to a row between the moment when the job reads it and the moment when it writes it.

use core::num::NonZeroU32;
use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use phi_crypto::reseal::{Column, LeftBecause, ResealError, RowKey, Table};
use phi_crypto::{IndexColumn, Opened, Opener, Sealed, Sealer, Suite, shred_subject};
use phi_keys::{EphemeralKeyring, Keys, SqliteKeyStore};
use phi_types::ManualClock;
use sqlx::SqlitePool;
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use super::rows::{self, Log, NAME, SSN, by_ssn, fill, job_with, patients};
use crate::support::{scope, subject};

const CHUNK: NonZeroU32 = NonZeroU32::new(2).unwrap();

/// A database with keys of its own, as two processes see it.
struct Two {
    job: Keys,
    other: Keys,
    pool: SqlitePool,
    _folder: tempfile::TempDir,
}

async fn two() -> Two {
    let folder = tempfile::tempdir().unwrap();
    let pool = rows::connect(&folder.path().join("clinic.db")).await;
    let kek = Arc::new(EphemeralKeyring::generate().unwrap());
    let keys = async || {
        let builder = Keys::builder(SqliteKeyStore::new(pool.clone())).kek(Arc::clone(&kek)).tenant("clinic");
        builder.build().await.unwrap()
    };
    let (job, other) = (keys().await, keys().await);
    fill(&pool, &job, 5).await;
    Two { job, other, pool, _folder: folder }
}

/// An opener that lets something happen when it opens a value for the `n`th time.
fn opener_that(keys: &Keys, n: usize, act: impl Fn() + Send + Sync + 'static) -> Opener {
    let opened = AtomicUsize::new(0);
    let observer = move |_: &Opened<'_>| {
        if opened.fetch_add(1, Ordering::SeqCst) + 1 == n {
            act();
        }
    };
    Opener::builder(keys.clone()).observer(observer).build()
}

fn now<F: Future>(future: F) -> F::Output {
    block_in_place(|| Handle::current().block_on(future))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_changes_a_row_meanwhile_wins() {
    let Two { job: keys, pool, .. } = &two().await;
    let sealer = Sealer::builder(keys.clone()).build().for_scope(&scope("p0001")).await.unwrap();
    let written: Sealed<String> = sealer.seal("New Name", &NAME.record_id("p0001")).unwrap();
    let (other, bytes) = (pool.clone(), written.as_bytes().to_vec());
    let opener = opener_that(keys, 3, move || {
        let update = sqlx::query("UPDATE patient SET name = ? WHERE id = 'p0001'").bind(bytes.clone());
        now(update.execute(&other)).unwrap();
        now(sqlx::query("DELETE FROM patient WHERE id = 'p0003'").execute(&other)).unwrap();
    });
    let mut job = job_with(keys, opener, &Log::default()).table(patients(2)).open(pool.clone()).await.unwrap();
    let counts = job.run().await.unwrap().counts;
    assert_eq!(counts, rows::counts(5, 8, 12, 0));
    let rows = rows::patient_rows(pool).await;
    assert_eq!(rows.len(), 4);
    let opener = Opener::builder(keys.clone()).build().for_scope(&scope("p0001")).await.unwrap();
    let name = rows[1].1.as_ref().unwrap();
    assert_eq!(
        (name.as_bytes()[0], opener.open(name, &NAME.record_id("p0001")).unwrap().expose().as_str()),
        (2, "New Name")
    );
    rows::check_tags(pool, keys, 2).await;
}

/// While the first chunk is written, the second one is read and sealed, and the third one is read.
#[tokio::test(flavor = "multi_thread")]
async fn who_changes_a_row_after_it_was_read_ahead_wins_too() {
    for (changed, at, gone) in [("p0002", 2, "p0003"), ("p0004", 3, "p0002")] {
        let Two { job: keys, pool, .. } = &two().await;
        let builder = job_with(keys, Opener::builder(keys.clone()).build(), &Log::default()).rows_per_chunk(CHUNK);
        let mut job = builder.table(patients(2)).open(pool.clone()).await.unwrap();
        assert_eq!(job.next_chunk().await.unwrap().unwrap().counts.rows, 2);
        let sealer = Sealer::builder(keys.clone()).build().for_scope(&scope(changed)).await.unwrap();
        let written: Sealed<String> = sealer.seal("New Name", &NAME.record_id(changed)).unwrap();
        let update = sqlx::query("UPDATE patient SET name = ? WHERE id = ?").bind(written.as_bytes()).bind(changed);
        update.execute(pool).await.unwrap();
        sqlx::query("DELETE FROM patient WHERE id = ?").bind(gone).execute(pool).await.unwrap();
        assert_eq!(job.run().await.unwrap().counts, rows::counts(5, 8, 12, 0));
        let rows = rows::patient_rows(pool).await;
        let opener = Opener::builder(keys.clone()).build().for_scope(&scope(changed)).await.unwrap();
        let name = rows[at].1.as_ref().unwrap();
        let opened = opener.open(name, &NAME.record_id(changed)).unwrap();
        assert_eq!((rows.len(), name.as_bytes()[0], opened.expose().as_str()), (4, 2, "New Name"));
        rows::check_tags(pool, keys, 2).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_ready_is_written_soon_or_made_anew() {
    for pause in [Duration::ZERO, Duration::from_secs(2)] {
        let Two { job: keys, pool, .. } = &two().await;
        let clock = ManualClock::at_unix_seconds(0);
        let builder = job_with(keys, Opener::builder(keys.clone()).build(), &Log::default()).rows_per_chunk(CHUNK);
        let mut job = builder.clock(clock.clone()).table(patients(2)).open(pool.clone()).await.unwrap();
        job.next_chunk().await.unwrap();
        // What was sealed with the key from before could be written when that one is retired already.
        let new = keys.rotate_data_key(&scope("p0002")).await.unwrap().key.kid();
        clock.advance(pause);
        job.next_chunk().await.unwrap();
        let rows = rows::patient_rows(pool).await;
        let name = rows[2].1.as_ref().unwrap();
        assert_eq!((name.as_bytes()[0], name.kid() == new), (2, pause > Duration::ZERO));
        job.run().await.unwrap();
        rows::check_tags(pool, keys, 2).await;
    }
}

/// What was made ready behind it, and read behind that, is then not the next thing to do.
#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_that_was_not_written_is_not_passed_over() {
    let Two { job: keys, pool, .. } = &two().await;
    let builder = job_with(keys, Opener::builder(keys.clone()).build(), &Log::default()).rows_per_chunk(CHUNK);
    let mut job = builder.table(patients(2)).open(pool.clone()).await.unwrap();
    let refuse = "CREATE TRIGGER refuse BEFORE UPDATE ON patient BEGIN SELECT RAISE(ABORT, 'not now'); END";
    sqlx::raw_sql(refuse).execute(pool).await.unwrap();
    for _ in 0..2 {
        assert!(matches!(job.next_chunk().await, Err(ResealError::Database(_))));
    }
    sqlx::raw_sql("DROP TRIGGER refuse").execute(pool).await.unwrap();
    assert_eq!(job.run().await.unwrap().counts, rows::counts(5, 10, 15, 0));
    rows::check_tags(pool, keys, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_others_change_all_the_time_is_left_to_them() {
    let Two { job: keys, pool, .. } = &two().await;
    let name = Sealer::builder(keys.clone()).build();
    let name = name.for_scope(&scope("p0000")).await.unwrap().seal("x", &NAME.record_id("p0000")).unwrap();
    let other = pool.clone();
    let sealer = Sealer::builder(keys.clone()).build().for_scope(&scope("p0000")).await.unwrap();
    let observer = move |what: &Opened<'_>| {
        if what.subject().is_some_and(|subject| subject.expose() == "p0000") {
            let fresh = sealer.seal("x", &NAME.record_id("p0000")).unwrap();
            now(sqlx::query("UPDATE patient SET name = ? WHERE id = 'p0000'").bind(fresh).execute(&other)).unwrap();
        }
    };
    sqlx::query("UPDATE patient SET name = ? WHERE id = 'p0000'").bind(name).execute(pool).await.unwrap();
    let opener = Opener::builder(keys.clone()).observer(observer).build();
    let table = Table::new("patient", RowKey::text("id")).subject("id").column(Column::new("name", NAME));
    let mut job = job_with(keys, opener, &Log::default()).table(table).open(pool.clone()).await.unwrap();
    let progress = job.next_chunk().await.unwrap().unwrap();
    assert_eq!((progress.counts.contended, progress.counts.resealed, progress.table), (1, 4, None));
    assert_eq!((progress.left[0].expose_key(), progress.left[0].reason), ("p0000", LeftBecause::Contended));
}

const TAGS: [IndexColumn; 3] = [
    IndexColumn::new("patient", "ssn_tag", "id"),
    IndexColumn::new("patient", "area_tag", "id"),
    IndexColumn::new("patient", "both_tag", "id"),
];

/// With tags that are replaced, with tags that are set for the first time, and from within the job's own process.
#[tokio::test(flavor = "multi_thread")]
async fn a_patient_who_is_shredded_meanwhile_has_no_tag_afterwards() {
    for (empty_before, own_process) in [(false, false), (true, false), (false, true), (true, true)] {
        let Two { job: keys, other, pool, .. } = &two().await;
        if empty_before {
            sqlx::query("UPDATE patient SET ssn_tag = NULL").execute(pool).await.unwrap();
        }
        let (shredder, database) = (if own_process { keys.clone() } else { other.clone() }, pool.clone());
        let opener = opener_that(keys, 4, move || {
            let _ = now(shred_subject(&shredder, &database, &subject("p0002"), &TAGS)).unwrap();
        });
        let table = Table::new("patient", RowKey::text("id")).subject("id").column(Column::new("name", NAME));
        let table = table.column(Column::new("ssn", SSN).index("ssn_tag", by_ssn(2)));
        let mut job = job_with(keys, opener, &Log::default()).table(table).open(pool.clone()).await.unwrap();
        job.run().await.unwrap();
        let rows = rows::patient_rows(pool).await;
        let tagged: Vec<bool> = rows.iter().map(|row| row.3.is_some()).collect();
        assert_eq!(tagged, [true, true, false, true, true], "{empty_before} {own_process}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_a_shred_left_behind_is_removed() {
    let Two { job: keys, pool, .. } = &two().await;
    let _ = shred_subject(keys, pool, &subject("p0002"), &[]).await.unwrap();
    let opener = Opener::builder(keys.clone()).build();
    let mut job = job_with(keys, opener, &Log::default()).table(patients(2)).open(pool.clone()).await.unwrap();
    let counts = job.run().await.unwrap().counts;
    assert_eq!(counts, rows::counts(5, 8, 13, 1));
    assert_eq!(rows::patient_rows(pool).await[2].3, None);
    let sealer = Sealer::builder(keys.clone()).suite(Suite::ChaCha20Poly1305).build();
    assert!(sealer.for_scope(&scope("p0002")).await.is_err());
}
