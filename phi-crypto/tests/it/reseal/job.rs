use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use phi_crypto::reseal::{Column, LeftBecause, ResealError, ResealJob, RowKey, Table};
use phi_crypto::{BlindIndex, IndexSpec, Opener, Sealer, Suite, Transform};
use phi_keys::{KeyUse, Scope, Sleeper};
use phi_types::{Detail, ManualClock};
use sqlx::SqlitePool;

use super::rows::{self, Log, NAME, SSN, by_ssn, check_all, check_tags, documents, fill, job, patients};
use crate::support::{Clinic, scope};

const PATIENTS: usize = 20;

struct Stored {
    clinic: Clinic,
    pool: SqlitePool,
    log: Log,
    _folder: tempfile::TempDir,
}

async fn stored() -> Stored {
    let folder = tempfile::tempdir().unwrap();
    let (clinic, pool) = (Clinic::new().await, rows::connect(&folder.path().join("clinic.db")).await);
    fill(&pool, &clinic.keys, PATIENTS).await;
    Stored { clinic, pool, log: Log::default(), _folder: folder }
}

async fn dump(pool: &SqlitePool) -> Vec<(String, Option<Vec<u8>>, Option<Vec<u8>>)> {
    sqlx::query_as("SELECT id, name, ssn_tag FROM patient ORDER BY id").fetch_all(pool).await.unwrap()
}

#[tokio::test]
async fn a_job_reseals_every_value_and_every_tag() {
    let Stored { clinic, pool, log, .. } = &stored().await;
    assert_eq!(check_all(pool, &clinic.keys).await, [PATIENTS * 5, 0]);
    let mut job = job(&clinic.keys, log).table(patients(2)).table(documents()).open(pool.clone()).await.unwrap();
    let before = job.references().await.unwrap();
    // Every patient has a key, and so has the group.
    assert_eq!((before.by_key.len(), before.by_key.values().sum::<u64>(), before.not_sealed), (PATIENTS + 1, 100, 0));
    let shared = clinic.sealer.for_scope(&Scope::group("directory")).await.unwrap();
    assert_eq!(before.remaining(shared.kid()), PATIENTS as u64);

    let mut seen = Vec::new();
    while let Some(progress) = job.next_chunk().await.unwrap() {
        assert!(progress.left.is_empty() && (0.0..=1.0).contains(&progress.share()));
        seen.push((progress.table, progress.counts.rows));
    }
    assert_eq!(seen.len(), 3 + 9, "chunks of 7 of 20 and of 60 rows: {seen:?}");
    assert_eq!(seen.last().unwrap(), &(None, 80));
    let done = rows::counts(80, 100, 60, 0);
    assert_eq!(job.progress().counts, done);
    assert_eq!(check_all(pool, &clinic.keys).await, [0, PATIENTS * 5]);
    check_tags(pool, &clinic.keys, 2).await;
    let areas: i64 =
        sqlx::query_scalar("SELECT count(*) FROM patient WHERE area_tag IS NOT NULL AND both_tag IS NOT NULL")
            .fetch_one(pool)
            .await
            .unwrap();
    assert_eq!(areas, 20);
    assert_eq!(log.kinds(), ["reseal.begin", "reseal.end"]);
    assert_eq!(log.last().detail("resealed"), Some(&Detail::Count(100)));

    // Once more there is nothing to do, by the checkpoint and by the rows.
    assert!(job.next_chunk().await.unwrap().is_none());
    let written = dump(pool).await;
    let mut again =
        rows::job(&clinic.keys, log).table(patients(2)).table(documents()).restart().open(pool.clone()).await.unwrap();
    assert_eq!(again.run().await.unwrap().counts, rows::counts(80, 0, 0, 0));
    assert_eq!(dump(pool).await, written);
}

