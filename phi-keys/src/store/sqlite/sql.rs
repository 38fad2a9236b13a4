//! The statements, on one connection of the caller's choice.

use core::num::NonZeroU32;

use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Connection, Row, SqliteConnection};

use crate::id::{FullId, KeyId};
use crate::scope::KeyUse;
use crate::store::columns::{Columns, VERSION};
use crate::store::{Change, Committed, KeyRow, Remains, Residue, RowKind, Slot, StoreError};

const CREATE: [&str; 4] = [
    "CREATE TABLE IF NOT EXISTS phi_keys_schema (version INTEGER NOT NULL) STRICT",
    "CREATE TABLE IF NOT EXISTS phi_keys_row (
        kind INTEGER NOT NULL,
        tenant TEXT NOT NULL,
        key_use INTEGER NOT NULL,
        scope BLOB NOT NULL,
        version INTEGER NOT NULL,
        full_id BLOB NOT NULL,
        parent BLOB NOT NULL,
        state INTEGER NOT NULL,
        created INTEGER NOT NULL,
        wrapped BLOB NOT NULL,
        mac BLOB NOT NULL,
        more BLOB NOT NULL DEFAULT x'',
        PRIMARY KEY (kind, tenant, key_use, scope, version)
    ) STRICT",
    // Two keys of one kid would make every value under that kid ambiguous.
    "CREATE UNIQUE INDEX IF NOT EXISTS phi_keys_row_kid ON phi_keys_row (substr(full_id, 1, 16)) WHERE kind IN (1, 2)",
    "CREATE INDEX IF NOT EXISTS phi_keys_row_slot ON phi_keys_row (tenant, key_use, scope)",
];

/// From version 1 to 2: further fields of a row.
const ADD_MORE: &str = "ALTER TABLE phi_keys_row ADD COLUMN more BLOB NOT NULL DEFAULT x''";

/// Reads rows. The columns are named: a statement that was prepared before a later version added one still fits.
macro_rules! select {
    ($rows:literal) => {
        concat!(
            "SELECT kind, tenant, key_use, scope, version, full_id, parent, state, created, wrapped, mac, more \
             FROM phi_keys_row ",
            $rows
        )
    };
}

const BY_SLOT: &str = select!("WHERE tenant = ?1 AND key_use = ?2 AND scope = ?3 ORDER BY kind, version");
const BY_KID: &str = select!("WHERE substr(full_id, 1, 16) = ?1 AND kind IN (1, 2)");
const DOMAIN: &str = select!("WHERE kind = 1 ORDER BY tenant, key_use, version");
const TOMBSTONE: &str = "SELECT 1 FROM phi_keys_row WHERE kind = 3 AND tenant = ?1 AND key_use = ?2 AND scope = ?3";
const TOMBSTONES: &str = select!("WHERE kind = 3");
const DATA_ROWS: &str = select!(
    "WHERE kind = 2 AND tenant = ?1 AND (key_use, scope, version) > (?2, ?3, ?4)
    ORDER BY key_use, scope, version LIMIT ?5"
);
const INSERT: &str = "INSERT INTO phi_keys_row
    (kind, tenant, key_use, scope, version, full_id, parent, state, created, wrapped, mac, more)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) ON CONFLICT DO NOTHING";
const REPLACE: &str =
    "UPDATE phi_keys_row SET full_id = ?6, parent = ?7, state = ?8, created = ?9, wrapped = ?10, mac = ?11, more = ?12
    WHERE kind = ?1 AND tenant = ?2 AND key_use = ?3 AND scope = ?4 AND version = ?5 AND mac = ?13";
/// The same for a row of the same key: a column that is named is taken out of its index and put back, also where it stays.
const REPLACE_OF_KEY: &str =
    "UPDATE phi_keys_row SET parent = ?7, state = ?8, created = ?9, wrapped = ?10, mac = ?11, more = ?12
    WHERE kind = ?1 AND tenant = ?2 AND key_use = ?3 AND scope = ?4 AND version = ?5 AND full_id = ?6 AND mac = ?13";
