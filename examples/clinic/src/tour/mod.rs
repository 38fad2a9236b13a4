//! The guided tour: every safeguard used, attacked or both, through the clinic's own pages where it has one, and one
//! line of a report for each.

mod charts;
mod client;
mod copy;
mod keys;
mod leaks;
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
use crate::report::{Line, Report};
use client::Client;
use step::Measured;

/// The two accounts of the demonstration.
pub(crate) const CLINICIAN: &str = "dr.osei";
pub(crate) const OFFICER: &str = "m.halloran";

/// What the tour works with.
pub(crate) struct Tour<'a> {
    app: &'a App,
    folder: &'a Folder,
    lock: &'a Lock,
    port: u16,
    clinician: Person,
    officer: Person,
    /// A patient of the import, by what a clinician would ask the patient for.
    patient: Known,
    /// A one-time code that was used, to try it again.
    used_code: String,
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
            patient = patient.or_else(|| bundle.patients.iter().find_map(|found| Known::of(&found.identifiers)));
        }
        let patient = patient.ok_or(Failure::NobodyToShow)?;
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
            shredded: None,
            needles,
            report: Report::default(),
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
        Some(Self { mrn: first(Identifier::Mrn)?, ssn: first(Identifier::Ssn)?, name: first(Identifier::Name)? })
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
