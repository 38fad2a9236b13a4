//! Everything that only reads.

use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection, SqlitePool};

use super::{from_sql, to_sql};
use crate::store::{Columns, Counts, EntryRow, Filter, Head, PendingRow};
use crate::{Hash, StoreError, Tile, TileId, WriterId};

fn get<'r, T>(row: &'r SqliteRow, name: &'static str) -> Result<T, StoreError>
where
    T: sqlx::Decode<'r, Sqlite> + sqlx::Type<Sqlite>,
{
    row.try_get(name).map_err(|_| StoreError::Corrupt(name))
}

fn number(row: &SqliteRow, name: &'static str) -> Result<u64, StoreError> {
    from_sql(get(row, name)?)
}

/// Text that may have been altered into something that is none; it then differs from whatever it should be.
fn text(row: &SqliteRow, name: &'static str) -> Result<Option<String>, StoreError> {
    let bytes: Option<&[u8]> = row.try_get_unchecked(name).map_err(|_| StoreError::Corrupt(name))?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
}

fn writer(row: &SqliteRow) -> Result<WriterId, StoreError> {
    let bytes: &[u8] = get(row, "writer")?;
    bytes.try_into().map(WriterId::from_bytes).map_err(|_| StoreError::Corrupt("writer"))
}

pub(super) async fn head(connection: &mut SqliteConnection) -> Result<Head, StoreError> {
    let row = sqlx::query("SELECT size, root, fence, mac FROM phi_audit_head")
        .fetch_optional(connection)
        .await
        .map_err(StoreError::backend)?
        .ok_or(StoreError::Corrupt("head"))?;
    let root: &[u8] = get(&row, "root")?;
    let root = root.try_into().map_err(|_| StoreError::Corrupt("root"))?;
    let mac: &[u8] = get(&row, "mac")?;
    let mac = mac.try_into().map_err(|_| StoreError::Corrupt("mac"))?;
    Ok(Head::new(number(&row, "size")?, Hash::from_bytes(root), number(&row, "fence")?, mac))
}

pub(super) async fn pending(pool: &SqlitePool, limit: u32) -> Result<Vec<PendingRow>, StoreError> {
    let rows = sqlx::query("SELECT row, writer, sequence, entry, mac FROM phi_audit_pending ORDER BY row LIMIT ?")
        .bind(limit)
        .fetch_all(pool)
        .await
        .map_err(StoreError::backend)?;
    rows.iter()
        .map(|row| {
            // A damaged writer or number must reach the quarantine instead of stopping the log, so odd values are kept
            // as values that no MAC fits.
            let writer = writer(row).unwrap_or(WriterId::from_bytes([0; 16]));
            let sequence = number(row, "sequence").unwrap_or(u64::MAX);
            Ok(PendingRow::new(get(row, "row")?, writer, sequence, get(row, "entry")?, get(row, "mac")?))
        })
        .collect()
}

pub(super) async fn counts(pool: &SqlitePool) -> Result<Counts, StoreError> {
    let row = sqlx::query(
        "SELECT (SELECT COUNT(*) FROM phi_audit_pending) AS pending, (SELECT COUNT(*) FROM phi_audit_quarantine) AS quarantined",
    )
    .fetch_one(pool)
    .await
    .map_err(StoreError::backend)?;
    Ok(Counts::new(number(&row, "pending")?, number(&row, "quarantined")?))
}

pub(super) async fn tiles(pool: &SqlitePool, ids: &[TileId]) -> Result<Vec<Tile>, StoreError> {
    let mut tiles = Vec::with_capacity(ids.len());
    let mut connection = pool.acquire().await.map_err(StoreError::backend)?;
    for id in ids {
        let row = sqlx::query("SELECT hashes FROM phi_audit_tile WHERE level = ? AND idx = ?")
            .bind(i64::from(id.level()))
            .bind(to_sql(id.index())?)
            .fetch_optional(&mut *connection)
            .await
            .map_err(StoreError::backend)?;
        if let Some(row) = row {
            tiles.push(Tile::new(*id, get(&row, "hashes")?));
        }
    }
    Ok(tiles)
}

const ENTRIES: &str = "SELECT idx, entry, writer, sequence, at, kind, actor, subject, session FROM phi_audit_entry \
                       WHERE idx >= ? ORDER BY idx LIMIT ?";
const ENTRIES_BELOW_ZERO: &str = "SELECT idx, entry, writer, sequence, at, kind, actor, subject, session FROM phi_audit_entry \
                                  WHERE idx >= ? AND idx < 0 ORDER BY idx LIMIT ?";

