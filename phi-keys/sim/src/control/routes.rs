//! The control API over HTTP, for tests in another process or language.

use core::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::routing::{get, post};
use http::{Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Control, Fault};
use crate::reply::Reply;

#[derive(Deserialize)]
struct Advance {
    advance_ms: u64,
}

#[derive(Deserialize)]
struct VersionChange {
    key: String,
    version: String,
    change: String,
}

#[derive(Deserialize)]
struct Switch {
    name: String,
    on: bool,
}

/// The routes below `/_sim`.
pub(crate) fn router(control: Control, facts: Value) -> Router {
    Router::new()
        .route("/faults", post(inject).get(faults).delete(clear))
        .route("/calls", get(calls).delete(reset))
        .route("/clock", post(advance))
        .route("/version", post(version))
        .route("/switch", post(switch))
        .with_state(control)
        .route("/facts", get(move || async move { Reply::ok(facts).into_response() }))
}

async fn inject(State(control): State<Control>, body: Bytes) -> Response<Body> {
    with::<Fault>(&body, |fault| {
        control.inject(fault);
        Ok(())
    })
}

async fn faults(State(control): State<Control>) -> Response<Body> {
    Reply::ok(json!(control.faults())).into_response()
}

async fn clear(State(control): State<Control>) -> Response<Body> {
    control.clear_faults();
    done()
}

async fn calls(State(control): State<Control>) -> Response<Body> {
    Reply::ok(json!(control.calls())).into_response()
}

async fn reset(State(control): State<Control>) -> Response<Body> {
    control.reset_calls();
    done()
}

async fn advance(State(control): State<Control>, body: Bytes) -> Response<Body> {
    with::<Advance>(&body, |by| {
        control.advance(Duration::from_millis(by.advance_ms));
        Ok(())
    })
}

async fn version(State(control): State<Control>, body: Bytes) -> Response<Body> {
    with::<VersionChange>(&body, |to| control.change_version(&to.key, &to.version, &to.change))
}

async fn switch(State(control): State<Control>, body: Bytes) -> Response<Body> {
    with::<Switch>(&body, |to| control.switch(&to.name, to.on))
}

fn done() -> Response<Body> {
    Reply::empty(StatusCode::NO_CONTENT).into_response()
}

fn with<T: DeserializeOwned>(body: &[u8], act: impl FnOnce(T) -> Result<(), String>) -> Response<Body> {
    let outcome = serde_json::from_slice(body).map_err(|error| error.to_string()).and_then(act);
    match outcome {
        Ok(()) => done(),
        Err(why) => Reply::new(StatusCode::BAD_REQUEST, json!({ "error": why })).into_response(),
    }
}