const SLOT_TOMBSTONES: &str = select!("WHERE kind = 3 AND tenant = ?1 AND key_use = ?2 AND scope = ?3");
const DELETE_TOMBSTONES: &str =
    "DELETE FROM phi_keys_row WHERE kind = 3 AND tenant = ?1 AND key_use = ?2 AND scope = ?3";
const DATA_IDS: &str =
    "SELECT full_id FROM phi_keys_row WHERE kind = 2 AND tenant = ?1 AND key_use = ?2 AND scope = ?3";
const DELETE_DATA: &str = "DELETE FROM phi_keys_row WHERE kind = 2 AND tenant = ?1 AND key_use = ?2 AND scope = ?3";

/// Makes the tables, or refuses those of a newer version. To be called in a transaction.
pub(super) async fn prepare(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    for statement in CREATE {
        sqlx::query(statement).execute(&mut *connection).await?;
    }
    match version(connection).await? {
        None => {
            sqlx::query("INSERT INTO phi_keys_schema (version) VALUES (?1)").bind(VERSION).execute(connection).await?;
            Ok(())
        }
        Some(found) if found > VERSION => Err(StoreError::Newer { found, supported: VERSION }),
        Some(VERSION) => Ok(()),
        Some(_) => {
            sqlx::query(ADD_MORE).execute(&mut *connection).await?;
            sqlx::query("UPDATE phi_keys_schema SET version = ?1").bind(VERSION).execute(connection).await?;
            Ok(())
        }
    }
}

async fn version(connection: &mut SqliteConnection) -> Result<Option<i64>, StoreError> {
    let row = sqlx::query("SELECT max(version) FROM phi_keys_schema").fetch_one(connection).await?;
    row.try_get(0).map_err(|_| StoreError::Malformed("version"))
}

/// Makes sure that what is written stays, and that what is deleted goes. Every writing connection passes here, because
/// both are settings of the connection and not of the file.
pub(crate) async fn prepare_write(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    if pragma(connection, "PRAGMA secure_delete = ON").await? != 1 {
        return Err(StoreError::NoSecureDelete);
    }
    // 2 is FULL: a commit is on the disk before it is reported.
    if pragma(connection, "PRAGMA synchronous").await? < 2 {
        return Err(StoreError::NotDurable);
    }
    match journal_mode(connection).await?.as_str() {
        // Killed in the middle of a commit, the database would be left as it is then.
        "off" => Err(StoreError::NotDurable),
        "memory" if !is_in_memory(connection).await? => Err(StoreError::NotDurable),
        // Cut off with every commit, so that it does not keep the pages from before a deletion.
        "persist" => pragma(connection, "PRAGMA journal_size_limit = 0").await.map(drop),
        _ => Ok(()),
    }
}

async fn journal_mode(connection: &mut SqliteConnection) -> Result<String, StoreError> {
    let mode = sqlx::query("PRAGMA journal_mode").fetch_one(connection).await?;
    Ok(mode.try_get::<&str, _>(0)?.to_ascii_lowercase())
}

/// Whether there is no file that could be left torn.
async fn is_in_memory(connection: &mut SqliteConnection) -> Result<bool, StoreError> {
    let files = sqlx::query("SELECT file FROM pragma_database_list WHERE name = 'main'");
    let file = files.fetch_optional(connection).await?;
    Ok(file.map(|row| row.try_get::<Option<String>, _>(0)).transpose()?.flatten().is_none_or(|file| file.is_empty()))
}

async fn pragma(connection: &mut SqliteConnection, statement: &'static str) -> Result<i64, StoreError> {
    Ok(sqlx::query(statement).fetch_one(connection).await?.try_get(0)?)
}

