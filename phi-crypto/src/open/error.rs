//! Why a value was not opened.

use core::fmt;

use phi_keys::KeyId;
use phi_keys::backend::NotApproved;
use phi_keys::f1::FormatError;

use crate::{ContextError, DecodeError};

/// A value was not opened. No plaintext was handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// The bytes are no sealed value: a column holds a plaintext or something else by mistake.
    NotSealed(FormatError),
    /// The context cannot be bound.
    Context(ContextError),
    /// The value names a key that was not loaded: one of another scope, or one that was made or destroyed since the opener
    /// was obtained.
    #[non_exhaustive]
    UnknownKey {
        /// The key that the value names.
        kid: KeyId,
    },
    /// The lease of the key has ended, by time or because the key was shredded.
    LeaseEnded,
    /// The cipher refused: the value was altered, moved from its place, or sealed under another context. Deliberately
    /// without detail.
    Refused,
    /// The value opened, and is of another type.
    Decode(DecodeError),
    /// The keys are on a validated module, which does not have the cipher of the value's suite.
    NotApproved(NotApproved),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSealed(_) => {
                f.write_str("there is no sealed value in this place; look for an unsealed write to it")
            }
            Self::Context(_) => f.write_str("the context of the value cannot be bound"),
            Self::UnknownKey { kid } => write!(
                f,
                "the value names key {kid}, which this opener does not hold; obtain an opener for the value's scope"
            ),
            Self::LeaseEnded => f.write_str("the lease of the key has ended; obtain the opener for this scope again"),
            Self::Refused => f.write_str("the sealed value does not open in this place"),
            Self::NotApproved(why) => why.fmt(f),
            Self::Decode(_) => f.write_str("the opened value cannot be decoded"),
        }
    }
}

impl core::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::NotSealed(source) => Some(source),
            Self::Context(source) => Some(source),
            Self::Decode(source) => Some(source),
            Self::UnknownKey { .. } | Self::LeaseEnded | Self::Refused | Self::NotApproved(_) => None,
        }
    }
}

impl From<FormatError> for OpenError {
    fn from(source: FormatError) -> Self {
        Self::NotSealed(source)
    }
}

impl From<NotApproved> for OpenError {
    fn from(source: NotApproved) -> Self {
        Self::NotApproved(source)
    }
}

impl From<ContextError> for OpenError {
    fn from(source: ContextError) -> Self {
        Self::Context(source)
    }
}

impl From<DecodeError> for OpenError {
    fn from(source: DecodeError) -> Self {
        Self::Decode(source)
    }
}
