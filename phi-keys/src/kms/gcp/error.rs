//! What Google answers, as errors that name the mend.

use core::time::Duration;
use std::error::Error as StdError;

use google_cloud_gax::error::CredentialsError;
use google_cloud_gax::error::rpc::{Status, StatusDetails};
use google_cloud_kms_v1::Error;

use crate::kms::described::Described;
use crate::kms::{KmsError, retry_after};

/// What an answer means by the reason that it gives, which says more than its code.
const REASONS: &[(&str, Meaning)] = &[
    ("ACCESS_TOKEN_SCOPE_INSUFFICIENT", Meaning::AccessDenied),
    ("API_KEY_INVALID", Meaning::Unauthenticated),
    ("BILLING_DISABLED", Meaning::Misconfigured("enable billing for the project of the key")),
    ("RATE_LIMIT_EXCEEDED", Meaning::Throttled),
    ("SERVICE_DISABLED", Meaning::Misconfigured("enable the Cloud KMS API for the project of the credentials")),
    ("USER_PROJECT_DENIED", Meaning::AccessDenied),
];

/// What an answer means by its code.
const CODES: &[(&str, Meaning)] = &[
    ("ABORTED", Meaning::Unavailable),
    ("CANCELLED", Meaning::Unavailable),
    ("DEADLINE_EXCEEDED", Meaning::Unavailable),
    ("INTERNAL", Meaning::Unavailable),
    ("UNAVAILABLE", Meaning::Unavailable),
    ("RESOURCE_EXHAUSTED", Meaning::Throttled),
    ("PERMISSION_DENIED", Meaning::AccessDenied),
    ("UNAUTHENTICATED", Meaning::Unauthenticated),
    ("NOT_FOUND", Meaning::NotFound),
    ("FAILED_PRECONDITION", Meaning::State),
    ("INVALID_ARGUMENT", Meaning::Argument),
    ("UNIMPLEMENTED", Meaning::Unsupported),
    ("ALREADY_EXISTS", Meaning::Failed),
    ("DATA_LOSS", Meaning::Failed),
    ("OUT_OF_RANGE", Meaning::Failed),
];

pub(super) const GENERATION: &str = "wait until Google has made the version";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Throttled,
    Unavailable,
    AccessDenied,
    Unauthenticated,
    NotFound,
    /// The key or version is in a state that does not allow this.
    State,
    /// Something that was sent is not taken; what that means depends on what was asked.
    Argument,
    Misconfigured(&'static str),
    Unsupported,
    Failed,
}

/// What an error leaves open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// Which state it is: has to be asked.
    State,
    /// What is wrong with the request: altered bytes, or a key that does not do this.
    Argument,
}

/// Why a call failed, as far as its answer tells.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: KmsError,
    pub(super) doubt: Option<Doubt>,
}

/// What a failed call means; `what` was asked.
pub(super) fn failure(error: &Error, what: &'static str) -> Failure {
    let Some(status) = error.status() else { return Failure { error: unanswered(error), doubt: None } };
    let http = error.http_status_code();
    let answer = || Described::new(format!("Google answered {}: {}", status.code.name(), status.message));
    let meaning = meaning(status, http);
    let (error, doubt) = match meaning {
        Meaning::Throttled => (KmsError::Throttled { after: wait(error) }, None),
        Meaning::Unavailable => (KmsError::unavailable_for(wait(error), answer()), None),
        Meaning::AccessDenied => (KmsError::access_denied(answer()), None),
        Meaning::Unauthenticated => (KmsError::unauthenticated(answer()), None),
        Meaning::NotFound => (KmsError::NotFound, None),
        Meaning::Misconfigured(mend) => (KmsError::Misconfigured(mend), None),
        Meaning::Unsupported => (KmsError::Unsupported(what), None),
        Meaning::Failed => (KmsError::failed(answer()), None),
        // A checksum that we sent does not fit: the request was damaged on its way.
        Meaning::Argument if is_of_checksum(&status.message) => (KmsError::Corrupt, None),
        Meaning::Argument => (KmsError::failed(answer()), Some(Doubt::Argument)),
        Meaning::State if violates(status, "KEY_DISABLED") => (KmsError::Disabled, None),
        Meaning::State if violates(status, "KEY_PENDING_GENERATION") => {
            (KmsError::NotReady(GENERATION), Some(Doubt::State))
        }
        Meaning::State if violates(status, "KEY_DESTROYED") => (KmsError::Destroyed, Some(Doubt::State)),
        Meaning::State => (KmsError::failed(answer()), Some(Doubt::State)),
    };
    Failure { error, doubt }
}

