//! What AWS answers, as errors that name the mend.

use core::fmt;
use core::time::Duration;
use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_kms::config::http::HttpResponse;
use aws_sdk_kms::error::{ConnectorError, DisplayErrorContext, ProvideErrorMetadata, SdkError};

use crate::kms::{KmsError, retry_after};

/// What an answer means, by its code. The typed variants of the SDK leave codes out (throttling among them).
const MEANINGS: &[(&str, Meaning)] = &[
    ("RequestLimitExceeded", Meaning::Throttled),
    ("Throttling", Meaning::Throttled),
    ("ThrottlingException", Meaning::Throttled),
    ("TooManyRequestsException", Meaning::Throttled),
    ("CloudHsmClusterNotActiveException", Meaning::Unavailable),
    ("ConflictException", Meaning::Unavailable),
    ("CustomKeyStoreInvalidStateException", Meaning::Unavailable),
    ("DependencyTimeoutException", Meaning::Unavailable),
    ("InternalFailure", Meaning::Unavailable),
    ("KMSInternalException", Meaning::Unavailable),
    ("KeyUnavailableException", Meaning::Unavailable),
    ("RequestTimeout", Meaning::Unavailable),
    ("ServiceUnavailable", Meaning::Unavailable),
    ("AccessDenied", Meaning::AccessDenied),
    ("AccessDeniedException", Meaning::AccessDenied),
    ("InvalidGrantTokenException", Meaning::AccessDenied),
    ("OptInRequired", Meaning::AccessDenied),
    ("ExpiredToken", Meaning::Unauthenticated),
    ("ExpiredTokenException", Meaning::Unauthenticated),
    ("IncompleteSignature", Meaning::Unauthenticated),
    ("IncompleteSignatureException", Meaning::Unauthenticated),
    ("InvalidClientTokenId", Meaning::Unauthenticated),
    ("InvalidSignatureException", Meaning::Unauthenticated),
    ("MissingAuthenticationToken", Meaning::Unauthenticated),
    ("MissingAuthenticationTokenException", Meaning::Unauthenticated),
    ("NotAuthorized", Meaning::AccessDenied),
    ("RequestExpired", Meaning::Unauthenticated),
    ("SignatureDoesNotMatch", Meaning::Unauthenticated),
    ("UnrecognizedClientException", Meaning::Unauthenticated),
    ("NotFoundException", Meaning::NotFound),
    ("DisabledException", Meaning::Disabled),
    ("KMSInvalidStateException", Meaning::State),
    ("InvalidCiphertextException", Meaning::Refused),
    ("IncorrectKeyException", Meaning::OtherKek),
    ("InvalidArnException", Meaning::Misconfigured("name the key by its full ARN, in the region of the client")),
    ("InvalidKeyUsageException", Meaning::Misconfigured(super::open::SYMMETRIC)),
    ("InvalidAction", Meaning::Unsupported),
    ("UnknownOperationException", Meaning::Unsupported),
    ("UnsupportedOperationException", Meaning::Unsupported),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Throttled,
    Unavailable,
    AccessDenied,
    Unauthenticated,
    NotFound,
    Disabled,
    /// The key is in a state that does not allow this; which one has to be asked.
    State,
    Refused,
    OtherKek,
    Misconfigured(&'static str),
    Unsupported,
    Corrupt,
    Unknown,
}

fn meaning(code: &str, status: u16) -> Meaning {
    let listed = MEANINGS.iter().find(|(listed, _)| *listed == code).map(|(_, meaning)| *meaning);
    listed.unwrap_or(match status {
        // An answer of success that cannot be read, as the SDK reports it.
        200..300 => Meaning::Corrupt,
        429 => Meaning::Throttled,
        500.. => Meaning::Unavailable,
        _ => Meaning::Unknown,
    })
}

/// Why a call failed, and whether the state of the key has to be asked for to say more.
pub(super) struct Failure {
    pub(super) error: KmsError,
    pub(super) ask_state: bool,
}

/// What a failed call means; `what` was asked.
pub(super) fn failure<E>(error: SdkError<E, HttpResponse>, what: &'static str) -> Failure
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let service = match &error {
        SdkError::ServiceError(service) => service,
        // A response that cannot be read may hold a key: nothing of it is kept.
        SdkError::ResponseError(_) => return Failure { error: KmsError::Corrupt, ask_state: false },
        _ => return Failure { error: unanswered(&error), ask_state: false },
    };
    let status = service.raw().status().as_u16();
    let code = service.err().code().unwrap_or_default();
    let message = service.err().message().unwrap_or_default();
    let answer = || Answer { code: code.to_owned(), message: message.to_owned(), status };
    let meaning = meaning(code, status);
    let error = match meaning {
        Meaning::Throttled => KmsError::Throttled { after: wait(service.raw()) },
        Meaning::Unavailable => KmsError::unavailable_for(wait(service.raw()), answer()),
        Meaning::AccessDenied => KmsError::access_denied(answer()),
        Meaning::Unauthenticated => KmsError::unauthenticated(answer()),
        Meaning::NotFound => KmsError::NotFound,
        Meaning::Disabled => KmsError::Disabled,
        Meaning::Refused => KmsError::Refused,
        Meaning::OtherKek => KmsError::OtherKek,
        Meaning::Misconfigured(mend) => KmsError::Misconfigured(mend),
        Meaning::Unsupported => KmsError::Unsupported(what),
        Meaning::Corrupt => KmsError::Corrupt,
        Meaning::State | Meaning::Unknown => KmsError::failed(answer()),
    };
    Failure { error, ask_state: meaning == Meaning::State }
}

/// No answer came, or no question was sent.
fn unanswered<E>(error: &SdkError<E, HttpResponse>) -> KmsError
where
    E: Error + Send + Sync + 'static,
{
    let reason = Unanswered(DisplayErrorContext(error).to_string());
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(credentials) = cause.downcast_ref::<CredentialsError>() {
            // Who gives the credentials may be out of reach, which says nothing about the credentials.
            return match credentials {
                CredentialsError::ProviderTimedOut(_) => KmsError::unavailable(reason),
                CredentialsError::ProviderError(_) if is_out_of_reach(credentials) => KmsError::unavailable(reason),
                _ => KmsError::unauthenticated(reason),
            };
        }
        source = cause.source();
    }
    match error {
        SdkError::ConstructionFailure(_) => KmsError::failed(reason),
        // Neither the network nor a passing fault of it: nothing was sent, because the client lacks something.
        SdkError::DispatchFailure(failure)
            if !failure.is_io() && !failure.is_timeout() && failure.as_other().is_none() =>
        {
            KmsError::failed(reason)
        }
        _ => KmsError::unavailable(reason),
    }
}

