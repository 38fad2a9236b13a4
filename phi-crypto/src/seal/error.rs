//! Why a value was not sealed.

use core::fmt;

use phi_keys::backend::NotApproved;

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
    /// The operating system gave no random bytes.
    NoRandomness,
    /// The keys are on a validated module, which does not do this.
    NotApproved(NotApproved),
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Context(_) => f.write_str("the context of the value cannot be bound"),
            Self::Encode(_) => f.write_str("the value cannot be encoded"),
            Self::TooLarge => f.write_str("the value exceeds 64 MiB; store it as a file and seal its reference"),
            Self::LeaseEnded => f.write_str("the lease of the key has ended; obtain the sealer for this scope again"),
            Self::NotApproved(_) => f.write_str("the validated module of the keys does not do this"),
            Self::NoRandomness => {
                f.write_str("the operating system gave no random bytes; check the sandbox's getrandom")
            }
        }
    }
}

impl core::error::Error for SealError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Context(source) => Some(source),
            Self::Encode(source) => Some(source),
            Self::NotApproved(source) => Some(source),
            Self::TooLarge | Self::LeaseEnded | Self::NoRandomness => None,
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

impl From<EncodeError> for SealError {
    fn from(source: EncodeError) -> Self {
        Self::Encode(source)
    }
}