#[tokio::test]
async fn partitioned_and_compound_tags_are_those_of_the_index() {
    let Stored { clinic, pool, log, .. } = &stored().await;
    job(&clinic.keys, log).table(patients(3)).open(pool.clone()).await.unwrap().run().await.unwrap();
    let area = BlindIndex::exact("Patient", "ssn", "by_area", Transform::First(3)).version(3).partitioned(4);
    let both = BlindIndex::compound("Patient", "by_both", &[("ssn", Transform::Digits), ("name", Transform::Exact)])
        .version(3);
    let (area, both) = (area.open(&clinic.keys).await.unwrap(), both.open(&clinic.keys).await.unwrap());
    let rows: Vec<(String, phi_crypto::Tag, phi_crypto::Tag)> =
        sqlx::query_as("SELECT id, area_tag, both_tag FROM patient").fetch_all(pool).await.unwrap();
    for (id, area_tag, both_tag) in rows {
        assert_eq!(Some(area_tag), area.tag(&rows::ssn_of(&id), &id).unwrap());
        assert_eq!(Some(both_tag), both.tag([Some(&rows::ssn_of(&id)), Some(&rows::name_of(&id))]).unwrap());
    }
}

#[tokio::test]
async fn a_job_goes_on_where_another_process_left_it() {
    let Stored { clinic, pool, log, .. } = &stored().await;
    for chunks in [1, 3, 2, 100] {
        let mut job = job(&clinic.keys, log).table(patients(2)).table(documents()).open(pool.clone()).await.unwrap();
        for _ in 0..chunks {
            if job.next_chunk().await.unwrap().is_none() {
                break;
            }
        }
    }
    let job = job(&clinic.keys, log).table(patients(2)).table(documents()).open(pool.clone()).await.unwrap();
    assert_eq!(job.progress().counts, rows::counts(80, 100, 60, 0));
    assert_eq!(check_all(pool, &clinic.keys).await, [0, 100]);
    assert_eq!(log.kinds().iter().filter(|kind| *kind == "reseal.begin").count(), 4);
}

#[tokio::test]
async fn a_job_is_not_taken_further_by_two_or_over_other_tables() {
    let Stored { clinic, pool, log, .. } = &stored().await;
    let open = async || job(&clinic.keys, log).table(patients(2)).open(pool.clone()).await.unwrap();
    let (mut one, mut other) = (open().await, open().await);
    one.next_chunk().await.unwrap();
    assert!(matches!(other.next_chunk().await, Err(ResealError::Elsewhere)));
    assert_eq!(log.kinds(), ["reseal.begin", "reseal.begin", "reseal.stop"]);
    one.run().await.unwrap();
    check_tags(pool, &clinic.keys, 2).await;
    for tables in [vec![documents()], vec![patients(3)], vec![patients(2), documents()]] {
        let job = tables.into_iter().fold(job(&clinic.keys, log), |job, table| job.table(table));
        assert!(matches!(job.open(pool.clone()).await, Err(ResealError::OtherTables)));
    }
    job(&clinic.keys, log).table(patients(3)).restart().open(pool.clone()).await.unwrap().run().await.unwrap();
    check_tags(pool, &clinic.keys, 3).await;
}

#[tokio::test]
async fn a_dry_run_writes_nothing_and_says_what_would_be() {
    let Stored { clinic, pool, log, .. } = &stored().await;
    let before = dump(pool).await;
    let mut dry =
        job(&clinic.keys, log).table(patients(2)).table(documents()).dry_run().open(pool.clone()).await.unwrap();
    let progress = dry.run().await.unwrap();
    assert_eq!(progress.counts, rows::counts(80, 100, 60, 0));
    assert_eq!(dump(pool).await, before);
    assert_eq!(check_all(pool, &clinic.keys).await, [100, 0]);
    assert_eq!(log.last().detail("dry_run"), Some(&Detail::Flag(true)));
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'phi_crypto%'")
        .fetch_one(pool)
        .await
        .unwrap();
    assert_eq!(tables, 0);
}

