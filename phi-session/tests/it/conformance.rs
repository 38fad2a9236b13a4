//! Our own stores under the published suite.

use std::sync::{Arc, Mutex};

use phi_session::{MemorySessionStore, SessionStore, SqliteSessionStore, StoreError, conformance};

use crate::support::database;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory() {
    conformance::run(|| async { Arc::new(MemorySessionStore::new()) as Arc<dyn SessionStore> }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite() {
    let folders = Mutex::new(Vec::new());
    conformance::run(|| async {
        let (pool, folder) = database().await;
        folders.lock().unwrap().push(folder);
        Arc::new(SqliteSessionStore::open(pool).await.unwrap()) as Arc<dyn SessionStore>
    })
    .await;
}

#[tokio::test]
async fn sqlite_of_a_newer_version_is_refused() {
    let (pool, _folder) = database().await;
    SqliteSessionStore::open(pool.clone()).await.unwrap();
    SqliteSessionStore::open(pool.clone()).await.unwrap();
    sqlx::query("UPDATE phi_session_schema SET version = 2").execute(&pool).await.unwrap();
    let error = SqliteSessionStore::open(pool).await.unwrap_err();
    assert!(matches!(error, StoreError::Newer(2)), "{error}");
    assert!(error.to_string().contains("use a later version"));
}
