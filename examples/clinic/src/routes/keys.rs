//! Keys, for security officers: a new version of the key-encryption key, and a patient's key destroyed.

use axum::Form;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use phi_audit::AuditGuard;
use phi_crypto::SubjectShredded;
use phi_session::Session;
use phi_types::{Action, Activity, Outcome, Phi, Purpose, SubjectId};
use serde::Deserialize;

use super::problem::Problem;
use super::who::Officer;
use crate::app::App;
use crate::failure::{Doing, Failure};
use crate::pages::{self, KeyOutcome, Who};
use crate::records::By;

#[derive(Deserialize)]
pub(super) struct ShredForm {
    mrn: Phi<String>,
    again: Phi<String>,
}

pub(super) async fn show(Officer(signed_in): Officer, State(app): State<App>) -> Html<String> {
    page(&app, &signed_in.who, None)
}

pub(super) async fn rotate(Officer(signed_in): Officer, State(app): State<App>) -> Result<Html<String>, Problem> {
    let (work, session) = (app.clone(), signed_in.session);
    let report = to_the_end(async move {
        work.record(ordered("key.rewrap_begin", Action::Update, &work, &session)).await?;
        let report = work.rotate_kek().await?;
        work.record(by(report.activity(work.clock.now()), &session)).await?;
        Ok(report)
    });
    let report = report.await?;
    let done = format!("{} domain keys are now under {}.", report.rewrapped, report.keks.join(", "));
    Ok(page(&app, &signed_in.who, Some(&KeyOutcome::Done(done))))
}

/// The number is asked for twice, because nothing of this can be undone.
pub(super) async fn shred(
    Officer(signed_in): Officer,
    State(app): State<App>,
    touched: AuditGuard,
    Form(ShredForm { mrn, again }): Form<ShredForm>,
) -> Result<Response, Problem> {
    let refuse = |why| {
        let page = page(&app, &signed_in.who, Some(&KeyOutcome::Refused(why)));
        (StatusCode::UNPROCESSABLE_ENTITY, page).into_response()
    };
    if mrn.expose().trim() != again.expose().trim() {
        return Ok(refuse("The two numbers differ. Nothing was destroyed."));
    }
    let found = app.records.find(By::Mrn, mrn.expose()).await?;
    let search = Activity::new("patient.search", Action::Execute, Outcome::Success, app.clock.now());
    touched
        .touch(search.for_purpose(Purpose::Operations).with("by", By::Mrn.as_str()).with("found", found.len() as u64));
    // A record number is one patient's.
    let Some(patient) = found.into_iter().next() else {
        return Ok(refuse("Nobody has this record number. Nothing was destroyed."));
    };
    let work = app.clone();
    let report = to_the_end(destroy(work, patient, signed_in.session)).await?;
    let (keys, tags) = (report.keys.keys.len(), report.tags);
    let rest = match report.keys.purged {
        true => "nothing of them is left in the database or its write-ahead log",
        false => "bytes of them may be in the write-ahead log until the clinic is stopped",
    };
    let plural = if keys == 1 { "" } else { "s" };
    let done = format!("Destroyed: {keys} key{plural} and {tags} index tags; {rest}.");
    Ok(page(&app, &signed_in.who, Some(&KeyOutcome::Done(done))).into_response())
}

async fn destroy(app: App, patient: SubjectId, session: Session) -> Result<SubjectShredded, Failure> {
    let order = ordered("key.shred_begin", Action::Delete, &app, &session).about(patient.clone());
    app.record(order.for_purpose(Purpose::Operations)).await?;
    let report = app.records.shred(&patient).await?;
    app.record(by(report.activity(app.clock.now()), &session)).await?;
    Ok(report)
}

/// A request that its browser gives up is dropped where it is; what is done to keys has to be recorded nevertheless.
async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> Result<T, Failure> {
    tokio::spawn(work).await.doing("changing keys")?
}

/// What an officer wants done; recorded before it is.
fn ordered(kind: &'static str, action: Action, app: &App, session: &Session) -> Activity {
    by(Activity::new(kind, action, Outcome::Success, app.clock.now()), session)
}

fn by(activity: Activity, session: &Session) -> Activity {
    activity.by(session.user().clone()).in_session(session.public_id().to_string())
}

fn page(app: &App, who: &Who, outcome: Option<&KeyOutcome>) -> Html<String> {
    Html(pages::keys(who, &app.kek(), outcome).into_string())
}