/// A negative index is nobody's but an intruder's. It counts as the unsigned number of the same bits, above every true one,
/// so that a verifier comes across it.
pub(super) async fn entries(pool: &SqlitePool, start: u64, limit: u32) -> Result<Vec<EntryRow>, StoreError> {
    let mut rows = Vec::new();
    if let Ok(start) = i64::try_from(start) {
        rows = sqlx::query(ENTRIES).bind(start).bind(limit).fetch_all(pool).await.map_err(StoreError::backend)?;
    }
    let left = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(rows.len());
    if left > 0 {
        let below = sqlx::query(ENTRIES_BELOW_ZERO)
            .bind(if start.cast_signed() < 0 { start.cast_signed() } else { i64::MIN })
            .bind(limit);
        let below = below.fetch_all(pool).await.map_err(StoreError::backend)?;
        rows.extend(below.into_iter().take(left));
    }
    rows.iter()
        .map(|row| {
            // What is not of its type here is a derived column that somebody altered: the verifier names it.
            let writer = writer(row).unwrap_or(WriterId::from_bytes([0; 16]));
            let sequence = number(row, "sequence").unwrap_or(u64::MAX);
            let mut columns = Columns::new(writer, sequence, get(row, "at")?, text(row, "kind")?.unwrap_or_default());
            columns.actor = text(row, "actor")?;
            columns.subject = get(row, "subject")?;
            columns.session = text(row, "session")?;
            Ok(EntryRow::new(get::<i64>(row, "idx")?.cast_unsigned(), get(row, "entry")?, columns))
        })
        .collect()
}

pub(super) async fn placed(
    pool: &SqlitePool,
    writer: WriterId,
    first: u64,
    last: u64,
) -> Result<Vec<(u64, u64, Hash)>, StoreError> {
    let rows = sqlx::query("SELECT sequence, idx, entry FROM phi_audit_entry WHERE writer = ? AND sequence BETWEEN ? AND ? ORDER BY sequence")
        .bind(writer.as_bytes().to_vec())
        .bind(to_sql(first)?)
        .bind(to_sql(last)?)
        .fetch_all(pool)
        .await
        .map_err(StoreError::backend)?;
    rows.iter().map(|row| Ok((number(row, "sequence")?, number(row, "idx")?, Hash::leaf(get(row, "entry")?)))).collect()
}

pub(super) async fn query(pool: &SqlitePool, filter: &Filter) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
    let mut sql = QueryBuilder::<Sqlite>::new("SELECT idx, entry FROM phi_audit_entry WHERE 1");
    if let Some(subject) = &filter.subject {
        sql.push(" AND subject = ").push_bind(subject.as_bytes().to_vec());
    }
    if let Some(actor) = &filter.actor {
        sql.push(" AND actor = ").push_bind(actor.clone());
    }
    if let Some(session) = &filter.session {
        sql.push(" AND session = ").push_bind(session.clone());
    }
    if let Some(kind) = &filter.kind {
        sql.push(" AND kind = ").push_bind(kind.clone());
    }
    if let Some(from) = filter.from {
        sql.push(" AND at >= ").push_bind(from.as_unix_micros());
    }
    if let Some(until) = filter.until {
        sql.push(" AND at < ").push_bind(until.as_unix_micros());
    }
    if let Some(before) = filter.before {
        sql.push(" AND idx < ").push_bind(to_sql(before)?);
    }
    sql.push(" ORDER BY idx DESC LIMIT ").push_bind(i64::from(filter.limit));
    let rows = sql.build().fetch_all(pool).await.map_err(StoreError::backend)?;
    rows.iter().map(|row| Ok((number(row, "idx")?, get(row, "entry")?))).collect()
}

pub(super) async fn checkpoints(
    pool: &SqlitePool,
    after: Option<u64>,
    limit: u32,
) -> Result<Vec<(u64, String)>, StoreError> {
    let rows = sqlx::query("SELECT size, note FROM phi_audit_checkpoint WHERE size > ? ORDER BY size LIMIT ?")
        .bind(after.map_or(Ok(-1), to_sql)?)
        .bind(limit)
        .fetch_all(pool)
        .await
        .map_err(StoreError::backend)?;
    rows.iter().map(|row| Ok((number(row, "size")?, text(row, "note")?.unwrap_or_default()))).collect()
}

pub(super) async fn latest_checkpoint(pool: &SqlitePool) -> Result<Option<(u64, String)>, StoreError> {
    let row = sqlx::query("SELECT size, note FROM phi_audit_checkpoint ORDER BY size DESC LIMIT 1")
        .fetch_optional(pool)
        .await
        .map_err(StoreError::backend)?;
    row.map(|row| Ok((number(&row, "size")?, text(&row, "note")?.unwrap_or_default()))).transpose()
}
