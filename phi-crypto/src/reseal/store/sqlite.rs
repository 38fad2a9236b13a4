//! The statements on SQLite.

use std::sync::Arc;

use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{AssertSqlSafe, Row as _, Sqlite, SqlitePool};

use super::sql::{CHECKPOINT, INSERT_CHECKPOINT, UPDATE_CHECKPOINT};
use super::{Checkpoint, Key, Row, Update, VERSION};
use crate::reseal::ResealError;
use crate::reseal::layout::Layout;
use crate::reseal::table::KeyKind;

const CREATE: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS phi_crypto_schema (version INTEGER NOT NULL) STRICT",
    "CREATE TABLE IF NOT EXISTS phi_crypto_reseal (
        job TEXT NOT NULL PRIMARY KEY,
        revision INTEGER NOT NULL,
        plan BLOB NOT NULL,
        table_at INTEGER NOT NULL,
        behind TEXT,
        row_count INTEGER NOT NULL,
        resealed INTEGER NOT NULL,
        tags INTEGER NOT NULL,
        contended INTEGER NOT NULL,
        unreadable INTEGER NOT NULL,
        shredded INTEGER NOT NULL,
        rows_total INTEGER NOT NULL
    ) STRICT",
];

type Query<'q> = sqlx::query::Query<'q, Sqlite, SqliteArguments>;

/// The version of the tables.
pub(super) async fn prepare(pool: &SqlitePool) -> Result<i64, ResealError> {
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    for statement in CREATE {
        sqlx::query(statement).execute(&mut *transaction).await?;
    }
    let version: Option<i64> =
        sqlx::query_scalar("SELECT max(version) FROM phi_crypto_schema").fetch_one(&mut *transaction).await?;
    if version.is_none() {
        let insert = sqlx::query("INSERT INTO phi_crypto_schema (version) VALUES (?1)").bind(VERSION);
        insert.execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(version.unwrap_or(VERSION))
}

pub(super) async fn load(pool: &SqlitePool, job: &str) -> Result<Option<Checkpoint>, ResealError> {
    let query = format!("SELECT {CHECKPOINT} FROM phi_crypto_reseal WHERE job = $1");
    let Some(row) = sqlx::query(AssertSqlSafe(query)).bind(job).fetch_optional(pool).await? else { return Ok(None) };
    let mut numbers = [0; 7];
    for (at, number) in (5..).zip(&mut numbers) {
        *number = row.try_get(at)?;
    }
    let at = (row.try_get(1)?, row.try_get(3)?);
    Ok(Some(Checkpoint::of_numbers(job, at, row.try_get(2)?, row.try_get(4)?, numbers)))
}

pub(super) async fn create(pool: &SqlitePool, checkpoint: &Checkpoint) -> Result<(), ResealError> {
    bind(INSERT_CHECKPOINT, checkpoint).execute(pool).await?;
    Ok(())
}

pub(super) async fn count(pool: &SqlitePool, statement: &str) -> Result<i64, ResealError> {
    Ok(sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(pool).await?)
}

pub(super) async fn page(
    pool: &SqlitePool,
    statement: &str,
    layout: &Layout,
    key: Option<&Key>,
    limit: i64,
) -> Result<Vec<Arc<Row>>, ResealError> {
    let query = sqlx::query(AssertSqlSafe(statement)).bind(limit);
    let query = match key {
        None => query,
        Some(Key::Text(text)) => query.bind(text.as_str()),
        Some(Key::Integer(number)) => query.bind(*number),
    };
    query.fetch_all(pool).await?.iter().map(|row| read(row, layout)).collect()
}

fn read(row: &SqliteRow, layout: &Layout) -> Result<Arc<Row>, ResealError> {
    let wrong = |column| move |source| ResealError::Column { table: layout.table, column, source };
    let key = match layout.kind {
        KeyKind::Integer => Key::Integer(row.try_get(0).map_err(wrong(layout.key))?),
        KeyKind::Text | KeyKind::Uuid => Key::Text(row.try_get(0).map_err(wrong(layout.key))?),
    };
    let mut written = Vec::with_capacity(layout.sealed.len() + layout.tags.len());
    for (at, column) in (1..).zip(layout.written()) {
        written.push(match row.try_get(at) {
            Ok(value) => value,
            // SQLite keeps values of any type in any column: a number is something that was never sealed.
            Err(sqlx::Error::ColumnDecode { .. }) => Some(Vec::new()),
            Err(source) => return Err(wrong(column)(source)),
        });
    }
    let mut texts = Vec::with_capacity(layout.texts.len());
    for (at, column) in (written.len().saturating_add(1)..).zip(&layout.texts) {
        texts.push(row.try_get(at).map_err(wrong(column))?);
    }
    Ok(Arc::new(Row { key, written, texts }))
}

pub(super) async fn commit(
    pool: &SqlitePool,
    statement: &str,
    updates: &[Update],
    checkpoint: Option<&Checkpoint>,
) -> Result<Vec<bool>, ResealError> {
    // Takes the write lock at once: a transaction that reads first could not be upgraded beside another writer.
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    let mut changed = Vec::with_capacity(updates.len());
    for update in updates {
        let mut query = sqlx::query(AssertSqlSafe(statement));
        query = match &update.row.key {
            Key::Text(text) => query.bind(text.as_str()),
            Key::Integer(number) => query.bind(*number),
        };
        for value in update.new.iter().chain(&update.row.written) {
            query = query.bind(value.as_deref());
        }
        changed.push(query.execute(&mut *transaction).await?.rows_affected() == 1);
    }
    if let Some(checkpoint) = checkpoint.filter(|_| changed.iter().all(|changed| *changed))
        && bind(UPDATE_CHECKPOINT, checkpoint).execute(&mut *transaction).await?.rows_affected() == 0
    {
        return Err(ResealError::Elsewhere);
    }
    transaction.commit().await?;
    Ok(changed)
}

pub(super) async fn references(pool: &SqlitePool, statement: &str) -> Result<Vec<(Option<Vec<u8>>, i64)>, ResealError> {
    Ok(sqlx::query_as(AssertSqlSafe(statement)).fetch_all(pool).await?)
}

fn bind<'q>(statement: &'static str, checkpoint: &'q Checkpoint) -> Query<'q> {
    let query = sqlx::query(statement)
        .bind(checkpoint.job.as_str())
        .bind(checkpoint.revision)
        .bind(checkpoint.plan.as_slice())
        .bind(checkpoint.table_number())
        .bind(checkpoint.cursor.as_deref());
    checkpoint.numbers().into_iter().fold(query, Query::bind)
}
