//! HMAC (FIPS 198-1).

use core::fmt;

use ring::hmac;
use zeroize::Zeroizing;

#[cfg(feature = "fips")]
use super::fips;
use super::{Backend, Which};
use crate::derive::KEY_LEN;

/// A key of HMAC-SHA-256 on one backend, for tags that are made again and again.
///
/// The backend does not wipe its copy of the key when this is dropped.
#[derive(Clone)]
pub struct HmacSha256(Mac);

#[derive(Clone)]
enum Mac {
    Ring(hmac::Key),
    #[cfg(feature = "fips")]
    Fips(fips::HmacKey),
}

impl HmacSha256 {
    /// Bytes of a tag.
    pub const TAG_LEN: usize = 32;

    /// A key of 32 bytes, which is what a module approves of; of a short one it would not.
    #[must_use]
    pub fn new(backend: Backend, key: &[u8; KEY_LEN]) -> Self {
        Self::of_any_length(backend, key)
    }

    /// A key as published vectors have it.
    #[cfg(test)]
    pub(crate) fn of_vector(backend: Backend, key: &[u8]) -> Self {
        Self::of_any_length(backend, key)
    }

    fn of_any_length(backend: Backend, key: &[u8]) -> Self {
        Self(match backend.0 {
            Which::Ring => Mac::Ring(hmac::Key::new(hmac::HMAC_SHA256, key)),
            #[cfg(feature = "fips")]
            Which::Fips => Mac::Fips(fips::HmacKey::new(key)),
        })
    }

    /// The tag of a message.
    #[inline]
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; Self::TAG_LEN] {
        let mut tag = [0; Self::TAG_LEN];
        match &self.0 {
            // A tag of SHA-256 has 32 bytes.
            Mac::Ring(key) => tag.copy_from_slice(hmac::sign(key, message).as_ref()),
            #[cfg(feature = "fips")]
            Mac::Fips(key) => key.sign(message, &mut tag),
        }
        tag
    }
}

impl fmt::Debug for HmacSha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HmacSha256([key])")
    }
}

/// A key of HMAC-SHA-256 that is wiped when it is dropped, with the backend that computes under it.
#[derive(Clone)]
pub(crate) struct MacKey {
    backend: Backend,
    key: Zeroizing<[u8; KEY_LEN]>,
}

impl MacKey {
    pub(crate) const fn new(backend: Backend, key: Zeroizing<[u8; KEY_LEN]>) -> Self {
        Self { backend, key }
    }

    /// The tag of a message.
    pub(crate) fn mac(&self, message: &[u8]) -> [u8; KEY_LEN] {
        HmacSha256::new(self.backend, &self.key).sign(message)
    }

    #[cfg(all(test, not(loom)))]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.key.as_slice()
    }
}
