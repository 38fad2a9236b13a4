//! The statements, on one connection of the caller's choice.

use phi_types::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::id::{FullId, KeyId};
use crate::scope::KeyUse;
use crate::store::{Change, Committed, KeyRow, KeyState, RowKind, Slot, StoreError};

/// The version of the tables that this crate makes and reads.
const VERSION: i64 = 1;

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
        PRIMARY KEY (kind, tenant, key_use, scope, version)
    ) STRICT",
    // Two keys of one kid would make every value under that kid ambiguous.
    "CREATE UNIQUE INDEX IF NOT EXISTS phi_keys_row_kid ON phi_keys_row (substr(full_id, 1, 16)) WHERE kind IN (1, 2)",
    "CREATE INDEX IF NOT EXISTS phi_keys_row_slot ON phi_keys_row (tenant, key_use, scope)",
];

const BY_SLOT: &str =
    "SELECT * FROM phi_keys_row WHERE tenant = ?1 AND key_use = ?2 AND scope = ?3 ORDER BY kind, version";
const BY_KID: &str = "SELECT * FROM phi_keys_row WHERE substr(full_id, 1, 16) = ?1 AND kind IN (1, 2)";
const DOMAIN: &str = "SELECT * FROM phi_keys_row WHERE kind = 1 ORDER BY tenant, key_use, version";
const TOMBSTONE: &str = "SELECT 1 FROM phi_keys_row WHERE kind = 3 AND tenant = ?1 AND key_use = ?2 AND scope = ?3";
const INSERT: &str = "INSERT INTO phi_keys_row
    (kind, tenant, key_use, scope, version, full_id, parent, state, created, wrapped, mac)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT DO NOTHING";
const REPLACE: &str =
    "UPDATE phi_keys_row SET full_id = ?6, parent = ?7, state = ?8, created = ?9, wrapped = ?10, mac = ?11
    WHERE kind = ?1 AND tenant = ?2 AND key_use = ?3 AND scope = ?4 AND version = ?5 AND mac = ?12";
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
        Some(_) => Ok(()),
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
    Ok(())
}

async fn pragma(connection: &mut SqliteConnection, statement: &'static str) -> Result<i64, StoreError> {
    Ok(sqlx::query(statement).fetch_one(connection).await?.try_get(0)?)
}

/// Writes one by one; the caller's transaction makes it all or nothing.
pub(crate) async fn apply(connection: &mut SqliteConnection, change: &Change) -> Result<Committed, StoreError> {
    for (current, next) in &change.replace {
        let replaced = bind_row(REPLACE, next).bind(current.mac.as_slice()).execute(&mut *connection).await?;
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

pub(super) async fn by_kid(connection: &mut SqliteConnection, kid: KeyId) -> Result<Option<KeyRow>, StoreError> {
    let row = sqlx::query(BY_KID).bind(kid.as_bytes().to_vec()).fetch_optional(connection).await?;
    row.as_ref().map(read).transpose()
}

pub(super) async fn domain_rows(connection: &mut SqliteConnection) -> Result<Vec<KeyRow>, StoreError> {
    sqlx::query(DOMAIN).fetch_all(connection).await?.iter().map(read).collect()
}

/// Moves the write-ahead log into the database and empties it.
pub(super) async fn purge(connection: &mut SqliteConnection) -> Result<bool, StoreError> {
    let mode = sqlx::query("PRAGMA journal_mode").fetch_one(&mut *connection).await?;
    if mode.try_get::<&str, _>(0)?.eq_ignore_ascii_case("persist") {
        // A persistent rollback journal keeps the pages from before the deletion.
        return Ok(false);
    }
    Ok(pragma(connection, "PRAGMA wal_checkpoint(TRUNCATE)").await? == 0)
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
}

fn read(row: &SqliteRow) -> Result<KeyRow, StoreError> {
    let number = |column: &'static str| row.try_get::<i64, _>(column).map_err(|_| StoreError::Malformed(column));
    let code = |column| u8::try_from(number(column)?).map_err(|_| StoreError::Malformed(column));
    let bytes = |column: &'static str| row.try_get::<&[u8], _>(column).map_err(|_| StoreError::Malformed(column));
    let id = |column| match bytes(column)? {
        [] => Ok(None),
        id => id.try_into().map(Some).map_err(|_| StoreError::Malformed(column)),
    };
    let tenant = row.try_get::<&str, _>("tenant").map_err(|_| StoreError::Malformed("tenant"))?;
    let key_use = KeyUse::from_code(code("key_use")?).ok_or(StoreError::Malformed("key_use"))?;
    let created = number("created")?;
    let timestamp = Timestamp::from_unix_micros(created);
    if timestamp.as_unix_micros() != created {
        return Err(StoreError::Malformed("created"));
    }
    Ok(KeyRow {
        kind: RowKind::from_code(code("kind")?).ok_or(StoreError::Malformed("kind"))?,
        slot: Slot::new(tenant, key_use, id("scope")?),
        version: u32::try_from(number("version")?).map_err(|_| StoreError::Malformed("version"))?,
        full_id: id("full_id")?.map(FullId::from_bytes),
        parent: id("parent")?.map(FullId::from_bytes),
        state: KeyState::from_code(code("state")?).ok_or(StoreError::Malformed("state"))?,
        created: timestamp,
        wrapped: bytes("wrapped")?.to_vec(),
        mac: bytes("mac")?.try_into().map_err(|_| StoreError::Malformed("mac"))?,
    })
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(reason) if reason.message().contains("no such table: phi_keys_") => Self::NotMigrated,
            _ => Self::unavailable(error),
        }
    }
}
