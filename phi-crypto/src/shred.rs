//! Shredding a subject: its keys and its index tags, together.

use core::fmt;

use phi_keys::{Keys, PendingShred, Shredded};
use phi_types::{Activity, SubjectId, Timestamp};
use sqlx::{AssertSqlSafe, SqliteConnection, SqlitePool};

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
    /// A column of a table whose rows hold the subject's id, as text or as a whole number, in `subject_column`.
    #[must_use]
    pub const fn new(table: &'static str, column: &'static str, subject_column: &'static str) -> Self {
        Self { table, column, rows: Rows::OfSubject(subject_column) }
    }

    /// A column of a table whose rows are found by an SQL condition, in which `?1` is the subject's id, as text:
    /// `visit_id IN (SELECT id FROM visit WHERE patient_id = ?1)`.
    #[must_use]
    pub const fn matching(table: &'static str, column: &'static str, condition: &'static str) -> Self {
        Self { table, column, rows: Rows::Where(condition) }
    }

    fn clear(&self) -> String {
        let (table, column) = (quoted(self.table), quoted(self.column));
        // A quoted name that is no column would be taken for a string by SQLite, and find no row; behind the table's name
        // it is an error.
        let rows = match self.rows {
            // Equal as text, so that `007431` is not the patient of number 7431; the first half is what an index answers,
            // and finds a number in a column without a type as well.
            Rows::OfSubject(subject_column) => {
                let column = format!("{table}.{}", quoted(subject_column));
                format!("{column} IN (?1, CAST(?1 AS INTEGER)) AND CAST({column} AS TEXT) = ?1")
            }
            Rows::Where(condition) => condition.to_owned(),
        };
        format!("UPDATE {table} SET {column} = NULL WHERE ({rows}) AND {table}.{column} IS NOT NULL")
    }
}

/// A name as an SQL identifier.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Shreds a subject: destroys its data keys, and sets its tags in every declared index column to `NULL`, in one
/// transaction. A tag outlives the key otherwise, and whoever holds the index key can guess what it stands for.
///
/// The pool must be of the database in which both the key store and the columns are. Repeating it is harmless. What
/// shredding does not reach, such as copies of the database made before, is said at [`Shredded`].
///
/// ```
/// use phi_crypto::{IndexColumn, shred_subject};
/// use phi_types::{Clock as _, SubjectId, SystemClock};
/// use sqlx::SqlitePool;
///
/// const TAGS: [IndexColumn; 2] =
///     [IndexColumn::new("patient", "ssn_tag", "id"), IndexColumn::new("patient", "mrn_tag", "id")];
///
/// async fn forget(
///     keys: &phi_keys::Keys,
///     pool: &SqlitePool,
///     patient: &SubjectId,
///     recorder: &dyn phi_types::Recorder,
/// ) -> Result<(), Box<dyn std::error::Error>> {
///     let shredded = shred_subject(keys, pool, patient, &TAGS).await?;
///     recorder.record(shredded.activity(SystemClock::new().now())).await?;
///     Ok(())
/// }
/// ```
///
/// # Errors
/// [`ShredError`]. Unless it is [`ShredError::Unfinished`], nothing was shredded.
pub async fn shred_subject(
    keys: &Keys,
    pool: &SqlitePool,
    subject: &SubjectId,
    columns: &[IndexColumn],
) -> Result<SubjectShredded, ShredError> {
    // Takes the write lock at once: a transaction that reads first could not be upgraded beside another writer.
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.map_err(ShredError::Database)?;
    let pending = shred_subject_in(keys, &mut transaction, subject, columns).await?;
    transaction.commit().await.map_err(ShredError::Database)?;
    pending.committed().await
}

/// As [`shred_subject`], within a transaction of the caller, who may remove more of the subject in it, commits it, and
/// then calls [`PendingSubjectShred::committed`]. When the transaction is rolled back, nothing was shredded.
///
/// # Errors
/// [`ShredError`]; the transaction is then to be rolled back.
pub async fn shred_subject_in(
    keys: &Keys,
    connection: &mut SqliteConnection,
    subject: &SubjectId,
    columns: &[IndexColumn],
) -> Result<PendingSubjectShred, ShredError> {
    // First, because it also makes this connection overwrite what is deleted, such as the tags.
    let pending = keys.shred_in(connection, subject).await.map_err(ShredError::Keys)?;
    let mut tags = 0;
    for column in columns {
        let cleared = sqlx::query(AssertSqlSafe(column.clear())).bind(subject.expose()).execute(&mut *connection).await;
        let cleared = cleared.map_err(|source| ShredError::Column { column: *column, source })?;
        tags += cleared.rows_affected();
    }
    Ok(PendingSubjectShred { pending, tags })
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
