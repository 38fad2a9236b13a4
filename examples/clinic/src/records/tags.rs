//! By what patients are found and recognised, and what contradicts what is stored.

use phi_crypto::{BlindIndex, IndexSpec, Tag};

use super::Records;
use super::place::{BY_MRN, BY_SOURCE, BY_SSN};
use crate::failure::{Doing, Failure};
use crate::fhir::{Fault, FaultKind, Identifier, Patient};

/// The tags of one patient; a missing number has none.
pub(super) struct Tags {
    pub(super) source: Option<Tag>,
    pub(super) mrn: Option<Tag>,
    pub(super) ssn: Option<Tag>,
}

impl Records {
    /// The tags of every patient of a bundle, or why the bundle cannot be stored: one of them is here already, or has a
    /// record number of somebody else, in the database or in the bundle itself.
    pub(super) async fn tags(&self, patients: &[Patient]) -> Result<Result<Vec<Tags>, Fault>, Failure> {
        let open = async |spec: IndexSpec| spec.open(&self.keys).await.doing("opening an index");
        let (by_source, by_mrn, by_ssn) = (open(BY_SOURCE).await?, open(BY_MRN).await?, open(BY_SSN).await?);
        let mut all: Vec<Tags> = Vec::with_capacity(patients.len());
        for patient in patients {
            let tags = Tags {
                source: tag(&by_source, patient, Identifier::SourceId)?,
                mrn: tag(&by_mrn, patient, Identifier::Mrn)?,
                ssn: tag(&by_ssn, patient, Identifier::Ssn)?,
            };
            if self.exists("SELECT 1 FROM clinic_patients WHERE source_tag = ?", tags.source).await? {
                return Ok(Err(FaultKind::AlreadyImported.at(patient.entry)));
            }
            if all.iter().any(|other| other.source == tags.source) {
                return Ok(Err(FaultKind::DuplicatePatient.at(patient.entry)));
            }
            let taken = tags.mrn.is_some() && all.iter().any(|other| other.mrn == tags.mrn);
            if taken || self.exists("SELECT 1 FROM clinic_patients WHERE mrn_tag = ?", tags.mrn).await? {
                return Ok(Err(FaultKind::MrnTaken.at(patient.entry)));
            }
            all.push(tags);
        }
        Ok(Ok(all))
    }

    /// Whether a row has this tag; nothing has the tag that is none.
    pub(super) async fn exists(&self, query: &'static str, tag: Option<Tag>) -> Result<bool, Failure> {
        let row = sqlx::query(query).bind(tag).fetch_optional(&self.db).await;
        row.map(|row| row.is_some()).doing("looking for a tag")
    }
}

fn tag(index: &BlindIndex, patient: &Patient, kind: Identifier) -> Result<Option<Tag>, Failure> {
    let tag = patient.identifiers.get(kind).map(|value| index.tag(value.expose())).transpose();
    Ok(tag.doing("computing a tag")?.flatten())
}