fn is_out_of_reach(error: &CredentialsError) -> bool {
    let mut source = error.source();
    while let Some(cause) = source {
        if cause.downcast_ref::<ConnectorError>().is_some_and(|error| error.is_io() || error.is_timeout()) {
            return true;
        }
        source = cause.source();
    }
    false
}

/// AWS itself seldom says, what stands before it may.
fn wait(answer: &HttpResponse) -> Option<Duration> {
    retry_after::wait(answer.headers().get("retry-after"), answer.headers().get("date"))
}

/// An error of AWS in its own words, without the response that it came in.
#[derive(Debug)]
struct Answer {
    code: String,
    message: String,
    status: u16,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AWS answered {} (HTTP {}): {}", self.code, self.status, self.message)
    }
}

impl Error for Answer {}

/// Why there is no answer, in the SDK's words.
#[derive(Debug)]
struct Unanswered(String);

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Unanswered {}

#[cfg(test)]
mod tests {
    use aws_sdk_kms::error::ErrorMetadata;
    use aws_sdk_kms::operation::decrypt::DecryptError;

    use super::*;

    fn answered(code: &str, status: u16) -> Failure {
        let metadata = ErrorMetadata::builder().code(code).message("the message").build();
        let response = HttpResponse::new(status.try_into().unwrap(), "the body".into());
        failure(SdkError::service_error(DecryptError::generic(metadata), response), "decrypt")
    }

