//! Where a log lives: the trait that backends implement, and what passes through it.
//!
//! A store keeps bytes and moves them between tables; it makes no decisions about trust. Every decision (which row is
//! genuine, what the tree is, what gets signed) is made above it, from what it returns.

#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use std::error::Error as StdError;

use phi_types::Timestamp;

use crate::{Event, Hash, Pseudonym, Tile, TileId, WriterId};

/// The future of a store's methods.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// An event that is durable but not in the tree yet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingRow {
    /// The store's own key of the row; rows come back in its order. Ignored by [`AuditStore::append`].
    pub row: i64,
    /// Who wrote it.
    pub writer: WriterId,
    /// The writer's count.
    pub sequence: u64,
    /// The bytes of the entry.
    pub entry: Vec<u8>,
    /// The writer's MAC over the three, 32 bytes.
    pub mac: Vec<u8>,
}

impl PendingRow {
    /// A row from its columns.
    #[must_use]
    pub const fn new(row: i64, writer: WriterId, sequence: u64, entry: Vec<u8>, mac: Vec<u8>) -> Self {
        Self { row, writer, sequence, entry, mac }
    }
}

/// An entry of the tree with the columns that were derived from it for searching.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EntryRow {
    /// Its place in the tree, from 0.
    pub index: u64,
    /// Its bytes, which are what the tree hashes.
    pub entry: Vec<u8>,
    /// What is searched by.
    pub columns: Columns,
}

impl EntryRow {
    /// A row from its columns.
    #[must_use]
    pub const fn new(index: u64, entry: Vec<u8>, columns: Columns) -> Self {
        Self { index, entry, columns }
    }
}

/// The columns that a store keeps beside an entry. They prove nothing: the verifier compares them with the entry.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Columns {
    /// [`Event::writer`].
    pub writer: WriterId,
    /// [`Event::sequence`].
    pub sequence: u64,
    /// [`Event::at`] in microseconds since the Unix epoch.
    pub at: i64,
    /// [`Event::kind`].
    pub kind: String,
    /// [`Event::actor`] in its text form.
    pub actor: Option<String>,
    /// [`Event::subject`].
    pub subject: Option<Vec<u8>>,
    /// [`Event::session`].
    pub session: Option<String>,
}

impl Columns {
    /// Columns as a store read them back.
    #[must_use]
    pub const fn new(writer: WriterId, sequence: u64, at: i64, kind: String) -> Self {
        Self { writer, sequence, at, kind, actor: None, subject: None, session: None }
    }

    /// The columns that belong to an event.
    #[must_use]
    pub fn of(event: &Event) -> Self {
        Self {
            writer: event.writer,
            sequence: event.sequence,
            at: event.at.as_unix_micros(),
            kind: event.kind.clone(),
            actor: event.actor.as_ref().map(ToString::to_string),
            subject: event.subject.map(|subject| subject.as_bytes().to_vec()),
            session: event.session.clone(),
        }
    }
}

/// Why a pending row was set aside instead of entering the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum QuarantineReason {
    /// The bytes are no entry, or belong to another writer or number than the row says.
    Malformed,
    /// The writer's MAC does not fit: the row was altered or inserted by somebody else.
    Forged,
    /// Made under a key that this log does not know.
    UnknownKey,
    /// The tree already holds another entry of this writer and number.
    Replayed,
}

impl QuarantineReason {
    /// The stable text form: `malformed`, `forged`, `unknown-key` or `replayed`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Forged => "forged",
            Self::UnknownKey => "unknown-key",
            Self::Replayed => "replayed",
        }
    }
}

/// How large the tree is and who may extend it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Head {
    /// Entries in the tree.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
    /// Rises with every claim; only the holder of the newest may extend the tree.
    pub fence: u64,
    /// The sequencer's MAC over size and root; zeros for a new log.
    pub mac: [u8; 32],
}

impl Head {
    /// A head from its columns.
    #[must_use]
    pub const fn new(size: u64, root: Hash, fence: u64, mac: [u8; 32]) -> Self {
        Self { size, root, fence, mac }
    }
}

/// One step of the sequencer, to be applied as a whole or not at all.
#[derive(Debug)]
#[non_exhaustive]
pub struct Integration {
    /// The head that the step was computed from; the store refuses the step when it is no longer this one.
    pub from: Head,
    /// Size and root after the step.
    pub size: u64,
    /// The root after the step.
    pub root: Hash,
    /// The MAC after the step.
    pub mac: [u8; 32],
    /// New entries, in order, from index `from.size`.
    pub entries: Vec<EntryRow>,
    /// New or grown tiles.
    pub tiles: Vec<Tile>,
    /// Pending rows that are done with, by [`PendingRow::row`].
    pub consumed: Vec<i64>,
    /// Pending rows that are set aside, which are among the consumed ones.
    pub quarantined: Vec<(PendingRow, QuarantineReason)>,
}

/// How many rows wait, and how many were set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counts {
    /// Durable, not yet in the tree.
    pub pending: u64,
    /// Set aside.
    pub quarantined: u64,
}

impl Counts {
    /// Both numbers.
    #[must_use]
    pub const fn new(pending: u64, quarantined: u64) -> Self {
        Self { pending, quarantined }
    }
}

