//! Imports that are stopped at each of their steps, and what is there afterwards.

use std::sync::Arc;

use phi_audit::Query;
use phi_types::{Activity, RecordError, Recorder, Recording, SubjectId, SystemClock};
use sqlx::{AssertSqlSafe, Row};
use tempfile::TempDir;

use super::*;
use crate::app::App;
use crate::folder::Folder;

struct Clinic {
    app: App,
    dir: TempDir,
}

/// What is in the database: patients, data keys, imports that are not done, and audit entries about their begin and end.
#[derive(Debug, PartialEq, Eq)]
struct Counts {
    patients: i64,
    keys: i64,
    open: i64,
    begun: usize,
    done: usize,
}

impl Clinic {
    async fn new() -> Self {
        Self::open(tempfile::tempdir().unwrap()).await
    }

    async fn open(dir: TempDir) -> Self {
        let folder = Folder::prepare(&dir.path().join("data")).unwrap();
        let app = App::open(&folder, &folder.lock(), Arc::new(SystemClock::new())).await.unwrap();
        Self { app, dir }
    }

    /// The next start, on the same folder.
    async fn again(self) -> Self {
        self.app.db.close().await;
        Self::open(self.dir).await
    }

    async fn sql(&self, query: &'static str) {
        sqlx::query(query).execute(&self.app.db).await.unwrap();
    }

    async fn count(&self, table: &str) -> i64 {
        let query = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        sqlx::query(query).fetch_one(&self.app.db).await.unwrap().get(0)
    }

    async fn events(&self, kind: &str) -> usize {
        self.app.audit.query(&Query::new().kind(kind)).await.unwrap().events.len()
    }

    async fn counts(&self) -> Counts {
        Counts {
            patients: self.count("clinic_patients").await,
            keys: self.count("phi_keys_row WHERE kind = 2").await,
            open: self.count("clinic_imports").await,
            begun: self.events("patient.import_begin").await,
            done: self.events("patient.import").await,
        }
    }

    async fn import(&self, source: &Source) -> Result<Imported, Failure> {
        import(source, &self.app.records, &self.app.audit, &*self.app.clock).await
    }

    async fn store(&self, seed: u64, recorder: &dyn Recorder) -> Result<Stored, Failure> {
        let json = population::bundles(seed, 1).next().unwrap();
        self.app.records.store(&Bundle::parse(&json).unwrap(), &json, recorder, &*self.app.clock).await
    }

    async fn only_patient(&self) -> SubjectId {
        let row = sqlx::query("SELECT id FROM clinic_patients").fetch_one(&self.app.db).await.unwrap();
        SubjectId::new(row.get::<String, _>(0)).unwrap()
    }
}

const ONE: Source = Source::MadeUp { seed: 7, count: 1 };

/// A log that fails for events of one kind, and `keeps` them nevertheless or does not.
#[derive(Debug)]
struct Refusing {
    log: Arc<dyn Recorder>,
    kind: &'static str,
    keeps: bool,
}

impl Recorder for Refusing {
    fn record(&self, activity: Activity) -> Recording<'_> {
        Box::pin(async move {
            let refused = activity.kind == self.kind;
            if !refused || self.keeps {
                self.log.record(activity).await?;
            }
            if refused { Err(RecordError::new("out of order")) } else { Ok(()) }
        })
    }
}

impl Clinic {
    fn refusing(&self, kind: &'static str, keeps: bool) -> Refusing {
        Refusing { log: self.app.audit.recorder(), kind, keeps }
    }
}

#[tokio::test]
async fn a_patient_whose_import_cannot_be_recorded_gets_no_key() {
    let clinic = Clinic::new().await;
    clinic.store(7, &clinic.refusing("patient.import_begin", false)).await.unwrap_err();
    assert_eq!(clinic.counts().await, Counts { patients: 0, keys: 0, open: 1, begun: 0, done: 0 });
    clinic.import(&ONE).await.unwrap();
    assert_eq!(clinic.counts().await, Counts { patients: 1, keys: 1, open: 0, begun: 1, done: 1 });
}

