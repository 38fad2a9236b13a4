//! The tables, and which version of them a database has.

use sqlx::SqlitePool;

use super::failed;
use crate::StoreError;

const VERSION: i64 = 1;

const SCHEMA: &str = "\
CREATE TABLE IF NOT EXISTS phi_session_schema (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    version INTEGER NOT NULL
) STRICT";

const ROWS: &str = "\
CREATE TABLE IF NOT EXISTS phi_session_rows (
    public_id BLOB NOT NULL PRIMARY KEY CHECK (length(public_id) = 16),
    token_hash BLOB NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    user_kind TEXT NOT NULL,
    user_id TEXT NOT NULL,
    tenant TEXT,
    role TEXT,
    created INTEGER NOT NULL,
    absolute_deadline INTEGER NOT NULL,
    auth BLOB NOT NULL,
    grant_ref TEXT,
    version INTEGER NOT NULL,
    mac BLOB NOT NULL CHECK (length(mac) = 32),
    last_activity INTEGER NOT NULL,
    idle_deadline INTEGER NOT NULL,
    stamp_mac BLOB NOT NULL CHECK (length(stamp_mac) = 32),
    ended_at INTEGER,
    ended_reason INTEGER,
    ended_by TEXT,
    end_reported INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID";

/// For the sessions of a user, for what has run out, and for reports that were lost.
const INDEXES: [&str; 3] = [
    "CREATE INDEX IF NOT EXISTS phi_session_by_user ON phi_session_rows (user_kind, user_id, created)",
    "CREATE INDEX IF NOT EXISTS phi_session_by_deadline ON phi_session_rows (idle_deadline) WHERE ended_at IS NULL",
    "CREATE INDEX IF NOT EXISTS phi_session_by_end ON phi_session_rows (end_reported, ended_at) \
     WHERE ended_at IS NOT NULL",
];

/// Creates what is missing, in one transaction; refuses what is newer.
pub(super) async fn migrate(pool: &SqlitePool) -> Result<(), StoreError> {
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
    sqlx::query(SCHEMA).execute(&mut *transaction).await.map_err(failed)?;
    let found: Option<i64> = sqlx::query_scalar("SELECT version FROM phi_session_schema")
        .fetch_optional(&mut *transaction)
        .await
        .map_err(failed)?;
    match found {
        Some(version) if version > VERSION => return Err(StoreError::Newer(version)),
        Some(_) => {}
        None => {
            sqlx::query("INSERT INTO phi_session_schema (id, version) VALUES (1, ?1)")
                .bind(VERSION)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        }
    }
    sqlx::query(ROWS).execute(&mut *transaction).await.map_err(failed)?;
    for index in INDEXES {
        sqlx::query(index).execute(&mut *transaction).await.map_err(failed)?;
    }
    transaction.commit().await.map_err(failed)
}
