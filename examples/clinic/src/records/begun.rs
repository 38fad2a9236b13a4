//! Imports that began and are not recorded as done. A patient's id is written down before the patient gets a key, so that
//! an import that was stopped goes on under the same id and key, and is recorded as done once, after it was.

use phi_audit::{AuditLog, Query};
use phi_types::{Action, Activity, Actor, Clock, Outcome, Recorder, SubjectId};
use sqlx::Row;

use super::Records;
use super::tags::Tags;
use crate::failure::{Doing, Failure};
use crate::random;

/// Recorded before a patient gets a key.
const BEGUN: &str = "patient.import_begin";
/// Recorded after the patient is stored.
const DONE: &str = "patient.import";

const DOING: &str = "keeping track of an import";

impl Records {
    /// The ids under which patients come in: those of an import of them that was stopped, or new ones.
    pub(super) async fn begin(&self, patients: &[Tags]) -> Result<Vec<SubjectId>, Failure> {
        let mut ids = Vec::with_capacity(patients.len());
        let mut tx = self.db.begin_with("BEGIN IMMEDIATE").await.doing(DOING)?;
        for tags in patients {
            let known = "SELECT patient FROM clinic_imports WHERE source_tag = ?";
            let known = sqlx::query(known).bind(tags.source).fetch_optional(&mut *tx).await.doing(DOING)?;
            let id = match known {
                Some(row) => row.try_get(0).doing(DOING)?,
                None => {
                    let id = random::record_id()?.to_string();
                    let query = sqlx::query("INSERT INTO clinic_imports (patient, source_tag) VALUES (?, ?)");
                    query.bind(&id).bind(tags.source).execute(&mut *tx).await.doing(DOING)?;
                    id
                }
            };
            ids.push(SubjectId::new(id).doing(DOING)?);
        }
        tx.commit().await.doing(DOING)?;
        Ok(ids)
    }

    /// Nothing is left to do for these patients.
    pub(super) async fn end(&self, patients: &[SubjectId]) -> Result<(), Failure> {
        let mut tx = self.db.begin_with("BEGIN IMMEDIATE").await.doing(DOING)?;
        for patient in patients {
            let query = sqlx::query("DELETE FROM clinic_imports WHERE patient = ?").bind(patient.expose());
            query.execute(&mut *tx).await.doing(DOING)?;
        }
        tx.commit().await.doing(DOING)
    }

    /// Records the patients that came in before the process could say so. Belongs before every import.
    pub(crate) async fn settle(&self, audit: &AuditLog, clock: &dyn Clock) -> Result<(), Failure> {
        for patient in self.begun("IN (SELECT id FROM clinic_patients)").await? {
            let recorded = audit.query(&Query::new().subject(&patient).kind(DONE).limit(1)).await.doing(DOING)?;
            if recorded.events.is_empty() {
                let query = "SELECT count(*) FROM clinic_documents WHERE patient = ?";
                let row = sqlx::query(query).bind(patient.expose()).fetch_one(&self.db).await.doing(DOING)?;
                let documents = u64::try_from(row.try_get::<i64, _>(0).doing(DOING)?).unwrap_or_default();
                record_done(&patient, documents, &*audit.recorder(), clock).await?;
            }
            self.end(&[patient]).await?;
        }
        Ok(())
    }

    /// Destroys the keys of patients whose import was stopped and did not go on: their bundle is not imported any more.
    /// Belongs after an import of everything that is to be imported. Gives how many there were.
    pub(crate) async fn give_up(&self, recorder: &dyn Recorder, clock: &dyn Clock) -> Result<usize, Failure> {
        let left = self.begun("NOT IN (SELECT id FROM clinic_patients)").await?;
        for patient in &left {
            let shredded = self.shred(patient).await?;
            recorder.record(shredded.activity(clock.now())).await.doing(DOING)?;
            self.end(core::slice::from_ref(patient)).await?;
        }
        Ok(left.len())
    }

    async fn begun(&self, which: &'static str) -> Result<Vec<SubjectId>, Failure> {
        // The text is made of constants alone.
        let query = sqlx::AssertSqlSafe(format!("SELECT patient FROM clinic_imports WHERE patient {which}"));
        let rows = sqlx::query(query).fetch_all(&self.db).await.doing(DOING)?;
        rows.iter().map(|row| SubjectId::new(row.try_get::<String, _>(0).doing(DOING)?).doing(DOING)).collect()
    }
}

pub(super) async fn record_begun(
    patient: &SubjectId,
    recorder: &dyn Recorder,
    clock: &dyn Clock,
) -> Result<(), Failure> {
    record(Activity::new(BEGUN, Action::Create, Outcome::Success, clock.now()), patient, recorder).await
}

pub(super) async fn record_done(
    patient: &SubjectId,
    documents: u64,
    recorder: &dyn Recorder,
    clock: &dyn Clock,
) -> Result<(), Failure> {
    let activity = Activity::new(DONE, Action::Create, Outcome::Success, clock.now());
    record(activity.with("documents", documents), patient, recorder).await
}

/// Who imports: the clinic itself, by an account name of its own.
async fn record(activity: Activity, patient: &SubjectId, recorder: &dyn Recorder) -> Result<(), Failure> {
    let actor = Actor::service("clinic-import").doing("naming the import")?;
    recorder.record(activity.by(actor).about(patient.clone())).await.doing("recording an import")
}
