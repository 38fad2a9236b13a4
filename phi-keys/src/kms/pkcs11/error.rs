//! What a token answers, as errors that name the mend.

use core::fmt;
use std::error::Error;
use std::sync::Arc;

use cryptoki::context::Function;
use cryptoki::error::{Error as CryptokiError, RvError};

use crate::kms::KmsError;

/// A token did not do what it was asked.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Pkcs11Error {
    /// The module cannot be loaded or initialised.
    Module(Arc<dyn Error + Send + Sync>),
    /// No slot holds an initialised token of this label.
    TokenMissing,
    /// Several slots hold a token of this label.
    TokenAmbiguous,
    /// The PIN is wrong, expired or not set. The pool does not try it again, because a token locks itself after a few attempts.
    PinRefused,
    /// The token has locked the PIN.
    PinLocked,
    /// The token has no key of this label.
    KeyMissing,
    /// The token has no key of this label and id.
    VersionMissing,
    /// Two keys of the token have one label and one id, or a key has an id of none or more than 8 bytes.
    KeyAmbiguous,
    /// There is already a key of this label.
    KeyExists,
    /// The version is switched off: its attributes do not permit to unwrap.
    Disabled,
    /// The key's attributes, or the token, do not permit this.
    NotPermitted,
    /// Token and key have no mechanism in common that this crate uses.
    Unsupported,
    /// The wrapped bytes were altered, or belong to another context.
    Refused,
    /// The session, the login or the token itself is gone.
    Lost,
    /// The pool's queue is full, or the token has no session or memory left.
    Busy,
    /// The pool was closed.
    Closed,
    /// The pool was opened by the process that this one was forked from.
    Forked,
    /// The token failed otherwise.
    Failed(Arc<dyn Error + Send + Sync>),
}

/// What a return value of PKCS#11 means wherever it comes from. What is not listed is [`Pkcs11Error::Failed`].
const MEANINGS: &[(RvError, Meaning)] = &[
    (RvError::CryptokiNotInitialized, Meaning::Lost),
    (RvError::DeviceError, Meaning::Lost),
    (RvError::DeviceRemoved, Meaning::Lost),
    (RvError::KeyHandleInvalid, Meaning::Lost),
    (RvError::ObjectHandleInvalid, Meaning::Lost),
    (RvError::SessionClosed, Meaning::Lost),
    (RvError::SessionHandleInvalid, Meaning::Lost),
    (RvError::SlotIdInvalid, Meaning::Lost),
    (RvError::TokenNotPresent, Meaning::Lost),
    (RvError::TokenNotRecognized, Meaning::Lost),
    (RvError::UnwrappingKeyHandleInvalid, Meaning::Lost),
    (RvError::UserNotLoggedIn, Meaning::Lost),
    (RvError::WrappingKeyHandleInvalid, Meaning::Lost),
    (RvError::CantLock, Meaning::Busy),
    (RvError::DeviceMemory, Meaning::Busy),
    (RvError::FunctionCanceled, Meaning::Busy),
    (RvError::HostMemory, Meaning::Busy),
    (RvError::OperationActive, Meaning::Busy),
    (RvError::SessionCount, Meaning::Busy),
    (RvError::PinExpired, Meaning::PinRefused),
    (RvError::PinIncorrect, Meaning::PinRefused),
    (RvError::PinInvalid, Meaning::PinRefused),
    (RvError::PinLenRange, Meaning::PinRefused),
    (RvError::UserPinNotInitialized, Meaning::PinRefused),
    (RvError::PinLocked, Meaning::PinLocked),
    (RvError::ActionProhibited, Meaning::NotPermitted),
    (RvError::AttributeReadOnly, Meaning::NotPermitted),
    (RvError::FunctionRejected, Meaning::NotPermitted),
    (RvError::KeyFunctionNotPermitted, Meaning::NotPermitted),
    (RvError::TokenWriteProtected, Meaning::NotPermitted),
    (RvError::FunctionNotSupported, Meaning::Unsupported),
    (RvError::KeySizeRange, Meaning::Unsupported),
    (RvError::KeyTypeInconsistent, Meaning::Unsupported),
    (RvError::MechanismInvalid, Meaning::Unsupported),
    (RvError::MechanismParamInvalid, Meaning::Unsupported),
    (RvError::UnwrappingKeyTypeInconsistent, Meaning::Unsupported),
    (RvError::WrappingKeyTypeInconsistent, Meaning::Unsupported),
];

/// What tokens answer to altered bytes, by their mood: the function decides, because the codes alone do not.
const OPENING: &[Function] = &[Function::Decrypt, Function::UnwrapKey];
const ALTERED: &[RvError] = &[
    RvError::ArgumentsBad,
    RvError::DataInvalid,
    RvError::DataLenRange,
    RvError::EncryptedDataInvalid,
    RvError::EncryptedDataLenRange,
    RvError::FunctionFailed,
    RvError::GeneralError,
    RvError::WrappedKeyInvalid,
    RvError::WrappedKeyLenRange,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Lost,
    Busy,
    PinRefused,
    PinLocked,
    NotPermitted,
    Unsupported,
}

