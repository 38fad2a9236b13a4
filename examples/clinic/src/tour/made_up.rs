//! Patients who are nobody, for what the tour does not do to the clinic's own.

use phi_types::{Clock, SubjectId};

use super::{Known, Tour};
use crate::app::App;
use crate::failure::{Doing, Failure};
use crate::fhir::Bundle;
use crate::leak::Needles;
use crate::records::Stored;
use crate::{population, random};

/// Somebody made up, who came in through the same door as everybody else.
pub(super) struct MadeUp {
    pub(super) known: Known,
    pub(super) subject: SubjectId,
}

/// How often somebody is made up anew whose record number is taken.
const TRIES: usize = 8;

impl MadeUp {
    pub(super) async fn store(app: &App, needles: &mut Needles) -> Result<Self, Failure> {
        const DOING: &str = "making up a patient";
        for _ in 0..TRIES {
            let seed = u64::from_be_bytes(random::bytes()?);
            let json = population::bundles(seed, 1).next().unwrap_or_default();
            let bundle = Bundle::parse(&json).doing(DOING)?;
            let known = bundle.patients.first().and_then(|patient| Known::of(&patient.identifiers));
            if let Stored::New(subjects) =
                app.records.store(&bundle, &json, &*app.audit.recorder(), &*app.clock).await?
                && let Some((known, subject)) = known.zip(subjects.into_iter().next())
            {
                needles.add(&json);
                return Ok(Self { known, subject });
            }
        }
        Err("every record number was taken").doing(DOING)
    }
}

impl Tour<'_> {
    /// The patient who stood in for one of the import does not stay.
    pub(super) async fn forget_stand_in(&mut self) -> Result<(), Failure> {
        let Some(subject) = self.stands_in.take() else { return Ok(()) };
        let shredded = self.app.records.shred(&subject).await?;
        self.app.record(shredded.activity(self.app.clock.now())).await
    }
}
