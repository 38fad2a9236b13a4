//! The statements on PostgreSQL.

use std::sync::Arc;

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{AssertSqlSafe, PgPool, Postgres, Row as _};

use super::sql::{CHECKPOINT, INSERT_CHECKPOINT, UPDATE_CHECKPOINT};
use super::{Checkpoint, Key, Row, Update, VERSION};
use crate::reseal::ResealError;
use crate::reseal::layout::Layout;
use crate::reseal::table::KeyKind;

/// `IF NOT EXISTS` alone fails when two processes create a table at once.
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtextextended('phi_crypto_schema', 0))";

const CREATE: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS phi_crypto_schema (version BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS phi_crypto_reseal (
        job TEXT NOT NULL PRIMARY KEY,
        revision BIGINT NOT NULL,
        plan BYTEA NOT NULL,
        table_at BIGINT NOT NULL,
        behind TEXT,
        row_count BIGINT NOT NULL,
        resealed BIGINT NOT NULL,
        tags BIGINT NOT NULL,
        contended BIGINT NOT NULL,
        unreadable BIGINT NOT NULL,
        shredded BIGINT NOT NULL,
        rows_total BIGINT NOT NULL
    )",
];

type Query<'q> = sqlx::query::Query<'q, Postgres, PgArguments>;

/// The version of the tables.
pub(super) async fn prepare(pool: &PgPool) -> Result<i64, ResealError> {
    let mut transaction = pool.begin().await?;
    sqlx::query(LOCK).execute(&mut *transaction).await?;
    for statement in CREATE {
        sqlx::query(statement).execute(&mut *transaction).await?;
    }
    let version: Option<i64> =
        sqlx::query_scalar("SELECT max(version) FROM phi_crypto_schema").fetch_one(&mut *transaction).await?;
    if version.is_none() {
        let insert = sqlx::query("INSERT INTO phi_crypto_schema (version) VALUES ($1)").bind(VERSION);
        insert.execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(version.unwrap_or(VERSION))
}

pub(super) async fn load(pool: &PgPool, job: &str) -> Result<Option<Checkpoint>, ResealError> {
    let query = format!("SELECT {CHECKPOINT} FROM phi_crypto_reseal WHERE job = $1");
    let Some(row) = sqlx::query(AssertSqlSafe(query)).bind(job).fetch_optional(pool).await? else { return Ok(None) };
    let mut numbers = [0; 7];
    for (at, number) in (5..).zip(&mut numbers) {
        *number = row.try_get(at)?;
    }
    let at = (row.try_get(1)?, row.try_get(3)?);
    Ok(Some(Checkpoint::of_numbers(job, at, row.try_get(2)?, row.try_get(4)?, numbers)))
}

pub(super) async fn create(pool: &PgPool, checkpoint: &Checkpoint) -> Result<(), ResealError> {
    bind(INSERT_CHECKPOINT, checkpoint).execute(pool).await?;
    Ok(())
}

pub(super) async fn count(pool: &PgPool, statement: &str) -> Result<i64, ResealError> {
    Ok(sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(pool).await?)
}

pub(super) async fn page(
    pool: &PgPool,
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

fn read(row: &PgRow, layout: &Layout) -> Result<Arc<Row>, ResealError> {
    let wrong = |column| move |source| ResealError::Column { table: layout.table, column, source };
    let key = match layout.kind {
        KeyKind::Integer => Key::Integer(row.try_get(0).map_err(wrong(layout.key))?),
        KeyKind::Text | KeyKind::Uuid => Key::Text(row.try_get(0).map_err(wrong(layout.key))?),
    };
    let mut written = Vec::with_capacity(layout.sealed.len() + layout.tags.len());
    for (at, column) in (1..).zip(layout.written()) {
        written.push(row.try_get(at).map_err(wrong(column))?);
    }
    let mut texts = Vec::with_capacity(layout.texts.len());
    for (at, column) in (written.len().saturating_add(1)..).zip(&layout.texts) {
        texts.push(row.try_get(at).map_err(wrong(column))?);
    }
    Ok(Arc::new(Row { key, written, texts }))
}

/// All rows in one statement. Where another transaction holds a row, the statement waits for it and then looks at the row
/// again, so the comparison is with what is there.
pub(super) async fn commit(
    pool: &PgPool,
    statement: &str,
    updates: &[Update],
    checkpoint: Option<&Checkpoint>,
) -> Result<Vec<bool>, ResealError> {
    let mut transaction = pool.begin().await?;
    let mut changed = vec![false; updates.len()];
    if let Some(first) = updates.first() {
        let query = sqlx::query_scalar(AssertSqlSafe(statement));
        let mut query = match &first.row.key {
            Key::Integer(_) => query.bind(updates.iter().filter_map(number).collect::<Vec<_>>()),
            Key::Text(_) => query.bind(updates.iter().filter_map(text).collect::<Vec<_>>()),
        };
        for at in 0..first.new.len() {
            query = query.bind(updates.iter().map(|update| update.new.get(at)?.as_deref()).collect::<Vec<_>>());
        }
        for at in 0..first.row.written.len() {
            query = query.bind(updates.iter().map(|update| update.row.written.get(at)?.as_deref()).collect::<Vec<_>>());
        }
        let places: Vec<i64> = query.fetch_all(&mut *transaction).await?;
        for place in places {
            let place = usize::try_from(place).ok().and_then(|place| changed.get_mut(place.checked_sub(1)?));
            if let Some(place) = place {
                *place = true;
            }
        }
    }
    if let Some(checkpoint) = checkpoint.filter(|_| changed.iter().all(|changed| *changed))
        && bind(UPDATE_CHECKPOINT, checkpoint).execute(&mut *transaction).await?.rows_affected() == 0
    {
        return Err(ResealError::Elsewhere);
    }
    transaction.commit().await?;
    Ok(changed)
}

fn number(update: &Update) -> Option<i64> {
    match update.row.key {
        Key::Integer(number) => Some(number),
        Key::Text(_) => None,
    }
}

fn text(update: &Update) -> Option<&str> {
    match &update.row.key {
        Key::Text(text) => Some(text),
        Key::Integer(_) => None,
    }
}

pub(super) async fn references(pool: &PgPool, statement: &str) -> Result<Vec<(Option<Vec<u8>>, i64)>, ResealError> {
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
