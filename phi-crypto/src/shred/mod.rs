//! Shredding a subject: its keys and its index tags, together.

#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

use core::fmt;

use phi_keys::{PendingShred, Shredded};
use phi_types::{Activity, Timestamp};

#[cfg(feature = "postgres")]
pub use postgres::{shred_subject_in_postgres, shred_subject_postgres};
#[cfg(feature = "sqlite")]
pub use sqlite::{shred_subject, shred_subject_in};

/// A column that holds tags of a blind index, and how its rows name the subject.
///
/// Every such column of an application is declared once, as a constant, and given to each shred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexColumn {
    table: &'static str,
    column: &'static str,
    rows: Rows,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rows {
    OfSubject(&'static str),
    Where(&'static str),
}

impl IndexColumn {
    /// A column of a table whose rows hold the subject's id in `subject_column`, as text or as a whole number.
    ///
    /// In PostgreSQL it may be of any type whose text is the id, such as a UUID in lower case; where it is not a text, a large
    /// table wants an index over `(subject_column::text)`.
    #[must_use]
    pub const fn new(table: &'static str, column: &'static str, subject_column: &'static str) -> Self {
        Self { table, column, rows: Rows::OfSubject(subject_column) }
    }

    /// A column of a table whose rows are found by an SQL condition, in which `$1` is the subject's id, as text:
    /// `visit_id IN (SELECT id FROM visit WHERE patient_id = $1)`.
    #[must_use]
    pub const fn matching(table: &'static str, column: &'static str, condition: &'static str) -> Self {
        Self { table, column, rows: Rows::Where(condition) }
    }

    /// The statement that clears it; `of_subject` makes the condition on the quoted column of the subject.
    fn clear(&self, of_subject: impl FnOnce(&str) -> String) -> String {
        let (table, column) = (quoted(self.table), quoted(self.column));
        let rows = match self.rows {
            // Behind the table's name: a quoted name that is no column would be taken for a string by SQLite, and find no
            // row.
            Rows::OfSubject(subject_column) => of_subject(&format!("{table}.{}", quoted(subject_column))),
            Rows::Where(condition) => condition.to_owned(),
        };
        format!("UPDATE {table} SET {column} = NULL WHERE ({rows}) AND {table}.{column} IS NOT NULL")
    }
}

/// A name as an SQL identifier.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A shred whose transaction has not ended. Until it is dropped, this process gives nobody a key of the subject.
#[derive(Debug)]
#[must_use = "call `committed` after the transaction is committed"]
pub struct PendingSubjectShred {
    pending: PendingShred,
    tags: u64,
}

impl PendingSubjectShred {
    /// To be called when the transaction is committed: empties the write-ahead log and reports. The connection of the
    /// transaction must be back in its pool if that has no other.
    ///
    /// # Errors
    /// [`ShredError::Unfinished`] when the log cannot be emptied. Keys and tags are gone nevertheless.
    pub async fn committed(self) -> Result<SubjectShredded, ShredError> {
        let keys = self.pending.committed().await.map_err(ShredError::Unfinished)?;
        Ok(SubjectShredded { keys, tags: self.tags })
    }
}

/// A subject was shredded.
#[derive(Debug, Clone)]
#[must_use = "a shred belongs into the audit log"]
#[non_exhaustive]
pub struct SubjectShredded {
    /// What was done to its keys.
    pub keys: Shredded,
    /// Index tags that were set to `NULL`.
    pub tags: u64,
}

impl SubjectShredded {
    /// The entry for the audit log.
    #[must_use]
    pub fn activity(&self, at: Timestamp) -> Activity {
        self.keys.activity(at).with("tags", self.tags)
    }
}

/// A subject was not shredded, or not to the end.
#[derive(Debug)]
#[non_exhaustive]
pub enum ShredError {
    /// The keys could not be destroyed.
    Keys(phi_keys::Error),
    /// The transaction could not be begun or committed.
    Database(sqlx::Error),
    /// A declared index column could not be cleared.
    #[non_exhaustive]
    Column {
        /// Which one.
        column: IndexColumn,
        /// What the database said.
        source: sqlx::Error,
    },
    /// Keys and tags are gone, but their old bytes may still be in the write-ahead log. Shred again.
    Unfinished(phi_keys::Error),
}

impl fmt::Display for ShredError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keys(_) => f.write_str("the keys of the subject could not be destroyed; nothing was shredded"),
            Self::Database(_) => f.write_str("the transaction of the shred failed; nothing was shredded"),
            Self::Column { column, .. } => write!(
                f,
                "the index column {}.{} could not be cleared, so nothing was shredded; check its declaration, and that it may be NULL",
                column.table, column.column
            ),
            Self::Unfinished(_) => {
                f.write_str("the subject is shredded, but the write-ahead log was not emptied; shred it again")
            }
        }
    }
}

impl core::error::Error for ShredError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Keys(source) | Self::Unfinished(source) => Some(source),
            Self::Database(source) | Self::Column { source, .. } => Some(source),
        }
    }
}
