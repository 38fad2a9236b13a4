//! Why a value is no value, was not sealed, or does not open.

use core::fmt;

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

/// The plaintext is longer than [`MAX_PLAINTEXT`](super::MAX_PLAINTEXT), or its padding is not one of the suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SealError;

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sealed value holds at most 64 MiB, and padding only where its suite has some: seal larger content as a file")
    }
}

impl core::error::Error for SealError {}

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
