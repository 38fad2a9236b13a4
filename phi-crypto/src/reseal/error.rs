//! Why a job stopped.

use core::fmt;

use crate::{IndexError, SealError};

/// A job stopped. What it had committed stays; taking it up again goes on from there.
#[derive(Debug)]
#[non_exhaustive]
pub enum ResealError {
    /// The name of a table or column that is no plain identifier.
    Name(&'static str),
    /// A table was declared in a way that cannot work; the text says what to mend.
    Declaration(&'static str),
    /// A column is not of the type that its place wants.
    #[non_exhaustive]
    Column {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// What the database said.
        source: sqlx::Error,
    },
    /// The database.
    Database(sqlx::Error),
    /// The keys.
    Keys(phi_keys::Error),
    /// An index key.
    Index(IndexError),
    /// Sealing.
    Seal(SealError),
    /// The audit log did not take an activity, so nothing was opened.
    Audit(phi_types::RecordError),
    /// A job of this name was begun over other tables, columns or versions of indexes.
    OtherTables,
    /// Another process has taken the job further in the meantime.
    Elsewhere,
    /// Leases ended, or other writers got in between, again and again.
    Contended,
    /// The database has checkpoints of a later version of this crate.
    #[non_exhaustive]
    Newer {
        /// The version that was found.
        found: i64,
        /// The version that this crate writes.
        supported: i64,
    },
}

impl fmt::Display for ResealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(
                f,
                "{name:?} is no name of a table or column; use letters, digits and _, and give views with such names to others"
            ),
            Self::Declaration(mend) => f.write_str(mend),
            Self::Column { table, column, .. } => {
                write!(f, "the column {table}.{column} is not of the type that its place wants; check the declaration")
            }
            Self::Database(_) => f.write_str("the database failed; take the job up again"),
            Self::Keys(_) => f.write_str("a key could not be had; take the job up again"),
            Self::Index(_) => f.write_str("a tag could not be computed"),
            Self::Seal(_) => f.write_str("a value could not be sealed"),
            Self::Audit(_) => f.write_str("the audit log did not take what the job does, so it stopped"),
            Self::OtherTables => f.write_str(
                "a job of this name was begun over other tables, columns or indexes; finish it as it was, or name this one differently",
            ),
            Self::Elsewhere => f.write_str("another process has taken this job further; leave it to one"),
            Self::Contended => f.write_str("leases ended or other writers got in between again and again; take the job up again"),
            Self::Newer { found, supported } => write!(
                f,
                "the checkpoints are of version {found} and this crate knows {supported}: upgrade the crate"
            ),
        }
    }
}

impl core::error::Error for ResealError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Column { source, .. } | Self::Database(source) => Some(source),
            Self::Keys(source) => Some(source),
            Self::Index(source) => Some(source),
            Self::Seal(source) => Some(source),
            Self::Audit(source) => Some(source),
            Self::Name(_)
            | Self::Declaration(_)
            | Self::OtherTables
            | Self::Elsewhere
            | Self::Contended
            | Self::Newer { .. } => None,
        }
    }
}

impl From<sqlx::Error> for ResealError {
    fn from(source: sqlx::Error) -> Self {
        Self::Database(source)
    }
}

impl From<phi_keys::Error> for ResealError {
    fn from(source: phi_keys::Error) -> Self {
        Self::Keys(source)
    }
}

impl From<IndexError> for ResealError {
    fn from(source: IndexError) -> Self {
        Self::Index(source)
    }
}

impl From<phi_types::RecordError> for ResealError {
    fn from(source: phi_types::RecordError) -> Self {
        Self::Audit(source)
    }
}