/// Which entries to return; every condition that is set must hold.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Filter {
    /// The patient.
    pub subject: Option<Pseudonym>,
    /// The actor in the text form of [`Columns::actor`].
    pub actor: Option<String>,
    /// The public id of a session.
    pub session: Option<String>,
    /// The kind of event.
    pub kind: Option<String>,
    /// Not earlier than this.
    pub from: Option<Timestamp>,
    /// Earlier than this.
    pub until: Option<Timestamp>,
    /// Only entries before this index.
    pub before: Option<u64>,
    /// At most this many, newest first.
    pub limit: u32,
}

/// Storage of one log. Implementations pass [`conformance`](crate::conformance) (feature `test-util`).
///
/// A method's future is ready with `Ok` only when what it did is durable: it survives the end of the process and of the
/// power supply. Dropping a future may leave the work done or not done, never half done.
pub trait AuditStore: fmt::Debug + Send + Sync + 'static {
    /// Creates what is missing and checks that the store is durable.
    ///
    /// Fails with [`StoreError::NotDurable`] or [`StoreError::NewerSchema`].
    fn prepare(&self) -> StoreFuture<'_, ()>;

    /// Adds pending rows, all or none. A row that is there already with the same MAC counts as added;
    /// with another one it is a [`StoreError::Conflict`].
    fn append<'a>(&'a self, rows: &'a [PendingRow]) -> StoreFuture<'a, ()>;

    /// At most `limit` pending rows in the order in which they were added.
    fn pending(&self, limit: u32) -> StoreFuture<'_, Vec<PendingRow>>;

    /// How many rows wait or were set aside.
    fn counts(&self) -> StoreFuture<'_, Counts>;

    /// The tree's size, root, fence and MAC.
    fn head(&self) -> StoreFuture<'_, Head>;

    /// Raises the fence, which shuts out every earlier claimant, and returns the head with the new fence.
    fn claim(&self) -> StoreFuture<'_, Head>;

    /// Applies a step of the sequencer; [`StoreError::Fenced`] when the head is no longer `step.from`.
    fn integrate<'a>(&'a self, step: &'a Integration) -> StoreFuture<'a, ()>;

    /// Those of the tiles that exist.
    fn tiles<'a>(&'a self, ids: &'a [TileId]) -> StoreFuture<'a, Vec<Tile>>;

    /// At most `limit` entries from index `start` on, in order, however high their index.
    fn entries(&self, start: u64, limit: u32) -> StoreFuture<'_, Vec<EntryRow>>;

    /// The entries of a writer whose numbers lie in `first..=last`, as `(sequence, index, leaf hash of the stored bytes)`.
    fn placed(&self, writer: WriterId, first: u64, last: u64) -> StoreFuture<'_, Vec<(u64, u64, Hash)>>;

    /// Entries that match, newest (highest index) first.
    fn query<'a>(&'a self, filter: &'a Filter) -> StoreFuture<'a, Vec<(u64, Vec<u8>)>>;

    /// Keeps a signed checkpoint of `head`; [`StoreError::Fenced`] when that is no longer the head.
    /// A checkpoint of the same size that is there already stays.
    fn publish<'a>(&'a self, head: &'a Head, note: &'a str) -> StoreFuture<'a, ()>;

    /// At most `limit` checkpoints of more than `after` entries as `(size, note)`, smallest first; from the smallest
    /// of all when `after` is `None`.
    fn checkpoints(&self, after: Option<u64>, limit: u32) -> StoreFuture<'_, Vec<(u64, String)>>;

    /// The checkpoint with the most entries.
    fn latest_checkpoint(&self) -> StoreFuture<'_, Option<(u64, String)>>;
}

/// Why a store failed or refused.
#[derive(Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// The backend reported an error.
    Backend(Box<dyn StdError + Send + Sync>),
    /// What the store acknowledges could be lost in a crash. The text names the mend.
    NotDurable(&'static str),
    /// A newer version of this crate wrote the database.
    NewerSchema {
        /// The version found.
        found: i64,
        /// The newest version that this crate reads.
        known: i64,
    },
    /// The database holds no audit log.
    NoLog,
    /// Another sequencer has taken over.
    Fenced,
    /// A writer's number is taken by another row.
    Conflict,
    /// A stored value is not of its type or range. Carries its name.
    Corrupt(&'static str),
}

impl StoreError {
    /// An error of the backend. Its text must hold no PHI.
    pub fn backend(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Backend(error.into())
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backend(_) => f.write_str("the database reported an error"),
            Self::NotDurable(mend) => write!(f, "the database could lose acknowledged events in a crash: {mend}"),
            Self::NewerSchema { found, known } => write!(
                f,
                "the audit tables have version {found}, newer than {known}: use a later version of this crate"
            ),
            Self::NoLog => f.write_str("the database holds no audit log: name the file that the application writes"),
            Self::Fenced => f.write_str("another process has taken over the sequencing of this log"),
            Self::Conflict => f.write_str("a writer's number is already taken by another row"),
            Self::Corrupt(what) => write!(f, "the stored {what} is not of its form: run phi-audit verify on a copy"),
        }
    }
}

impl StdError for StoreError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Backend(error) => Some(&**error),
            _ => None,
        }
    }
}
