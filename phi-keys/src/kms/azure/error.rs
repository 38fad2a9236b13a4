//! What Azure answers, as errors that name the mend.

use core::time::Duration;
use std::error::Error as StdError;

use azure_core::Error;
use azure_core::error::{ErrorKind, ErrorResponse, InnerError};
use azure_core::http::RawResponse;
use azure_core::http::headers::{HeaderName, RETRY_AFTER};
use azure_core::json;

use crate::kms::described::Described;
use crate::kms::{KmsError, retry_after};

/// What an answer means by its codes; the inner ones, which say more, are looked at first.
const CODES: &[(&str, Meaning)] = &[
    ("KeyDisabled", Meaning::Disabled),
    ("KeyExpired", Meaning::Misconfigured(DATES)),
    ("KeyNotYetValid", Meaning::Misconfigured(DATES)),
    ("KeyOperationForbidden", Meaning::Misconfigured("permit wrapping and unwrapping among the key's operations")),
    ("ObjectIsBeingDeleted", Meaning::PendingDestruction),
    ("ObjectIsBeingRecovered", Meaning::Unavailable),
    ("ObjectIsDeletedButRecoverable", Meaning::PendingDestruction),
    ("AccessDenied", Meaning::AccessDenied),
    ("ForbiddenByConnection", Meaning::AccessDenied),
    ("ForbiddenByFirewall", Meaning::AccessDenied),
    ("ForbiddenByPolicy", Meaning::AccessDenied),
    ("ForbiddenByRbac", Meaning::AccessDenied),
    ("Forbidden", Meaning::AccessDenied),
    ("Unauthorized", Meaning::Unauthenticated),
    ("KeyNotFound", Meaning::NotFound),
    ("Throttled", Meaning::Throttled),
    ("BadParameter", Meaning::Argument),
    ("InternalServerError", Meaning::Unavailable),
    ("ServiceUnavailable", Meaning::Unavailable),
];

const DATES: &str =
    "the newest version of the key is outside its dates of validity: rotate the key, or change its dates";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Throttled,
    Unavailable,
    AccessDenied,
    Unauthenticated,
    NotFound,
    Disabled,
    PendingDestruction,
    /// Something that was sent is not taken; what that means depends on what was asked.
    Argument,
    Misconfigured(&'static str),
    TooLarge,
    Failed,
}

/// What an error leaves open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// Whether the key is missing, deleted, or lacks the version.
    Missing,
    /// What is wrong with the request: altered bytes, or a key that does not do this.
    Argument,
}

/// Why a call failed, as far as its answer tells.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: KmsError,
    pub(super) doubt: Option<Doubt>,
}

impl From<KmsError> for Failure {
    fn from(error: KmsError) -> Self {
        Self { error, doubt: None }
    }
}

/// What a failed call means.
pub(super) fn failure(error: &Error) -> Failure {
    let (status, raw) = match error.kind() {
        ErrorKind::HttpResponse { status, raw_response, .. } => (u16::from(*status), raw_response.as_deref()),
        _ => return unanswered(error).into(),
    };
    let told = raw.map(told).unwrap_or_default();
    let listed = |code: &String| CODES.iter().find(|(listed, _)| *listed == code.as_str()).map(|(_, meaning)| *meaning);
    let meaning = told.codes.iter().find_map(listed).unwrap_or_else(|| by_status(status));
    let answer = || {
        let codes = told.codes.join(" in ");
        Described::new(format!("Azure answered {codes} (HTTP {status}): {}", told.message))
    };
    let (error, doubt) = match meaning {
        Meaning::Throttled => (KmsError::Throttled { after: raw.and_then(wait) }, None),
        Meaning::Unavailable => (KmsError::unavailable_for(raw.and_then(wait), answer()), None),
        Meaning::AccessDenied => (KmsError::access_denied(answer()), None),
        Meaning::Unauthenticated => (KmsError::unauthenticated(answer()), None),
        Meaning::NotFound => (KmsError::NotFound, Some(Doubt::Missing)),
        Meaning::Disabled => (KmsError::Disabled, None),
        Meaning::PendingDestruction => (KmsError::PendingDestruction, None),
        Meaning::Argument => (KmsError::failed(answer()), Some(Doubt::Argument)),
        Meaning::Misconfigured(mend) => (KmsError::Misconfigured(mend), None),
        Meaning::TooLarge => (KmsError::TooLarge, None),
        Meaning::Failed => (KmsError::failed(answer()), None),
    };
    Failure { error, doubt }
}

const fn by_status(status: u16) -> Meaning {
    match status {
        400 => Meaning::Argument,
        401 => Meaning::Unauthenticated,
        403 => Meaning::AccessDenied,
        404 => Meaning::NotFound,
        408 | 409 | 500.. => Meaning::Unavailable,
        413 => Meaning::TooLarge,
        429 => Meaning::Throttled,
        _ => Meaning::Failed,
    }
}

