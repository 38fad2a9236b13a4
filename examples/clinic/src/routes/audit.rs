//! The audit log, for security officers: whether it holds, and who opened a chart.

use axum::Form;
use axum::extract::State;
use axum::response::Html;
use phi_audit::{AuditGuard, Found, Query};
use phi_types::{Phi, Purpose};
use serde::Deserialize;

use super::problem::Problem;
use super::who::Officer;
use crate::app::App;
use crate::failure::{Doing, Failure};
use crate::pages::{self, AccessRow, LogState, Who};
use crate::records::By;

/// Entries on the page.
const LATEST: u32 = 50;

#[derive(Deserialize)]
pub(super) struct AboutForm {
    mrn: Phi<String>,
}

pub(super) async fn show(Officer(signed_in): Officer, State(app): State<App>) -> Result<Html<String>, Problem> {
    Ok(page(&app, &signed_in.who, None).await?)
}

/// Looking up who opened a chart is an access to that patient's data as well, and is recorded as one.
pub(super) async fn about(
    Officer(signed_in): Officer,
    State(app): State<App>,
    touched: AuditGuard,
    Form(AboutForm { mrn }): Form<AboutForm>,
) -> Result<Html<String>, Problem> {
    let mut rows = Vec::new();
    for patient in app.records.find(By::Mrn, mrn.expose()).await? {
        touched.read(&patient, Purpose::Operations);
        let found = app.audit.query(&Query::new().subject(&patient).limit(LATEST)).await;
        rows.extend(found.doing("reading the audit log")?.events.iter().map(row));
    }
    Ok(page(&app, &signed_in.who, Some(&rows)).await?)
}

async fn page(app: &App, who: &Who, about: Option<&[AccessRow]>) -> Result<Html<String>, Failure> {
    let report = app.audit.verify().await.doing("verifying the audit log")?;
    let summary = match report.first_wrong() {
        None => format!("{} entries, consistent under {} signed checkpoints.", report.size, report.checkpoints),
        Some(wrong) => format!("The log does not hold: {wrong}. Preserve the database and its backups."),
    };
    let state = LogState { intact: report.is_consistent(), summary };
    let latest = app.audit.query(&Query::new().limit(LATEST)).await.doing("reading the audit log")?;
    let latest: Vec<_> = latest.events.iter().map(row).collect();
    Ok(Html(pages::access(who, &state, &latest, about).into_string()))
}

fn row(found: &Found) -> AccessRow {
    let event = &found.event;
    AccessRow {
        at: event.at.to_string(),
        kind: event.kind.clone(),
        actor: event.actor.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
        purpose: event.purpose.map_or("-", |purpose| purpose.code()).to_owned(),
        outcome: event.outcome.as_str().to_owned(),
    }
}
