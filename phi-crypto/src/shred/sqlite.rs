//! Shredding in SQLite.

use phi_keys::Keys;
use phi_types::SubjectId;
use sqlx::{AssertSqlSafe, SqliteConnection, SqlitePool};

use super::{IndexColumn, PendingSubjectShred, ShredError, SubjectShredded};

/// Shreds a subject: destroys its data keys, and sets its tags in every declared index column to `NULL`, in one
/// transaction. A tag outlives the key otherwise, and whoever holds the index key can guess what it stands for.
///
/// The pool must be of the database in which both the key store and the columns are. Repeating it is harmless. What
/// shredding does not reach, such as copies of the database made before, is said at [`Shredded`](phi_keys::Shredded).
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
        let cleared =
            sqlx::query(AssertSqlSafe(column.clear(of_subject))).bind(subject.expose()).execute(&mut *connection).await;
        let cleared = cleared.map_err(|source| ShredError::Column { column: *column, source })?;
        tags += cleared.rows_affected();
    }
    Ok(PendingSubjectShred { pending, tags })
}

/// Equal as text, so that `007431` is not the patient of number 7431; the first half is what an index answers, and finds a
/// number in a column without a type as well.
fn of_subject(column: &str) -> String {
    format!("{column} IN (?1, CAST(?1 AS INTEGER)) AND CAST({column} AS TEXT) = ?1")
}
