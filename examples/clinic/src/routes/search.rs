//! Finding a patient. The number is in the body of a POST: addresses end up in logs and histories.

use axum::Form;
use axum::extract::State;
use axum::response::Html;
use phi_audit::AuditGuard;
use phi_types::{Action, Activity, Outcome, Phi, Purpose};
use serde::Deserialize;

use super::problem::Problem;
use super::who::Clinician;
use crate::app::App;
use crate::fhir::Identifier;
use crate::pages::{self, Hit};
use crate::records::By;

#[derive(Deserialize)]
pub(super) struct SearchForm {
    by: By,
    number: Phi<String>,
}

pub(super) async fn form(Clinician(signed_in): Clinician) -> Html<String> {
    Html(pages::search(&signed_in.who, None).into_string())
}

pub(super) async fn find(
    Clinician(signed_in): Clinician,
    State(app): State<App>,
    touched: AuditGuard,
    Form(SearchForm { by, number }): Form<SearchForm>,
) -> Result<Html<String>, Problem> {
    let mut hits = Vec::new();
    for patient in app.records.find(by, number.expose()).await? {
        touched.read(&patient, Purpose::Treatment);
        let shown = app.records.identifiers(&patient, &[Identifier::Name, Identifier::BirthDate]).await?;
        let text = |kind| shown.get(kind).cloned().unwrap_or_default();
        let (name, birth_date) = (text(Identifier::Name), text(Identifier::BirthDate));
        hits.push(Hit { id: patient.expose().to_owned(), name, birth_date });
    }
    // A search that finds nobody is an attempt as well.
    let search = Activity::new("patient.search", Action::Execute, Outcome::Success, app.clock.now());
    touched.touch(search.for_purpose(Purpose::Treatment).with("by", by.as_str()).with("found", hits.len() as u64));
    Ok(Html(pages::search(&signed_in.who, Some(&hits)).into_string()))
}
