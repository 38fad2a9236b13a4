//! What can go wrong with a log as a whole.

use core::fmt;
use std::error::Error as StdError;

use crate::{EntryError, InvalidNote, StoreError};

/// Why a log could not be opened, extended, read or proven.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The builder lacks a setting, or one has no valid form. The text names the call that mends it.
    Config(&'static str),
    /// The audit domain key or the signer could not be had.
    Keys(phi_keys::Error),
    /// The operating system gave no random bytes.
    Random,
    /// The store failed or refused.
    Store(StoreError),
    /// An activity cannot become an entry, or a stored entry is none.
    Entry(EntryError),
    /// A stored checkpoint or the high-water mark does not bear a valid signature of this log's key.
    Checkpoint(InvalidNote),
    /// The signer's public key is not the one that the configuration pins.
    ForeignKey,
    /// The log holds fewer entries than it is known to have held: an old copy was put back, or its end was cut off.
    RolledBack {
        /// Entries in the store.
        stored: u64,
        /// Entries under the highest checkpoint that is known.
        known: u64,
    },
    /// The stored tree does not contain what was signed at this size: entries were altered, or it is another log.
    Inconsistent {
        /// Entries under the checkpoint that the tree contradicts.
        size: u64,
    },
    /// The tree goes beyond what was signed, and was not made by a process that holds the audit key: somebody who writes
    /// to the store has put entries into it.
    ForgedHead {
        /// Entries in the tree.
        size: u64,
    },
    /// The log has signed checkpoints, but the high-water mark is gone.
    MarkMissing,
    /// The high-water mark could not be read or written.
    Mark(std::io::Error),
    /// Events that this process was told are durable are no longer in the store.
    AcknowledgedMissing {
        /// How many.
        count: u64,
    },
    /// The entry is not under a signed checkpoint yet, or there is none of this index.
    NotSigned {
        /// The index that was asked for.
        index: u64,
        /// Entries under the newest checkpoint.
        size: u64,
    },
    /// Other sequencers went ahead at every try.
    Busy,
    /// More events wait for the store than may wait.
    Overloaded,
    /// The signer gave no signature.
    Signer(phi_keys::SignError),
    /// The audit domain key changed between the encoding of an event and its turn.
    KeyChanged,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(mend) => write!(f, "the audit log is not fully configured: {mend}"),
            Self::Keys(_) => f.write_str("the audit keys are not available"),
            Self::Random => f.write_str("the operating system gave no random bytes"),
            Self::Store(_) => f.write_str("the audit store failed"),
            Self::Entry(_) => f.write_str("an audit entry is not valid"),
            Self::Checkpoint(_) => f.write_str("a stored checkpoint or the high-water mark is not signed by this log's key: open it with the signer that it began with, and if that was this one, it was forged"),
            Self::ForeignKey => f.write_str(
                "the signer's key is not the pinned verifier key: open the log with the keys it was made with, \
                 or start a new log under a new origin",
            ),
            Self::RolledBack { stored, known } => write!(
                f,
                "rollback alarm: the log holds {stored} entries but {known} are known to have been signed; \
                 put the newest copy of the database back, and keep this one as evidence"
            ),
            Self::Inconsistent { size } => write!(
                f,
                "the stored tree contradicts what was signed at {size} entries: keep the database as evidence and run phi-audit verify on a copy"
            ),
            Self::ForgedHead { size } => write!(
                f,
                "the tree of {size} entries was made without the audit key and is not signed: keep the database as evidence and put the newest true copy back"
            ),
            Self::MarkMissing => f.write_str(
                "the high-water mark is missing although the log has signed checkpoints: put the file back, or write the newest \
                 signed checkpoint that you trust into it",
            ),
            Self::Mark(_) => f.write_str("the high-water mark could not be read or written: check the folder's permissions and free space"),
            Self::AcknowledgedMissing { count } => write!(
                f,
                "{count} acknowledged events are no longer in the store: somebody removed or altered pending rows; the log says so in an audit.missing entry"
            ),
            Self::NotSigned { index, size } => {
                write!(f, "entry {index} is not among the {size} entries under a signed checkpoint: make a checkpoint first")
            }
            Self::Busy => f.write_str("other processes kept extending the log: try again"),
            Self::Overloaded => f.write_str("too many events wait for the audit store: it is too slow or stands still"),
            Self::Signer(_) => f.write_str("the checkpoint could not be signed"),
            Self::KeyChanged => f.write_str("the audit key changed while the event waited: record it again"),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Keys(error) => Some(error),
            Self::Store(error) => Some(error),
            Self::Entry(error) => Some(error),
            Self::Checkpoint(error) => Some(error),
            Self::Mark(error) => Some(error),
            Self::Signer(error) => Some(error),
            _ => None,
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<EntryError> for Error {
    fn from(error: EntryError) -> Self {
        Self::Entry(error)
    }
}

impl From<phi_keys::Error> for Error {
    fn from(error: phi_keys::Error) -> Self {
        Self::Keys(error)
    }
}
