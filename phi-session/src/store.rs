//! What a session store has to do.
//!
//! No operation writes over what it has not seen: `create` inserts, `touch` only moves deadlines forward on live rows,
//! `rotate` compares and swaps, `end` sets a tombstone once. So no interleaving brings back a session that ended.
//! Run [`conformance`](crate::conformance) (feature `test-util`) against an implementation.
//!
//! ```
//! use phi_session::{MemorySessionStore, Selector, SessionStore};
//!
//! async fn live(store: &dyn SessionStore) -> Result<usize, phi_session::StoreError> {
//!     Ok(store.list(&Selector::All).await?.len())
//! }
//! # let _ = live(&MemorySessionStore::new());
//! ```

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::time::Duration;
use std::error::Error;
use std::sync::Arc;

use phi_types::{Actor, Timestamp};

use crate::{EndReason, PublicId, Row, Stamp, Stored, TokenHash, Tombstone};

/// Most rows that [`SessionStore::list`] returns.
pub(crate) const LIST_LIMIT: usize = 1_000;
/// How long a report may be under way before a sweep takes it for lost.
pub(crate) const REPORT_GRACE: Duration = Duration::from_secs(60);

/// The tombstone, set at `now`, of a row that ran out of time.
pub(crate) fn expiry(stored: &Stored, now: Timestamp) -> Tombstone {
    let reason = if stored.row.absolute_deadline <= stored.stamp.idle_deadline {
        EndReason::ExpiredAbsolute
    } else {
        EndReason::ExpiredIdle
    };
    Tombstone::new(reason, now)
}

/// The future of a store's operation.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Why a store did not do what it was asked.
#[derive(Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// The store cannot be reached or failed; `source()` says how. Requests are refused until it answers.
    Unavailable(Box<dyn Error + Send + Sync>),
    /// A row exists already with this public id or token hash. Both are random, so this is a defect or an attack.
    Exists,
    /// A row holds what no version of this crate writes.
    Corrupt,
    /// The database was written by a newer version of this crate, of this schema version.
    Newer(i64),
}

impl StoreError {
    /// Wraps the reason for an outage. Its text must not hold tokens or PHI.
    pub fn unavailable(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unavailable(reason.into())
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(_) => f.write_str("the session store does not answer: check the database"),
            Self::Exists => f.write_str("a session with this id or token exists already: check the random generator"),
            Self::Corrupt => f.write_str("a session row is damaged or forged: end it and look into who wrote it"),
            Self::Newer(version) => {
                write!(
                    f,
                    "the session tables have version {version}, newer than known here: use a later version of this crate"
                )
            }
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

/// Whether a touch found a live row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Touched {
    /// The row is live, and holds this activity or a later one.
    Live,
    /// The row ended, expired, was rotated away or never existed. Final.
    Gone,
}

/// Whether a rotation won.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rotated {
    /// The new row replaced the old one.
    Won,
    /// Another rotation came first: the row under the old hash is no longer there, or has another version.
    Lost,
    /// The row ended or expired. Final.
    Gone,
}

/// Which sessions an operation is about.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Selector {
    /// One session.
    One(PublicId),
    /// All of a user's sessions.
    User(Actor),
    /// All of a user's sessions but one.
    Others(Actor, PublicId),
    /// Every session of the store.
    All,
}

impl Selector {
    /// Whether the row is meant.
    #[must_use]
    pub fn matches(&self, row: &Row) -> bool {
        match self {
            Self::One(id) => row.public_id == *id,
            Self::User(user) => row.user == *user,
            Self::Others(user, kept) => row.user == *user && row.public_id != *kept,
            Self::All => true,
        }
    }
}

/// What a sweep did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Swept {
    /// Sessions whose end has not been reported yet: expired ones that now have a tombstone, and ended ones whose
    /// report was lost. The caller reports each and confirms it with [`SessionStore::reported`].
    pub ended: Vec<Stored>,
    /// Reported tombstones that were deleted, because their absolute deadline has passed.
    pub deleted: u64,
}

