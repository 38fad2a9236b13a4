//! An index over a table that is there already: every value is opened and tagged, which is what the bar is about, and with
//! what SQLite adds when the job reads and updates the rows.

use std::num::NonZeroU32;
use std::time::Duration;

use cpu_time::{ProcessTime, ThreadTime};
use phi_crypto::reseal::{Column, ResealJob, RowKey, Table};
use phi_crypto::{BlindIndex, Field, IndexSpec, Opener, Sealer, Transform};
use phi_keys::{EphemeralKeyring, Keys, MemoryKeyStore, Scope};
use phi_types::NoRecorder;
use sqlx::QueryBuilder;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};

use super::ours::NAME;
use crate::Result;
use crate::report::{Better, Report, Row};

const WORKLOAD: &str = "index 300,000 rows in SQLite";
const ROWS: u32 = 300_000;
/// More than by default: nobody else writes.
const CHUNK: NonZeroU32 = NonZeroU32::MIN.saturating_add(2_000 - 1);
const SSN: Field = Field::new("Patient", "ssn");
const BY_SSN: IndexSpec = BlindIndex::exact("Patient", "ssn", "by_ssn", Transform::Digits);

pub(super) fn run(report: &mut Report) -> Result<()> {
    eprintln!("measuring {WORKLOAD} …");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let (tags, all) = runtime.block_on(measure())?;
    let mut row = |metric: &str, time: Duration, notes: &str| {
        let row = Row::new(WORKLOAD, NAME, &crate::version(NAME), metric, time.as_secs_f64(), "s", Better::Lower);
        report.row(row.with_notes(notes.to_owned()));
    };
    row("CPU time of opening and tagging", tags, "digits transform; each value opened by itself");
    let notes = "all threads, the database's among them, whose handing over costs more on an idle machine; read, opened, \
                 tagged, compared and updated";
    row("CPU time with SQLite", all, notes);
    report.bar(WORKLOAD, "CPU time of opening and tagging", tags.as_secs_f64(), "s", 5.0);
    Ok(())
}

async fn measure() -> Result<(Duration, Duration)> {
    let folder = tempfile::tempdir()?;
    let options = SqliteConnectOptions::new().filename(folder.path().join("clinic.db")).create_if_missing(true);
    let options = options.journal_mode(SqliteJournalMode::Wal);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
    sqlx::raw_sql("CREATE TABLE patients (id INTEGER PRIMARY KEY, ssn BLOB, ssn_tag BLOB)").execute(&pool).await?;
    let keys = Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate()?).tenant("clinic").build().await?;
    let sealer = Sealer::builder(keys.clone()).build();
    let scoped = sealer.for_scope(&Scope::group("patients")).await?;
    let texts: Vec<String> = (0..ROWS).map(ssn).collect();
    let mut values = Vec::new();
    let mut transaction = pool.begin().await?;
    for (page, texts) in (0_u64..).zip(texts.chunks(1_000)) {
        let first = page * 1_000;
        let items: Vec<_> = (first..).zip(texts).map(|(id, text)| (text.as_str(), SSN.record_id(id))).collect();
        let sealed = scoped.seal_many(&items)?;
        let mut insert = QueryBuilder::new("INSERT INTO patients (id, ssn) ");
        insert.push_values((first..).zip(&sealed), |mut row, (id, sealed)| {
            row.push_bind(id as i64).push_bind(sealed.as_bytes());
        });
        insert.build().execute(&mut *transaction).await?;
        values.extend((first..).zip(sealed));
    }
    transaction.commit().await?;

    let index = BY_SSN.open(&keys).await?;
    let opener = Opener::builder(keys.clone()).build();
    let reader = opener.for_scope(&Scope::group("patients")).await?;
    let begin = ThreadTime::now();
    for (id, sealed) in &values {
        std::hint::black_box(index.tag(reader.open(sealed, &SSN.record_id(*id))?.expose())?);
    }
    let tags = begin.elapsed();

    let table = Table::new("patients", RowKey::integer("id")).group("patients");
    let table = table.column(Column::new("ssn", SSN).index("ssn_tag", BY_SSN));
    let job = ResealJob::builder("index", sealer, opener, NoRecorder).table(table);
    let job = job.rows_per_chunk(CHUNK);
    let begin = ProcessTime::now();
    let counts = job.open(pool).await?.run().await?.counts;
    let all = begin.elapsed();
    if counts.tags == u64::from(ROWS) { Ok((tags, all)) } else { Err(format!("not all was tagged: {counts:?}").into()) }
}

/// A number of nine digits as people write it, another one for each row.
fn ssn(number: u32) -> String {
    let number = number.wrapping_mul(3_061) % 1_000_000_000;
    format!("{:03}-{:02}-{:04}", number / 1_000_000, number / 10_000 % 100, number % 10_000)
}
