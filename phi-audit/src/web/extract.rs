//! The guard as an axum extractor.

use core::fmt;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;

use super::AuditGuard;

/// The route has no [`AuditLayer`](super::AuditLayer). Answered with 500.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct AuditLayerMissing;

impl fmt::Display for AuditLayerMissing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the route has no audit layer: add `.layer(audit.layer())` to its router")
    }
}

impl core::error::Error for AuditLayerMissing {}

impl IntoResponse for AuditLayerMissing {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, self.to_string()).into_response()
    }
}

impl<S: Sync> FromRequestParts<S> for AuditGuard {
    type Rejection = AuditLayerMissing;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, AuditLayerMissing> {
        parts.extensions.get::<Self>().cloned().ok_or(AuditLayerMissing)
    }
}
