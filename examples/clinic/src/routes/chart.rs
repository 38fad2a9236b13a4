//! A patient's chart.

use axum::extract::{Path, State};
use axum::response::Html;
use phi_audit::AuditGuard;
use phi_types::{Purpose, SubjectId};

use super::problem::Problem;
use super::who::Clinician;
use crate::app::App;
use crate::pages;

/// The address holds a random record id, which says nothing outside the database.
pub(super) async fn show(
    Clinician(signed_in): Clinician,
    State(app): State<App>,
    touched: AuditGuard,
    Path(patient): Path<SubjectId>,
) -> Result<Html<String>, Problem> {
    // Before anything is opened: an attempt that fails half-way is recorded too.
    touched.read(&patient, Purpose::Treatment);
    let chart = app.records.chart(&patient, &pages::SHOWN).await?;
    Ok(Html(pages::chart(&signed_in.who, &chart).into_string()))
}