/// Keeps sessions. Implementations decide nothing: they are told the time and compare.
///
/// "Live at `now`" means: no tombstone, `idle_deadline > now` and `absolute_deadline > now`.
pub trait SessionStore: fmt::Debug + Send + Sync + 'static {
    /// The row with this token hash, whether live or ended.
    fn load(&self, hash: TokenHash) -> StoreFuture<'_, Option<Stored>>;

    /// As [`load`](Self::load), but at once and without a future, where the rows are in this process. `None` means
    /// "ask `load`".
    fn load_now(&self, hash: &TokenHash) -> Option<Option<Stored>> {
        let _ = hash;
        None
    }

    /// Whether only this process can write the rows, so that checking their MACs would prove nothing. Only a store
    /// that keeps rows in its own memory may say yes.
    fn in_process(&self) -> bool {
        false
    }

    /// Inserts a live row. When the user then has more than `limit` rows that are live at `now`, the oldest others
    /// get `evicted` as their tombstone, in the same atomic step; they are returned.
    ///
    /// Fails with [`StoreError::Exists`] when the public id or the token hash is taken, even by a tombstone.
    fn create(
        &self,
        row: Arc<Row>,
        stamp: Stamp,
        now: Timestamp,
        limit: Option<u32>,
        evicted: Tombstone,
    ) -> StoreFuture<'_, Vec<Stored>>;

    /// Moves the deadlines of a row that is live at `now` forward; a stamp that is not newer changes nothing.
    fn touch(&self, hash: TokenHash, version: u64, stamp: Stamp, now: Timestamp) -> StoreFuture<'_, Touched>;

    /// Replaces the row under `old`, if it is live at `now` and has `version`, by `row`, which has the same public id,
    /// another token hash and the next version. Exactly one of several callers wins.
    fn rotate(
        &self,
        old: TokenHash,
        version: u64,
        row: Arc<Row>,
        stamp: Stamp,
        now: Timestamp,
    ) -> StoreFuture<'_, Rotated>;

    /// Gives every selected row without a tombstone this one, and returns those rows with it. A row is returned to
    /// exactly one caller.
    fn end(&self, selector: Selector, tombstone: Tombstone) -> StoreFuture<'_, Vec<Stored>>;

    /// Notes that the end of this session has been reported.
    fn reported(&self, id: PublicId) -> StoreFuture<'_, ()>;

    /// The selected rows without a tombstone, oldest first, at most 1,000.
    fn list<'a>(&'a self, selector: &'a Selector) -> StoreFuture<'a, Vec<Stored>>;

    /// Gives at most `batch` rows that are not live at `now` their tombstone (`ExpiredIdle` or `ExpiredAbsolute`,
    /// whichever deadline came first; at `now`) and returns them, with at most `batch` earlier ones whose
    /// tombstone is dated a minute or more before `now` and was never reported; deletes at most `batch` reported
    /// tombstones whose absolute deadline is a minute or more before `now`.
    fn sweep(&self, now: Timestamp, batch: u32) -> StoreFuture<'_, Swept>;
}

impl<S: SessionStore + ?Sized> SessionStore for Arc<S> {
    fn load(&self, hash: TokenHash) -> StoreFuture<'_, Option<Stored>> {
        (**self).load(hash)
    }

    fn load_now(&self, hash: &TokenHash) -> Option<Option<Stored>> {
        (**self).load_now(hash)
    }

    fn in_process(&self) -> bool {
        (**self).in_process()
    }

    fn create(
        &self,
        row: Arc<Row>,
        stamp: Stamp,
        now: Timestamp,
        limit: Option<u32>,
        evicted: Tombstone,
    ) -> StoreFuture<'_, Vec<Stored>> {
        (**self).create(row, stamp, now, limit, evicted)
    }

    fn touch(&self, hash: TokenHash, version: u64, stamp: Stamp, now: Timestamp) -> StoreFuture<'_, Touched> {
        (**self).touch(hash, version, stamp, now)
    }

    fn rotate(
        &self,
        old: TokenHash,
        version: u64,
        row: Arc<Row>,
        stamp: Stamp,
        now: Timestamp,
    ) -> StoreFuture<'_, Rotated> {
        (**self).rotate(old, version, row, stamp, now)
    }

    fn end(&self, selector: Selector, tombstone: Tombstone) -> StoreFuture<'_, Vec<Stored>> {
        (**self).end(selector, tombstone)
    }

    fn reported(&self, id: PublicId) -> StoreFuture<'_, ()> {
        (**self).reported(id)
    }

    fn list<'a>(&'a self, selector: &'a Selector) -> StoreFuture<'a, Vec<Stored>> {
        (**self).list(selector)
    }

    fn sweep(&self, now: Timestamp, batch: u32) -> StoreFuture<'_, Swept> {
        (**self).sweep(now, batch)
    }
}