/// What the body of a refusal says, the innermost code first.
#[derive(Debug, Default)]
struct Told {
    codes: Vec<String>,
    message: String,
}

fn told(raw: &RawResponse) -> Told {
    // A body that is not Azure's says nothing.
    let parsed: Option<ErrorResponse> = json::from_json(raw.body()).ok();
    let Some(error) = parsed.and_then(|response| response.error) else { return Told::default() };
    let mut codes: Vec<String> = error.code.into_iter().collect();
    let mut inner: Option<Box<InnerError>> = error.inner_error.map(Box::new);
    while let Some(error) = inner {
        codes.extend(error.code);
        inner = error.inner_error;
    }
    codes.reverse();
    Told { codes, message: error.message.unwrap_or_default() }
}

const DATE: HeaderName = HeaderName::from_static("date");

fn wait(raw: &RawResponse) -> Option<Duration> {
    retry_after::wait(raw.headers().get_optional_str(&RETRY_AFTER), raw.headers().get_optional_str(&DATE))
}

/// No answer came, one that cannot be read, or no question was sent.
fn unanswered(error: &Error) -> KmsError {
    let reason = Described::of(error);
    match error.kind() {
        ErrorKind::Connection | ErrorKind::Io => KmsError::unavailable(reason),
        // What cannot be read may hold a key: nothing of it is kept.
        ErrorKind::DataConversion => KmsError::Corrupt,
        ErrorKind::Credential => match passing(error) {
            Some(after) => KmsError::unavailable_for(after, reason),
            None => KmsError::unauthenticated(reason),
        },
        _ => KmsError::failed(reason),
    }
}

