//! Re-encryption: how much of the rate at which the same database reads and updates the same rows is left when every value
//! is opened and sealed again meanwhile.

mod postgres;
mod sqlite;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cpu_time::ProcessTime;
use phi_crypto::reseal::{Column, Database, ResealJob, RowKey, Table};
use phi_crypto::{BlindIndex, Field, IndexSpec, Opener, Sealer, Suite, Transform};
use phi_keys::{EphemeralKeyring, Fingerprint, Keys, MemoryKeyStore, Scope};
use phi_types::{NoRecorder, SubjectId};

use self::postgres::Postgres;
use self::sqlite::Sqlite;
use super::ours::NAME;
use crate::Result;
use crate::measure::Effort;
use crate::report::{Better, Report, Row};

const LIMIT: &str = "the database alone";
/// As many rows as one transaction of ours has.
const BATCH: i64 = 256;
const ROUNDS: usize = 9;
const GROUP: &str = "clinic";

const PATIENT_NAME: Field = Field::new("Patient", "name");
const SSN: Field = Field::new("Patient", "ssn");
const BY_SSN: IndexSpec = BlindIndex::exact("Patient", "ssn", "by_ssn", Transform::Digits);

/// Whose the rows are.
#[derive(Clone, Copy)]
enum Of {
    /// Each row another patient's: as many keys as rows, all of them cold.
    Patients,
    /// One group's: one key.
    Group,
}

impl Of {
    const fn words(self) -> &'static str {
        match self {
            Self::Patients => "as many patients",
            Self::Group => "one group",
        }
    }

    fn scope(self, id: &str) -> Result<Scope> {
        Ok(match self {
            Self::Patients => Scope::from(SubjectId::new(id)?),
            Self::Group => Scope::group(GROUP),
        })
    }
}

/// A row as the job reads it, and as it is written.
struct Patient {
    id: String,
    /// The name, the SSN and the tag of the SSN.
    written: [Option<Vec<u8>>; 3],
}

/// A row to change: the new values, if the old ones are still there.
struct Change<'a> {
    id: &'a str,
    new: &'a [Option<Vec<u8>>; 3],
    old: &'a [Option<Vec<u8>>; 3],
}

/// What the job does to a database, without cryptography: the same statements through the same driver.
trait Raw {
    const NAME: &'static str;

    fn database(&self) -> Database;

    async fn insert(&self, rows: &[Patient]) -> Result<()>;

    async fn page(&self, after: Option<&str>) -> Result<Vec<Patient>>;

    /// All of them in one transaction, with what a checkpoint costs.
    async fn commit(&self, changes: &[Change<'_>]) -> Result<()>;
}

pub(super) fn run(report: &mut Report, effort: Effort) -> Result<()> {
    // One thread for the job and its connection, which looks at the socket after every step: the server, or SQLite's own
    // thread, has the other core of a small machine.
    let runtime = tokio::runtime::Builder::new_current_thread().event_interval(1).enable_all().build()?;
    let rows = if effort.is_quick() { 10_000 } else { 100_000 };
    runtime.block_on(async {
        for of in [Of::Patients, Of::Group] {
            let folder = tempfile::tempdir()?;
            measure(report, &Sqlite::new(folder.path()).await?, of, rows).await?;
            let Some(postgres) = Postgres::new().await? else { continue };
            let measured = measure(report, &postgres, of, rows).await;
            postgres.clear().await?;
            measured?;
        }
        if !Postgres::is_given() {
            eprintln!("not measured: re-encryption in PostgreSQL; {} names no server", postgres::VARIABLE);
        }
        Ok(())
    })
}

/// One run over all rows.
#[derive(Clone, Copy)]
struct Turn {
    wall: Duration,
    cpu: Duration,
}

async fn measure<R: Raw>(report: &mut Report, raw: &R, of: Of, rows: u32) -> Result<()> {
    let workload = format!("reseal {rows} rows of {} in {}", of.words(), R::NAME);
    eprintln!("measuring {workload} …");
    let world = World::new(of).await?;
    world.fill(raw, rows).await?;
    let (mut ours, mut limit) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let before = all(raw).await?;
        ours.push(turn(async || world.reseal(raw, round, rows).await).await?);
        limit.push(turn(async || swap(raw, &before).await).await?);
    }
    let version = crate::version(NAME);
    let mut rate = |system: &str, version: &str, mut turns: Vec<Turn>, notes: &str| {
        turns.sort_by_key(|turn| turn.wall);
        let median = turns[turns.len() / 2];
        let rate = f64::from(rows) / median.wall.as_secs_f64();
        let cpu = median.cpu.as_secs_f64() * 1e6 / f64::from(rows);
        let row = Row::new(&workload, system, version, "rows per second", rate, "", Better::Higher);
        report.row(row.with_notes(format!("wall time, median of {ROUNDS}; {notes}")));
        let row = Row::new(&workload, system, version, "CPU time of a row", cpu, "µs", Better::Lower);
        report.row(row.with_notes("all threads of this process; a server's is not in it".to_owned()));
        rate
    };
    let notes = "two sealed columns and an index, cold keys; compare-and-swap, checkpoint and rows in one transaction";
    let ours = rate(NAME, &version, ours, notes);
    let notes = "the same pages read, and updated to values that were made before";
    let limit = rate(LIMIT, &crate::version("sqlx"), limit, notes);
    report.bar_at_least(&workload, &format!("rate ÷ ({LIMIT})"), ours / limit, "×", 0.7);
    Ok(())
}

async fn turn(work: impl AsyncFnOnce() -> Result<()>) -> Result<Turn> {
    let (begin, cpu) = (Instant::now(), ProcessTime::now());
    work().await?;
    Ok(Turn { wall: begin.elapsed(), cpu: cpu.elapsed() })
}

/// The keys of one clinic.
struct World {
    of: Of,
    store: Arc<MemoryKeyStore>,
    kek: Arc<EphemeralKeyring>,
    fingerprint: Fingerprint,
}

impl World {
    async fn new(of: Of) -> Result<Self> {
        let (store, kek) = (Arc::new(MemoryKeyStore::new()), Arc::new(EphemeralKeyring::generate()?));
        let keys = Keys::builder(Arc::clone(&store)).kek(Arc::clone(&kek)).tenant("clinic").build().await?;
        Ok(Self { of, store, kek, fingerprint: keys.fingerprint() })
    }