impl Pkcs11Error {
    pub(super) fn module(error: CryptokiError) -> Self {
        Self::Module(Arc::new(error))
    }

    pub(super) fn failed(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Failed(reason.into().into())
    }
}

impl From<CryptokiError> for Pkcs11Error {
    fn from(error: CryptokiError) -> Self {
        let CryptokiError::Pkcs11(code, function) = &error else { return Self::Failed(Arc::new(error)) };
        let opening = OPENING.iter().any(|name| core::mem::discriminant(name) == core::mem::discriminant(function));
        if opening && ALTERED.contains(code) {
            return Self::Refused;
        }
        match MEANINGS.iter().find(|(listed, _)| listed == code).map(|(_, meaning)| meaning) {
            Some(Meaning::Lost) => Self::Lost,
            Some(Meaning::Busy) => Self::Busy,
            Some(Meaning::PinRefused) => Self::PinRefused,
            Some(Meaning::PinLocked) => Self::PinLocked,
            Some(Meaning::NotPermitted) => Self::NotPermitted,
            Some(Meaning::Unsupported) => Self::Unsupported,
            None => Self::Failed(Arc::new(error)),
        }
    }
}

impl From<Pkcs11Error> for KmsError {
    fn from(error: Pkcs11Error) -> Self {
        match error {
            Pkcs11Error::Refused => Self::Refused,
            Pkcs11Error::VersionMissing => Self::UnknownVersion,
            Pkcs11Error::KeyMissing => Self::NotFound,
            Pkcs11Error::Disabled => Self::Disabled,
            Pkcs11Error::Busy => Self::Throttled { after: None },
            Pkcs11Error::Lost | Pkcs11Error::TokenMissing => Self::unavailable(error),
            Pkcs11Error::PinRefused | Pkcs11Error::PinLocked => Self::unauthenticated(error),
            Pkcs11Error::NotPermitted => Self::access_denied(error),
            Pkcs11Error::KeyAmbiguous => Self::Misconfigured("give each key of the token a label and id of its own"),
            Pkcs11Error::TokenAmbiguous => Self::Misconfigured("give each token a label of its own"),
            Pkcs11Error::Unsupported => {
                Self::Misconfigured("choose a token and a key with AES-GCM, or AES key wrap with padding")
            }
            Pkcs11Error::Module(_)
            | Pkcs11Error::KeyExists
            | Pkcs11Error::Closed
            | Pkcs11Error::Forked
            | Pkcs11Error::Failed(_) => Self::failed(error),
        }
    }
}

impl fmt::Display for Pkcs11Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Module(_) => {
                "the PKCS#11 module cannot be loaded: check its path, and that it is built for this machine"
            }
            Self::TokenMissing => "no slot holds an initialised token of this label: insert it, or check the label",
            Self::TokenAmbiguous => "several slots hold a token of this label: give each token a label of its own",
            Self::PinRefused => {
                "the token refused the PIN, which is not tried again: open a new pool with the right one"
            }
            Self::PinLocked => "the token has locked the PIN: let its security officer set a new one",
            Self::KeyMissing => "the token has no key of this label: create it, or check the label",
            Self::VersionMissing => "the token has no key of this label and id: was it destroyed?",
            Self::KeyAmbiguous => {
                "keys of the token share a label and an id, or have ids that are not 1 to 8 bytes: rename one"
            }
            Self::KeyExists => "the token already has a key of this label: rotate it instead",
            Self::Disabled => "the version of the key is switched off: enable it",
            Self::NotPermitted => {
                "the key's attributes or the token do not permit this: change them, or choose another"
            }
            Self::Unsupported => "the token and the key share neither AES-GCM nor AES key wrap with padding",
            Self::Refused => "the token refused: altered bytes, or another context",
            Self::Lost => "the token or the session with it is gone: insert the token, then try again",
            Self::Busy => "the token or its queue is full: try again, or open fewer sessions",
            Self::Forked => "the process was forked after the pool was opened: open a pool in each process",
            Self::Closed => "the pool of sessions was closed: open another",
            Self::Failed(_) => "the token failed",
        })
    }
}

impl Error for Pkcs11Error {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Module(reason) | Self::Failed(reason) => Some(&**reason),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(code: RvError, function: Function) -> String {
        format!("{:?}", Pkcs11Error::from(CryptokiError::Pkcs11(code, function)))
    }