fn meaning(status: &Status, http: Option<u16>) -> Meaning {
    let listed = |table: &[(&str, Meaning)], word: &str| {
        table.iter().find(|(listed, _)| *listed == word).map(|(_, meaning)| *meaning)
    };
    let reasons = status.details.iter().filter_map(|detail| match detail {
        StatusDetails::ErrorInfo(info) => Some(info.reason.as_str()),
        _ => None,
    });
    reasons
        .filter_map(|reason| listed(REASONS, reason))
        .next()
        .or_else(|| listed(CODES, status.code.name()))
        .unwrap_or_else(|| by_http(http.unwrap_or_default()))
}

/// What an answer means that has no code of its own, such as a proxy's.
const fn by_http(status: u16) -> Meaning {
    match status {
        401 => Meaning::Unauthenticated,
        403 => Meaning::AccessDenied,
        429 => Meaning::Throttled,
        408 | 500.. => Meaning::Unavailable,
        _ => Meaning::Failed,
    }
}

fn is_of_checksum(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("checksum") || message.contains("crc32c")
}

fn violates(status: &Status, kind: &str) -> bool {
    status.details.iter().any(|detail| match detail {
        StatusDetails::PreconditionFailure(failure) => {
            failure.violations.iter().any(|violation| violation.r#type == kind)
        }
        _ => false,
    })
}

/// No answer came, one that cannot be read, or no question was sent.
fn unanswered(error: &Error) -> KmsError {
    if let Some(http) = error.http_status_code().filter(|_| error.http_payload().is_some()) {
        // Nothing of a body that is not Google's is kept.
        let answer = Described::new(format!("something between here and Google answered with HTTP {http}"));
        return match by_http(http) {
            Meaning::Throttled => KmsError::Throttled { after: wait(error) },
            Meaning::Unavailable => KmsError::unavailable_for(wait(error), answer),
            Meaning::AccessDenied => KmsError::access_denied(answer),
            Meaning::Unauthenticated => KmsError::unauthenticated(answer),
            _ => KmsError::failed(answer),
        };
    }
    // An answer that cannot be read may hold a key: nothing of it is kept.
    if error.is_deserialization() {
        return KmsError::Corrupt;
    }
    let reason = Described::of(error);
    if error.is_authentication() {
        let source = error.source().and_then(|source| source.downcast_ref::<CredentialsError>());
        return match source {
            Some(credentials) if credentials.is_transient() => KmsError::unavailable(reason),
            _ => KmsError::unauthenticated(reason),
        };
    }
    if error.is_binding() || error.is_serialization() {
        return KmsError::failed(reason);
    }
    KmsError::unavailable(reason)
}

/// How long Google asks to be left alone: in the error's details, or in the header.
fn wait(error: &Error) -> Option<Duration> {
    let told = error.status().into_iter().flat_map(|status| &status.details).find_map(|detail| match detail {
        StatusDetails::RetryInfo(info) => info.retry_delay,
        _ => None,
    });
    if let Some(delay) = told {
        let (seconds, nanos) = (u64::try_from(delay.seconds()).ok()?, u32::try_from(delay.nanos()).ok()?);
        return Some(Duration::new(seconds, nanos.min(999_999_999)));
    }
    let header = |name: &str| error.http_headers()?.get(name)?.to_str().ok();
    retry_after::wait(header("retry-after"), header("date"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn status(code: &str, details: Value) -> Status {
        let details: Vec<StatusDetails> = serde_json::from_value(details).unwrap();
        Status::default().set_code(code_of(code)).set_message("the message").set_details(details)
    }

    fn code_of(code: &str) -> google_cloud_gax::error::rpc::Code {
        code.try_into().unwrap()
    }

    fn answered(http: u16, code: &str, details: Value) -> Failure {
        let error = Error::service_with_http_metadata(status(code, details), Some(http), None);
        failure(&error, "decrypt")
    }

    fn info(reason: &str) -> Value {
        json!([{ "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com" }])
    }

    #[test]
    fn every_code_and_reason_means_what_the_table_says() {
        // By hand, not from the table: a slip there has to show here.
        let codes: &[(&str, &[&str])] = &[
            ("unavailable", &["ABORTED", "CANCELLED", "DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE"]),
            ("throttled", &["RESOURCE_EXHAUSTED"]),
            ("access_denied", &["PERMISSION_DENIED"]),
            ("unauthenticated", &["UNAUTHENTICATED"]),
            ("not_found", &["NOT_FOUND"]),
            ("failed", &["FAILED_PRECONDITION", "INVALID_ARGUMENT", "ALREADY_EXISTS", "DATA_LOSS", "OUT_OF_RANGE"]),
            ("unsupported", &["UNIMPLEMENTED"]),
        ];
        for (kind, codes) in codes {
            for code in *codes {
                assert_eq!(answered(400, code, json!([])).error.kind(), *kind, "{code}");
            }
        }
        let told: Vec<&str> = codes.iter().flat_map(|(_, codes)| *codes).copied().collect();
        assert!(CODES.iter().all(|(code, _)| told.contains(code)) && told.len() == CODES.len());
        let reasons = [
            ("ACCESS_TOKEN_SCOPE_INSUFFICIENT", "access_denied"),
            ("API_KEY_INVALID", "unauthenticated"),
            ("BILLING_DISABLED", "misconfigured"),
            ("RATE_LIMIT_EXCEEDED", "throttled"),
            ("SERVICE_DISABLED", "misconfigured"),
            ("USER_PROJECT_DENIED", "access_denied"),
            ("SOMETHING_NEW", "failed"),
        ];
        for (reason, kind) in reasons {
            let failure = answered(400, "INVALID_ARGUMENT", info(reason));
            assert_eq!(failure.error.kind(), kind, "{reason}");
            assert_eq!(failure.doubt.is_some(), reason == "SOMETHING_NEW", "{reason}");
        }
        assert_eq!(reasons.len() - 1, REASONS.len());
    }

    #[test]
    fn what_an_answer_leaves_open_is_said() {
        let violation = |kind: &str| {
            json!([{ "@type": "type.googleapis.com/google.rpc.PreconditionFailure",
                "violations": [{ "type": kind, "subject": "the version" }] }])
        };
        let table = [
            ("INVALID_ARGUMENT", json!([]), "failed", Some(Doubt::Argument)),
            ("FAILED_PRECONDITION", json!([]), "failed", Some(Doubt::State)),
            ("FAILED_PRECONDITION", violation("KEY_DISABLED"), "disabled", None),
            ("FAILED_PRECONDITION", violation("KEY_DESTROYED"), "destroyed", Some(Doubt::State)),
            ("FAILED_PRECONDITION", violation("KEY_PENDING_GENERATION"), "not_ready", Some(Doubt::State)),
            ("NOT_FOUND", json!([]), "not_found", None),
        ];
        for (code, details, kind, doubt) in table {
            let failure = answered(400, code, details.clone());
            assert_eq!((failure.error.kind(), failure.doubt), (kind, doubt), "{code} {details}");
        }
        let status = status("INVALID_ARGUMENT", json!([])).set_message("The checksum in field x did not match.");
        let damaged = failure(&Error::service_with_http_metadata(status, Some(400), None), "encrypt");
        assert_eq!((damaged.error.kind(), damaged.doubt), ("corrupt", None));
    }

    #[test]
    fn an_answer_without_a_code_is_judged_by_its_status() {
        let table = [
            (401, "unauthenticated"),
            (403, "access_denied"),
            (404, "failed"),
            (408, "unavailable"),
            (429, "throttled"),
            (500, "unavailable"),
            (599, "unavailable"),
            (302, "failed"),
        ];
        for (http, kind) in table {
            assert_eq!(answered(http, "UNKNOWN", json!([])).error.kind(), kind, "{http}");
            let other = Error::http(http, std::iter::empty().collect(), "a secret".into());
            let error = failure(&other, "decrypt").error;
            assert_eq!(error.kind(), kind, "{http}");
            assert!(!format!("{error:?}").contains("a secret"), "{error:?}");
        }
    }

    #[test]
    fn the_wait_is_read_from_details_or_header() {
        let wait = |delay: &str| json!([{ "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay }]);
        let after = |code: &str, details: Value| {
            let error = answered(503, code, details).error;
            (error.kind(), error.retry_after())
        };
        for (code, kind) in [("RESOURCE_EXHAUSTED", "throttled"), ("UNAVAILABLE", "unavailable")] {
            assert_eq!(after(code, wait("2.5s")), (kind, Some(Duration::from_millis(2_500))));
            assert_eq!(after(code, wait("-2s")), (kind, None));
            assert_eq!(after(code, json!([])), (kind, None));
        }
        assert_eq!(after("PERMISSION_DENIED", wait("2.5s")), ("access_denied", None));
        let header = |http: u16, value: &str, date: Option<&str>| {
            let date = date.map(|date| ("date".parse().unwrap(), date.parse().unwrap()));
            let headers = date.into_iter().chain([("retry-after".parse().unwrap(), value.parse().unwrap())]).collect();
            failure(&Error::http(http, headers, "".into()), "decrypt").error.retry_after()
        };
        let (then, now) = ("Wed, 21 Oct 2026 07:28:09 GMT", "Wed, 21 Oct 2026 07:28:00 GMT");
        for http in [429, 503] {
            assert_eq!(header(http, "7", None), Some(Duration::from_secs(7)), "{http}");
            assert_eq!(header(http, then, Some(now)), Some(Duration::from_secs(9)), "{http}");
            assert_eq!(header(http, then, None), None, "{http}");
        }
        assert_eq!(header(403, "7", None), None);
    }

    #[test]
    fn what_did_not_arrive_is_told_apart_and_shows_no_response() {
        let table = [
            (Error::timeout("too late"), "unavailable"),
            (Error::io("broken"), "unavailable"),
            (Error::connect("nobody there"), "unavailable"),
            (Error::exhausted("gave up"), "unavailable"),
            (Error::deser("expected a secret at column 1"), "corrupt"),
            (Error::ser("no such field"), "failed"),
            (Error::binding("no such path"), "failed"),
            (Error::authentication(CredentialsError::from_msg(true, "try again")), "unavailable"),
            (Error::authentication(CredentialsError::from_msg(false, "revoked")), "unauthenticated"),
        ];
        for (error, kind) in table {
            let told = failure(&error, "decrypt");
            assert_eq!((told.error.kind(), told.doubt), (kind, None), "{error:?}");
            assert!(!format!("{:?}", told.error).contains("a secret"), "{told:?}");
        }
        let denied = answered(403, "PERMISSION_DENIED", json!([])).error;
        assert_eq!(denied.source().unwrap().to_string(), "Google answered PERMISSION_DENIED: the message");
    }
}