/// Writes one by one; the caller's transaction makes it all or nothing.
pub(crate) async fn apply(connection: &mut SqliteConnection, change: &Change) -> Result<Committed, StoreError> {
    for (current, next) in &change.replace {
        let statement = if current.full_id == next.full_id { REPLACE_OF_KEY } else { REPLACE };
        let replaced = bind_row(statement, next).bind(current.mac.as_slice()).execute(&mut *connection).await?;
        if replaced.rows_affected() == 0 {
            return Ok(Committed::Stale);
        }
    }
    for row in &change.insert {
        if row.kind == RowKind::Data {
            let tombstone = bind_slot(sqlx::query(TOMBSTONE), &row.slot).fetch_optional(&mut *connection).await?;
            if tombstone.is_some() {
                return Ok(Committed::Shredded);
            }
        }
        if bind_row(INSERT, row).execute(&mut *connection).await?.rows_affected() == 0 {
            return Ok(Committed::Exists);
        }
    }
    if let Some(tombstone) = &change.tombstone {
        let earlier = bind_slot(sqlx::query(SLOT_TOMBSTONES), &tombstone.slot).fetch_all(&mut *connection).await?;
        if earlier.iter().any(|row| read(row).is_err()) {
            bind_slot(sqlx::query(DELETE_TOMBSTONES), &tombstone.slot).execute(&mut *connection).await?;
        }
        let keys = bind_slot(sqlx::query(DATA_IDS), &tombstone.slot).fetch_all(&mut *connection).await?;
        let keys = keys.iter().map(|row| row.try_get::<&[u8], _>(0)).collect::<Result<Vec<_>, _>>()?;
        if !tombstone.names(keys.into_iter()) {
            return Ok(Committed::Stale);
        }
        bind_row(INSERT, tombstone).execute(&mut *connection).await?;
        bind_slot(sqlx::query(DELETE_DATA), &tombstone.slot).execute(connection).await?;
    }
    Ok(Committed::Done)
}

pub(crate) async fn slot(connection: &mut SqliteConnection, slot: &Slot) -> Result<Vec<KeyRow>, StoreError> {
    let rows = bind_slot(sqlx::query(BY_SLOT), slot).fetch_all(connection).await?;
    rows.iter().map(read).collect()
}

/// The rows of so many scopes at most are read by one statement: SQLite takes 999 values in every version.
const SCOPES: usize = 256;

pub(super) async fn scopes(
    connection: &mut SqliteConnection,
    tenant: &str,
    key_use: KeyUse,
    scopes: &[[u8; 32]],
) -> Result<Vec<KeyRow>, StoreError> {
    let mut rows = Vec::with_capacity(scopes.len());
    for scopes in scopes.chunks(SCOPES) {
        // Of few lengths, so that few statements are prepared; a scope that is named twice is read once.
        let room = scopes.len().next_power_of_two();
        let places = vec!["?"; room].join(",");
        let statement =
            format!(select!("WHERE tenant = ? AND key_use = ? AND scope IN ({}) ORDER BY kind, version"), places);
        let mut query = sqlx::query(AssertSqlSafe(statement)).bind(tenant).bind(key_use.code());
        for scope in scopes.iter().chain(scopes.last()).cycle().take(room) {
            query = query.bind(scope.as_slice());
        }
        for row in &query.fetch_all(&mut *connection).await? {
            rows.push(read(row)?);
        }
    }
    Ok(rows)
}

pub(super) async fn by_kid(connection: &mut SqliteConnection, kid: KeyId) -> Result<Option<KeyRow>, StoreError> {
    let row = sqlx::query(BY_KID).bind(kid.as_bytes().to_vec()).fetch_optional(connection).await?;
    row.as_ref().map(read).transpose()
}

pub(super) async fn domain_rows(connection: &mut SqliteConnection) -> Result<Vec<KeyRow>, StoreError> {
    sqlx::query(DOMAIN).fetch_all(connection).await?.iter().map(read).collect()
}

pub(crate) async fn remains(connection: &mut SqliteConnection, slot: &Slot) -> Result<Remains, StoreError> {
    let found = bind_slot(sqlx::query(BY_SLOT), slot).fetch_all(connection).await?;
    let (mut rows, mut unreadable) = (Vec::with_capacity(found.len()), Vec::new());
    for row in &found {
        match read(row) {
            Ok(row) => rows.push(row),
            Err(_) if row.try_get::<i64, _>("kind").is_ok_and(|kind| kind == i64::from(RowKind::Data.code())) => {
                let id = row.try_get::<&[u8], _>("full_id").ok().and_then(|id| id.try_into().ok());
                unreadable.extend(id.map(FullId::from_bytes));
            }
            Err(_) => {}
        }
    }
    Ok(Remains::new(rows, unreadable))
}

