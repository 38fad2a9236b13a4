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

#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod columns;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
mod residue;
mod row;
#[cfg(feature = "sqlite")]
mod sqlite;

use core::fmt;
use core::future::Future;
use core::num::NonZeroU32;
use core::pin::Pin;
use std::error::Error;
use std::sync::Arc;

pub use memory::MemoryKeyStore;
#[cfg(feature = "postgres")]
pub use postgres::PostgresKeyStore;
#[cfg(feature = "postgres")]
pub(crate) use postgres::sql as postgres_sql;
pub use residue::Residue;
pub use row::{KeyRow, KeyState, RowKind, Slot};
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteKeyStore;
#[cfg(feature = "sqlite")]
pub(crate) use sqlite::sql;

use crate::id::{FullId, KeyId};
use crate::scope::KeyUse;

/// The future of a [`KeyStore`] method.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Keeps key rows. Implementations run `conformance::key_store` and the other suites over stores (feature `test-util`).
///
/// Two rows are never equal in (kind, tenant, key use, scope, version), and no two keys have the same kid.
pub trait KeyStore: fmt::Debug + Send + Sync + 'static {
    /// Makes what the store needs, such as its tables, and refuses a store of a newer version. Called once, before
    /// anything else.
    ///
    /// # Errors
    /// [`StoreError`].
    fn prepare(&self) -> StoreFuture<'_, ()>;

    /// Does everything that a change asks for, durably and in one transaction, or nothing of it.
    ///
    /// # Errors
    /// [`StoreError`].
    fn commit<'a>(&'a self, change: &'a Change) -> StoreFuture<'a, Committed>;

    /// Every row of a slot, of every kind, in ascending order of kind and version.
    ///
    /// # Errors
    /// [`StoreError`].
    fn slot<'a>(&'a self, slot: &'a Slot) -> StoreFuture<'a, Vec<KeyRow>>;

    /// As [`slot`](Self::slot), for many scopes of one tenant and key use: the rows of each scope in the same order, and
    /// those of different scopes in any. Each scope is named once. A store that can answer many in one reading has an own
    /// answer.
    ///
    /// # Errors
    /// [`StoreError`].
    fn scopes<'a>(&'a self, tenant: &'a str, key_use: KeyUse, scopes: &'a [[u8; 32]]) -> StoreFuture<'a, Vec<KeyRow>> {
        Box::pin(async move {
            let mut rows = Vec::with_capacity(scopes.len());
            for scope in scopes {
                rows.extend(self.slot(&Slot::new(tenant, key_use, Some(*scope))).await?);
            }
            Ok(rows)
        })
    }

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

    /// Every tombstone of every tenant that can be read.
    ///
    /// # Errors
    /// [`StoreError`].
    fn tombstones(&self) -> StoreFuture<'_, Vec<KeyRow>>;

    /// At most `limit` data key rows of a tenant that follow `after`, or the first ones, in ascending order of key use,
    /// scope and version. Rows that come and go between two calls may be left out; none that stays is.
    ///
    /// # Errors
    /// [`StoreError`].
    fn data_rows<'a>(
        &'a self,
        tenant: &'a str,
        after: Option<&'a KeyRow>,
        limit: NonZeroU32,
    ) -> StoreFuture<'a, Vec<KeyRow>>;

    /// As [`slot`](Self::slot), for a shred: what cannot be read as a row does not stop the reading. A store whose rows
    /// cannot be altered by others needs no own answer.
    ///
    /// # Errors
    /// [`StoreError`].
    fn remains<'a>(&'a self, slot: &'a Slot) -> StoreFuture<'a, Remains> {
        Box::pin(async move { Ok(Remains { rows: self.slot(slot).await?, unreadable: Vec::new() }) })
    }

    /// Removes what deleted rows left behind elsewhere in the store's own files, such as a write-ahead log, and says what
    /// is still left, or may be. Empty when nothing is.
    ///
    /// # Errors
    /// [`StoreError`].
    fn purge(&self) -> StoreFuture<'_, Vec<Residue>>;
}

