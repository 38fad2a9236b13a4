//! Why a value is no value, was not sealed, or does not open.

use core::fmt;

use crate::backend::NotApproved;

/// Bytes that are not a value of format F1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FormatError {
    /// Fewer than 57 bytes, an unknown first byte, or a text without canonical encoding.
    NotSealed,
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSealed => f.write_str("not a sealed value: shorter than 57 bytes or of an unknown format"),
        }
    }
}

impl core::error::Error for FormatError {}

/// Why a value was not sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SealError {
    /// The plaintext is longer than [`MAX_PLAINTEXT`](super::MAX_PLAINTEXT), or its padding is not one of the suite.
    TooLong,
    /// The backend of the key draws its nonces itself, and was given one.
    NotApproved(NotApproved),
    /// The nonce was left to a backend that draws none.
    NoNonce,
    /// The cipher failed, and does not say why: it was given more than it takes, or a validated module could not draw a nonce.
    Cipher,
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotApproved(why) => return why.fmt(f),
            Self::TooLong => {
                "a sealed value holds at most 64 MiB, and padding only where its suite has some: seal larger content as a file"
            }
            Self::NoNonce => "the nonce was left to a backend that draws none: take it with `Nonce::of` the same backend",
            Self::Cipher => "the cipher failed without a reason: check that the system gives random bytes, and try again",
        })
    }
}

impl core::error::Error for SealError {}

impl From<NotApproved> for SealError {
    fn from(source: NotApproved) -> Self {
        Self::NotApproved(source)
    }
}

/// The value does not open. Deliberately without detail, which would help an attacker more than an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenError;

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the sealed value does not open under this key and context")
    }
}

impl core::error::Error for OpenError {}