    /// The keys of a process that has just started.
    async fn keys(&self) -> Result<Keys> {
        let keys = Keys::builder(Arc::clone(&self.store)).kek(Arc::clone(&self.kek)).tenant("clinic");
        Ok(keys.lease(Duration::from_secs(3600)).fingerprint(self.fingerprint).build().await?)
    }

    async fn fill(&self, raw: &impl Raw, rows: u32) -> Result<()> {
        let keys = self.keys().await?;
        let index = BY_SSN.open(&keys).await?;
        let sealer = Sealer::builder(keys).build();
        let mut patients = Vec::new();
        for number in 0..rows {
            let id = format!("22d6efc6-9f1c-4b0e-8a55-{number:012}");
            let sealer = sealer.for_scope(&self.of.scope(&id)?).await?;
            let ssn = format!("{:03}-{:02}-{:04}", number / 10_000 % 1000, number % 97, number % 10_000);
            let name = sealer.seal(&[b'n'; 64], &PATIENT_NAME.record_id(id.as_str()))?.into_bytes();
            let sealed = sealer.seal(ssn.as_bytes(), &SSN.record_id(id.as_str()))?.into_bytes();
            let tag = index.tag(&ssn)?.map(|tag| tag.as_bytes().to_vec());
            patients.push(Patient { id, written: [Some(name), Some(sealed), tag] });
        }
        for page in patients.chunks(1_000) {
            raw.insert(page).await?;
        }
        Ok(())
    }

    async fn reseal(&self, raw: &impl Raw, round: usize, rows: u32) -> Result<()> {
        let keys = self.keys().await?;
        let sealer = Sealer::builder(keys.clone()).suite(Suite::ChaCha20Poly1305).build();
        let table = Table::new("patients", RowKey::text("id"));
        let table = match self.of {
            Of::Patients => table.subject("id"),
            Of::Group => table.group(GROUP),
        };
        let table =
            table.column(Column::new("name", PATIENT_NAME)).column(Column::new("ssn", SSN).index("ssn_tag", BY_SSN));
        let job = ResealJob::builder(format!("round {round}"), sealer, Opener::builder(keys).build(), NoRecorder);
        let counts = job.table(table).open(raw.database()).await?.run().await?.counts;
        if counts.resealed == 2 * u64::from(rows) {
            Ok(())
        } else {
            Err(format!("not all was resealed: {counts:?}").into())
        }
    }
}

/// What every row holds.
async fn all(raw: &impl Raw) -> Result<HashMap<String, [Option<Vec<u8>>; 3]>> {
    let mut found = HashMap::new();
    let mut after = None;
    loop {
        let page = raw.page(after.as_deref()).await?;
        let Some(last) = page.last() else { return Ok(found) };
        after = Some(last.id.clone());
        found.extend(page.into_iter().map(|row| (row.id, row.written)));
    }
}

/// Reads page after page and puts what was there before in the place of what is there.
async fn swap(raw: &impl Raw, before: &HashMap<String, [Option<Vec<u8>>; 3]>) -> Result<()> {
    let mut after: Option<String> = None;
    loop {
        let page = raw.page(after.as_deref()).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.id.clone());
        let change = |row: &'_ Patient| before.get(&row.id).ok_or("a row that was not there before");
        let news = page.iter().map(change).collect::<std::result::Result<Vec<_>, _>>()?;
        let changes: Vec<_> =
            page.iter().zip(news).map(|(row, new)| Change { id: &row.id, new, old: &row.written }).collect();
        raw.commit(&changes).await?;
    }
}