#[tokio::test]
async fn what_does_not_open_is_left_as_it_is_and_named() {
    let Stored { clinic, pool, log, .. } = &stored().await;
    // Of another scope, so that the row's patient has no such key; moved from another row; a plaintext; a number.
    let foreign = clinic.sealer("mallory").await.seal("x", &NAME.record_id("p0003")).unwrap();
    sqlx::query("UPDATE patient SET name = ? WHERE id = 'p0003'").bind(foreign).execute(pool).await.unwrap();
    for statement in [
        "UPDATE document SET body = (SELECT body FROM document WHERE number = 0) WHERE number = 1",
        "UPDATE patient SET ssn = 'plain text that is long enough to be taken for a sealed value, if nobody looks' WHERE id = 'p0005'",
        "UPDATE patient SET ssn = 12 WHERE id = 'p0006'",
        "INSERT INTO document SELECT 1000, ' ', kind, version, body FROM document WHERE number = 3",
        "INSERT INTO document SELECT 1001, 'nobody', kind, version, body FROM document WHERE number = 3",
        "INSERT INTO document SELECT 1002, patient, NULL, version, body FROM document WHERE number = 3",
        "UPDATE document SET version = 8 WHERE number = 4",
    ] {
        sqlx::query(statement).execute(pool).await.unwrap();
    }
    let before: Vec<(String, Vec<u8>)> =
        sqlx::query_as("SELECT id, CAST(ssn AS BLOB) FROM patient WHERE id IN ('p0005', 'p0006')")
            .fetch_all(pool)
            .await
            .unwrap();
    let mut job = job(&clinic.keys, log).table(patients(2)).table(documents()).open(pool.clone()).await.unwrap();
    let mut left = Vec::new();
    while let Some(progress) = job.next_chunk().await.unwrap() {
        left.extend(progress.left);
    }
    let named =
        |key: &str| left.iter().find(|row| row.expose_key() == key).map(|row| (row.table, row.column, row.reason));
    assert_eq!(named("p0003"), Some(("patient", "name", LeftBecause::Key)));
    assert_eq!(named("p0005"), Some(("patient", "ssn", LeftBecause::NotSealed)));
    assert_eq!(named("p0006"), Some(("patient", "ssn", LeftBecause::NotSealed)));
    assert_eq!(named("1"), Some(("document", "body", LeftBecause::Refused)));
    assert_eq!(named("4"), Some(("document", "body", LeftBecause::Refused)));
    assert_eq!(named("1000"), Some(("document", "body", LeftBecause::Place)));
    assert_eq!(named("1001"), Some(("document", "body", LeftBecause::Key)));
    assert_eq!(named("1002"), Some(("document", "body", LeftBecause::Place)));
    assert_eq!((left.len(), job.progress().counts.unreadable), (8, 8));
    assert!(!format!("{left:?}").contains("p000"), "{left:?}");
    let after: Vec<(String, Vec<u8>)> =
        sqlx::query_as("SELECT id, CAST(ssn AS BLOB) FROM patient WHERE id IN ('p0005', 'p0006')")
            .fetch_all(pool)
            .await
            .unwrap();
    assert_eq!(after, before);
    assert_eq!(job.references().await.unwrap().not_sealed, 2);
    // No key was made for the patient who is none.
    let nobody = clinic.opener.for_scope(&scope("nobody")).await.unwrap();
    assert_eq!(format!("{nobody:?}"), "ScopedOpener(0 keys)");
}

#[tokio::test]
async fn absent_values_stay_absent_and_their_tags_go() {
    let Stored { clinic, pool, log, .. } = &stored().await;
    sqlx::query("UPDATE patient SET ssn = NULL WHERE id = 'p0001'").execute(pool).await.unwrap();
    sqlx::query("INSERT INTO patient (id) VALUES ('p9999')").execute(pool).await.unwrap();
    let mut job = job(&clinic.keys, log).table(patients(2)).open(pool.clone()).await.unwrap();
    let counts = job.run().await.unwrap().counts;
    assert_eq!((counts.rows, counts.resealed, counts.unreadable), (21, 39, 0));
    let rows = rows::patient_rows(pool).await;
    assert!(rows[1].1.is_some() && rows[1].2.is_none() && rows[1].3.is_none());
    assert!(rows[20].1.is_none() && rows[20].3.is_none());
}

