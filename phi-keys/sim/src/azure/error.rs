//! Error bodies: `{"error":{"code","message","innererror":{"code"}}}`.

use http::StatusCode;
use serde_json::json;

use crate::reply::Reply;

#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    code: &'static str,
    message: String,
    inner: Option<&'static str>,
}

impl Failure {
    pub(super) fn new(status: StatusCode, code: &'static str, message: &str) -> Self {
        Self { status, code, message: message.to_owned(), inner: None }
    }

    pub(super) fn bad(message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadParameter", message)
    }

    pub(super) fn forbidden(message: &str, inner: &'static str) -> Self {
        Self { inner: Some(inner), ..Self::new(StatusCode::FORBIDDEN, "Forbidden", message) }
    }

    pub(super) fn deleted(name: &str) -> Self {
        let message = format!(
            "Key {name} is currently in a deleted but recoverable state, and its name cannot be reused; in this state, \
             the key can only be recovered or purged."
        );
        Self { inner: Some("ObjectIsDeletedButRecoverable"), ..Self::new(StatusCode::CONFLICT, "Conflict", &message) }
    }

    pub(super) fn not_found(name: &str) -> Self {
        let message = format!(
            "A key with (name/id) {name} was not found in this key vault. If you recently deleted this key you may be \
             able to recover it using the correct recovery command."
        );
        Self::new(StatusCode::NOT_FOUND, "KeyNotFound", &message)
    }

    pub(super) fn no_route() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", "The request URI does not match any operation.")
    }

    pub(super) fn throttled() -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "Throttled",
            "Request was not processed because too many requests were received. Reason: VaultRequestTypeLimitReached",
        )
    }

    pub(super) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", "An internal error occurred.")
    }

    pub(super) fn into_reply(self) -> Reply {
        let mut error = json!({ "code": self.code, "message": self.message });
        if let (Some(error), Some(inner)) = (error.as_object_mut(), self.inner) {
            error.insert("innererror".to_owned(), json!({ "code": inner }));
        }
        Reply::new(self.status, json!({ "error": error }))
    }
}
