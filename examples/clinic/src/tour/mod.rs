//! The guided tour: every safeguard used, attacked or both, through the clinic's own pages where it has one, and one
//! line of a report for each.

mod charts;
mod client;
mod copy;
mod keys;
mod leaks;
mod made_up;
mod people;
mod restore;
mod resurrection;
mod shred;
mod sign_in;
mod step;
mod tampering;

use core::time::Duration;

use phi_types::{Clock, Phi, SubjectId, SystemClock};

use crate::app::App;
use crate::auth::{Credentials, Role};
use crate::failure::Failure;
use crate::fhir::{Identifier, Identifiers};
use crate::folder::{Folder, Lock};
use crate::import::{Imported, Source};
use crate::leak::Needles;
use crate::records::By;
use crate::report::{Line, Report};
use client::Client;
use made_up::MadeUp;
use step::Measured;

/// The two accounts of the demonstration.
pub(crate) const CLINICIAN: &str = "dr.osei";
pub(crate) const OFFICER: &str = "m.halloran";

/// An import need not have anybody who can be searched by both numbers.
const STANDS_IN: &str = "No patient of the import has a name, a record number and a social security number: a made-up one is shown, and destroyed.";

/// What the tour works with.
pub(crate) struct Tour<'a> {
    app: &'a App,
    folder: &'a Folder,
    lock: &'a Lock,
    port: u16,
    clinician: Person,
    officer: Person,
    /// A patient of the import or a made-up one, by what a clinician would ask the patient for.
    patient: Known,
    /// A one-time code that was used, to try it again.
    used_code: String,
    /// That patient, if nobody of the import could be it.
    stands_in: Option<SubjectId>,
    /// The patient who was forgotten.
    shredded: Option<SubjectId>,
    needles: Needles,
    report: Report,
}

/// An account with its browser.
struct Person {
    credentials: Credentials,
    browser: Client,
}

/// What is known of a patient outside the clinic.
struct Known {
    mrn: Phi<String>,
    ssn: Phi<String>,
    name: Phi<String>,
}

/// Takes the whole tour. Credentials that it uses are replaced afterwards.
pub(crate) async fn take(
    app: &App,
    folder: &Folder,
    lock: &Lock,
    port: u16,
    source: &Source,
    imported: (&Imported, Duration),
) -> Result<Report, Failure> {
    let mut tour = Tour::prepare(app, folder, lock, port, source).await?;
    let sealed = tour.imported(imported).await;
    tour.line("164.312(a)(2)(iv)", "bundles imported, every identifier and document sealed", sealed);
    tour.sign_in().await;
    tour.charts().await;
    tour.keys().await;
    tour.shred().await;
    tour.people().await;
    tour.copy().await;
    tour.forget_stand_in().await?;
    tour.leaks();
    tour.remove_copy()?;
    tour.report.finish()
}

impl<'a> Tour<'a> {
    async fn prepare(
        app: &'a App,
        folder: &'a Folder,
        lock: &'a Lock,
        port: u16,
        source: &Source,
    ) -> Result<Self, Failure> {
        let mut needles = Needles::default();
        let mut patient = None;
        for item in source.each() {
            let Ok((bundle, bytes)) = item?.read else { continue };
            needles.add(&bytes);
            for known in bundle.patients.iter().filter_map(|found| Known::of(&found.identifiers)) {
                // Whoever was destroyed since is not found any more.
                if patient.is_none() && !app.records.find(By::Mrn, known.mrn.expose()).await?.is_empty() {
                    patient = Some(known);
                }
            }
        }
        let mut report = Report::default();
        let (patient, stands_in) = match patient {
            Some(patient) => (patient, None),
            None => {
                report.note(STANDS_IN);
                let MadeUp { known, subject } = MadeUp::store(app, &mut needles).await?;
                (known, Some(subject))
            }
        };
        let clinician = Person::new(app.issue_account(CLINICIAN, Role::Clinician).await?, port)?;
        let officer = Person::new(app.issue_account(OFFICER, Role::SecurityOfficer).await?, port)?;
        Ok(Self {
            app,
            folder,
            lock,
            port,
            clinician,
            officer,
            patient,
            used_code: String::new(),
            stands_in,
            shredded: None,
            needles,
            report,
        })
    }

    fn fresh_browser(&self) -> Result<Client, Failure> {
        Client::new(self.port)
    }

    fn line(&mut self, clause: &'static str, done: &'static str, measured: Measured) {
        let (ok, measured) = match measured {
            Ok(measured) => (true, measured),
            Err(miss) => (false, miss.0),
        };
        self.report.add(&Line { clause, done, measured, ok });
    }
}

impl Person {
    fn new(credentials: Credentials, port: u16) -> Result<Self, Failure> {
        Ok(Self { credentials, browser: Client::new(port)? })
    }
}

impl Known {
    /// Somebody who can be asked for by either number.
    fn of(identifiers: &Identifiers) -> Option<Self> {
        let first = |kind| {
            identifiers
                .get(kind)
                .map(|value| value.as_ref_with(|text| text.lines().next().unwrap_or_default().to_owned()))
        };
        let ssn = first(Identifier::Ssn).filter(|ssn| ssn.expose().contains(|digit: char| digit.is_ascii_digit()));
        Some(Self { mrn: first(Identifier::Mrn)?, ssn: ssn?, name: first(Identifier::Name)? })
    }
}

/// How long something took, for a report.
struct Watch(Duration);

impl Watch {
    fn start() -> Self {
        Self(SystemClock::new().monotonic())
    }

    fn millis(&self) -> String {
        format!("{:.1} ms", SystemClock::new().monotonic().saturating_sub(self.0).as_secs_f64() * 1e3)
    }
}
