//! Where key rows are kept: the [`KeyStore`] trait, its rows, and the store in memory.
//!
//! A store keeps bytes and order; it is not trusted. Every row carries a MAC under the store root key, and every write is
//! insert-if-absent or compare-and-swap, so that the last of two writers never wins silently.
//!
//! ```
//! use phi_keys::{KeyStore, MemoryKeyStore};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = MemoryKeyStore::new();
//! assert!(store.domain_rows().await?.is_empty());
//! # Ok(())
//! # }
//! ```

mod memory;
mod row;
#[cfg(feature = "sqlite")]
mod sqlite;

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use std::error::Error;
use std::sync::Arc;

pub use memory::MemoryKeyStore;
pub use row::{KeyRow, KeyState, RowKind, Slot};
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteKeyStore;
#[cfg(feature = "sqlite")]
pub(crate) use sqlite::sql;

use crate::id::KeyId;

/// The future of a [`KeyStore`] method.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Keeps key rows.
///
/// Two rows are never equal in (kind, tenant, key use, scope, version), and no two keys have the same kid.
pub trait KeyStore: fmt::Debug + Send + Sync + 'static {
    /// Makes what the store needs, such as its tables, and refuses a store of a newer version. Called once, before
    /// anything else.
    ///
    /// # Errors
    /// [`StoreError`].
    fn prepare(&self) -> StoreFuture<'_, ()>;

    /// Inserts all rows or none, durably.
    ///
    /// # Errors
    /// [`StoreError`].
    fn insert<'a>(&'a self, rows: &'a [KeyRow]) -> StoreFuture<'a, Inserted>;

    /// Replaces `current` by `next`, which has the same place, if the stored row still has the MAC of `current`. True
    /// when it was replaced.
    ///
    /// # Errors
    /// [`StoreError`].
    fn replace<'a>(&'a self, current: &'a KeyRow, next: &'a KeyRow) -> StoreFuture<'a, bool>;

    /// Every row of a slot, of every kind, in ascending order of kind and version.
    ///
    /// # Errors
    /// [`StoreError`].
    fn slot<'a>(&'a self, slot: &'a Slot) -> StoreFuture<'a, Vec<KeyRow>>;

    /// The domain or data key of this kid.
    ///
    /// # Errors
    /// [`StoreError`].
    fn by_kid(&self, kid: KeyId) -> StoreFuture<'_, Option<KeyRow>>;

    /// Every domain key row of every tenant, the root key's included.
    ///
    /// # Errors
    /// [`StoreError`].
    fn domain_rows(&self) -> StoreFuture<'_, Vec<KeyRow>>;

    /// In one transaction: replaces the generation row, inserts the tombstone if it is absent, and deletes every data key
    /// row of the tombstone's slot so that its bytes are overwritten. False, and nothing done, when the stored
    /// generation row no longer has the MAC of `generation`.
    ///
    /// # Errors
    /// [`StoreError`].
    fn shred<'a>(
        &'a self,
        tombstone: &'a KeyRow,
        generation: &'a KeyRow,
        next_generation: &'a KeyRow,
    ) -> StoreFuture<'a, bool>;

    /// Removes what deleted rows left behind elsewhere in the store's own files, such as a write-ahead log. False when
    /// something is still left because others are using the store; calling it again later then helps.
    ///
    /// # Errors
    /// [`StoreError`].
    fn purge(&self) -> StoreFuture<'_, bool>;
}

impl<S: KeyStore + ?Sized> KeyStore for Arc<S> {
    fn prepare(&self) -> StoreFuture<'_, ()> {
        (**self).prepare()
    }

    fn insert<'a>(&'a self, rows: &'a [KeyRow]) -> StoreFuture<'a, Inserted> {
        (**self).insert(rows)
    }

    fn replace<'a>(&'a self, current: &'a KeyRow, next: &'a KeyRow) -> StoreFuture<'a, bool> {
        (**self).replace(current, next)
    }

    fn slot<'a>(&'a self, slot: &'a Slot) -> StoreFuture<'a, Vec<KeyRow>> {
        (**self).slot(slot)
    }

    fn by_kid(&self, kid: KeyId) -> StoreFuture<'_, Option<KeyRow>> {
        (**self).by_kid(kid)
    }

    fn domain_rows(&self) -> StoreFuture<'_, Vec<KeyRow>> {
        (**self).domain_rows()
    }

    fn shred<'a>(
        &'a self,
        tombstone: &'a KeyRow,
        generation: &'a KeyRow,
        next_generation: &'a KeyRow,
    ) -> StoreFuture<'a, bool> {
        (**self).shred(tombstone, generation, next_generation)
    }

    fn purge(&self) -> StoreFuture<'_, bool> {
        (**self).purge()
    }
}

/// How an insertion ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Inserted {
    /// Every row was inserted.
    Done,
    /// A row is at one of the places, or has one of the kids. Nothing was inserted.
    Exists,
    /// A data key's slot has a tombstone. Nothing was inserted.
    Shredded,
}

/// A key store did not do what it was asked.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum StoreError {
    /// The store did not answer. Trying again may help.
    Unavailable(Arc<dyn Error + Send + Sync>),
    /// The store was written by a newer version of this crate.
    Newer {
        /// The version of the store.
        found: i64,
        /// The newest version that this crate reads.
        supported: i64,
    },
    /// The tables are missing.
    NotMigrated,
    /// Something in the store cannot be a key row: which column.
    Malformed(&'static str),
    /// Deleted bytes would stay in the database file.
    NoSecureDelete,
    /// What is written could be lost when the power fails.
    NotDurable,
}

impl StoreError {
    /// An [`Unavailable`](Self::Unavailable) with its reason, whose text must hold neither secrets nor PHI.
    pub fn unavailable(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unavailable(reason.into().into())
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(_) => f.write_str("the key store does not answer: try again, and check the disk"),
            Self::Newer { found, supported } => write!(
                f,
                "the key store has version {found}, newer than {supported}: use a later version of this crate"
            ),
            Self::NotMigrated => f.write_str("the key store has no tables: call `migrate` once before using it"),
            Self::Malformed(column) => {
                write!(f, "a key row has an impossible value in column {column}: restore the key tables")
            }
            Self::NoSecureDelete => {
                f.write_str("SQLite refuses `PRAGMA secure_delete = ON`, so a shredded key would stay in the file")
            }
            Self::NotDurable => f.write_str(
                "the database may lose what it reported as written: connect with `PRAGMA synchronous = FULL`",
            ),
        }
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unavailable(reason) => Some(&**reason),
            _ => None,
        }
    }
}
