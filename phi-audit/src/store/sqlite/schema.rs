//! The tables, and whether a database is fit to hold them.

use sqlx::{Row, SqliteConnection};

use crate::StoreError;

/// The version of the tables that this crate writes.
pub(super) const VERSION: i64 = 1;

/// `phi_audit_pending.row` never reuses a number, so that rows come back in the order in which they were committed.
const TABLES: [&str; 12] = [
    "CREATE TABLE IF NOT EXISTS phi_audit_schema (only INTEGER PRIMARY KEY CHECK (only = 1), version INTEGER NOT NULL) STRICT",
    "CREATE TABLE IF NOT EXISTS phi_audit_pending (row INTEGER PRIMARY KEY AUTOINCREMENT, writer BLOB NOT NULL, sequence INTEGER NOT NULL, \
     entry BLOB NOT NULL, mac BLOB NOT NULL, UNIQUE (writer, sequence)) STRICT",
    "CREATE TABLE IF NOT EXISTS phi_audit_quarantine (row INTEGER PRIMARY KEY, writer BLOB NOT NULL, sequence INTEGER NOT NULL, \
     entry BLOB NOT NULL, mac BLOB NOT NULL, reason TEXT NOT NULL) STRICT",
    "CREATE TABLE IF NOT EXISTS phi_audit_entry (idx INTEGER PRIMARY KEY, entry BLOB NOT NULL, writer BLOB NOT NULL, sequence INTEGER NOT NULL, \
     at INTEGER NOT NULL, kind TEXT NOT NULL, actor TEXT, subject BLOB, session TEXT, UNIQUE (writer, sequence)) STRICT",
    "CREATE INDEX IF NOT EXISTS phi_audit_entry_subject ON phi_audit_entry (subject, idx) WHERE subject IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS phi_audit_entry_actor ON phi_audit_entry (actor, idx) WHERE actor IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS phi_audit_entry_session ON phi_audit_entry (session, idx) WHERE session IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS phi_audit_entry_kind ON phi_audit_entry (kind, idx)",
    "CREATE INDEX IF NOT EXISTS phi_audit_entry_at ON phi_audit_entry (at)",
    "CREATE TABLE IF NOT EXISTS phi_audit_tile (level INTEGER NOT NULL, idx INTEGER NOT NULL, hashes BLOB NOT NULL, \
     PRIMARY KEY (level, idx)) STRICT",
    "CREATE TABLE IF NOT EXISTS phi_audit_head (only INTEGER PRIMARY KEY CHECK (only = 1), size INTEGER NOT NULL, root BLOB NOT NULL, \
     fence INTEGER NOT NULL, mac BLOB NOT NULL) STRICT",
    "CREATE TABLE IF NOT EXISTS phi_audit_checkpoint (size INTEGER PRIMARY KEY, note TEXT NOT NULL) STRICT",
];

/// Whether the audit tables exist, in a version that this crate reads.
pub(super) async fn check_version(connection: &mut SqliteConnection) -> Result<bool, StoreError> {
    let table = sqlx::query("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'phi_audit_schema'")
        .fetch_optional(&mut *connection)
        .await
        .map_err(StoreError::backend)?;
    if table.is_none() {
        return Ok(false);
    }
    let row = sqlx::query("SELECT version FROM phi_audit_schema")
        .fetch_optional(connection)
        .await
        .map_err(StoreError::backend)?;
    let Some(row) = row else { return Ok(false) };
    match row.try_get("version").map_err(StoreError::backend)? {
        VERSION => Ok(true),
        found => Err(StoreError::NewerSchema { found, known: VERSION }),
    }
}

pub(super) async fn create(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    for table in TABLES {
        sqlx::query(table).execute(&mut *connection).await.map_err(StoreError::backend)?;
    }
    let empty = crate::Hash::empty();
    sqlx::query("INSERT INTO phi_audit_head (only, size, root, fence, mac) VALUES (1, 0, ?, 0, zeroblob(32)) ON CONFLICT DO NOTHING")
        .bind(&empty.as_bytes()[..])
        .execute(&mut *connection)
        .await
        .map_err(StoreError::backend)?;
    sqlx::query("INSERT INTO phi_audit_schema (only, version) VALUES (1, ?) ON CONFLICT DO NOTHING")
        .bind(VERSION)
        .execute(connection)
        .await
        .map_err(StoreError::backend)?;
    Ok(())
}

/// Refuses settings under which SQLite answers before the data is on the disk.
pub(super) async fn check_durable(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let databases =
        sqlx::query("PRAGMA database_list").fetch_all(&mut *connection).await.map_err(StoreError::backend)?;
    for database in databases {
        let name: String = database.try_get("name").map_err(StoreError::backend)?;
        let file: Option<String> = database.try_get("file").map_err(StoreError::backend)?;
        if name == "main" && file.is_none_or(|file| file.is_empty()) {
            return Err(StoreError::NotDurable("it lives in memory; connect to a file"));
        }
    }
    let journal: String = pragma(connection, "PRAGMA journal_mode").await?;
    if !["wal", "delete", "truncate", "persist"].contains(&journal.as_str()) {
        return Err(StoreError::NotDurable(
            "it has no journal; connect with SqliteConnectOptions::journal_mode(SqliteJournalMode::Wal)",
        ));
    }
    let synchronous: i64 = pragma(connection, "PRAGMA synchronous").await?;
    if synchronous < 2 {
        return Err(StoreError::NotDurable(
            "commits are not flushed; connect with SqliteConnectOptions::synchronous(SqliteSynchronous::Full)",
        ));
    }
    Ok(())
}

async fn pragma<T>(connection: &mut SqliteConnection, sql: &'static str) -> Result<T, StoreError>
where
    T: for<'r> sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite> + Send + Unpin,
{
    sqlx::query_scalar(sql).fetch_one(connection).await.map_err(StoreError::backend)
}
