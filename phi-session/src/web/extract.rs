//! Sessions as arguments of axum handlers.
//!
//! `Session` answers 401 where there is none, `Option<Session>` never does, `SessionHandle` signs in and out; `StepUp`
//! and `SessionError` are answers themselves, so `?` works.

use core::fmt;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};

use super::SessionHandle;
use crate::{Denied, Session, SessionError, StepUp};

/// Why a handler that asked for a session was not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionRejection {
    /// There is no live session: 401.
    Denied(Denied),
    /// The route is not behind a [`SessionLayer`](super::SessionLayer): 500.
    NoLayer,
}

impl fmt::Display for SessionRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(denied) => denied.fmt(f),
            Self::NoLayer => f.write_str("this route is not behind the session layer: add it to the router"),
        }
    }
}

impl core::error::Error for SessionRejection {}

fn answer(status: StatusCode, what: &impl fmt::Display) -> Response {
    (status, [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], what.to_string()).into_response()
}

impl IntoResponse for SessionRejection {
    fn into_response(self) -> Response {
        match self {
            Self::Denied(denied) => denied.into_response(),
            Self::NoLayer => answer(StatusCode::INTERNAL_SERVER_ERROR, &self),
        }
    }
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        answer(StatusCode::UNAUTHORIZED, &self)
    }
}

impl IntoResponse for StepUp {
    fn into_response(self) -> Response {
        answer(StatusCode::FORBIDDEN, &self)
    }
}

impl IntoResponse for SessionError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Denied(denied) => return denied.into_response(),
            Self::Conflict => StatusCode::CONFLICT,
            Self::Unproven => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Store(_) | Self::Record(_) | Self::Random(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        answer(status, &self)
    }
}

fn handle(parts: &Parts) -> Result<&SessionHandle, SessionRejection> {
    parts.extensions.get().ok_or(SessionRejection::NoLayer)
}

impl<S: Sync> FromRequestParts<S> for SessionHandle {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, SessionRejection> {
        handle(parts).cloned()
    }
}

impl<S: Sync> FromRequestParts<S> for Session {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, SessionRejection> {
        handle(parts)?.session().map_err(SessionRejection::Denied)
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Session {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, SessionRejection> {
        Ok(handle(parts)?.session().ok())
    }
}