impl<S: KeyStore + ?Sized> KeyStore for Arc<S> {
    fn prepare(&self) -> StoreFuture<'_, ()> {
        (**self).prepare()
    }

    fn commit<'a>(&'a self, change: &'a Change) -> StoreFuture<'a, Committed> {
        (**self).commit(change)
    }

    fn slot<'a>(&'a self, slot: &'a Slot) -> StoreFuture<'a, Vec<KeyRow>> {
        (**self).slot(slot)
    }

    fn scopes<'a>(&'a self, tenant: &'a str, key_use: KeyUse, scopes: &'a [[u8; 32]]) -> StoreFuture<'a, Vec<KeyRow>> {
        (**self).scopes(tenant, key_use, scopes)
    }

    fn by_kid(&self, kid: KeyId) -> StoreFuture<'_, Option<KeyRow>> {
        (**self).by_kid(kid)
    }

    fn domain_rows(&self) -> StoreFuture<'_, Vec<KeyRow>> {
        (**self).domain_rows()
    }

    fn tombstones(&self) -> StoreFuture<'_, Vec<KeyRow>> {
        (**self).tombstones()
    }

    fn data_rows<'a>(
        &'a self,
        tenant: &'a str,
        after: Option<&'a KeyRow>,
        limit: NonZeroU32,
    ) -> StoreFuture<'a, Vec<KeyRow>> {
        (**self).data_rows(tenant, after, limit)
    }

    fn remains<'a>(&'a self, slot: &'a Slot) -> StoreFuture<'a, Remains> {
        (**self).remains(slot)
    }

    fn purge(&self) -> StoreFuture<'_, Vec<Residue>> {
        (**self).purge()
    }
}

/// What is in a slot, as far as it can be read.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Remains {
    /// The rows that can be read, as [`KeyStore::slot`] gives them.
    pub rows: Vec<KeyRow>,
    /// The full ids of data key rows of which nothing else can be read.
    pub unreadable: Vec<FullId>,
}

impl Remains {
    /// What was found.
    #[must_use]
    pub const fn new(rows: Vec<KeyRow>, unreadable: Vec<FullId>) -> Self {
        Self { rows, unreadable }
    }
}

/// What is to be written. It happens whole or not at all, and only if nobody else was faster.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Change {
    /// Rows to be replaced: the row as it was read, and what takes its place. The stored row must still have its MAC.
    pub replace: Vec<(KeyRow, KeyRow)>,
    /// Rows to be inserted. Their places and kids must be free, and the slots of data keys without a tombstone.
    pub insert: Vec<KeyRow>,
    /// A tombstone to be inserted if it is absent, or in the place of one that cannot be read. Every data key row of its
    /// slot is deleted so that its bytes are overwritten; [`Committed::Stale`] when the tombstone does not name one of
    /// them, which was made meanwhile.
    pub tombstone: Option<KeyRow>,
}

impl Change {
    /// A change that does nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces a row.
    #[must_use]
    pub fn replace(mut self, current: KeyRow, next: KeyRow) -> Self {
        self.replace.push((current, next));
        self
    }

    /// Inserts a row.
    #[must_use]
    pub fn insert(mut self, row: KeyRow) -> Self {
        self.insert.push(row);
        self
    }

    /// Shreds a slot.
    #[must_use]
    pub fn shred(mut self, tombstone: KeyRow) -> Self {
        self.tombstone = Some(tombstone);
        self
    }
}

/// How a change ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Committed {
    /// It was done.
    Done,
    /// A row that was to be replaced is another by now, or gone, or the tombstone does not name a key. Nothing was done.
    Stale,
    /// A row is at a place of the new ones, or has a kid of theirs. Nothing was done.
    Exists,
    /// The slot of a new data key has a tombstone. Nothing was done.
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
    /// A key row has a kind, key use, state, field or wrapped carrier that this version of the crate does not know.
    Unknown {
        /// Which column.
        column: &'static str,
        /// The number that stands there.
        found: u64,
    },
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
            Self::Unknown { column, found } => write!(
                f,
                "a key row has the unknown number {found} in column {column}: use the later version of this crate that wrote it, or restore the key tables"
            ),
            Self::NoSecureDelete => {
                f.write_str("SQLite refuses `PRAGMA secure_delete = ON`, so a shredded key would stay in the file: use an SQLite that was built with it")
            }
            Self::NotDurable => f.write_str(
                "the database may lose what it reported as written: use `synchronous = FULL` and a journal on disk with SQLite, `fsync = on` with PostgreSQL",
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
