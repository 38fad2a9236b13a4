//! Exact search through blind indexes.

use phi_types::SubjectId;
use sqlx::Row;

use super::Records;
use super::place::{BY_MRN, BY_SSN};
use crate::failure::{Doing, Failure};

/// The number that is searched by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum By {
    Mrn,
    Ssn,
}

impl By {
    /// For the audit log.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Mrn => "mrn",
            Self::Ssn => "ssn",
        }
    }
}

impl Records {
    /// The patients that have exactly this number.
    pub(crate) async fn find(&self, by: By, number: &str) -> Result<Vec<SubjectId>, Failure> {
        let (spec, query) = match by {
            By::Mrn => (BY_MRN, "SELECT id FROM clinic_patients WHERE mrn_tag = ?"),
            By::Ssn => (BY_SSN, "SELECT id FROM clinic_patients WHERE ssn_tag = ?"),
        };
        let doing = "searching for a patient";
        let index = spec.open(&self.keys).await.doing(doing)?;
        let tag = index.tag(number).doing(doing)?;
        let rows = sqlx::query(query).bind(tag).fetch_all(&self.db).await.doing(doing)?;
        rows.iter().map(|row| SubjectId::new(row.try_get::<String, _>("id").doing(doing)?).doing(doing)).collect()
    }
}
