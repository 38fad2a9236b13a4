//! Patients and their documents in SQLite, sealed in one suite and indexed in one version.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::{Arc, Mutex};

use phi_crypto::reseal::{Column, Counts, ResealJob, ResealJobBuilder, RowKey, Table};
use phi_crypto::{BlindIndex, Context, Field, IndexSpec, Opener, Sealed, Sealer, Suite, Transform};
use phi_keys::{Keys, Scope};
use phi_types::{Activity, RecordError, Recorder, Recording};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};

use crate::support::scope;

pub(crate) const NAME: Field = Field::new("Patient", "name");
pub(crate) const SSN: Field = Field::new("Patient", "ssn");
pub(crate) const BODY: Field = Field::new("Document", "body");

pub(crate) const PATIENT: &str =
    "CREATE TABLE patient (id TEXT PRIMARY KEY, name BLOB, ssn BLOB, ssn_tag BLOB, area_tag BLOB, both_tag BLOB)";
pub(crate) const DOCUMENT: &str =
    "CREATE TABLE document (number INTEGER PRIMARY KEY, patient TEXT, kind TEXT, version INTEGER, body BLOB)";

pub(crate) const fn by_ssn(version: u8) -> IndexSpec {
    BlindIndex::exact("Patient", "ssn", "by_ssn", Transform::Digits).version(version)
}

pub(crate) fn patients(version: u8) -> Table {
    let area = BlindIndex::exact("Patient", "ssn", "by_area", Transform::First(3)).version(version).partitioned(4);
    let both = BlindIndex::compound("Patient", "by_both", &[("ssn", Transform::Digits), ("name", Transform::Exact)]);
    Table::new("patient", RowKey::text("id"))
        .subject("id")
        .column(Column::new("name", NAME))
        .column(Column::new("ssn", SSN).index("ssn_tag", by_ssn(version)).partitioned_index("area_tag", area))
        .compound_index("both_tag", both.version(version))
}

pub(crate) fn documents() -> Table {
    let body = Column::new("body", BODY).pair("kind", "kind").row_version("version");
    Table::new("document", RowKey::integer("number")).subject_or_group("patient", "directory").column(body)
}

pub(crate) async fn connect(file: &Path) -> SqlitePool {
    crate::component::used("sqlite");
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
    let options = options.journal_mode(SqliteJournalMode::Wal).busy_timeout(std::time::Duration::from_secs(20));
    SqlitePoolOptions::new().max_connections(2).connect_with(options).await.unwrap()
}

/// So many patients, each with two documents, and as many documents of the group; sealed in the first suite.
pub(crate) async fn fill(pool: &SqlitePool, keys: &Keys, patients: usize) {
    let sealer = Sealer::builder(keys.clone()).build();
    let index = by_ssn(1).open(keys).await.unwrap();
    let shared = sealer.for_scope(&Scope::group("directory")).await.unwrap();
    for statement in [PATIENT, DOCUMENT] {
        sqlx::query(statement).execute(pool).await.unwrap();
    }
    // Before the transaction, which would keep the key store waiting.
    for number in 0..patients {
        sealer.for_scope(&scope(&format!("p{number:04}"))).await.unwrap();
    }
    let mut transaction = pool.begin().await.unwrap();
    for number in 0..patients {
        let id = format!("p{number:04}");
        let sealer = sealer.for_scope(&scope(&id)).await.unwrap();
        let name: Sealed<String> = sealer.seal(&name_of(&id), &NAME.record_id(&id)).unwrap();
        let ssn = sealer.seal(&ssn_of(&id), &SSN.record_id(&id)).unwrap();
        sqlx::query("INSERT INTO patient (id, name, ssn, ssn_tag) VALUES (?, ?, ?, ?)")
            .bind(&id)
            .bind(name)
            .bind(ssn)
            .bind(index.tag(&ssn_of(&id)).unwrap())
            .execute(&mut *transaction)
            .await
            .unwrap();
        for (place, (sealer, patient)) in
            [(&sealer, Some(&id)), (&sealer, Some(&id)), (&shared, None)].into_iter().enumerate()
        {
            let document = i64::try_from(number * 3 + place).unwrap();
            let body = sealer.seal(&format!("body {document}"), &body_place(document, "note")).unwrap();
            sqlx::query("INSERT INTO document VALUES (?, ?, 'note', 7, ?)")
                .bind(document)
                .bind(patient)
                .bind(body)
                .execute(&mut *transaction)
                .await
                .unwrap();
        }
    }
    transaction.commit().await.unwrap();
}

