//! Signing in and out.

use axum::Form;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use phi_session::{Aal, Login, Method, Session, SessionHandle};
use phi_types::{Action, Activity, Actor, Outcome};
use serde::Deserialize;

use super::problem::Problem;
use crate::app::App;
use crate::auth::{Password, Refusal, Role};
use crate::failure::{Doing, Failure};
use crate::pages;

/// The same words for every reason: which one it was is in the audit log.
const REFUSED: &str = "That did not match, or the account is locked. Try again, or ask your security officer.";

#[derive(Deserialize)]
pub(super) struct PasswordForm {
    login: String,
    password: String,
}

#[derive(Deserialize)]
pub(super) struct CodeForm {
    code: String,
}

pub(super) async fn form() -> Html<String> {
    Html(pages::login(None).into_string())
}

/// The first factor begins a session that opens nothing but the second step.
pub(super) async fn password(
    State(app): State<App>,
    handle: SessionHandle,
    Form(PasswordForm { login, password }): Form<PasswordForm>,
) -> Result<Response, Problem> {
    match app.accounts.check_password(&login, Password::typed(password)).await? {
        Ok(role) => {
            begin(&handle, login, role).await?;
            Ok(Redirect::to("/login/code").into_response())
        }
        Err(refusal) => {
            // What was typed as a name can be a password or a patient's name: it is kept only if it is an account.
            let actor = (refusal != Refusal::UnknownAccount).then(|| Actor::human(login)).and_then(Result::ok);
            record_refusal(&app, actor, None, refusal).await?;
            Ok((StatusCode::UNAUTHORIZED, Html(pages::login(Some(REFUSED)).into_string())).into_response())
        }
    }
}

async fn begin(handle: &SessionHandle, login: String, role: Role) -> Result<(), Failure> {
    let user = Actor::human(login).doing("naming an account")?;
    let login = Login::new(user, Aal::One, Method::Password).with_role(role.as_str());
    handle.login(login).await.doing("beginning a session")?;
    Ok(())
}

pub(super) async fn code_form(session: Option<Session>) -> Result<Html<String>, Problem> {
    session.ok_or(Problem::SignIn)?;
    Ok(Html(pages::code(None).into_string()))
}

/// The second factor gives the session a new token and a higher level.
pub(super) async fn code(
    State(app): State<App>,
    handle: SessionHandle,
    Form(CodeForm { code }): Form<CodeForm>,
) -> Result<Response, Problem> {
    let session = handle.session().map_err(|_| Problem::SignIn)?;
    match app.accounts.check_code(session.user().id(), &code).await? {
        Ok(()) => {
            handle.step_up(Aal::Two, Method::Totp).await.doing("completing a session")?;
            Ok(Redirect::to("/").into_response())
        }
        Err(refusal) => {
            record_refusal(&app, Some(session.user().clone()), Some(&session), refusal).await?;
            Ok((StatusCode::UNAUTHORIZED, Html(pages::code(Some(REFUSED)).into_string())).into_response())
        }
    }
}

pub(super) async fn logout(handle: SessionHandle) -> Result<Redirect, Problem> {
    handle.logout().await.doing("ending a session")?;
    Ok(Redirect::to("/login"))
}

async fn record_refusal(
    app: &App,
    actor: Option<Actor>,
    session: Option<&Session>,
    refusal: Refusal,
) -> Result<(), Failure> {
    let mut activity = Activity::new("login.refused", Action::Execute, Outcome::Refused, app.clock.now())
        .with("reason", refusal.as_str());
    activity.actor = actor;
    activity.session = session.map(|session| session.public_id().to_string());
    app.record(activity).await
}
