//! What a verification says.

use core::fmt;

use crate::{Checkpoint, Hash, WriterId};

/// The result of a verification.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Report {
    /// Entries in the tree.
    pub size: u64,
    /// The root computed from the entries.
    pub root: Hash,
    /// Checkpoints with a valid signature.
    pub checkpoints: u64,
    /// The largest of them.
    pub signed: Option<Checkpoint>,
    /// Writer identities in the log. Each start of the application and each failed append begins one.
    pub writers: u64,
    /// Writer identities without a stop or a successor that closes them: running, or ended by a crash. What they wrote
    /// after their last entry is unknown.
    pub unknown_ends: u64,
    /// Durable events that are not in the tree yet; without the audit key they cannot be checked.
    pub pending: u64,
    /// Rows that the sequencer set aside.
    pub quarantined: u64,
    /// Whether the log is known to be the newest.
    pub freshness: Freshness,
    /// What is wrong: with entries, in their order, at most 100; then with the log as a whole, at most 100.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        self.findings.is_empty()
    }

    /// The first wrong entry, or what is wrong with the log as a whole when no entry is.
    #[must_use]
    pub fn first_wrong(&self) -> Option<&Finding> {
        self.findings.first()
    }

    /// Entries that are not under a valid signature yet.
    #[must_use]
    pub fn unsigned(&self) -> u64 {
        self.size.saturating_sub(self.signed.as_ref().map_or(0, Checkpoint::size))
    }
}

/// Whether a log is known to be the newest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Freshness {
    /// No checkpoint from elsewhere was given: an older copy of the log would look the same.
    NotProven,
    /// The log contains everything under the checkpoint that was given.
    AtLeast(u64),
    /// The log does not contain what was given; the findings say why.
    Refuted,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The entry that is wrong, when it is an entry.
    pub index: Option<u64>,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What can be wrong with a log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// The entry's bytes are not those that were signed.
    Edited,
    /// The entry is gone.
    Missing,
    /// The entry belongs at another place.
    Reordered {
        /// The place at which it was signed.
        belongs: u64,
    },
    /// The entry is a copy of an earlier one.
    Duplicate,
    /// The entry is not part of the tree.
    Added,
    /// A derived column does not say what the entry says. Carries its name.
    Column(&'static str),
    /// The bytes are not an entry that this version can read.
    Undecodable,
    /// Events of a writer were not in the log when a later one was taken.
    Gap {
        /// The writer.
        writer: WriterId,
        /// The first number that is not there.
        first: u64,
        /// The last number that is not there.
        last: u64,
        /// Whether rows that were set aside, or one that waits, may account for it. Nobody vouches for them.
        claimed: bool,
    },
    /// The event is genuine, but entered the log after later ones of its writer: somebody held it back.
    Late {
        /// The writer.
        writer: WriterId,
        /// The writer's number of it, which lies in a gap that was found before.
        sequence: u64,
    },
    /// Entries and tree were rewritten together; the signatures show it.
    Rewritten {
        /// Entries up to here are as signed.
        after: u64,
        /// Entries up to here, at least one of them, are not.
        until: u64,
    },
    /// A stored hash of the tree is not that of the entries; the entries are as signed.
    Tile {
        /// Level of the tile.
        level: u8,
        /// Number of the tile on its level.
        tile: u64,
    },
    /// The stored head names another root or size than the entries have.
    Head,
    /// A checkpoint covers more entries than there are: the end of the log was cut off.
    Truncated {
        /// Entries in the log.
        stored: u64,
        /// Entries under the checkpoint.
        signed: u64,
    },
    /// A stored checkpoint bears no valid signature of the pinned key, or not for its size.
    BadSignature {
        /// The size under which it is stored.
        size: u64,
    },
    /// There are entries but no checkpoint with a valid signature.
    Unsigned,
    /// The log holds fewer entries than the checkpoint that was given: an old copy was put back.
    RolledBack {
        /// Entries in the log.
        stored: u64,
        /// Entries under the checkpoint that was given.
        known: u64,
    },
    /// The log contradicts the checkpoint that was given: one of them belongs to another history.
    Fork {
        /// Entries under the checkpoint that was given.
        known: u64,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(index) = self.index {
            write!(f, "entry {index}: ")?;
        }
        self.problem.fmt(f)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Edited => f.write_str("edited: its bytes are not those that were signed"),
            Self::Missing => f.write_str("missing: it was removed"),
            Self::Reordered { belongs } => write!(f, "reordered: it was signed at place {belongs}"),
            Self::Duplicate => f.write_str("duplicate: a copy of an earlier entry stands in its place"),
            Self::Added => f.write_str("added: it is not part of the tree"),
            Self::Column(name) => write!(f, "derived column {name} does not say what the entry says"),
            Self::Undecodable => f.write_str("not an entry that this version can read"),
            Self::Gap { writer, first, last, claimed } => {
                write!(f, "missing before it: events {first} to {last} of writer {writer} were not in the log")?;
                if *claimed { f.write_str("; rows that wait or were set aside may be among them") } else { Ok(()) }
            }
            Self::Late { writer, sequence } => {
                write!(f, "late: event {sequence} of writer {writer} was held back while later ones were taken")
            }
            Self::Rewritten { after, until } => {
                write!(f, "rewritten: entries {after} to {} are not those that were signed", until.saturating_sub(1))
            }
            Self::Tile { level, tile } => {
                write!(f, "tree altered: tile {tile} of level {level} does not fit the entries")
            }
            Self::Head => f.write_str("head altered: it does not name the root of the entries"),
            Self::Truncated { stored, signed } => write!(f, "truncated: {stored} entries, but {signed} were signed"),
            Self::BadSignature { size } => {
                write!(f, "bad signature: the checkpoint of {size} entries is not signed by the pinned key")
            }
            Self::Unsigned => f.write_str("bad signature: no checkpoint is signed by the pinned key"),
            Self::RolledBack { stored, known } => {
                write!(f, "rolled back: {stored} entries, but {known} are known to have been signed")
            }
            Self::Fork { known } => {
                write!(f, "rolled back or forked: the log contradicts what was signed at {known} entries")
            }
        }
    }
}
