//! Who is signed in, for security officers.

use axum::Form;
use axum::extract::State;
use axum::response::{Html, Redirect};
use phi_session::PublicId;
use serde::Deserialize;

use super::problem::Problem;
use super::who::Officer;
use crate::app::App;
use crate::failure::Doing;
use crate::pages::{self, SessionRow};

#[derive(Deserialize)]
pub(super) struct RevokeForm {
    session: String,
}

pub(super) async fn list(Officer(signed_in): Officer, State(app): State<App>) -> Result<Html<String>, Problem> {
    let live = app.sessions.list_all().await.doing("listing sessions")?;
    let rows: Vec<_> = live
        .iter()
        .map(|info| SessionRow {
            public_id: info.public_id.to_string(),
            user: info.user.id().to_owned(),
            since: info.created.to_string(),
            until: info.deadline.to_string(),
            level: info.aal.map(|aal| aal.to_string()).unwrap_or_default(),
        })
        .collect();
    Ok(Html(pages::sessions(&signed_in.who, &rows).into_string()))
}

pub(super) async fn revoke(
    Officer(signed_in): Officer,
    State(app): State<App>,
    Form(RevokeForm { session }): Form<RevokeForm>,
) -> Result<Redirect, Problem> {
    let id = PublicId::parse(&session).ok_or(Problem::NotFound)?;
    app.sessions.revoke(id, signed_in.session.user()).await.doing("ending a session")?;
    Ok(Redirect::to("/sessions"))
}
