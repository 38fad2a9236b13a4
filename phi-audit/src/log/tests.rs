use phi_keys::{EphemeralKeyring, Keys, MemoryKeyStore};
use phi_types::{Action, Activity, Outcome, Recorder, Timestamp};
use sqlx::sqlite::SqliteConnectOptions;

use super::AuditLog;
use crate::SqliteAuditStore;

#[tokio::test]
async fn recording_makes_a_checkpoint_when_nobody_else_does() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteConnectOptions::new().filename(folder.path().join("clinic.db")).create_if_missing(true);
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    let keys = Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate().unwrap()).build().await.unwrap();
    let log = AuditLog::builder(SqliteAuditStore::new(pool))
        .keys(keys)
        .origin("clinic.example/audit")
        .high_water_mark(folder.path().join("audit.mark"))
        .max_outstanding(10)
        .open()
        .await
        .unwrap();
    let opened = log.checkpoint().await.unwrap().size();
    let mut sizes = Vec::new();
    for _ in 0..25 {
        log.record(Activity::new("x", Action::Execute, Outcome::Success, Timestamp::UNIX_EPOCH)).await.unwrap();
        sizes.push(log.status().await.unwrap().checkpoint.unwrap().size() - opened);
        assert!(log.inner.writer.outstanding() <= 10, "memory is bounded");
    }
    assert_eq!(sizes, [[0; 10], [10; 10]].concat().into_iter().chain([20; 5]).collect::<Vec<_>>());
    assert!(log.verify().await.unwrap().is_consistent());
}