pub(crate) async fn tombstones(connection: &mut SqliteConnection) -> Result<Vec<KeyRow>, StoreError> {
    let rows = sqlx::query(TOMBSTONES).fetch_all(connection).await?;
    Ok(rows.iter().filter_map(|row| read(row).ok()).collect())
}

pub(super) async fn data_rows(
    connection: &mut SqliteConnection,
    tenant: &str,
    after: Option<&KeyRow>,
    limit: NonZeroU32,
) -> Result<Vec<KeyRow>, StoreError> {
    let (key_use, scope, version) =
        after.map_or((0, &[][..], 0), |row| (row.slot.key_use.code(), row.slot.scope_bytes(), row.version));
    let query = sqlx::query(DATA_ROWS).bind(tenant).bind(key_use).bind(scope).bind(version).bind(limit.get());
    query.fetch_all(connection).await?.iter().map(read).collect()
}

/// Empties the write-ahead log or the rollback journal.
pub(super) async fn purge(connection: &mut SqliteConnection) -> Result<Vec<Residue>, StoreError> {
    match journal_mode(connection).await?.as_str() {
        "persist" => match cut_journal(connection).await {
            Ok(()) => Ok(Vec::new()),
            Err(sqlx::Error::Database(reason)) if is_busy(&*reason) => Ok(vec![Residue::RollbackJournal]),
            Err(error) => Err(error.into()),
        },
        "wal" if pragma(connection, "PRAGMA wal_checkpoint(TRUNCATE)").await? != 0 => Ok(vec![Residue::WriteAheadLog]),
        _ => Ok(Vec::new()),
    }
}

/// Commits something, which cuts off a persistent journal whoever wrote it.
async fn cut_journal(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    sqlx::query("PRAGMA journal_size_limit = 0").fetch_one(&mut *connection).await?;
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query("UPDATE phi_keys_schema SET version = version").execute(&mut *transaction).await?;
    transaction.commit().await
}

fn is_busy(reason: &dyn sqlx::error::DatabaseError) -> bool {
    // The low byte of an extended code is SQLITE_BUSY or SQLITE_LOCKED.
    let code = reason.code().and_then(|code| code.parse::<u32>().ok());
    code.is_some_and(|code| matches!(code & 0xff, 5 | 6))
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

fn bind_slot<'q>(query: Query<'q>, slot: &'q Slot) -> Query<'q> {
    query.bind(slot.tenant.as_str()).bind(slot.key_use.code()).bind(slot.scope_bytes())
}

fn bind_row<'q>(statement: &'static str, row: &'q KeyRow) -> Query<'q> {
    let id = |id: &'q Option<FullId>| id.as_ref().map_or(&[][..], |id| id.as_bytes().as_slice());
    sqlx::query(statement)
        .bind(row.kind.code())
        .bind(row.slot.tenant.as_str())
        .bind(row.slot.key_use.code())
        .bind(row.slot.scope_bytes())
        .bind(row.version)
        .bind(id(&row.full_id))
        .bind(id(&row.parent))
        .bind(row.state.code())
        .bind(row.created.as_unix_micros())
        .bind(row.wrapped.as_slice())
        .bind(row.mac.as_slice())
        .bind(row.more())
}

fn read(row: &SqliteRow) -> Result<KeyRow, StoreError> {
    let number = |column: &'static str| row.try_get::<i64, _>(column).map_err(|_| StoreError::Malformed(column));
    let bytes = |column: &'static str| row.try_get::<&[u8], _>(column).map_err(|_| StoreError::Malformed(column));
    let columns = Columns {
        kind: number("kind")?,
        tenant: row.try_get("tenant").map_err(|_| StoreError::Malformed("tenant"))?,
        key_use: number("key_use")?,
        scope: bytes("scope")?,
        version: number("version")?,
        full_id: bytes("full_id")?,
        parent: bytes("parent")?,
        state: number("state")?,
        created: number("created")?,
        wrapped: bytes("wrapped")?,
        more: bytes("more")?,
        mac: bytes("mac")?,
    };
    columns.row()
}
