//! The statements, on one connection of the caller's choice.

use core::num::NonZeroU32;

use ring::digest;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use crate::id::{FullId, KeyId};
use crate::scope::KeyUse;
use crate::store::columns::{Columns, VERSION};
use crate::store::{Change, Committed, KeyRow, Remains, RowKind, Slot, StoreError};

const CREATE: [&str; 4] = [
    "CREATE TABLE phi_keys_schema (version BIGINT NOT NULL)",
    "CREATE TABLE phi_keys_row (
        kind BIGINT NOT NULL,
        tenant TEXT COLLATE \"C\" NOT NULL,
        key_use BIGINT NOT NULL,
        scope BYTEA NOT NULL,
        version BIGINT NOT NULL,
        full_id BYTEA NOT NULL,
        parent BYTEA NOT NULL,
        state BIGINT NOT NULL,
        created BIGINT NOT NULL,
        wrapped BYTEA NOT NULL,
        more BYTEA NOT NULL,
        mac BYTEA NOT NULL,
        PRIMARY KEY (kind, tenant, key_use, scope, version)
    )",
    // Two keys of one kid would make every value under that kid ambiguous.
    "CREATE UNIQUE INDEX phi_keys_row_kid ON phi_keys_row (substr(full_id, 1, 16)) WHERE kind IN (1, 2)",
    "CREATE INDEX phi_keys_row_slot ON phi_keys_row (tenant, key_use, scope)",
];

/// Read from the catalogue itself: `to_regclass` may answer from what this session knew before it waited for the lock.
const HAS_TABLES: &str = "SELECT EXISTS (SELECT FROM pg_catalog.pg_class
    WHERE relname = 'phi_keys_schema' AND pg_catalog.pg_table_is_visible(oid))";
const DURABILITY: &str = "SELECT current_setting('fsync'), current_setting('synchronous_commit')";
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

const BY_SLOT: &str = select!("WHERE tenant = $1 AND key_use = $2 AND scope = $3 ORDER BY kind, version");
const BY_SCOPES: &str = select!("WHERE tenant = $1 AND key_use = $2 AND scope = ANY($3) ORDER BY kind, version");
const BY_KID: &str = select!("WHERE substr(full_id, 1, 16) = $1 AND kind IN (1, 2)");
const DOMAIN: &str = select!("WHERE kind = 1 ORDER BY tenant, key_use, version");
const TOMBSTONES: &str = select!("WHERE kind = 3");
const DATA_ROWS: &str = select!(
    "WHERE kind = 2 AND tenant = $1 AND (key_use, scope, version) > ($2, $3, $4)
    ORDER BY key_use, scope, version LIMIT $5"
);
const INSERT: &str = "INSERT INTO phi_keys_row
    (kind, tenant, key_use, scope, version, full_id, parent, state, created, wrapped, mac, more)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING";
const REPLACE: &str =
    "UPDATE phi_keys_row SET full_id = $6, parent = $7, state = $8, created = $9, wrapped = $10, mac = $11, more = $12
    WHERE kind = $1 AND tenant = $2 AND key_use = $3 AND scope = $4 AND version = $5 AND mac = $13";
const SLOT_TOMBSTONES: &str = select!("WHERE kind = 3 AND tenant = $1 AND key_use = $2 AND scope = $3");
const DELETE_TOMBSTONES: &str =
    "DELETE FROM phi_keys_row WHERE kind = 3 AND tenant = $1 AND key_use = $2 AND scope = $3";
const DELETE_DATA: &str =
    "DELETE FROM phi_keys_row WHERE kind = 2 AND tenant = $1 AND key_use = $2 AND scope = $3 RETURNING full_id";

/// Whether there are tables of this version, or an error when they are of a later one.
pub(super) async fn is_current(connection: &mut PgConnection) -> Result<bool, StoreError> {
    if !sqlx::query(HAS_TABLES).fetch_one(&mut *connection).await?.try_get::<bool, _>(0)? {
        return Ok(false);
    }
    let version = sqlx::query("SELECT max(version) FROM phi_keys_schema").fetch_one(connection).await?;
    match version.try_get::<Option<i64>, _>(0).map_err(|_| StoreError::Malformed("version"))? {
        Some(found) if found > VERSION => Err(StoreError::Newer { found, supported: VERSION }),
        Some(VERSION) => Ok(true),
        // The tables and their version are made in one transaction, and the first version here was 2.
        _ => Err(StoreError::Malformed("version")),
    }
}

