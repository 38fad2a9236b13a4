//! Randomness, the only source of keys, salts and nonces; which one is the backend's to say.

use core::fmt;

use crate::backend::Backend;

/// Fresh random bytes of the operating system, for names and salts that no backend has a part in.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], NoRandomness> {
    Backend::ring().bytes()
}

/// There were no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct NoRandomness;

impl fmt::Display for NoRandomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the operating system or the validated module gave no random bytes: check that getrandom or /dev/urandom works here",
        )
    }
}

impl core::error::Error for NoRandomness {}
