//! Why a backup was not made, or does not restore.

use core::fmt;
use std::io;

use phi_types::{Action, Activity, Outcome, Timestamp};

use crate::file::FileError;

/// A backup was not made, or does not restore. Nothing is left that could be taken for a backup or for restored data.
///
/// Entries are named by their number in the order of their paths, because a path can name a patient.
#[derive(Debug)]
#[non_exhaustive]
pub enum BackupError {
    /// The disk is full.
    NoSpace,
    /// A file or folder could not be read or written.
    #[non_exhaustive]
    Io {
        /// Which step failed.
        step: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// There is something in the place of the new folder.
    Exists,
    /// The backup would be written into what it saves.
    Inside,
    /// The folder holds a symbolic link.
    #[non_exhaustive]
    Link {
        /// The number of the entry.
        entry: usize,
    },
    /// The folder holds something that is neither file nor folder, such as a socket.
    #[non_exhaustive]
    Special {
        /// The number of the entry.
        entry: usize,
    },
    /// A file's name is not Unicode, or is no name on every system.
    #[non_exhaustive]
    Name {
        /// The number of the entry.
        entry: usize,
    },
    /// A file changed each time it was read.
    #[non_exhaustive]
    Changed {
        /// The number of the entry.
        entry: usize,
    },
    /// A database holds key tables.
    HoldsKeys,
    /// A database could not be read.
    Database(sqlx::Error),
    /// A restored database is not sound.
    #[non_exhaustive]
    Unsound {
        /// The number of the entry.
        entry: usize,
    },
    /// A part or the manifest could not be sealed or opened.
    File(FileError),
    /// A key could not be had.
    Keys(phi_keys::Error),
    /// The folder holds no manifest: it is no backup, or one that was not finished.
    NoManifest,
    /// The manifest is of a later version.
    Unsupported,
    /// The manifest names a place outside the restored folder, or one twice.
    UnsafePath,
    /// It is a backup, and not the expected one.
    OtherBackup,
    /// A part is missing, or is not what the manifest says.
    #[non_exhaustive]
    Damaged {
        /// The number of the part.
        part: usize,
    },
    /// Whoever waited for it gave up.
    Cancelled,
}

impl BackupError {
    /// Whether trying again can help when nothing is wrong with the backup itself: more room, a key service that answers.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::NoSpace | Self::Io { .. } | Self::Changed { .. } | Self::Keys(_) | Self::Cancelled)
    }

    /// The entry for the audit log of a failed `backup.create`, `backup.restore` or `backup.drill`.
    #[must_use]
    pub fn activity(&self, kind: &'static str, at: Timestamp) -> Activity {
        Activity::new(kind, Action::Execute, Outcome::Failed, at).with("reason", self.code())
    }

    const fn code(&self) -> &'static str {
        match self {
            Self::NoSpace => "no_space",
            Self::Io { .. } => "io",
            Self::Exists => "exists",
            Self::Inside => "inside",
            Self::Link { .. } => "link",
            Self::Special { .. } => "special",
            Self::Name { .. } => "name",
            Self::Changed { .. } => "changed",
            Self::HoldsKeys => "holds_keys",
            Self::Database(_) => "database",
            Self::Unsound { .. } => "unsound",
            Self::File(_) => "file",
            Self::Keys(_) => "keys",
            Self::NoManifest => "no_manifest",
            Self::Unsupported => "unsupported",
            Self::UnsafePath => "unsafe_path",
            Self::OtherBackup => "other_backup",
            Self::Damaged { .. } => "damaged",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for BackupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSpace => f.write_str("the disk is full; make room and start again"),
            Self::Io { step, .. } => write!(f, "{step} failed"),
            Self::Exists => f.write_str("the folder to be written exists; name one that does not"),
            Self::Inside => f.write_str("the backup would be part of what it saves; write it elsewhere"),
            Self::Link { entry } => {
                write!(f, "entry {entry} is a symbolic link; save what it points to by itself, or skip links")
            }
            Self::Special { entry } => write!(f, "entry {entry} is neither file nor folder; move it elsewhere"),
            Self::Name { entry } => write!(f, "entry {entry} has a name that other systems cannot have; rename it"),
            Self::Changed { entry } => write!(f, "entry {entry} changed while it was read; stop its writer meanwhile"),
            Self::HoldsKeys => f.write_str(
                "a database holds key tables, which would make shredded data readable again; back it up without them \
                 and keep the keys' own copies for as long as shredding allows",
            ),
            Self::Database(_) => f.write_str("a database could not be read"),
            Self::Unsound { entry } => write!(f, "the restored database of entry {entry} fails its integrity check"),
            Self::File(_) => f.write_str("a file of the backup could not be sealed or opened"),
            Self::Keys(_) => f.write_str("the key of the backup could not be had"),
            Self::NoManifest => f.write_str("the folder holds no finished backup; use another one"),
            Self::Unsupported => f.write_str("the backup was made by a later version; restore it with that version"),
            Self::UnsafePath => f.write_str("the manifest names a place outside the restored folder"),
            Self::OtherBackup => {
                f.write_str("this is not the expected backup; look for the one whose digest was noted")
            }
            Self::Damaged { part } => write!(f, "part {part} is missing or altered; fetch it from another copy"),
            Self::Cancelled => f.write_str("given up before the end"),
        }
    }
}

impl core::error::Error for BackupError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Database(source) => Some(source),
            Self::File(source) => Some(source),
            Self::Keys(source) => Some(source),
            _ => None,
        }
    }
}

impl From<FileError> for BackupError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Io(source) => Self::io("reading or writing the backup")(source),
            FileError::Keys(source) => Self::Keys(source),
            other => Self::File(other),
        }
    }
}

impl BackupError {
    /// Names the step at which the system failed.
    pub(super) fn io(step: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| match (source.kind(), source.get_ref().is_some_and(|inner| inner.is::<FileError>())) {
            (io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded, _) => Self::NoSpace,
            (_, true) => Self::from(FileError::from(source)),
            _ => Self::Io { step, source },
        }
    }
}
