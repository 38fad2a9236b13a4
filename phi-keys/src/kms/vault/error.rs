//! What can go wrong with Vault, and what it means to who wanted a key.

use core::fmt;
use core::time::Duration;
use std::error::Error;

use serde::Deserialize;

use crate::kms::KmsError;

/// Why Vault did not do what it was asked. Nothing in it holds a token, a key or what the server wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum VaultError {
    /// The builder was given something that cannot work.
    Config(&'static str),
    /// The HTTP client could not be made.
    Client,
    /// No answer within the timeout.
    Timeout,
    /// No connection, or it broke before the answer was whole.
    Unreachable,
    /// 429: too many requests.
    Throttled {
        /// How long the server asked to be left alone, if it said so.
        after: Option<Duration>,
    },
    /// The server is sealed.
    Sealed,
    /// The server is not initialized, or one that cannot answer now.
    Unavailable {
        /// The HTTP status.
        status: u16,
        /// How long the server asked to be left alone, if it said so.
        after: Option<Duration>,
    },
    /// 403: the token is no longer accepted, or its policy does not allow this.
    Denied,
    /// The login was refused: role, secret or service account token.
    LoginRefused,
    /// The token has expired, and there are no credentials to get another one.
    TokenExpired,
    /// The credentials of the login cannot be read.
    Credentials,
    /// The answer leads to another address, which is not followed.
    Redirected,
    /// There is no key of this name.
    NoKey,
    /// There is no secrets engine at this mount, or no such namespace.
    NoMount,
    /// The version of the key is older than its `min_decryption_version`.
    VersionDisabled,
    /// The key never had this version, or it was trimmed away.
    NoVersion,
    /// The bytes were altered, or belong to another context.
    Refused,
    /// The key is not a `derived` one of an AEAD type, so nothing would bind the context.
    NotDerived,
    /// The key was deleted and made anew under its name: what was wrapped under the old one is lost.
    KeyReplaced,
    /// The answer is not what this endpoint answers.
    Malformed,
    /// Any other refusal: the HTTP status.
    Status(u16),
}

impl fmt::Display for VaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Config(mend) => mend,
            Self::Client => "the HTTP client for Vault could not be made: check the CA and client certificates",
            Self::Timeout => "Vault did not answer in time",
            Self::Unreachable => "Vault could not be reached, or the connection broke: check address and network",
            Self::Throttled { after: Some(after) } => {
                return write!(f, "Vault asks for fewer requests: wait {} s", after.as_secs());
            }
            Self::Throttled { after: None } => "Vault asks for fewer requests",
            Self::Sealed => "Vault is sealed: unseal it",
            Self::Unavailable { status, .. } => return write!(f, "Vault cannot answer now (status {status})"),
            Self::Denied => {
                "Vault denies permission: the token has expired, or its policy lacks this path of the Transit mount"
            }
            Self::LoginRefused => "Vault refuses the login: check role, secret id or service account",
            Self::TokenExpired => "the Vault token has expired: set another one, or give the builder a login",
            Self::Credentials => {
                "the credentials for Vault's login cannot be read: is the service account token mounted?"
            }
            Self::Redirected => {
                "Vault leads to another address, where no token is sent: give the address of the active node, or of what stands before it"
            }
            Self::NoKey => "Vault has no Transit key of this name: create it with `derived=true`",
            Self::NoMount => "Vault has no Transit engine at this mount, or no such namespace",
            Self::VersionDisabled => "this version of the Transit key is disabled: lower its min_decryption_version",
            Self::NoVersion => "the Transit key does not have this version: was it trimmed, or the key made anew?",
            Self::Refused => "Vault refused: altered bytes or another context",
            Self::NotDerived => "the Transit key binds no context: create one with `derived=true` and an AEAD type",
            Self::KeyReplaced => {
                "the Transit key was deleted and made anew under its name: restore it from a backup of Vault"
            }
            Self::Malformed => "Vault's answer cannot be understood: is there a proxy in between?",
            Self::Status(status) => return write!(f, "Vault refused with status {status}"),
        })
    }
}

impl Error for VaultError {}

impl From<VaultError> for KmsError {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Config(mend) => Self::Misconfigured(mend),
            VaultError::Client => Self::Misconfigured("check the CA and client certificates for Vault"),
            VaultError::Timeout | VaultError::Unreachable | VaultError::Sealed => Self::unavailable(error),
            VaultError::Unavailable { after, .. } => Self::unavailable_for(after, error),
            VaultError::Throttled { after } => Self::Throttled { after },
            VaultError::Denied => Self::access_denied(error),
            VaultError::LoginRefused | VaultError::TokenExpired | VaultError::Credentials => {
                Self::unauthenticated(error)
            }
            VaultError::Redirected => {
                Self::Misconfigured("give the address of Vault's active node, or of what stands before it")
            }
            VaultError::NoKey => Self::NotFound,
            VaultError::NoMount => {
                Self::Misconfigured("Vault has no Transit engine at this mount, or no such namespace")
            }
            VaultError::VersionDisabled => Self::Disabled,
            VaultError::NoVersion => Self::UnknownVersion,
            VaultError::Refused => Self::Refused,
            VaultError::NotDerived => {
                Self::Misconfigured("the Transit key binds no context: create one with `derived=true` and an AEAD type")
            }
            VaultError::Malformed => Self::Corrupt,
            VaultError::Status(413) => Self::TooLarge,
            VaultError::KeyReplaced | VaultError::Status(_) => Self::failed(error),
        }
    }
}

/// The body of every refusal.
#[derive(Debug, Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    errors: Vec<String>,
}