    #[test]
    fn every_listed_code_means_what_the_table_says() {
        // By hand, not from the table: a slip there has to show here.
        let told: &[(&str, &[RvError])] = &[
            (
                "Lost",
                &[
                    RvError::SessionClosed,
                    RvError::SessionHandleInvalid,
                    RvError::UserNotLoggedIn,
                    RvError::CryptokiNotInitialized,
                    RvError::DeviceError,
                    RvError::DeviceRemoved,
                    RvError::SlotIdInvalid,
                    RvError::TokenNotPresent,
                    RvError::TokenNotRecognized,
                    RvError::KeyHandleInvalid,
                    RvError::ObjectHandleInvalid,
                    RvError::UnwrappingKeyHandleInvalid,
                    RvError::WrappingKeyHandleInvalid,
                ],
            ),
            (
                "Busy",
                &[
                    RvError::CantLock,
                    RvError::DeviceMemory,
                    RvError::FunctionCanceled,
                    RvError::HostMemory,
                    RvError::OperationActive,
                    RvError::SessionCount,
                ],
            ),
            (
                "PinRefused",
                &[
                    RvError::PinIncorrect,
                    RvError::PinInvalid,
                    RvError::PinLenRange,
                    RvError::PinExpired,
                    RvError::UserPinNotInitialized,
                ],
            ),
            ("PinLocked", &[RvError::PinLocked]),
            (
                "NotPermitted",
                &[
                    RvError::ActionProhibited,
                    RvError::AttributeReadOnly,
                    RvError::FunctionRejected,
                    RvError::KeyFunctionNotPermitted,
                    RvError::TokenWriteProtected,
                ],
            ),
            (
                "Unsupported",
                &[
                    RvError::FunctionNotSupported,
                    RvError::MechanismInvalid,
                    RvError::MechanismParamInvalid,
                    RvError::KeySizeRange,
                    RvError::KeyTypeInconsistent,
                    RvError::UnwrappingKeyTypeInconsistent,
                    RvError::WrappingKeyTypeInconsistent,
                ],
            ),
        ];
        for (meaning, codes) in told {
            for code in *codes {
                for function in [Function::Decrypt, Function::Login, Function::FindObjects, Function::EncryptInit] {
                    assert_eq!(named(*code, function), *meaning, "{code:?} of {function}");
                }
            }
        }
        let told: Vec<RvError> = told.iter().flat_map(|(_, codes)| *codes).copied().collect();
        for (code, _) in MEANINGS {
            assert_eq!(told.iter().filter(|told| *told == code).count(), 1, "{code:?}");
        }
        assert_eq!(told.len(), MEANINGS.len(), "each code is listed once");
    }

    #[test]
    fn altered_bytes_are_told_by_the_function_that_failed() {
        let told = [
            RvError::EncryptedDataInvalid,
            RvError::EncryptedDataLenRange,
            RvError::WrappedKeyInvalid,
            RvError::WrappedKeyLenRange,
            RvError::DataInvalid,
            RvError::DataLenRange,
            RvError::ArgumentsBad,
            RvError::FunctionFailed,
            RvError::GeneralError,
        ];
        assert!(ALTERED.len() == told.len() && told.iter().all(|code| ALTERED.contains(code)), "{ALTERED:?}");
        for code in &told {
            assert!(!MEANINGS.iter().any(|(listed, _)| listed == code), "{code:?}");
            assert_eq!(named(*code, Function::Decrypt), "Refused", "{code:?}");
            assert_eq!(named(*code, Function::UnwrapKey), "Refused", "{code:?}");
            for function in [Function::DecryptInit, Function::Encrypt, Function::WrapKey, Function::GenerateKey] {
                assert!(named(*code, function).starts_with("Failed("), "{code:?} of {function}");
            }
        }
    }

    #[test]
    fn each_error_becomes_one_of_the_kms() {
        let table = [
            (Pkcs11Error::Refused, "refused"),
            (Pkcs11Error::VersionMissing, "unknown_version"),
            (Pkcs11Error::KeyMissing, "not_found"),
            (Pkcs11Error::Disabled, "disabled"),
            (Pkcs11Error::Busy, "throttled"),
            (Pkcs11Error::Lost, "unavailable"),
            (Pkcs11Error::TokenMissing, "unavailable"),
            (Pkcs11Error::PinRefused, "unauthenticated"),
            (Pkcs11Error::PinLocked, "unauthenticated"),
            (Pkcs11Error::NotPermitted, "access_denied"),
            (Pkcs11Error::KeyAmbiguous, "misconfigured"),
            (Pkcs11Error::TokenAmbiguous, "misconfigured"),
            (Pkcs11Error::Unsupported, "misconfigured"),
            (Pkcs11Error::KeyExists, "failed"),
            (Pkcs11Error::Closed, "failed"),
            (Pkcs11Error::Forked, "failed"),
        ];
        for (error, expected) in table {
            assert_eq!(KmsError::from(error.clone()).kind(), expected, "{error:?}");
        }
    }
}
