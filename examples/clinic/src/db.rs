//! The clinic's own tables. The crates of the family keep theirs in the same file.

use core::time::Duration;
use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, Row};

use crate::failure::{Doing, Failure};
use crate::fhir::Identifier;

/// The schema that this version of the clinic writes.
const VERSION: i64 = 2;

/// Opens the database and brings the clinic's tables to [`VERSION`].
pub(crate) async fn open(path: &Path) -> Result<SqlitePool, Failure> {
    crate::folder::Folder::claim(path, "the database")?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        // Durable means synced: the audit log and the keys live in this file.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(10))
        .foreign_keys(true)
        // What is deleted is overwritten: a shredded key must not stay in free pages.
        .pragma("secure_delete", "ON");
    let pool = SqlitePoolOptions::new().max_connections(4).connect_with(options).await.doing("opening the database")?;
    migrate(&pool).await?;
    Ok(pool)
}

async fn migrate(pool: &SqlitePool) -> Result<(), Failure> {
    let doing = "setting up the clinic's tables";
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await.doing(doing)?;
    sqlx::query("CREATE TABLE IF NOT EXISTS clinic_schema (version INTEGER NOT NULL) STRICT")
        .execute(&mut *tx)
        .await
        .doing(doing)?;
    let found = sqlx::query("SELECT max(version) FROM clinic_schema").fetch_one(&mut *tx).await.doing(doing)?;
    match found.try_get::<Option<i64>, _>(0).doing(doing)? {
        Some(VERSION) => {}
        Some(found) if found > VERSION => return Err(Failure::NewerDatabase { found, known: VERSION }),
        Some(_) => {
            sqlx::raw_sql(IMPORTS).execute(&mut *tx).await.doing(doing)?;
            sqlx::query("UPDATE clinic_schema SET version = ?").bind(VERSION).execute(&mut *tx).await.doing(doing)?;
        }
        None => {
            // The text is made of constants alone.
            sqlx::raw_sql(AssertSqlSafe(schema())).execute(&mut *tx).await.doing(doing)?;
            sqlx::raw_sql(IMPORTS).execute(&mut *tx).await.doing(doing)?;
            sqlx::query("INSERT INTO clinic_schema (version) VALUES (?)")
                .bind(VERSION)
                .execute(&mut *tx)
                .await
                .doing(doing)?;
        }
    }
    tx.commit().await.doing(doing)
}

/// What version 2 adds: the patients whose import began and is not recorded as done.
const IMPORTS: &str = "CREATE TABLE clinic_imports (
    patient TEXT NOT NULL PRIMARY KEY,
    source_tag BLOB UNIQUE
) STRICT, WITHOUT ROWID;";

/// Version 1. Every identifier is a sealed BLOB of its own; tags are keyed and nulled when the patient is shredded. No
/// column tells when a patient came or was seen.
fn schema() -> String {
    let identifiers: String = Identifier::ALL.iter().map(|kind| format!("    {} BLOB,\n", kind.column())).collect();
    format!(
        "CREATE TABLE clinic_accounts (
    login TEXT NOT NULL PRIMARY KEY,
    role TEXT NOT NULL,
    password TEXT NOT NULL,
    totp BLOB NOT NULL,
    last_step INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0,
    locked_until INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE TABLE clinic_patients (
    id TEXT NOT NULL PRIMARY KEY,
{identifiers}    source_tag BLOB UNIQUE,
    mrn_tag BLOB UNIQUE,
    ssn_tag BLOB
) STRICT;
CREATE INDEX clinic_patients_by_ssn ON clinic_patients (ssn_tag);
CREATE TABLE clinic_documents (
    id TEXT NOT NULL PRIMARY KEY,
    patient TEXT REFERENCES clinic_patients (id),
    kind TEXT NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX clinic_documents_by_patient ON clinic_documents (patient);
CREATE TABLE clinic_bundles (
    tag BLOB NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;"
    )
}
