//! Where bytes of deleted rows outlive the deletion.

use core::fmt;

/// Where a copy of a deleted row may still be, as far as the store knows. Backups, snapshots and the free blocks of a disk
/// come on top: no store knows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Residue {
    /// In a write-ahead log that could not be emptied, because others were reading: purge again.
    WriteAheadLog,
    /// In a rollback journal that could not be emptied, because others were writing: purge again.
    RollbackJournal,
    /// In the table's and its indexes' pages, as dead tuples until a vacuum and as free space until that is used again.
    DeadTuples,
    /// In the write-ahead log of a server, its archive and what point-in-time recovery is made from.
    ArchivedLog,
    /// On servers that follow this one, until they have caught up, and in what these keep in turn.
    Replicas,
}

impl Residue {
    /// Every residue.
    pub const ALL: [Self; 5] =
        [Self::WriteAheadLog, Self::RollbackJournal, Self::DeadTuples, Self::ArchivedLog, Self::Replicas];

    /// What certificates and audit entries say.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WriteAheadLog => "write-ahead-log",
            Self::RollbackJournal => "rollback-journal",
            Self::DeadTuples => "dead-tuples",
            Self::ArchivedLog => "archived-log",
            Self::Replicas => "replicas",
        }
    }

    /// The reverse of [`as_str`](Self::as_str).
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|residue| residue.as_str() == text)
    }
}

impl fmt::Display for Residue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
