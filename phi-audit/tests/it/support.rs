//! A log in a temporary folder, and hands in its database.

use std::path::PathBuf;

use phi_audit::{AuditLog, Error, Report, SqliteAuditStore, VerifierKey, verify_store};
use phi_keys::{EphemeralKeyring, Keys, MemoryKeyStore};
use phi_types::{Action, Activity, Actor, ManualClock, Outcome, Purpose, Resource, SubjectId, Timestamp};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use tempfile::TempDir;

pub(crate) const ORIGIN: &str = "clinic.example/audit";

pub(crate) struct Clinic {
    pub(crate) folder: TempDir,
    pub(crate) keys: Keys,
    pub(crate) pool: SqlitePool,
}

impl Clinic {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys =
            Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate().unwrap()).build().await.unwrap();
        let pool = connect(&folder.path().join("clinic.db")).await;
        Self { folder, keys, pool }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("clinic.db")
    }

    pub(crate) fn mark(&self) -> PathBuf {
        self.folder.path().join("audit.mark")
    }

    pub(crate) async fn try_open(&self) -> Result<AuditLog, Error> {
        AuditLog::builder(SqliteAuditStore::new(self.pool.clone()))
            .keys(self.keys.clone())
            .origin(ORIGIN)
            .high_water_mark(self.mark())
            .clock(ManualClock::at_unix_seconds(1_767_225_600))
            .open()
            .await
    }

    pub(crate) async fn open(&self) -> AuditLog {
        self.try_open().await.unwrap()
    }

    /// A log with `count` signed read events after its own opening events, in three checkpoints.
    pub(crate) async fn filled(count: u64) -> (Self, VerifierKey) {
        let clinic = Self::new().await;
        let log = clinic.open().await;
        let recorder = log.recorder();
        for number in 0..count {
            recorder.record(read(number)).await.unwrap();
            if number == count / 3 || number == count * 2 / 3 {
                log.checkpoint().await.unwrap();
            }
        }
        log.checkpoint().await.unwrap();
        let key = log.verifier_key().clone();
        (clinic, key)
    }

    pub(crate) async fn run(&self, sql: &str) -> u64 {
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&self.pool).await.unwrap().rows_affected()
    }

    pub(crate) async fn verify(&self, key: &VerifierKey) -> Report {
        verify_store(&SqliteAuditStore::new(self.pool.clone()), key, None, &mut |_, _| {}).await.unwrap()
    }
}

pub(crate) async fn connect(path: &std::path::Path) -> SqlitePool {
    crate::component::used("sqlite");
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    SqlitePool::connect_with(options).await.unwrap()
}

pub(crate) fn subject(number: u64) -> SubjectId {
    SubjectId::new(format!("patient-{}", number % 7)).unwrap()
}

pub(crate) fn read(number: u64) -> Activity {
    let at = Timestamp::from_unix_seconds(1_767_225_600 + i64::try_from(number).unwrap());
    Activity::new("record.read", Action::Read, Outcome::Success, at)
        .by(Actor::human(format!("dr.{}@clinic.example", number % 3)).unwrap())
        .about(subject(number))
        .for_purpose(Purpose::Treatment)
        .on(Resource::new("Patient", format!("mrn-{number}")))
        .in_session(format!("s{}", number % 5))
        .with("number", number)
}