#[tokio::test]
async fn a_column_that_is_no_text_is_not_indexed_and_a_wrong_name_never_reaches_the_database() {
    const BY_NAME: IndexSpec = BlindIndex::exact("Patient", "name", "by_name", Transform::Exact);
    let Stored { clinic, pool, log, .. } = &stored().await;
    let bytes = clinic.sealer("p0000").await.seal(&[0xff_u8, 0xfe][..], &NAME.record_id("p0000")).unwrap();
    sqlx::query("UPDATE patient SET name = ? WHERE id = 'p0000'").bind(bytes).execute(pool).await.unwrap();
    let table = Table::new("patient", RowKey::text("id")).subject("id");
    let indexed = table.clone().column(Column::new("name", NAME).index("area_tag", BY_NAME));
    let mut job = job(&clinic.keys, log).table(indexed).open(pool.clone()).await.unwrap();
    let progress = job.next_chunk().await.unwrap().unwrap();
    assert_eq!((progress.left[0].column, progress.left[0].reason), ("area_tag", LeftBecause::NotText));

    let evil = table.clone().column(Column::new("name\" = NULL; --", NAME));
    let refused = rows::job(&clinic.keys, log).table(evil).open(pool.clone()).await;
    assert!(matches!(refused, Err(ResealError::Name(_))));
    for missing in [
        table.clone().column(Column::new("nickname", NAME)),
        Table::new("patiens", RowKey::text("id")).group("g").column(Column::new("name", NAME)),
    ] {
        let job = rows::job(&clinic.keys, log).table(missing).restart().open(pool.clone()).await;
        let failed = match job {
            Ok(mut job) => job.run().await.err(),
            Err(error) => Some(error),
        };
        assert!(matches!(failed, Some(ResealError::Database(_))), "{failed:?}");
    }
}

#[tokio::test]
async fn without_the_log_nothing_is_opened() {
    let Stored { clinic, pool, log, .. } = &stored().await;
    log.refuse();
    let before = dump(pool).await;
    let mut job = job(&clinic.keys, log).table(patients(2)).open(pool.clone()).await.unwrap();
    assert!(matches!(job.next_chunk().await, Err(ResealError::Audit(_))));
    assert_eq!(dump(pool).await, before);
    assert_eq!(log.kinds(), ["reseal.begin"]);
}

/// Lets time pass, and remembers how much.
#[derive(Debug, Clone)]
struct Slept(ManualClock, Arc<Mutex<Vec<Duration>>>);

impl Sleeper for Slept {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.0.advance(duration);
        self.1.lock().unwrap().push(duration);
        Box::pin(core::future::ready(()))
    }
}

#[tokio::test]
async fn the_rate_is_kept_and_the_rest_is_estimated() {
    let Stored { clinic, pool, log, .. } = &stored().await;
    let clock = ManualClock::at_unix_seconds(0);
    let sleeper = Slept(clock.clone(), Arc::default());
    let job = job(&clinic.keys, log).table(documents()).clock(clock.clone());
    let mut job = job.rows_per_second(NonZeroU32::new(7).unwrap(), sleeper.clone()).open(pool.clone()).await.unwrap();
    assert_eq!(job.progress().remaining, None);
    job.next_chunk().await.unwrap();
    // 7 rows at 7 rows a second are a second.
    assert_eq!(*sleeper.1.lock().unwrap(), [Duration::from_secs(1)]);
    clock.advance(Duration::from_millis(400));
    let progress = job.next_chunk().await.unwrap().unwrap();
    assert_eq!(*sleeper.1.lock().unwrap(), [Duration::from_secs(1), Duration::from_millis(600)]);
    assert!((progress.rows_per_second - 14.0 / 1.4).abs() < 1e-9, "{progress:?}");
    assert_eq!(progress.remaining.unwrap().as_millis(), 4_600, "46 rows at 10 a second");
    assert!(progress.to_string().starts_with("23.3 %, 14 of 60 rows, 14 values resealed, 4 s left"), "{progress}");
    clock.advance(Duration::from_secs(60));
    job.run().await.unwrap();
    assert_eq!(sleeper.1.lock().unwrap().len(), 2, "a job that is late does not sleep");
}