    #[test]
    fn every_code_means_what_the_table_says() {
        // By hand, not from the table: a slip there has to show here.
        let kinds: &[(&str, &[&str])] = &[
            ("throttled", &["RequestLimitExceeded", "Throttling", "ThrottlingException"]),
            ("throttled", &["TooManyRequestsException"]),
            ("unavailable", &["CloudHsmClusterNotActiveException", "ConflictException", "KMSInternalException"]),
            ("unavailable", &["CustomKeyStoreInvalidStateException", "DependencyTimeoutException", "InternalFailure"]),
            ("unavailable", &["KeyUnavailableException", "RequestTimeout", "ServiceUnavailable"]),
            (
                "access_denied",
                &["AccessDenied", "AccessDeniedException", "InvalidGrantTokenException", "OptInRequired"],
            ),
            ("access_denied", &["NotAuthorized"]),
            ("unauthenticated", &["ExpiredToken", "ExpiredTokenException", "IncompleteSignature", "RequestExpired"]),
            ("unauthenticated", &["IncompleteSignatureException", "InvalidClientTokenId", "SignatureDoesNotMatch"]),
            ("unauthenticated", &["InvalidSignatureException", "MissingAuthenticationToken"]),
            ("unauthenticated", &["MissingAuthenticationTokenException", "UnrecognizedClientException"]),
            ("not_found", &["NotFoundException"]),
            ("disabled", &["DisabledException"]),
            ("failed", &["KMSInvalidStateException"]),
            ("refused", &["InvalidCiphertextException"]),
            ("other_kek", &["IncorrectKeyException"]),
            ("misconfigured", &["InvalidArnException", "InvalidKeyUsageException"]),
            ("unsupported", &["InvalidAction", "UnknownOperationException", "UnsupportedOperationException"]),
        ];
        for (kind, codes) in kinds {
            for code in *codes {
                assert_eq!(answered(code, 400).error.kind(), *kind, "{code}");
            }
        }
        let told: Vec<&str> = kinds.iter().flat_map(|(_, codes)| *codes).copied().collect();
        for (code, _) in MEANINGS {
            assert_eq!(told.iter().filter(|told| *told == code).count(), 1, "{code}");
        }
        assert_eq!(told.len(), MEANINGS.len());
        assert!(answered("KMSInvalidStateException", 400).ask_state);
        assert!(!answered("DisabledException", 400).ask_state);
    }

    #[test]
    fn a_wait_is_read_whether_aws_is_busy_or_out_of_order() {
        let after = |code: &str, status: u16, headers: &[(&'static str, &'static str)]| {
            let metadata = ErrorMetadata::builder().code(code).build();
            let mut response = HttpResponse::new(status.try_into().unwrap(), "the body".into());
            for (name, value) in headers {
                response.headers_mut().insert(*name, *value);
            }
            let error = failure(SdkError::service_error(DecryptError::generic(metadata), response), "decrypt").error;
            (error.kind(), error.retry_after())
        };
        let seconds = [("retry-after", "7")];
        let date = [("retry-after", "Wed, 21 Oct 2026 07:28:09 GMT"), ("date", "Wed, 21 Oct 2026 07:28:00 GMT")];
        let wait = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(after("ThrottlingException", 400, &seconds), ("throttled", wait(7)));
        assert_eq!(after("KMSInternalException", 500, &seconds), ("unavailable", wait(7)));
        assert_eq!(after("", 503, &date), ("unavailable", wait(9)));
        assert_eq!(after("", 503, &date[..1]), ("unavailable", None));
        assert_eq!(after("DisabledException", 400, &seconds), ("disabled", None));
    }

    #[test]
    fn unknown_codes_are_judged_by_their_status() {
        for (status, kind) in
            [(400, "failed"), (403, "failed"), (429, "throttled"), (500, "unavailable"), (503, "unavailable")]
        {
            assert_eq!(answered("SomethingNew", status).error.kind(), kind, "{status}");
            assert_eq!(answered("", status).error.kind(), kind, "{status}");
        }
    }

    #[test]
    fn what_did_not_arrive_is_told_apart_and_shows_no_response() {
        let response = || HttpResponse::new(200.try_into().unwrap(), "a secret".into());
        let kind = |error: SdkError<DecryptError, HttpResponse>| failure(error, "decrypt").error.kind();
        assert_eq!(kind(SdkError::timeout_error("too late")), "unavailable");
        assert_eq!(kind(SdkError::construction_failure("no such field")), "failed");
        let cut = CredentialsError::provider_error(ConnectorError::io("cut".into()));
        assert_eq!(kind(SdkError::construction_failure(cut)), "unavailable");
        let refused = CredentialsError::provider_error("AccessDenied by STS");
        assert_eq!(kind(SdkError::construction_failure(refused)), "unauthenticated");
        let missing = CredentialsError::not_loaded("no provider");
        assert_eq!(kind(SdkError::construction_failure(missing)), "unauthenticated");
        let unreadable = failure(SdkError::<DecryptError, _>::response_error("not JSON", response()), "decrypt").error;
        assert_eq!(unreadable.kind(), "corrupt");
        let told = answered("AccessDeniedException", 400).error;
        let text = format!("{told:?} {unreadable:?} {}", told.source().unwrap());
        assert!(!text.contains("the body") && !text.contains("a secret"), "{text}");
        assert!(text.contains("AccessDeniedException (HTTP 400): the message"), "{text}");
    }
}
