//! Rows of SQLite and rows of this crate. Whatever this crate would not have written is not read.

use phi_types::{Actor, ActorKind, Timestamp};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::{AuthEvent, EndReason, PublicId, Row, Stamp, StoreError, Stored, TokenHash, Tombstone};

pub(super) fn auth(row: &Row) -> Vec<u8> {
    AuthEvent::encode(&row.auth)
}

/// A version is one more than its predecessor, so it never comes near the end of `i64`.
pub(super) fn version(version: u64) -> Result<i64, StoreError> {
    i64::try_from(version).map_err(|_| StoreError::Corrupt)
}

pub(super) fn read(row: &SqliteRow) -> Option<Stored> {
    let user =
        Actor::shared_by_name(ActorKind::from_text(row.try_get("user_kind").ok()?)?, text(row, "user_id")?).ok()?;
    let tombstone = tombstone(row)?;
    Some(Stored {
        row: Row {
            public_id: PublicId::from_bytes(bytes(row, "public_id")?),
            token_hash: TokenHash::from_bytes(bytes(row, "token_hash")?),
            user,
            tenant: row.try_get("tenant").ok()?,
            role: row.try_get("role").ok()?,
            created: time(row, "created")?,
            absolute_deadline: time(row, "absolute_deadline")?,
            auth: AuthEvent::decode(row.try_get("auth").ok()?)?,
            grant: row.try_get("grant_ref").ok()?,
            version: row.try_get::<i64, _>("version").ok()?.try_into().ok()?,
            mac: bytes(row, "mac")?,
        }
        .into(),
        stamp: Stamp {
            last_activity: time(row, "last_activity")?,
            idle_deadline: time(row, "idle_deadline")?,
            mac: bytes(row, "stamp_mac")?,
        },
        ended: tombstone,
    })
}

/// `None` when the columns contradict each other, `Some(None)` for a row without a tombstone.
fn tombstone(row: &SqliteRow) -> Option<Option<Tombstone>> {
    let at: Option<i64> = row.try_get("ended_at").ok()?;
    let reason: Option<i64> = row.try_get("ended_reason").ok()?;
    let by: Option<String> = row.try_get("ended_by").ok()?;
    let reported: i64 = row.try_get("end_reported").ok()?;
    match (at, reason, by, reported) {
        (None, None, None, 0) => Some(None),
        (Some(at), Some(reason), by, 0 | 1) => {
            let reason = EndReason::from_code(u8::try_from(reason).ok()?)?;
            let mut tombstone = Tombstone::new(reason, exact(at)?);
            tombstone.by = by;
            Some(Some(tombstone))
        }
        _ => None,
    }
}

fn bytes<const N: usize>(row: &SqliteRow, column: &str) -> Option<[u8; N]> {
    row.try_get::<&[u8], _>(column).ok()?.try_into().ok()
}

fn text(row: &SqliteRow, column: &str) -> Option<String> {
    row.try_get(column).ok()
}

fn time(row: &SqliteRow, column: &str) -> Option<Timestamp> {
    exact(row.try_get(column).ok()?)
}

/// Refuses what a timestamp would round to its range.
fn exact(micros: i64) -> Option<Timestamp> {
    let at = Timestamp::from_unix_micros(micros);
    (at.as_unix_micros() == micros).then_some(at)
}