#[tokio::test]
async fn a_value_of_the_newest_key_and_suite_is_only_looked_at() {
    let Stored { clinic, pool, log, .. } = &stored().await;
    let sealer = Sealer::builder(clinic.keys.clone()).suite(Suite::ChaCha20Poly1305).build();
    let sealer = sealer.for_scope(&scope("p0002")).await.unwrap();
    let name = sealer.seal(&rows::name_of("p0002"), &NAME.record_id("p0002")).unwrap();
    let ssn = sealer.seal(&rows::ssn_of("p0002"), &SSN.record_id("p0002")).unwrap();
    // Not the tag of this value, which nobody would see without opening it.
    let tag = by_ssn(2).open(&clinic.keys).await.unwrap().tag(&rows::ssn_of("p0003")).unwrap();
    let update = sqlx::query("UPDATE patient SET name = ?, ssn = ?, ssn_tag = ? WHERE id = 'p0002'");
    update.bind(&name).bind(&ssn).bind(tag).execute(pool).await.unwrap();
    let table = Table::new("patient", RowKey::text("id")).subject("id").column(Column::new("name", NAME));
    let table = table.column(Column::new("ssn", SSN).index("ssn_tag", by_ssn(2)));
    let counts = job(&clinic.keys, log).table(table).open(pool.clone()).await.unwrap().run().await.unwrap().counts;
    assert_eq!((counts.resealed, counts.tags), (38, 19));
    let rows = rows::patient_rows(pool).await;
    assert_eq!((rows[2].1.as_ref(), rows[2].2.as_ref(), rows[2].3), (Some(&name), Some(&ssn), tag));
}

#[tokio::test]
async fn a_rotated_key_is_retired_when_nothing_needs_it_any_more() {
    let Stored { clinic, pool, log, .. } = &stored().await;
    let old = clinic.sealer("p0004").await.kid();
    let _ = clinic.keys.rotate_data_key(&scope("p0004")).await.unwrap();
    let opener = Opener::builder(clinic.keys.clone()).build();
    let same_suite = || {
        let sealer = Sealer::builder(clinic.keys.clone()).build();
        ResealJob::builder("newer key", sealer, opener.clone(), log.clone()).table(patients(1)).table(documents())
    };
    clinic.clock.advance(Duration::from_secs(2 * 3600));
    let mut job = same_suite().open(pool.clone()).await.unwrap();
    let refused = clinic.keys.retire(old, &job).await.unwrap_err();
    assert!(matches!(refused, phi_keys::Error::Referenced { found: 4 }), "{refused:?}");
    assert_eq!(job.run().await.unwrap().counts, rows::counts(80, 4, 40, 0));
    assert_eq!(job.references().await.unwrap().remaining(old), 0);
    let _ = clinic.keys.retire(old, &job).await.unwrap();
    assert_eq!(check_all(pool, &clinic.keys).await, [100, 0]);
}

#[tokio::test]
async fn tags_under_a_rotated_index_key_are_found_and_renewed() {
    let Stored { clinic, pool, log, .. } = &stored().await;
    let stored = rows::patient_rows(pool).await[3].3.unwrap();
    let _ = clinic.keys.rotate_domain_key(KeyUse::Index).await.unwrap();
    let index = by_ssn(1).open(&clinic.keys).await.unwrap();
    let ssn = rows::ssn_of("p0003");
    let renewed = index.tag(&ssn).unwrap().unwrap();
    assert_ne!(renewed, stored);
    assert_eq!(index.search(&ssn).unwrap().as_slice(), [renewed, stored]);

    let table = Table::new("patient", RowKey::text("id")).subject("id");
    let table = table.column(Column::new("ssn", SSN).index("ssn_tag", by_ssn(1)));
    let sealer = Sealer::builder(clinic.keys.clone()).build();
    let job = ResealJob::builder("index", sealer, Opener::builder(clinic.keys.clone()).build(), log.clone());
    let counts = job.table(table).open(pool.clone()).await.unwrap().run().await.unwrap().counts;
    assert_eq!(counts, rows::counts(20, 0, 20, 0));
    check_tags(pool, &clinic.keys, 1).await;
    assert_eq!(rows::patient_rows(pool).await[3].3, Some(renewed));
}
