//! `google.rpc.Status` as REST answers it, and the numbers of enums.

use http::StatusCode;
use http::header::RETRY_AFTER;
use serde_json::{Value, json};

use super::key::State;
use crate::reply::Reply;

#[derive(Debug)]
pub(super) struct Status {
    http: StatusCode,
    code: &'static str,
    message: String,
    details: Vec<Value>,
}

impl Status {
    pub(super) fn plain(http: StatusCode, code: &'static str, message: &str) -> Self {
        Self { http, code, message: message.to_owned(), details: Vec::new() }
    }

    pub(super) fn invalid(message: &str) -> Self {
        Self::plain(StatusCode::BAD_REQUEST, "INVALID_ARGUMENT", message)
    }

    pub(super) fn not_found(message: &str) -> Self {
        Self::plain(StatusCode::NOT_FOUND, "NOT_FOUND", message)
    }

    pub(super) fn exists(message: &str) -> Self {
        Self::plain(StatusCode::CONFLICT, "ALREADY_EXISTS", message)
    }

    pub(super) fn no_route() -> Self {
        Self::not_found("The requested URL was not found on this server.")
    }

    pub(super) fn internal() -> Self {
        Self::plain(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "Internal error encountered.")
    }

    pub(super) fn unauthenticated() -> Self {
        let mut status = Self::plain(
            StatusCode::UNAUTHORIZED,
            "UNAUTHENTICATED",
            "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid \
             authentication credential.",
        );
        status.details.push(json!({
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "ACCESS_TOKEN_EXPIRED",
            "domain": "googleapis.com",
            "metadata": { "service": "cloudkms.googleapis.com" },
        }));
        status
    }

    pub(super) fn exhausted() -> Self {
        let mut status = Self::plain(
            StatusCode::TOO_MANY_REQUESTS,
            "RESOURCE_EXHAUSTED",
            "Quota exceeded for quota metric 'Cryptographic requests' and limit 'Cryptographic requests per minute' of \
             service 'cloudkms.googleapis.com'.",
        );
        status.details.push(json!({
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "RATE_LIMIT_EXCEEDED",
            "domain": "googleapis.com",
            "metadata": { "service": "cloudkms.googleapis.com" },
        }));
        status
    }

    /// A precondition that does not hold. The canonical mapping of `FAILED_PRECONDITION` to HTTP is 400, not 409.
    pub(super) fn precondition(message: &str, violation: &str, subject: &str) -> Self {
        let mut status = Self::plain(StatusCode::BAD_REQUEST, "FAILED_PRECONDITION", message);
        status.details.push(json!({
            "@type": "type.googleapis.com/google.rpc.PreconditionFailure",
            "violations": [{ "type": violation, "subject": subject }],
        }));
        status
    }

    pub(super) fn not_enabled(version: &str, state: State) -> Self {
        let message = format!("{version} is not enabled, current state is: {}.", state.as_str());
        let violation = if state == State::Disabled { "KEY_DISABLED" } else { "KEY_DESTROYED" };
        Self::precondition(&message, violation, version)
    }

    pub(super) fn into_reply(self) -> Reply {
        let mut error = json!({ "code": self.http.as_u16(), "message": self.message, "status": self.code });
        if let Some(error) = error.as_object_mut().filter(|_| !self.details.is_empty()) {
            error.insert("details".to_owned(), json!(self.details));
        }
        Reply::new(self.http, json!({ "error": error }))
    }

    /// With the delay both as `google.rpc.RetryInfo` and as `Retry-After`.
    pub(super) fn into_reply_after(mut self, seconds: Option<u32>) -> Reply {
        if let Some(seconds) = seconds {
            self.details.push(json!({
                "@type": "type.googleapis.com/google.rpc.RetryInfo",
                "retryDelay": format!("{seconds}s"),
            }));
        }
        let reply = self.into_reply();
        match seconds {
            Some(seconds) => reply.header(RETRY_AFTER, &seconds.to_string()),
            None => reply,
        }
    }
}

/// Replaces enum names by numbers, for clients that ask for `enum-encoding=int`.
pub(super) fn enums_as_numbers(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(enums_as_numbers),
        Value::Object(fields) => {
            for (name, value) in fields {
                match (name.as_str(), value.as_str()) {
                    ("state" | "protectionLevel" | "purpose" | "algorithm", Some(text)) => {
                        if let Some(number) = number_of(text) {
                            *value = json!(number);
                        }
                    }
                    _ => enums_as_numbers(value),
                }
            }
        }
        _ => {}
    }
}

fn number_of(name: &str) -> Option<u8> {
    Some(match name {
        "ENABLED" | "SOFTWARE" | "ENCRYPT_DECRYPT" | "GOOGLE_SYMMETRIC_ENCRYPTION" => 1,
        "DISABLED" | "HSM" => 2,
        "DESTROYED" => 3,
        "DESTROY_SCHEDULED" => 4,
        _ => return None,
    })
}
