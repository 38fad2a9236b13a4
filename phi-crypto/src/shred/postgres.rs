//! Shredding in PostgreSQL.

use phi_keys::Keys;
use phi_types::SubjectId;
use sqlx::{AssertSqlSafe, PgPool, Postgres, Transaction};

use super::{IndexColumn, PendingSubjectShred, ShredError, SubjectShredded};

/// As `shred_subject`, in PostgreSQL: destroys the data keys of a subject and sets its tags in every declared index column
/// to `NULL`, in one transaction.
///
/// The old versions of the rows stay in the tables until they are vacuumed, and in the write-ahead log until it is
/// recycled.
///
/// ```
/// use phi_crypto::{IndexColumn, shred_subject_postgres};
/// use phi_types::{Clock as _, SubjectId, SystemClock};
///
/// const TAGS: [IndexColumn; 2] =
///     [IndexColumn::new("patient", "ssn_tag", "id"), IndexColumn::new("patient", "mrn_tag", "id")];
///
/// async fn forget(
///     keys: &phi_keys::Keys,
///     pool: &sqlx::PgPool,
///     patient: &SubjectId,
///     recorder: &dyn phi_types::Recorder,
/// ) -> Result<(), Box<dyn std::error::Error>> {
///     let shredded = shred_subject_postgres(keys, pool, patient, &TAGS).await?;
///     recorder.record(shredded.activity(SystemClock::new().now())).await?;
///     Ok(())
/// }
/// ```
///
/// # Errors
/// [`ShredError`]. Unless it is [`ShredError::Unfinished`], nothing was shredded.
pub async fn shred_subject_postgres(
    keys: &Keys,
    pool: &PgPool,
    subject: &SubjectId,
    columns: &[IndexColumn],
) -> Result<SubjectShredded, ShredError> {
    // Whatever the default of the database is: only this level sees keys that are made until the shred holds the rows.
    let begin = "BEGIN ISOLATION LEVEL READ COMMITTED";
    let mut transaction = pool.begin_with(begin).await.map_err(ShredError::Database)?;
    let pending = shred_subject_in_postgres(keys, &mut transaction, subject, columns).await?;
    transaction.commit().await.map_err(ShredError::Database)?;
    pending.committed().await
}

/// As [`shred_subject_postgres`], within a transaction of the caller, who may remove more of the subject in it, commits it,
/// and then calls [`PendingSubjectShred::committed`]. When the transaction is rolled back, nothing was shredded. Its
/// isolation level is `READ COMMITTED`.
///
/// # Errors
/// [`ShredError`]; the transaction is then to be rolled back.
pub async fn shred_subject_in_postgres(
    keys: &Keys,
    transaction: &mut Transaction<'_, Postgres>,
    subject: &SubjectId,
    columns: &[IndexColumn],
) -> Result<PendingSubjectShred, ShredError> {
    let pending = keys.shred_in_postgres(transaction, subject).await.map_err(ShredError::Keys)?;
    let mut tags = 0;
    for column in columns {
        let clear = sqlx::query(AssertSqlSafe(column.clear(of_subject))).bind(subject.expose());
        let cleared = clear.execute(&mut **transaction).await;
        let cleared = cleared.map_err(|source| ShredError::Column { column: *column, source })?;
        tags += cleared.rows_affected();
    }
    Ok(PendingSubjectShred { pending, tags })
}

/// As text, so that `007431` is not the patient of number 7431.
fn of_subject(column: &str) -> String {
    format!("{column}::text = $1")
}
