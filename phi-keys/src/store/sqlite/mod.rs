//! The key store on SQLite, in a database that the application may share.

pub(crate) mod sql;

use core::fmt;
use core::num::NonZeroU32;

use sqlx::{Connection, Sqlite, SqlitePool, pool::PoolConnection};

use super::{Change, Committed, KeyRow, KeyStore, Remains, Residue, Slot, StoreError, StoreFuture};
use crate::id::KeyId;
use crate::scope::KeyUse;

/// Keeps key rows in the tables `phi_keys_row` and `phi_keys_schema` of a SQLite database.
///
/// Writing connections are switched to `PRAGMA secure_delete = ON`, so that a deleted row's bytes are overwritten, and must
/// have `PRAGMA synchronous = FULL`, which is SQLite's default, and a journal on disk: the journal modes `OFF` and `MEMORY`
/// are refused for a file. In WAL mode the deleted bytes also stay in the log until it is emptied; shredding tries that and
/// reports whether it worked. A persistent journal is cut off with every commit. Copies of the file made before are out of
/// reach.
///
/// ```
/// use phi_keys::{EphemeralKeyring, Keys, SqliteKeyStore};
/// use sqlx::SqlitePool;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let url = format!("sqlite://{}/clinic.db?mode=rwc", folder.path().display());
/// let pool = SqlitePool::connect(&url).await?;
/// let keys = Keys::builder(SqliteKeyStore::new(pool)).kek(EphemeralKeyring::generate()?).build().await?;
/// # let _ = keys.fingerprint();
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SqliteKeyStore(SqlitePool);

impl SqliteKeyStore {
    /// A key store in the database of this pool. Nothing is read or written yet.
    #[must_use]
    pub const fn new(pool: SqlitePool) -> Self {
        Self(pool)
    }

    /// Makes the tables where they are missing. [`KeysBuilder::build`](crate::KeysBuilder::build) does it as well.
    ///
    /// # Errors
    /// [`StoreError::Newer`] for the tables of a later version; other [`StoreError`]s when the database fails.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let mut connection = self.writer().await?;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        sql::prepare(&mut transaction).await?;
        Ok(transaction.commit().await?)
    }

    async fn writer(&self) -> Result<PoolConnection<Sqlite>, StoreError> {
        let mut connection = self.0.acquire().await?;
        sql::prepare_write(&mut connection).await?;
        Ok(connection)
    }
}

// A transaction that is dropped on the way out is rolled back.
impl KeyStore for SqliteKeyStore {
    fn prepare(&self) -> StoreFuture<'_, ()> {
        Box::pin(self.migrate())
    }

    fn commit<'a>(&'a self, change: &'a Change) -> StoreFuture<'a, Committed> {
        Box::pin(async move {
            let mut connection = self.writer().await?;
            // Takes the write lock at once: a transaction that reads first could not be upgraded beside another writer.
            let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
            let outcome = sql::apply(&mut transaction, change).await?;
            if outcome == Committed::Done {
                transaction.commit().await?;
            }
            Ok(outcome)
        })
    }

    fn slot<'a>(&'a self, slot: &'a Slot) -> StoreFuture<'a, Vec<KeyRow>> {
        Box::pin(async move { sql::slot(&mut *self.0.acquire().await?, slot).await })
    }

    fn scopes<'a>(&'a self, tenant: &'a str, key_use: KeyUse, scopes: &'a [[u8; 32]]) -> StoreFuture<'a, Vec<KeyRow>> {
        Box::pin(async move { sql::scopes(&mut *self.0.acquire().await?, tenant, key_use, scopes).await })
    }

    fn by_kid(&self, kid: KeyId) -> StoreFuture<'_, Option<KeyRow>> {
        Box::pin(async move { sql::by_kid(&mut *self.0.acquire().await?, kid).await })
    }

    fn domain_rows(&self) -> StoreFuture<'_, Vec<KeyRow>> {
        Box::pin(async move { sql::domain_rows(&mut *self.0.acquire().await?).await })
    }

    fn tombstones(&self) -> StoreFuture<'_, Vec<KeyRow>> {
        Box::pin(async move { sql::tombstones(&mut *self.0.acquire().await?).await })
    }

    fn data_rows<'a>(
        &'a self,
        tenant: &'a str,
        after: Option<&'a KeyRow>,
        limit: NonZeroU32,
    ) -> StoreFuture<'a, Vec<KeyRow>> {
        Box::pin(async move { sql::data_rows(&mut *self.0.acquire().await?, tenant, after, limit).await })
    }

    fn remains<'a>(&'a self, slot: &'a Slot) -> StoreFuture<'a, Remains> {
        Box::pin(async move { sql::remains(&mut *self.0.acquire().await?, slot).await })
    }

    fn purge(&self) -> StoreFuture<'_, Vec<Residue>> {
        Box::pin(async move { sql::purge(&mut *self.0.acquire().await?).await })
    }
}

impl fmt::Debug for SqliteKeyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SqliteKeyStore")
    }
}