/// Makes the tables unless somebody else did so first. To be called in a transaction.
pub(super) async fn prepare(connection: &mut PgConnection) -> Result<(), StoreError> {
    // `IF NOT EXISTS` alone fails when two processes create a table at once.
    lock(connection, lock_of(&[b"schema"])).await?;
    if is_current(connection).await? {
        return Ok(());
    }
    for statement in CREATE {
        sqlx::query(statement).execute(&mut *connection).await?;
    }
    sqlx::query("INSERT INTO phi_keys_schema (version) VALUES ($1)").bind(VERSION).execute(connection).await?;
    Ok(())
}

/// Makes sure that what is written in this transaction stays. Every writing transaction passes here.
pub(crate) async fn prepare_write(connection: &mut PgConnection) -> Result<(), StoreError> {
    let settings = sqlx::query(DURABILITY).fetch_one(&mut *connection).await?;
    match durability(settings.try_get(0)?, settings.try_get(1)?) {
        Durability::None => Err(StoreError::NotDurable),
        Durability::Asynchronous => {
            sqlx::query("SET LOCAL synchronous_commit = on").execute(connection).await?;
            Ok(())
        }
        Durability::Synchronous => Ok(()),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Durability {
    /// A power failure may take anything.
    None,
    /// A crash of the server takes the last commits.
    Asynchronous,
    /// At least in the server's own log when it is reported.
    Synchronous,
}

fn durability(fsync: &str, synchronous_commit: &str) -> Durability {
    match (fsync, synchronous_commit) {
        ("off", _) => Durability::None,
        (_, "off") => Durability::Asynchronous,
        _ => Durability::Synchronous,
    }
}

/// Whether each statement of this transaction sees what was committed before the statement.
pub(crate) async fn is_read_committed(connection: &mut PgConnection) -> Result<bool, StoreError> {
    let level = sqlx::query("SELECT current_setting('transaction_isolation')").fetch_one(connection).await?;
    Ok(matches!(level.try_get::<&str, _>(0)?, "read committed" | "read uncommitted"))
}

/// Whether the server ended a transaction because of a deadlock or of a conflict with another one.
pub(super) fn was_ended_for_another(error: &StoreError) -> bool {
    let StoreError::Unavailable(reason) = error else { return false };
    let Some(sqlx::Error::Database(reason)) = reason.downcast_ref::<sqlx::Error>() else { return false };
    reason.code().is_some_and(|code| matches!(&*code, "40001" | "40P01"))
}

/// Writes one by one; the caller's transaction makes it all or nothing.
pub(crate) async fn apply(connection: &mut PgConnection, change: &Change) -> Result<Committed, StoreError> {
    // Whoever inserts a data key and whoever shreds must see what the other did: neither row is there to be locked yet.
    let data = change.insert.iter().filter(|row| row.kind == RowKind::Data);
    let mut locks = data.chain(&change.tombstone).map(|row| lock_of_slot(&row.slot)).collect::<Vec<_>>();
    // All in one order, so that no two wait for each other.
    locks.sort_unstable();
    locks.dedup();
    for key in locks {
        lock(connection, key).await?;
    }
    for (current, next) in &change.replace {
        let replaced = bind_row(REPLACE, next).bind(current.mac.as_slice()).execute(&mut *connection).await?;
        if replaced.rows_affected() == 0 {
            return Ok(Committed::Stale);
        }
    }
    for row in &change.insert {
        if row.kind == RowKind::Data {
            let tombstone = bind_slot(SLOT_TOMBSTONES, &row.slot).fetch_optional(&mut *connection).await?;
            if tombstone.is_some() {
                return Ok(Committed::Shredded);
            }
        }
        if bind_row(INSERT, row).execute(&mut *connection).await?.rows_affected() == 0 {
            return Ok(Committed::Exists);
        }
    }
    if let Some(tombstone) = &change.tombstone {
        let earlier = bind_slot(SLOT_TOMBSTONES, &tombstone.slot).fetch_all(&mut *connection).await?;
        if earlier.iter().any(|row| read(row).is_err()) {
            bind_slot(DELETE_TOMBSTONES, &tombstone.slot).execute(&mut *connection).await?;
        }
        let keys = bind_slot(DELETE_DATA, &tombstone.slot).fetch_all(&mut *connection).await?;
        let keys = keys.iter().map(|row| row.try_get::<&[u8], _>(0)).collect::<Result<Vec<_>, _>>()?;
        if !tombstone.names(keys.into_iter()) {
            return Ok(Committed::Stale);
        }
        bind_row(INSERT, tombstone).execute(connection).await?;
    }
    Ok(Committed::Done)
}

/// Until the end of the transaction.
async fn lock(connection: &mut PgConnection, key: i64) -> Result<(), StoreError> {
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(key).execute(connection).await?;
    Ok(())
}

fn lock_of_slot(slot: &Slot) -> i64 {
    lock_of(&[b"slot", slot.tenant.as_bytes(), &[slot.key_use.code()], slot.scope_bytes()])
}

/// A number for what is to be locked. Two things that get the same one by chance wait for each other without need.
fn lock_of(parts: &[&[u8]]) -> i64 {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"phi-keys");
    for part in parts {
        // No part has 2^64 bytes.
        context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(part);
    }
    context.finish().as_ref().first_chunk().copied().map_or(0, i64::from_be_bytes)
}

pub(crate) async fn slot(connection: &mut PgConnection, slot: &Slot) -> Result<Vec<KeyRow>, StoreError> {
    bind_slot(BY_SLOT, slot).fetch_all(connection).await?.iter().map(read).collect()
}

pub(super) async fn scopes(
    connection: &mut PgConnection,
    tenant: &str,
    key_use: KeyUse,
    scopes: &[[u8; 32]],
) -> Result<Vec<KeyRow>, StoreError> {
    let scopes: Vec<&[u8]> = scopes.iter().map(<[u8; 32]>::as_slice).collect();
    let query = sqlx::query(BY_SCOPES).bind(tenant).bind(i64::from(key_use.code())).bind(scopes);
    query.fetch_all(connection).await?.iter().map(read).collect()
}

pub(super) async fn by_kid(connection: &mut PgConnection, kid: KeyId) -> Result<Option<KeyRow>, StoreError> {
    let row = sqlx::query(BY_KID).bind(kid.as_bytes().to_vec()).fetch_optional(connection).await?;
    row.as_ref().map(read).transpose()
}

pub(super) async fn domain_rows(connection: &mut PgConnection) -> Result<Vec<KeyRow>, StoreError> {
    sqlx::query(DOMAIN).fetch_all(connection).await?.iter().map(read).collect()
}

pub(crate) async fn tombstones(connection: &mut PgConnection) -> Result<Vec<KeyRow>, StoreError> {
    let rows = sqlx::query(TOMBSTONES).fetch_all(connection).await?;
    Ok(rows.iter().filter_map(|row| read(row).ok()).collect())
}

pub(super) async fn data_rows(
    connection: &mut PgConnection,
    tenant: &str,
    after: Option<&KeyRow>,
    limit: NonZeroU32,
) -> Result<Vec<KeyRow>, StoreError> {
    let (key_use, scope, version) =
        after.map_or((0, &[][..], 0), |row| (row.slot.key_use.code(), row.slot.scope_bytes(), row.version));
    let query = sqlx::query(DATA_ROWS).bind(tenant).bind(i64::from(key_use)).bind(scope).bind(i64::from(version));
    query.bind(i64::from(limit.get())).fetch_all(connection).await?.iter().map(read).collect()
}

pub(crate) async fn remains(connection: &mut PgConnection, slot: &Slot) -> Result<Remains, StoreError> {
    let found = bind_slot(BY_SLOT, slot).fetch_all(connection).await?;
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

type Query<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

fn bind_slot<'q>(statement: &'static str, slot: &'q Slot) -> Query<'q> {
    sqlx::query(statement).bind(slot.tenant.as_str()).bind(i64::from(slot.key_use.code())).bind(slot.scope_bytes())
}

fn bind_row<'q>(statement: &'static str, row: &'q KeyRow) -> Query<'q> {
    let id = |id: &'q Option<FullId>| id.as_ref().map_or(&[][..], |id| id.as_bytes().as_slice());
    sqlx::query(statement)
        .bind(i64::from(row.kind.code()))
        .bind(row.slot.tenant.as_str())
        .bind(i64::from(row.slot.key_use.code()))
        .bind(row.slot.scope_bytes())
        .bind(i64::from(row.version))
        .bind(id(&row.full_id))
        .bind(id(&row.parent))
        .bind(i64::from(row.state.code()))
        .bind(row.created.as_unix_micros())
        .bind(row.wrapped.as_slice())
        .bind(row.mac.as_slice())
        .bind(row.more())
}

fn read(row: &PgRow) -> Result<KeyRow, StoreError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_never_syncs_is_not_durable() {
        assert_eq!(durability("off", "on"), Durability::None);
        assert_eq!(durability("on", "off"), Durability::Asynchronous);
        for waits in ["local", "remote_write", "on", "remote_apply"] {
            assert_eq!(durability("on", waits), Durability::Synchronous);
        }
    }
}