pub(crate) fn name_of(id: &str) -> String {
    format!("Name of {id}")
}

pub(crate) fn ssn_of(id: &str) -> String {
    format!("078-05-{}", &id[1..])
}

pub(crate) fn body_place<'a>(number: i64, kind: &'a str) -> Context<'a> {
    BODY.record_id(number).pair("kind", kind).row_version(7)
}

pub(crate) type PatientRow = (String, Option<Sealed<String>>, Option<Sealed<String>>, Option<phi_crypto::Tag>);

pub(crate) async fn patient_rows(pool: &SqlitePool) -> Vec<PatientRow> {
    sqlx::query_as("SELECT id, name, ssn, ssn_tag FROM patient ORDER BY id").fetch_all(pool).await.unwrap()
}

/// Opens every row of both tables and compares; says how many values are of each suite.
pub(crate) async fn check_all(pool: &SqlitePool, keys: &Keys) -> [usize; 2] {
    let opener = Opener::builder(keys.clone()).build();
    let mut suites = [0; 2];
    let mut count = |bytes: &[u8]| suites[usize::from(bytes[0]) - 1] += 1;
    for (id, name, ssn, _) in patient_rows(pool).await {
        let opener = opener.for_scope(&scope(&id)).await.unwrap();
        let (name, ssn) = (name.unwrap(), ssn.unwrap());
        assert_eq!(opener.open(&name, &NAME.record_id(&id)).unwrap().expose(), &name_of(&id));
        assert_eq!(opener.open(&ssn, &SSN.record_id(&id)).unwrap().expose(), &ssn_of(&id));
        count(name.as_bytes());
        count(ssn.as_bytes());
    }
    let documents: Vec<(i64, Option<String>, Sealed<String>)> =
        sqlx::query_as("SELECT number, patient, body FROM document").fetch_all(pool).await.unwrap();
    let shared = opener.for_scope(&Scope::group("directory")).await.unwrap();
    for (number, patient, body) in documents {
        let opener = match &patient {
            Some(patient) => opener.for_scope(&scope(patient)).await.unwrap(),
            None => shared.clone(),
        };
        assert_eq!(opener.open(&body, &body_place(number, "note")).unwrap().expose(), &format!("body {number}"));
        count(body.as_bytes());
    }
    suites
}

/// Every tag is that of its row, in this version.
pub(crate) async fn check_tags(pool: &SqlitePool, keys: &Keys, version: u8) {
    let index = by_ssn(version).open(keys).await.unwrap();
    for (id, _, _, tag) in patient_rows(pool).await {
        assert_eq!(tag, index.tag(&ssn_of(&id)).unwrap(), "{id}");
    }
}

/// What a job that left nothing aside has done.
pub(crate) fn counts(rows: u64, resealed: u64, tags: u64, shredded: u64) -> Counts {
    let mut counts = Counts::default();
    (counts.rows, counts.resealed, counts.tags, counts.shredded) = (rows, resealed, tags, shredded);
    counts
}

/// Keeps what it is told; refuses it when told to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<Mutex<(Vec<Activity>, bool)>>);

impl Log {
    pub(crate) fn kinds(&self) -> Vec<String> {
        self.0.lock().unwrap().0.iter().map(|activity| activity.kind.to_string()).collect()
    }

    pub(crate) fn last(&self) -> Activity {
        self.0.lock().unwrap().0.last().unwrap().clone()
    }

    pub(crate) fn refuse(&self) {
        self.0.lock().unwrap().1 = true;
    }
}

impl Recorder for Log {
    fn record(&self, activity: Activity) -> Recording<'_> {
        let mut log = self.0.lock().unwrap();
        let answer = if log.1 { Err(RecordError::new("the log is down")) } else { Ok(()) };
        log.0.push(activity);
        Box::pin(core::future::ready(answer))
    }
}

/// A job into the second suite and the second version of the index.
pub(crate) fn job(keys: &Keys, log: &Log) -> ResealJobBuilder {
    job_with(keys, Opener::builder(keys.clone()).build(), log)
}

pub(crate) fn job_with(keys: &Keys, opener: Opener, log: &Log) -> ResealJobBuilder {
    let sealer = Sealer::builder(keys.clone()).suite(Suite::ChaCha20Poly1305).build();
    ResealJob::builder("suite 2", sealer, opener, log.clone()).rows_per_chunk(NonZeroU32::new(7).unwrap())
}
