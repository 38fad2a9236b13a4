//! The store on SQLite.

mod read;
mod schema;
mod write;

use std::path::Path;

use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};

use super::{AuditStore, Counts, EntryRow, Filter, Head, Integration, PendingRow, StoreFuture};
use crate::{Hash, StoreError, Tile, TileId, WriterId};

/// An audit log in an SQLite database that the application may use for other things, too.
///
/// Tables are named `phi_audit_…` and created when the log is opened. WAL or rollback journal, `synchronous` FULL or
/// EXTRA: anything that could lose an acknowledged event is refused.
///
/// ```
/// use phi_audit::{AuditStore, SqliteAuditStore};
/// use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("clinic.db");
/// let options = SqliteConnectOptions::new()
///     .filename(&path)
///     .create_if_missing(true)
///     .journal_mode(SqliteJournalMode::Wal)
///     .synchronous(SqliteSynchronous::Full);
/// let pool = sqlx::SqlitePool::connect_with(options).await?;
/// SqliteAuditStore::new(pool).prepare().await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct SqliteAuditStore {
    pool: SqlitePool,
}

impl SqliteAuditStore {
    /// A log in the database of this pool.
    #[must_use]
    pub const fn new(pool: SqlitePool) -> Self {
        Self { pool }
    }

    /// Opens a database file for reading only, for a verifier. Writes nothing beside it: a copy without its WAL file
    /// and a file in a folder that cannot be written to can be read as well.
    ///
    /// # Errors
    /// [`StoreError`] when the file cannot be opened, holds no audit log or is of a newer version.
    pub async fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        let wal = {
            let mut name = path.as_os_str().to_owned();
            name.push("-wal");
            std::fs::metadata(name).is_ok_and(|wal| wal.len() > 0)
        };
        // Without a WAL nobody has the database open for writing in WAL mode, and SQLite would otherwise want to
        // create one beside it.
        let immutable = !wal && is_wal_mode(path).map_err(StoreError::backend)?;
        let options = SqliteConnectOptions::new().filename(path).read_only(true).immutable(immutable);
        let pool =
            SqlitePoolOptions::new().max_connections(1).connect_with(options).await.map_err(StoreError::backend)?;
        let mut connection = pool.acquire().await.map_err(StoreError::backend)?;
        if !schema::check_version(&mut connection).await? {
            return Err(StoreError::NoLog);
        }
        drop(connection);
        Ok(Self { pool })
    }
}

/// Byte 18 of the header, the file format write version, is 2 in WAL mode.
fn is_wal_mode(path: &Path) -> std::io::Result<bool> {
    use std::io::Read;
    let mut header = [0; 19];
    std::fs::File::open(path)?.read_exact(&mut header)?;
    let [.., version] = header;
    Ok(version == 2)
}

impl AuditStore for SqliteAuditStore {
    fn prepare(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let mut connection = self.pool.acquire().await.map_err(StoreError::backend)?;
            schema::check_durable(&mut connection).await?;
            drop(connection);
            let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(StoreError::backend)?;
            if !schema::check_version(&mut transaction).await? {
                schema::create(&mut transaction).await?;
            }
            transaction.commit().await.map_err(StoreError::backend)
        })
    }

    fn append<'a>(&'a self, rows: &'a [PendingRow]) -> StoreFuture<'a, ()> {
        Box::pin(write::append(&self.pool, rows))
    }

    fn pending(&self, limit: u32) -> StoreFuture<'_, Vec<PendingRow>> {
        Box::pin(read::pending(&self.pool, limit))
    }

    fn counts(&self) -> StoreFuture<'_, Counts> {
        Box::pin(read::counts(&self.pool))
    }

    fn head(&self) -> StoreFuture<'_, Head> {
        Box::pin(async move {
            let mut connection = self.pool.acquire().await.map_err(StoreError::backend)?;
            read::head(&mut connection).await
        })
    }

    fn claim(&self) -> StoreFuture<'_, Head> {
        Box::pin(write::claim(&self.pool))
    }

    fn integrate<'a>(&'a self, step: &'a Integration) -> StoreFuture<'a, ()> {
        Box::pin(write::integrate(&self.pool, step))
    }

    fn tiles<'a>(&'a self, ids: &'a [TileId]) -> StoreFuture<'a, Vec<Tile>> {
        Box::pin(read::tiles(&self.pool, ids))
    }

    fn entries(&self, start: u64, limit: u32) -> StoreFuture<'_, Vec<EntryRow>> {
        Box::pin(read::entries(&self.pool, start, limit))
    }

    fn placed(&self, writer: WriterId, first: u64, last: u64) -> StoreFuture<'_, Vec<(u64, u64, Hash)>> {
        Box::pin(read::placed(&self.pool, writer, first, last))
    }

    fn query<'a>(&'a self, filter: &'a Filter) -> StoreFuture<'a, Vec<(u64, Vec<u8>)>> {
        Box::pin(read::query(&self.pool, filter))
    }

    fn publish<'a>(&'a self, head: &'a Head, note: &'a str) -> StoreFuture<'a, ()> {
        Box::pin(write::publish(&self.pool, head, note))
    }

    fn checkpoints(&self, after: Option<u64>, limit: u32) -> StoreFuture<'_, Vec<(u64, String)>> {
        Box::pin(read::checkpoints(&self.pool, after, limit))
    }

    fn latest_checkpoint(&self) -> StoreFuture<'_, Option<(u64, String)>> {
        Box::pin(read::latest_checkpoint(&self.pool))
    }
}

/// SQLite's integers are signed; no log comes near 2^63 entries, so a larger number is a mistake of the caller.
fn to_sql(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Corrupt("number"))
}

fn from_sql(number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::Corrupt("number"))
}
