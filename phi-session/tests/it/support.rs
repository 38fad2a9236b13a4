//! What several tests share.

use std::sync::{Arc, Mutex};

use phi_session::{MemorySessionStore, Policy, SessionStore, Sessions, SqliteSessionStore, TokenKey};
use phi_types::{Activity, Actor, Clock, ManualClock, RecordError, Recorder, Recording};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use zeroize::Zeroizing;

/// 2026-01-01T00:00:00Z.
pub(crate) const START: i64 = 1_767_225_600;

/// Remembers what it was told; refuses when told to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<Mutex<(Vec<Activity>, bool)>>);

impl Log {
    pub(crate) fn refuse(&self, refuse: bool) {
        self.0.lock().unwrap().1 = refuse;
    }

    pub(crate) fn all(&self) -> Vec<Activity> {
        self.0.lock().unwrap().0.clone()
    }

    pub(crate) fn kinds(&self) -> Vec<String> {
        self.all().iter().map(|activity| activity.kind.to_string()).collect()
    }
}

impl Recorder for Log {
    fn record(&self, activity: Activity) -> Recording<'_> {
        Box::pin(async move {
            let mut log = self.0.lock().unwrap();
            if log.1 {
                return Err(RecordError::new("disk full"));
            }
            log.0.push(activity);
            Ok(())
        })
    }
}

pub(crate) fn key() -> TokenKey {
    TokenKey::from_bytes(Zeroizing::new([7; 32])).unwrap()
}

pub(crate) fn osei() -> Actor {
    Actor::human("dr.osei@clinic.example").unwrap()
}

pub(crate) fn over(store: impl SessionStore, policy: Policy, clock: impl Clock) -> (Sessions, Log) {
    let log = Log::default();
    let sessions = Sessions::builder(store).token_key(key()).recorder(log.clone()).policy(policy).clock(clock).build();
    (sessions, log)
}

pub(crate) fn in_memory(policy: Policy) -> (Sessions, Log, ManualClock) {
    let clock = ManualClock::at_unix_seconds(START);
    let (sessions, log) = over(MemorySessionStore::new(), policy, clock.clone());
    (sessions, log, clock)
}

/// A database in a folder that lives as long as the guard.
pub(crate) async fn database() -> (SqlitePool, tempfile::TempDir) {
    crate::component::used("sqlite");
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteConnectOptions::new()
        .filename(folder.path().join("sessions.db"))
        .create_if_missing(true)
        .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal);
    let pool = SqlitePoolOptions::new().max_connections(4).connect_with(options).await.unwrap();
    (pool, folder)
}

pub(crate) async fn in_sqlite(policy: Policy) -> (Sessions, Log, ManualClock, SqlitePool, tempfile::TempDir) {
    let (pool, folder) = database().await;
    let clock = ManualClock::at_unix_seconds(START);
    let (sessions, log) = over(SqliteSessionStore::open(pool.clone()).await.unwrap(), policy, clock.clone());
    (sessions, log, clock, pool, folder)
}
