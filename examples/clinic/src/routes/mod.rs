//! The clinic over HTTP.

mod audit;
mod chart;
mod headers;
mod keys;
mod login;
mod problem;
mod search;
mod sessions;
mod trace;
mod who;
mod witness;

pub(crate) use witness::opened;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{from_fn, map_response};
use axum::response::Redirect;
use axum::routing::{get, post};

use crate::app::App;
use crate::auth::Role;
use crate::pages::STYLE;
use problem::Problem;
use who::SignedIn;

/// Forms have a few short fields.
const MAX_FORM: usize = 8 << 10;

/// Every page. The session layer is outermost of the two, so that the audit layer knows who acts.
pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/", get(home))
        .route("/login", get(login::form).post(login::password))
        .route("/login/code", get(login::code_form).post(login::code))
        .route("/logout", post(login::logout))
        .route("/search", get(search::form).post(search::find))
        .route("/patients/{id}", get(chart::show))
        .route("/audit", get(audit::show).post(audit::about))
        .route("/sessions", get(sessions::list))
        .route("/sessions/revoke", post(sessions::revoke))
        .route("/keys", get(keys::show))
        .route("/keys/rotate", post(keys::rotate))
        .route("/keys/shred", post(keys::shred))
        .layer(from_fn(witness::watch))
        .layer(app.audit.layer().identify(who::identify))
        .layer(app.sessions.layer())
        .route("/style.css", get(async || ([(CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)))
        .fallback(async || Problem::NotFound)
        .layer(DefaultBodyLimit::max(MAX_FORM))
        .layer(map_response(headers::protect))
        .layer(from_fn(trace::request))
        .with_state(app)
}

/// Where each role works.
async fn home(SignedIn { who, .. }: SignedIn) -> Redirect {
    Redirect::to(match who.role {
        Role::Clinician => "/search",
        Role::SecurityOfficer => "/audit",
    })
}
