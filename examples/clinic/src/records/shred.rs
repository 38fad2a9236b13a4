//! Forgetting a patient.

use phi_crypto::{IndexColumn, SubjectShredded, shred_subject};
use phi_types::SubjectId;

use super::Records;
use crate::failure::{Doing, Failure};

/// Every column of tags, so that none outlives the key.
const TAGS: [IndexColumn; 3] = [
    IndexColumn::new("clinic_patients", "source_tag", "id"),
    IndexColumn::new("clinic_patients", "mrn_tag", "id"),
    IndexColumn::new("clinic_patients", "ssn_tag", "id"),
];

/// How often emptying the write-ahead log is tried while others read.
const TRIES: usize = 5;

impl Records {
    /// Destroys the patient's key and index tags. What is left in the rows opens no more.
    pub(crate) async fn shred(&self, patient: &SubjectId) -> Result<SubjectShredded, Failure> {
        const DOING: &str = "shredding a patient";
        let mut shredded = shred_subject(&self.keys, &self.db, patient, &TAGS).await.doing(DOING)?;
        for _ in 1..TRIES {
            if shredded.keys.purged {
                break;
            }
            // Repeating it destroys nothing new, it only tries to empty the log again.
            let repeated = shred_subject(&self.keys, &self.db, patient, &TAGS).await.doing(DOING)?;
            shredded.keys.purged = repeated.keys.purged;
            shredded.keys.residues = repeated.keys.residues;
        }
        Ok(shredded)
    }
}
