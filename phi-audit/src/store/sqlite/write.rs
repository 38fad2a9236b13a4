//! Everything that writes.

use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection, SqlitePool};

use super::{read, to_sql};
use crate::StoreError;
use crate::store::{EntryRow, Head, Integration, PendingRow};

/// Rows per INSERT statement: far below SQLite's limit of 32,766 parameters, and enough to make the statement cheap.
const CHUNK: usize = 256;

pub(super) async fn append(pool: &SqlitePool, rows: &[PendingRow]) -> Result<(), StoreError> {
    // The usual batch is one statement and so its own transaction: one turn to SQLite's thread, one flush.
    if rows.len() <= CHUNK {
        let mut connection = pool.acquire().await.map_err(StoreError::backend)?;
        match insert_pending(&mut connection, rows).await {
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {}
            done => return done.map_err(StoreError::backend),
        }
    }
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.map_err(StoreError::backend)?;
    let mut missing = Vec::new();
    for row in rows {
        if !is_there(&mut transaction, row).await? {
            missing.push(row.clone());
        }
    }
    for chunk in missing.chunks(CHUNK) {
        insert_pending(&mut transaction, chunk).await.map_err(StoreError::backend)?;
    }
    transaction.commit().await.map_err(StoreError::backend)
}

async fn insert_pending(connection: &mut SqliteConnection, rows: &[PendingRow]) -> Result<(), sqlx::Error> {
    let mut sql = QueryBuilder::<Sqlite>::new("INSERT INTO phi_audit_pending (writer, sequence, entry, mac) ");
    sql.push_values(rows, |mut values, row| {
        values
            .push_bind(row.writer.as_bytes().to_vec())
            // Numbers count events of one process; a saturated one would collide and be refused.
            .push_bind(i64::try_from(row.sequence).unwrap_or(i64::MAX))
            .push_bind(row.entry.clone())
            .push_bind(row.mac.clone());
    });
    // One text per batch size: caching up to 256 of them would push out statements that repeat.
    sql.build().persistent(rows.len() == 1).execute(connection).await?;
    Ok(())
}

/// Whether this very row waits already.
async fn is_there(connection: &mut SqliteConnection, row: &PendingRow) -> Result<bool, StoreError> {
    let stored = sqlx::query("SELECT mac FROM phi_audit_pending WHERE writer = ? AND sequence = ?")
        .bind(row.writer.as_bytes().to_vec())
        .bind(to_sql(row.sequence)?)
        .fetch_optional(connection)
        .await
        .map_err(StoreError::backend)?;
    match stored {
        None => Ok(false),
        Some(stored) if stored.try_get::<Vec<u8>, _>("mac").map_err(StoreError::backend)? == row.mac => Ok(true),
        Some(_) => Err(StoreError::Conflict),
    }
}

pub(super) async fn claim(pool: &SqlitePool) -> Result<Head, StoreError> {
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.map_err(StoreError::backend)?;
    sqlx::query("UPDATE phi_audit_head SET fence = fence + 1")
        .execute(&mut *transaction)
        .await
        .map_err(StoreError::backend)?;
    let head = read::head(&mut transaction).await?;
    transaction.commit().await.map_err(StoreError::backend)?;
    Ok(head)
}

pub(super) async fn integrate(pool: &SqlitePool, step: &Integration) -> Result<(), StoreError> {
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.map_err(StoreError::backend)?;
    if read::head(&mut transaction).await? != step.from {
        return Err(StoreError::Fenced);
    }
    for chunk in step.entries.chunks(CHUNK) {
        insert_entries(&mut transaction, chunk).await?;
    }
    for tile in &step.tiles {
        // The head that was compared above is the guard; a tile only ever grows.
        sqlx::query(
            "INSERT INTO phi_audit_tile (level, idx, hashes) VALUES (?1, ?2, ?3) \
             ON CONFLICT (level, idx) DO UPDATE SET hashes = ?3 WHERE length(hashes) <= length(?3)",
        )
        .bind(i64::from(tile.id().level()))
        .bind(to_sql(tile.id().index())?)
        .bind(tile.hashes().to_vec())
        .execute(&mut *transaction)
        .await
        .map_err(StoreError::backend)?;
    }
    for (row, reason) in &step.quarantined {
        // Copied within the database, so that what is kept is what was found, even where it was unreadable.
        sqlx::query(
            "INSERT INTO phi_audit_quarantine (row, writer, sequence, entry, mac, reason) \
             SELECT row, writer, sequence, entry, mac, ?2 FROM phi_audit_pending WHERE row = ?1",
        )
        .bind(row.row)
        .bind(reason.as_str())
        .execute(&mut *transaction)
        .await
        .map_err(StoreError::backend)?;
    }
    for chunk in step.consumed.chunks(CHUNK) {
        let mut sql = QueryBuilder::<Sqlite>::new("DELETE FROM phi_audit_pending WHERE row IN (");
        let mut rows = sql.separated(", ");
        for row in chunk {
            rows.push_bind(*row);
        }
        sql.push(")");
        sql.build().persistent(false).execute(&mut *transaction).await.map_err(StoreError::backend)?;
    }
    sqlx::query("UPDATE phi_audit_head SET size = ?, root = ?, mac = ?")
        .bind(to_sql(step.size)?)
        .bind(step.root.as_bytes().to_vec())
        .bind(step.mac.to_vec())
        .execute(&mut *transaction)
        .await
        .map_err(StoreError::backend)?;
    transaction.commit().await.map_err(StoreError::backend)
}

async fn insert_entries(connection: &mut SqliteConnection, rows: &[EntryRow]) -> Result<(), StoreError> {
    let numbered = rows
        .iter()
        .map(|row| Ok((row, to_sql(row.index)?, to_sql(row.columns.sequence)?)))
        .collect::<Result<Vec<_>, StoreError>>()?;
    let mut sql = QueryBuilder::<Sqlite>::new(
        "INSERT INTO phi_audit_entry (idx, entry, writer, sequence, at, kind, actor, subject, session) ",
    );
    sql.push_values(&numbered, |mut values, (row, index, sequence)| {
        let columns = &row.columns;
        values
            .push_bind(*index)
            .push_bind(row.entry.clone())
            .push_bind(columns.writer.as_bytes().to_vec())
            .push_bind(*sequence)
            .push_bind(columns.at)
            .push_bind(columns.kind.clone())
            .push_bind(columns.actor.clone())
            .push_bind(columns.subject.clone())
            .push_bind(columns.session.clone());
    });
    sql.build().persistent(rows.len() == CHUNK).execute(connection).await.map_err(StoreError::backend)?;
    Ok(())
}

pub(super) async fn publish(pool: &SqlitePool, head: &Head, note: &str) -> Result<(), StoreError> {
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.map_err(StoreError::backend)?;
    if read::head(&mut transaction).await? != *head {
        return Err(StoreError::Fenced);
    }
    sqlx::query("INSERT INTO phi_audit_checkpoint (size, note) VALUES (?, ?) ON CONFLICT (size) DO NOTHING")
        .bind(to_sql(head.size)?)
        .bind(note.to_owned())
        .execute(&mut *transaction)
        .await
        .map_err(StoreError::backend)?;
    transaction.commit().await.map_err(StoreError::backend)
}
