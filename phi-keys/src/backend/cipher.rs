//! The ciphers.

use core::fmt;

use ring::aead::{AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce as RingNonce, UnboundKey};

#[cfg(feature = "fips")]
use super::fips;
use super::{Backend, NotApproved, Which};
use crate::derive::KEY_LEN;
use crate::f1::{NONCE_LEN, Nonce, SealError, Suite, TAG_LEN};

/// The cipher of a suite under one key, on one backend: what formats are made of.
///
/// The backend does not wipe its key schedule when this is dropped.
pub struct AeadKey(Cipher);

#[cfg_attr(
    feature = "fips",
    expect(
        clippy::large_enum_variant,
        reason = "a box would cost the backend of most an allocation for each message key"
    )
)]
enum Cipher {
    Ring(LessSafeKey),
    #[cfg(feature = "fips")]
    Fips(fips::AeadKey),
}

impl AeadKey {
    /// A key of the suite's cipher; padding is not its concern.
    ///
    /// # Errors
    /// [`NotApproved`] when the backend does not have the cipher.
    pub fn new(backend: Backend, suite: Suite, key: &[u8; KEY_LEN]) -> Result<Self, NotApproved> {
        backend.admit_suite(suite)?;
        Ok(match backend.0 {
            Which::Ring => Self::on_ring(suite, key),
            #[cfg(feature = "fips")]
            Which::Fips => Self(Cipher::Fips(fips::AeadKey::new(key))),
        })
    }

    /// The same on *ring*, which has the cipher of every suite.
    pub(crate) fn on_ring(suite: Suite, key: &[u8; KEY_LEN]) -> Self {
        #[expect(clippy::expect_used, reason = "fails only for a wrong key length, and both ciphers take 32 bytes")]
        let key = UnboundKey::new(algorithm(suite), key).expect("both ciphers take keys of 32 bytes");
        Self(Cipher::Ring(LessSafeKey::new(key)))
    }

    /// Whether the backend draws the nonces.
    #[inline]
    pub(crate) const fn draws_nonces(&self) -> bool {
        match &self.0 {
            Cipher::Ring(_) => false,
            #[cfg(feature = "fips")]
            Cipher::Fips(_) => true,
        }
    }

    /// Encrypts `body` in place under `nonce`, which a backend that draws nonces overwrites with its own, and puts the tag into
    /// `tag`. `body` then holds no plaintext, or where the cipher fails, nothing that is of use.
    ///
    /// # Errors
    /// [`SealError::Cipher`].
    #[inline]
    pub(crate) fn encrypt(
        &self,
        nonce: &mut [u8; NONCE_LEN],
        aad: &[u8],
        body: &mut [u8],
        tag: &mut [u8; TAG_LEN],
    ) -> Result<(), SealError> {
        match &self.0 {
            Cipher::Ring(key) => {
                let nonce = RingNonce::assume_unique_for_key(*nonce);
                let made = key.seal_in_place_separate_tag(nonce, Aad::from(aad), body);
                // By reference: a tag that is moved out of a result is copied in pieces first. Both ciphers' have 16 bytes.
                tag.copy_from_slice(made.as_ref().map_err(|_| SealError::Cipher)?.as_ref());
            }
            #[cfg(feature = "fips")]
            Cipher::Fips(key) => *tag = key.encrypt(nonce, aad, body).ok_or(SealError::Cipher)?,
        }
        Ok(())
    }

    /// Encrypts `body` in place under a nonce of the caller's, and returns the tag.
    ///
    /// # Errors
    /// [`SealError::NotApproved`] where the backend draws its own nonces and [`SealError::NoNonce`] where this one was left to
    /// it, with `body` as it was. [`SealError::Cipher`] where `body` is longer than the cipher takes.
    #[inline]
    pub fn seal(&self, nonce: Nonce, aad: &[u8], body: &mut [u8]) -> Result<[u8; TAG_LEN], SealError> {
        if self.draws_nonces() {
            return Err(SealError::NotApproved(NotApproved::ChosenNonce));
        }
        if nonce.is_left() {
            return Err(SealError::NoNonce);
        }
        let mut tag = [0; TAG_LEN];
        self.encrypt(&mut nonce.into_bytes(), aad, body, &mut tag)?;
        Ok(tag)
    }

    /// Decrypts ciphertext and tag, which stand in `bytes` from `from` on, to the front of `bytes`. Nothing where the cipher
    /// refuses; `bytes` then holds no plaintext, and not what it held before.
    #[inline]
    pub fn open<'b>(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        bytes: &'b mut [u8],
        from: usize,
    ) -> Option<&'b mut [u8]> {
        match &self.0 {
            Cipher::Ring(key) => {
                let nonce = RingNonce::assume_unique_for_key(nonce);
                key.open_within(nonce, Aad::from(aad), bytes, from..).ok()
            }
            #[cfg(feature = "fips")]
            Cipher::Fips(key) => key.open(nonce, aad, bytes, from),
        }
    }
}

const fn algorithm(suite: Suite) -> &'static Algorithm {
    match suite {
        Suite::Aes256Gcm | Suite::Aes256GcmPadded => &AES_256_GCM,
        Suite::ChaCha20Poly1305 | Suite::ChaCha20Poly1305Padded => &CHACHA20_POLY1305,
    }
}

impl fmt::Debug for AeadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AeadKey([key])")
    }
}
