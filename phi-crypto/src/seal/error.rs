//! Why a value was not sealed.

use core::fmt;

use phi_keys::backend::NotApproved;
use phi_keys::f1;

use crate::{ContextError, EncodeError};

/// A value was not sealed. Nothing of it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SealError {
    /// The context cannot be bound.
    Context(ContextError),
    /// The value has no encoding.
    Encode(EncodeError),
    /// The plaintext exceeds 64 MiB, or a batch 64 GiB.
    TooLarge,
    /// The lease of the key has ended, by time or because the key was shredded.
    LeaseEnded,
    /// The operating system, or the validated module of the keys, gave no random bytes.
    NoRandomness,
    /// The keys are on a validated module, which does not do this.
    NotApproved(NotApproved),
    /// The cipher failed, and does not say why: a validated module could not draw a nonce, or had no memory.
    Cipher,
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Context(_) => f.write_str("the context of the value cannot be bound"),
            Self::Encode(_) => f.write_str("the value cannot be encoded"),
            Self::TooLarge => f.write_str("the value exceeds 64 MiB; store it as a file and seal its reference"),
            Self::LeaseEnded => f.write_str("the lease of the key has ended; obtain the sealer for this scope again"),
            Self::NotApproved(why) => why.fmt(f),
            Self::NoRandomness => {
                f.write_str("the operating system or the validated module gave no random bytes; check that the process may call getrandom")
            }
            Self::Cipher => f.write_str(
                "the cipher failed without a reason; check memory and that the process may call getrandom, and seal the value again",
            ),
        }
    }
}

impl core::error::Error for SealError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Context(source) => Some(source),
            Self::Encode(source) => Some(source),
            Self::TooLarge | Self::LeaseEnded | Self::NoRandomness | Self::NotApproved(_) | Self::Cipher => None,
        }
    }
}

impl From<ContextError> for SealError {
    fn from(source: ContextError) -> Self {
        Self::Context(source)
    }
}

impl From<NotApproved> for SealError {
    fn from(source: NotApproved) -> Self {
        Self::NotApproved(source)
    }
}

impl From<f1::SealError> for SealError {
    fn from(source: f1::SealError) -> Self {
        match source {
            f1::SealError::TooLong => Self::TooLarge,
            f1::SealError::NotApproved(source) => Self::NotApproved(source),
            // The nonce was made for the backend of the key, so it is never one that the key does not take.
            _ => Self::Cipher,
        }
    }
}

impl From<EncodeError> for SealError {
    fn from(source: EncodeError) -> Self {
        Self::Encode(source)
    }
}
