//! Revocations by way of the database that holds the keys.

use core::fmt;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::Mutex;

use super::revoke::{RevocationChannel, RevocationNotice};
use crate::store::{StoreError, StoreFuture};

/// The channel unless another one is named.
const CHANNEL: &str = "phi_keys_revocation";

/// Carries revocations by PostgreSQL's `NOTIFY`. Listening takes one connection of the pool for good, and needs a connection
/// that stays with one session: no pooler that hands it to another one after each transaction.
///
/// Whoever may connect to the database may send a notice. It can only make keys leave memory, see [`RevocationNotice`].
///
/// ```no_run
/// use phi_keys::{EphemeralKeyring, Keys, PostgresKeyStore, PostgresRevocations};
/// use sqlx::PgPool;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pool = PgPool::connect("postgres://clinic@db.example/clinic?sslmode=verify-full").await?;
/// let keys = Keys::builder(PostgresKeyStore::new(pool.clone()))
///     .kek(EphemeralKeyring::generate()?)
///     .revocations(PostgresRevocations::new(pool))
///     .build()
///     .await?;
/// # let _ = keys;
/// # Ok(())
/// # }
/// ```
pub struct PostgresRevocations {
    pool: PgPool,
    channel: String,
    listener: Mutex<Option<PgListener>>,
}

impl PostgresRevocations {
    /// The channel `phi_keys_revocation` of this pool's database. Nothing is sent or received yet.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self::named(pool, CHANNEL)
    }

    /// A channel of another name: one for each key store, where several share a database.
    #[must_use]
    pub fn named(pool: PgPool, channel: impl Into<String>) -> Self {
        Self { pool, channel: channel.into(), listener: Mutex::new(None) }
    }

    async fn listen(&self) -> Result<PgListener, StoreError> {
        let mut listener = PgListener::connect_with(&self.pool).await?;
        listener.listen(&self.channel).await?;
        Ok(listener)
    }
}

impl RevocationChannel for PostgresRevocations {
    fn publish<'a>(&'a self, notice: &'a RevocationNotice) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let query = sqlx::query("SELECT pg_notify($1, $2)").bind(&self.channel).bind(notice.to_text());
            query.execute(&self.pool).await?;
            Ok(())
        })
    }

    fn next(&self) -> StoreFuture<'_, RevocationNotice> {
        Box::pin(async move {
            let mut place = self.listener.lock().await;
            let Some(listener) = &mut *place else {
                *place = Some(self.listen().await?);
                // What was sent before this process listened is not known.
                return Ok(RevocationNotice::ALL);
            };
            match listener.try_recv().await {
                Ok(Some(notice)) => Ok(RevocationNotice::from_text(notice.payload())),
                lost => {
                    *place = None;
                    Err(lost.err().map_or_else(|| StoreError::unavailable("the connection was lost"), StoreError::from))
                }
            }
        })
    }
}

impl fmt::Debug for PostgresRevocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresRevocations({:?})", self.channel)
    }
}