/// What a refusal means, by status and by the message, which is all that Transit gives to tell one 400 from another.
pub(super) fn classify(status: u16, retry_after: Option<Duration>, body: &[u8]) -> VaultError {
    let refusal: Refusal = serde_json::from_slice(body).unwrap_or_default();
    let says = |words: &str| refusal.errors.iter().any(|error| error.contains(words));
    match status {
        400 => refusal.errors.iter().map(|message| by_message(message)).next().unwrap_or(VaultError::Status(400)),
        301 | 302 | 303 | 307 | 308 => VaultError::Redirected,
        401 | 403 => VaultError::Denied,
        404 if says("no handler for route") || says("namespace not found") => VaultError::NoMount,
        404 => VaultError::NoKey,
        429 => VaultError::Throttled { after: retry_after },
        // Whoever unseals it decides when, so that no wait counts.
        503 if says("sealed") => VaultError::Sealed,
        // 412: a replica that has not caught up; 472 and 473: replicas that cannot answer this.
        408 | 412 | 472 | 473 | 500..=599 => VaultError::Unavailable { status, after: retry_after },
        _ => VaultError::Status(status),
    }
}

/// Messages of Transit's refusals, those with more to say first.
const MESSAGES: &[(&str, VaultError)] = &[
    ("encryption key not found", VaultError::NoKey),
    ("key not found", VaultError::NoKey),
    ("version is too new", VaultError::NoVersion),
    ("no such key version", VaultError::NoVersion),
    ("disallowed by policy (too old)", VaultError::VersionDisabled),
    ("message authentication failed", VaultError::Refused),
    ("invalid ciphertext", VaultError::Refused),
    ("missing 'context' for key derivation", VaultError::NotDerived),
];

/// What one message of a refusal means, also that of one item of a batch.
pub(super) fn by_message(message: &str) -> VaultError {
    MESSAGES.iter().find(|(words, _)| message.contains(words)).map_or(VaultError::Status(400), |(_, meaning)| *meaning)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_refusal_means_one_thing() {
        let after = Some(Duration::from_secs(7));
        let unavailable = |status| VaultError::Unavailable { status, after };
        let table: &[(u16, &str, VaultError)] = &[
            (400, r#"{"errors":["encryption key not found"]}"#, VaultError::NoKey),
            (400, r#"{"errors":["invalid ciphertext: version is too new"]}"#, VaultError::NoVersion),
            (400, r#"{"errors":["no such key version"]}"#, VaultError::NoVersion),
            (
                400,
                r#"{"errors":["ciphertext or signature version is disallowed by policy (too old)"]}"#,
                VaultError::VersionDisabled,
            ),
            (400, r#"{"errors":["cipher: message authentication failed"]}"#, VaultError::Refused),
            (400, r#"{"errors":["invalid ciphertext: no prefix"]}"#, VaultError::Refused),
            (400, r#"{"errors":["invalid ciphertext: unable to decrypt"]}"#, VaultError::Refused),
            (400, r#"{"errors":["missing 'context' for key derivation; the key was …"]}"#, VaultError::NotDerived),
            (400, r#"{"errors":["something new"]}"#, VaultError::Status(400)),
            (400, "<html>", VaultError::Status(400)),
            (401, "", VaultError::Denied),
            (403, r#"{"errors":["1 error occurred:\n\t* permission denied\n\n"]}"#, VaultError::Denied),
            (404, r#"{"errors":[]}"#, VaultError::NoKey),
            (404, r#"{"errors":["no handler for route \"transit/keys/k\""]}"#, VaultError::NoMount),
            (404, r#"{"errors":["namespace not found: a"]}"#, VaultError::NoMount),
            (405, "", VaultError::Status(405)),
            (408, "", unavailable(408)),
            (412, "", unavailable(412)),
            (413, "", VaultError::Status(413)),
            (429, r#"{"errors":["rate limit quota exceeded"]}"#, VaultError::Throttled { after }),
            (472, "", unavailable(472)),
            (473, "", unavailable(473)),
            (500, r#"{"errors":["internal error"]}"#, unavailable(500)),
            (501, "", unavailable(501)),
            (502, "<html>bad gateway</html>", unavailable(502)),
            (503, r#"{"errors":["Vault is sealed"]}"#, VaultError::Sealed),
            (503, "", unavailable(503)),
            (504, "", unavailable(504)),
            (302, "", VaultError::Redirected),
            (307, "", VaultError::Redirected),
            (304, "", VaultError::Status(304)),
        ];
        for (status, body, meaning) in table {
            assert_eq!(classify(*status, after, body.as_bytes()), *meaning, "{status} {body}");
        }
        for status in [429, 503] {
            assert_eq!(KmsError::from(classify(status, after, b"")).retry_after(), after, "{status}");
            assert_eq!(KmsError::from(classify(status, None, b"")).retry_after(), None, "{status}");
        }
    }

    proptest! {
        #[test]
        fn no_body_makes_a_refusal_a_success_or_repeats_what_the_server_wrote(
            status in 300_u16..,
            body in prop_oneof![
                any::<Vec<u8>>(),
                r#"\{"errors":\[("a secret[ -!#-\[\]-~]{0,20}",?){0,3}\]\}"#.prop_map(String::into_bytes),
                "a secret.{0,20}".prop_map(String::into_bytes),
            ],
        ) {
            let meaning = classify(status, None, &body);
            let texts = [meaning.to_string(), format!("{meaning:?}")];
            prop_assert!(texts.iter().all(|text| !text.contains("a secret")));
            let transient = KmsError::from(meaning).is_transient();
            prop_assert!(!transient || matches!(status, 400 | 408 | 412 | 429 | 472 | 473 | 500..=599), "{}", status);
        }
    }
}