/// Whether a token could not be had for a reason that passes, and in how long, where that is said.
fn passing(error: &Error) -> Option<Option<Duration>> {
    let mut cause = error.source();
    while let Some(source) = cause {
        if let Some(error) = source.downcast_ref::<Error>() {
            match error.kind() {
                ErrorKind::Connection | ErrorKind::Io => return Some(None),
                ErrorKind::HttpResponse { status, raw_response, .. }
                    if matches!(u16::from(*status), 408 | 429 | 500..) =>
                {
                    return Some(raw_response.as_deref().and_then(wait));
                }
                _ => {}
            }
        }
        cause = source.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use azure_core::http::headers::Headers;
    use proptest::prelude::*;

    use super::*;

    fn answered(status: u16, body: &str, retry_after: Option<&str>) -> Failure {
        let mut headers = Headers::new();
        if let Some(seconds) = retry_after {
            headers.insert(RETRY_AFTER, seconds.to_owned());
        }
        let raw = RawResponse::from_bytes(status.into(), headers, body.as_bytes().to_vec());
        let kind = ErrorKind::HttpResponse {
            status: status.into(),
            error_code: Some("a code of the SDK's".to_owned()),
            raw_response: Some(Box::new(raw)),
        };
        failure(&Error::with_message(kind, "the SDK's message"))
    }

    fn body(code: &str, inner: Option<&str>) -> String {
        let inner = inner.map_or_else(String::new, |inner| format!(r#","innererror":{{"code":"{inner}"}}"#));
        format!(r#"{{"error":{{"code":"{code}","message":"the message"{inner}}}}}"#)
    }

    #[test]
    fn every_code_means_what_the_table_says() {
        // By hand, not from the table: a slip there has to show here.
        let inner = [
            ("KeyDisabled", "disabled"),
            ("KeyExpired", "misconfigured"),
            ("KeyNotYetValid", "misconfigured"),
            ("KeyOperationForbidden", "misconfigured"),
            ("ObjectIsBeingDeleted", "pending_destruction"),
            ("ObjectIsBeingRecovered", "unavailable"),
            ("ObjectIsDeletedButRecoverable", "pending_destruction"),
            ("AccessDenied", "access_denied"),
            ("ForbiddenByConnection", "access_denied"),
            ("ForbiddenByFirewall", "access_denied"),
            ("ForbiddenByPolicy", "access_denied"),
            ("ForbiddenByRbac", "access_denied"),
            ("SomethingNew", "access_denied"),
        ];
        for (code, kind) in inner {
            assert_eq!(answered(403, &body("Forbidden", Some(code)), None).error.kind(), kind, "{code}");
        }
        let outer = [
            ("Forbidden", "access_denied"),
            ("Unauthorized", "unauthenticated"),
            ("KeyNotFound", "not_found"),
            ("Throttled", "throttled"),
            ("BadParameter", "failed"),
            ("InternalServerError", "unavailable"),
            ("ServiceUnavailable", "unavailable"),
        ];
        for (code, kind) in outer {
            assert_eq!(answered(418, &body(code, None), None).error.kind(), kind, "{code}");
        }
        let told: Vec<&str> = inner.iter().chain(&outer).map(|(code, _)| *code).collect();
        assert!(CODES.iter().all(|(code, _)| told.contains(code)) && told.len() == CODES.len() + 1);
    }

    #[test]
    fn an_answer_without_a_code_is_judged_by_its_status() {
        let table = [
            (302, "failed"),
            (400, "failed"),
            (401, "unauthenticated"),
            (403, "access_denied"),
            (404, "not_found"),
            (408, "unavailable"),
            (409, "unavailable"),
            (413, "too_large"),
            (429, "throttled"),
            (500, "unavailable"),
            (503, "unavailable"),
        ];
        for (status, kind) in table {
            for text in ["", "<html>a secret</html>", "{}", r#"{"error":null}"#, &body("SomethingNew", None)] {
                let error = answered(status, text, None).error;
                assert_eq!(error.kind(), kind, "{status} {text}");
                assert!(!format!("{error:?}").contains("a secret"), "{error:?}");
            }
        }
    }

    #[test]
    fn what_an_answer_leaves_open_is_said() {
        assert_eq!(answered(404, &body("KeyNotFound", None), None).doubt, Some(Doubt::Missing));
        assert_eq!(answered(400, &body("BadParameter", None), None).doubt, Some(Doubt::Argument));
        assert_eq!(answered(403, &body("Forbidden", Some("KeyDisabled")), None).doubt, None);
        for (status, kind) in [(429, "throttled"), (503, "unavailable")] {
            let after = |value| {
                let error = answered(status, "", value).error;
                (error.kind(), error.retry_after())
            };
            assert_eq!(after(Some("7")), (kind, Some(Duration::from_secs(7))));
            assert_eq!((after(Some("soon")), after(None)), ((kind, None), (kind, None)));
        }
        assert_eq!(answered(403, "", Some("7")).error.retry_after(), None);
        let denied = answered(403, &body("Forbidden", Some("ForbiddenByPolicy")), None).error;
        let text = "Azure answered ForbiddenByPolicy in Forbidden (HTTP 403): the message";
        assert_eq!(denied.source().map(ToString::to_string).as_deref(), Some(text));
    }

    #[test]
    fn what_did_not_arrive_is_told_apart_and_shows_no_response() {
        let wrapped = |kind: ErrorKind| {
            Error::with_error(ErrorKind::Credential, Error::with_message(kind, "why"), "no token could be had")
        };
        let http = |status: u16| {
            wrapped(ErrorKind::HttpResponse { status: status.into(), error_code: None, raw_response: None })
        };
        let table = [
            (Error::with_message(ErrorKind::Io, "broken"), "unavailable"),
            (Error::with_message(ErrorKind::Connection, "nobody there"), "unavailable"),
            (Error::with_message(ErrorKind::DataConversion, "expected a secret at column 1"), "corrupt"),
            (Error::with_message(ErrorKind::Credential, "revoked"), "unauthenticated"),
            (Error::with_message(ErrorKind::Other, "another domain"), "failed"),
            (wrapped(ErrorKind::Io), "unavailable"),
            (wrapped(ErrorKind::Other), "unauthenticated"),
            (http(503), "unavailable"),
            (http(429), "unavailable"),
            (http(401), "unauthenticated"),
        ];
        let mut headers = Headers::new();
        headers.insert(RETRY_AFTER, "Wed, 21 Oct 2026 07:28:09 GMT");
        headers.insert(DATE, "Wed, 21 Oct 2026 07:28:00 GMT");
        let raw_response = Some(Box::new(RawResponse::from_bytes(503.into(), headers, Vec::new())));
        let busy = wrapped(ErrorKind::HttpResponse { status: 503.into(), error_code: None, raw_response });
        assert_eq!(failure(&busy).error.retry_after(), Some(Duration::from_secs(9)), "who gives the tokens says when");
        for (error, kind) in table {
            let told = failure(&error);
            assert_eq!((told.error.kind(), told.doubt), (kind, None), "{error:?}");
            assert!(!format!("{:?}", told.error).contains("a secret"), "{told:?}");
        }
    }

    proptest! {
        #[test]
        fn no_body_of_a_refusal_makes_it_a_success_or_is_nested_too_deep(
            status in 300_u16..600,
            code in "[A-Za-z]{0,12}",
            depth in 0..60_usize,
            cut in 0..2_000_usize,
            junk in any::<Vec<u8>>(),
        ) {
            let mut body = format!(r#"{{"code":"{code}"}}"#);
            for _ in 0..depth {
                body = format!(r#"{{"code":"{code}","innererror":{body}}}"#);
            }
            let body = format!(r#"{{"error":{body}}}"#).chars().take(cut).collect::<String>();
            for body in [body, String::from_utf8_lossy(&junk).into_owned()] {
                let error = answered(status, &body, Some(&body)).error;
                prop_assert!(error.retry_after().is_none() || error.is_transient());
            }
        }
    }
}
