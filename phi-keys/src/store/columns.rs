//! The columns of a key row, as both databases keep them.

use phi_types::Timestamp;

use super::{KeyRow, KeyState, RowKind, Slot, StoreError};
use crate::id::FullId;
use crate::scope::KeyUse;

/// The version of the tables that this crate makes and reads.
pub(super) const VERSION: i64 = 2;

/// One row as a database gave it.
pub(super) struct Columns<'r> {
    pub(super) kind: i64,
    pub(super) tenant: &'r str,
    pub(super) key_use: i64,
    pub(super) scope: &'r [u8],
    pub(super) version: i64,
    pub(super) full_id: &'r [u8],
    pub(super) parent: &'r [u8],
    pub(super) state: i64,
    pub(super) created: i64,
    pub(super) wrapped: &'r [u8],
    pub(super) more: &'r [u8],
    pub(super) mac: &'r [u8],
}

impl Columns<'_> {
    pub(super) fn row(&self) -> Result<KeyRow, StoreError> {
        let timestamp = Timestamp::from_unix_micros(self.created);
        if timestamp.as_unix_micros() != self.created {
            return Err(StoreError::Malformed("created"));
        }
        KeyRow::new(
            known("kind", self.kind, RowKind::from_code)?,
            Slot::new(self.tenant, known("key_use", self.key_use, KeyUse::from_code)?, id("scope", self.scope)?),
            u32::try_from(self.version).map_err(|_| StoreError::Malformed("version"))?,
            id("full_id", self.full_id)?.map(FullId::from_bytes),
            id("parent", self.parent)?.map(FullId::from_bytes),
            known("state", self.state, KeyState::from_code)?,
            timestamp,
            self.wrapped.to_vec(),
            self.mac.try_into().map_err(|_| StoreError::Malformed("mac"))?,
        )
        .with_more(self.more)
    }
}

/// A number that stands for something, which a later version may know.
fn known<T>(column: &'static str, found: i64, meaning: fn(u8) -> Option<T>) -> Result<T, StoreError> {
    match u8::try_from(found) {
        Ok(code) => meaning(code).ok_or(StoreError::Unknown { column, found: code.into() }),
        Err(_) => Err(StoreError::Malformed(column)),
    }
}

/// Thirty-two bytes, or none.
fn id(column: &'static str, bytes: &[u8]) -> Result<Option<[u8; 32]>, StoreError> {
    match bytes {
        [] => Ok(None),
        id => id.try_into().map(Some).map_err(|_| StoreError::Malformed(column)),
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        /// PostgreSQL: undefined table.
        const UNDEFINED: &str = "42P01";
        match &error {
            sqlx::Error::Database(reason)
                if reason.message().contains("no such table: phi_keys_")
                    || (reason.code().is_some_and(|code| code == UNDEFINED)
                        && reason.message().contains("phi_keys_")) =>
            {
                Self::NotMigrated
            }
            _ => Self::unavailable(error),
        }
    }
}
