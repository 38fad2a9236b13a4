//! A patient's chart.

use axum::extract::{Path, State};
use axum::response::Html;
use phi_audit::AuditGuard;
use phi_types::{Purpose, SubjectId};

use super::problem::Problem;
use super::who::Clinician;
use crate::app::App;
use crate::pages;
use crate::records::ChartError;

/// The address holds a random record id, which says nothing outside the database.
pub(super) async fn show(
    Clinician(signed_in): Clinician,
    State(app): State<App>,
    touched: AuditGuard,
    Path(patient): Path<SubjectId>,
) -> Result<Html<String>, Problem> {
    match app.records.chart(&patient, &pages::SHOWN).await {
        Ok(chart) => {
            touched.read(&patient, Purpose::Treatment);
            Ok(Html(pages::chart(&signed_in.who, &chart).into_string()))
        }
        Err(ChartError::Unknown) => Err(Problem::NotFound),
        Err(error) => {
            // What was opened before the error is not shown, but somebody tried.
            touched.refused(&patient, Purpose::Treatment);
            Err(error.into())
        }
    }
}
