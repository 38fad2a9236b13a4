//! Exact search through blind indexes.

use phi_types::SubjectId;
use sqlx::Row;

use super::place::{BY_MRN, BY_SSN};
use super::Records;
use crate::failure::Failure;

/// The number that is searched by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum By {
    Mrn,
    Ssn,
}

impl Records {
    /// The patients that have exactly this number.
    pub(crate) async fn find(&self, by: By, number: &str) -> Result<Vec<SubjectId>, Failure> {
        let (spec, query) = match by {
            By::Mrn => (BY_MRN, "SELECT id FROM clinic_patients WHERE mrn_tag = ?"),
            By::Ssn => (BY_SSN, "SELECT id FROM clinic_patients WHERE ssn_tag = ?"),
        };
        let fail = || Failure::doing("searching for a patient");
        let index = spec.open(&self.keys).await.map_err(fail())?;
        let tag = index.tag(number).map_err(fail())?;
        let rows = sqlx::query(query).bind(tag).fetch_all(&self.db).await.map_err(fail())?;
        rows.iter()
            .map(|row| SubjectId::new(row.try_get::<String, _>("id").map_err(fail())?).map_err(fail()))
            .collect()
    }

    /// The record ids of all patients who have a record number, in no particular order.
    pub(crate) async fn all(&self) -> Result<Vec<SubjectId>, Failure> {
        let fail = || Failure::doing("listing patients");
        let rows = sqlx::query("SELECT id FROM clinic_patients WHERE mrn_tag IS NOT NULL")
            .fetch_all(&self.db)
            .await
            .map_err(fail())?;
        rows.iter()
            .map(|row| SubjectId::new(row.try_get::<String, _>("id").map_err(fail())?).map_err(fail()))
            .collect()
    }
}
