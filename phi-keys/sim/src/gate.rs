//! The way of every call: named, counted, delayed or broken as ordered, and otherwise answered.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use http::{Request, Response, StatusCode};
use serde_json::{Value, json};

use crate::backend::Backend;
use crate::call::Call;
use crate::control::{self, Control, FaultKind};
use crate::reply::Reply;

/// Marks a response whose connection is to be closed instead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dropped;

#[derive(Clone)]
struct Gate {
    control: Control,
    backend: Arc<dyn Backend>,
}

pub(crate) fn router(control: Control, backend: Arc<dyn Backend>, facts: Value) -> Router {
    let control_api = control::router(control.clone(), facts);
    Router::new().fallback(serve).with_state(Gate { control, backend }).nest("/_sim", control_api)
}

async fn serve(State(gate): State<Gate>, request: Request<Body>) -> Response<Body> {
    let Some(call) = Call::read(request).await else {
        return Reply::new(StatusCode::PAYLOAD_TOO_LARGE, json!({ "error": "request too large" })).into_response();
    };
    let operation = gate.backend.operation(&call);
    let suffering = gate.control.meet(&operation);
    if !suffering.latency.is_zero() {
        tokio::time::sleep(suffering.latency).await;
    }
    let Some(kind) = suffering.kind else {
        return gate.backend.answer(&call).into_response();
    };
    if kind == FaultKind::Drop {
        return dropped();
    }
    if let Some(refusal) = gate.backend.refuse(&call, kind) {
        return refusal.into_response();
    }
    let reply = gate.backend.answer(&call);
    match kind {
        FaultKind::LostAnswer => dropped(),
        FaultKind::Garbage => {
            Reply { status: StatusCode::OK, ..reply }.with_text("<html>\u{fffd}} not json".to_owned())
        }
        FaultKind::Truncated => {
            let mut text = reply.text();
            text.truncate(text.floor_char_boundary(text.len() / 2));
            reply.with_text(text)
        }
        _ if reply.status.is_success() => gate.backend.spoil(kind, reply).into_response(),
        _ => reply.into_response(),
    }
}

fn dropped() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(Dropped);
    response
}