#[tokio::test]
async fn a_patient_who_got_a_key_and_was_not_stored_comes_in_under_it() {
    let clinic = Clinic::new().await;
    clinic.sql("CREATE TRIGGER t BEFORE INSERT ON clinic_documents BEGIN SELECT RAISE(ABORT, 'no'); END").await;
    for tries in 1..3 {
        clinic.import(&ONE).await.unwrap_err();
        let stopped = Counts { patients: 0, keys: 1, open: 1, begun: tries, done: 0 };
        assert_eq!(clinic.counts().await, stopped, "nobody is said to have come in");
    }
    let row = sqlx::query("SELECT patient FROM clinic_imports").fetch_one(&clinic.app.db).await.unwrap();
    clinic.sql("DROP TRIGGER t").await;
    clinic.import(&ONE).await.unwrap();
    assert_eq!(clinic.counts().await, Counts { patients: 1, keys: 1, open: 0, begun: 3, done: 1 });
    assert_eq!(clinic.only_patient().await.expose(), row.get::<&str, _>(0));
    clinic.app.records.identifiers(&clinic.only_patient().await, &Identifier::ALL).await.unwrap();
}

#[tokio::test]
async fn a_patient_who_was_stored_is_recorded_once_wherever_the_process_ended() {
    // Before the log had the entry, and after it had it and before that was known.
    for keeps in [false, true] {
        let clinic = Clinic::new().await;
        clinic.store(7, &clinic.refusing("patient.import", keeps)).await.unwrap_err();
        let stopped = Counts { patients: 1, keys: 1, open: 1, begun: 1, done: usize::from(keeps) };
        assert_eq!(clinic.counts().await, stopped);
        for _ in 0..2 {
            assert_eq!(clinic.import(&ONE).await.unwrap().before, 1);
            assert_eq!(clinic.counts().await, Counts { patients: 1, keys: 1, open: 0, begun: 1, done: 1 });
        }
        let about = Query::new().kind("patient.import").subject(&clinic.only_patient().await);
        let entry = clinic.app.audit.query(&about).await.unwrap().events.remove(0).event;
        assert!(format!("{entry:?}").contains("documents"), "{entry:?}");
    }
}

#[tokio::test]
async fn a_patient_whose_import_does_not_go_on_loses_the_key() {
    let clinic = Clinic::new().await;
    clinic.sql("CREATE TRIGGER t BEFORE INSERT ON clinic_documents BEGIN SELECT RAISE(ABORT, 'no'); END").await;
    clinic.import(&ONE).await.unwrap_err();
    clinic.sql("DROP TRIGGER t").await;
    clinic.import(&Source::MadeUp { seed: 8, count: 1 }).await.unwrap();
    assert_eq!(clinic.counts().await, Counts { patients: 1, keys: 1, open: 0, begun: 2, done: 1 });
    assert_eq!(clinic.events("key.shred").await, 1);
    clinic.import(&ONE).await.unwrap();
    assert_eq!(clinic.counts().await, Counts { patients: 2, keys: 2, open: 0, begun: 3, done: 2 });
}

/// SQLite's own limit of pages, which fails as a device without space does.
#[tokio::test]
async fn a_database_that_cannot_grow_stops_at_a_bundle_that_is_named() {
    let clinic = Clinic::new().await;
    let pages = sqlx::query("PRAGMA page_count").fetch_one(&clinic.app.db).await.unwrap().get::<i64, _>(0);
    // Each connection of the pool has a limit of its own, and loses it when it is closed.
    let mut all = Vec::new();
    for _ in 0..clinic.app.db.options().get_max_connections() {
        all.push(clinic.app.db.acquire().await.unwrap());
    }
    for mut connection in all {
        let limit = AssertSqlSafe(format!("PRAGMA max_page_count = {}", pages + 60));
        sqlx::query(limit).execute(&mut *connection).await.unwrap();
    }
    let source = Source::MadeUp { seed: 7, count: 400 };
    let line = clinic.import(&source).await.unwrap_err().to_string();
    // Asking the log would write to it.
    let (patients, keys) = (clinic.count("clinic_patients").await, clinic.count("phi_keys_row WHERE kind = 2").await);
    let open = clinic.count("clinic_imports").await;
    assert!((1..400).contains(&patients), "{patients}");
    let named =
        format!("bundle {} of 400 (path made up): the disk is full or refuses to write; make room", patients + 1);
    assert!(line.starts_with(&named), "{line}");
    assert!((patients..=patients + 1).contains(&keys) && open <= 1, "{patients} patients, {keys} keys, {open} open");

    let clinic = clinic.again().await;
    clinic.import(&source).await.unwrap();
    let Counts { patients, keys, open, .. } = clinic.counts().await;
    assert_eq!((patients, keys, open), (400, 400, 0));
    assert_eq!(clinic.count("phi_audit_entry WHERE kind = 'patient.import'").await, 400, "each recorded once");
}
