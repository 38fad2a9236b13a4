//! The key store on PostgreSQL, in a database that the application may share.

pub(crate) mod sql;

use core::fmt;
use core::num::NonZeroU32;

use sqlx::{PgPool, Postgres, Transaction};

use super::{Change, Committed, KeyRow, KeyStore, Remains, Residue, Slot, StoreError, StoreFuture};
use crate::id::KeyId;
use crate::scope::KeyUse;

/// How often a transaction is run again that the server ended for the sake of another one.
const ATTEMPTS: usize = 8;

/// Keeps key rows in the tables `phi_keys_row` and `phi_keys_schema` of a PostgreSQL database, in the first schema of the
/// connection's `search_path`.
///
/// Any number of processes may share it. Whoever makes or shreds a data key takes an advisory lock on its slot for the
/// transaction, so the store is right under `READ COMMITTED`, whatever the database's default is, and for a shred within
/// a transaction of the caller; writers of different patients do not wait for each other. `synchronous_commit` is switched
/// on for each write where it is off, and a server with `fsync = off` is refused.
///
/// A deleted row leaves copies that no client can remove: dead tuples and free space in the table's files, the write-ahead
/// log and its archive, replicas. [`purge`](KeyStore::purge) always says so.
///
/// Connections are encrypted when the application enables one of sqlx's TLS features and asks for it with
/// `sslmode=verify-full`.
///
/// ```no_run
/// use phi_keys::{EphemeralKeyring, Keys, PostgresKeyStore};
/// use sqlx::PgPool;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pool = PgPool::connect("postgres://clinic@db.example/clinic?sslmode=verify-full").await?;
/// let keys = Keys::builder(PostgresKeyStore::new(pool)).kek(EphemeralKeyring::generate()?).build().await?;
/// # let _ = keys.fingerprint();
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PostgresKeyStore(PgPool);

impl PostgresKeyStore {
    /// A key store in the database of this pool. Nothing is read or written yet.
    #[must_use]
    pub const fn new(pool: PgPool) -> Self {
        Self(pool)
    }

    /// Makes the tables where they are missing; needs no right to do so where they are there.
    /// [`KeysBuilder::build`](crate::KeysBuilder::build) does it as well.
    ///
    /// # Errors
    /// [`StoreError::Newer`] for the tables of a later version; other [`StoreError`]s when the database fails.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        if sql::is_current(&mut *self.0.acquire().await?).await? {
            return Ok(());
        }
        let mut transaction = self.writer().await?;
        sql::prepare(&mut transaction).await?;
        Ok(transaction.commit().await?)
    }

    async fn writer(&self) -> Result<Transaction<'static, Postgres>, StoreError> {
        // Under a stricter level the view would be from before the locks, and miss what their last holder wrote.
        let mut transaction = self.0.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE").await?;
        sql::prepare_write(&mut transaction).await?;
        Ok(transaction)
    }

    /// Runs a change once. A transaction that is dropped on the way out is rolled back.
    async fn run(&self, change: &Change) -> Result<Committed, StoreError> {
        let mut transaction = self.writer().await?;
        let outcome = sql::apply(&mut transaction, change).await?;
        if outcome == Committed::Done {
            transaction.commit().await?;
        } else {
            transaction.rollback().await?;
        }
        Ok(outcome)
    }
}

impl KeyStore for PostgresKeyStore {
    fn prepare(&self) -> StoreFuture<'_, ()> {
        Box::pin(self.migrate())
    }

    fn commit<'a>(&'a self, change: &'a Change) -> StoreFuture<'a, Committed> {
        Box::pin(async move {
            for _ in 1..ATTEMPTS {
                match self.run(change).await {
                    Err(error) if sql::was_ended_for_another(&error) => {}
                    outcome => return outcome,
                }
            }
            self.run(change).await
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

    /// Nothing is done: what a server keeps of deleted rows, its clients cannot remove.
    fn purge(&self) -> StoreFuture<'_, Vec<Residue>> {
        Box::pin(async { Ok(vec![Residue::DeadTuples, Residue::ArchivedLog, Residue::Replicas]) })
    }
}

impl fmt::Debug for PostgresKeyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PostgresKeyStore")
    }
}
