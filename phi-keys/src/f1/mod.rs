//! Format F1: one sealed value. Wrapped keys and sealed fields share it.
//!
//! ```text
//! suite 1 · kid 16 · salt 12 · nonce 12 · ciphertext · tag 16
//! ```
//!
//! The message key is `HKDF-Expand-SHA-256(key, label ‖ suite ‖ salt)`; suite, kid and salt are bound through it, the
//! nonce through the cipher, and the associated data through the tag. F1 commits to the key through the kid. It does not
//! commit to the associated data: whoever holds the key can make one value that opens under two contexts.
//!
//! ```
//! use phi_keys::derive::{self, Label};
//! use phi_keys::f1::{self, MessageKey, Nonce, Suite};
//!
//! let key = [7; 32];
//! let message_key = MessageKey::derive(&key, Label::FIELD, Suite::Aes256Gcm, f1::fresh_salt()?);
//! let sealed = message_key.seal(Nonce::random()?, b"context", b"plaintext")?;
//!
//! let parts = f1::parse(&sealed)?;
//! assert_eq!(parts.kid(), derive::full_id(&key).kid());
//! let message_key = MessageKey::derive(&key, Label::FIELD, parts.suite(), parts.salt());
//! assert_eq!(message_key.open(&parts, b"context")?.as_slice(), b"plaintext");
//! assert!(message_key.open(&parts, b"another context").is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod nonce;
mod text;

use core::fmt;

use ring::aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, UnboundKey};
use zeroize::{Zeroize, Zeroizing};

pub use nonce::{Nonce, NonceRun};
pub use text::{from_text, to_text};

use crate::derive::{self, KEY_LEN, Label};
use crate::id::KeyId;
use crate::random::{self, NoRandomness};

/// Bytes before the ciphertext: suite, kid, salt and nonce.
pub const HEADER_LEN: usize = 1 + 16 + 12 + 12;
/// Bytes of the authentication tag behind the ciphertext.
pub const TAG_LEN: usize = 16;
/// Bytes that a sealed value is longer than its plaintext.
pub const OVERHEAD: usize = HEADER_LEN + TAG_LEN;
/// The longest plaintext, 64 MiB. What is longer belongs in a file format that can be read in parts.
pub const MAX_PLAINTEXT: usize = 64 << 20;

/// Bytes of a salt.
pub const SALT_LEN: usize = 12;

/// The cipher of a value. The numbers are frozen for ever and never chosen from a configuration while opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Suite {
    /// `0x01`: AES-256-GCM (NIST SP 800-38D).
    Aes256Gcm,
    /// `0x02`: ChaCha20-Poly1305 (RFC 8439), for machines without AES instructions.
    ChaCha20Poly1305,
}

impl Suite {
    /// The first byte of a value.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Aes256Gcm => 0x01,
            Self::ChaCha20Poly1305 => 0x02,
        }
    }

    const fn from_byte(byte: u8) -> Result<Self, FormatError> {
        match byte {
            0x01 => Ok(Self::Aes256Gcm),
            0x02 => Ok(Self::ChaCha20Poly1305),
            0x11 | 0x12 => Err(FormatError::ReservedSuite(byte)),
            _ => Err(FormatError::NotSealed),
        }
    }
}

/// A fresh random salt.
///
/// # Errors
/// [`NoRandomness`] when the operating system gives none.
pub fn fresh_salt() -> Result<[u8; SALT_LEN], NoRandomness> {
    random::bytes()
}

/// What the message key's derivation takes beside the label: `suite ‖ salt`.
#[must_use]
pub const fn key_info(suite: Suite, salt: &[u8; SALT_LEN]) -> [u8; 1 + SALT_LEN] {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = *salt;
    [suite.byte(), a, b, c, d, e, f, g, h, i, j, k, l]
}

/// A value taken apart, nothing verified yet.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    suite: Suite,
    kid: KeyId,
    salt: [u8; SALT_LEN],
    nonce: [u8; 12],
    /// Ciphertext and tag.
    body: &'a [u8],
}

impl Parts<'_> {
    /// The cipher.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// The name of the key that sealed it.
    #[must_use]
    pub const fn kid(&self) -> KeyId {
        self.kid
    }

    /// The salt of its message key.
    #[must_use]
    pub const fn salt(&self) -> [u8; SALT_LEN] {
        self.salt
    }

    /// Bytes of the plaintext.
    #[must_use]
    pub const fn plaintext_len(&self) -> usize {
        self.body.len().saturating_sub(TAG_LEN)
    }
}

/// Takes a value apart.
///
/// # Errors
/// [`FormatError::NotSealed`] when it has fewer than 57 bytes or no known suite byte, and
/// [`FormatError::ReservedSuite`] when a later version of this crate sealed it.
pub fn parse(sealed: &[u8]) -> Result<Parts<'_>, FormatError> {
    let (&suite, rest) = sealed.split_first().ok_or(FormatError::NotSealed)?;
    let (kid, rest) = rest.split_first_chunk().ok_or(FormatError::NotSealed)?;
    let (salt, rest) = rest.split_first_chunk().ok_or(FormatError::NotSealed)?;
    let (nonce, body) = rest.split_first_chunk().ok_or(FormatError::NotSealed)?;
    if body.len() < TAG_LEN {
        return Err(FormatError::NotSealed);
    }
    let suite = Suite::from_byte(suite)?;
    Ok(Parts { suite, kid: KeyId::from_bytes(*kid), salt: *salt, nonce: *nonce, body })
}

/// A cipher under one message key, with what the header says about it.
///
/// The backend does not wipe its key schedule when this is dropped.
pub struct MessageKey {
    cipher: LessSafeKey,
    suite: Suite,
    kid: KeyId,
    salt: [u8; SALT_LEN],
}

impl MessageKey {
    /// The message key of one key, label, suite and salt.
    #[must_use]
    pub fn derive(key: &[u8; KEY_LEN], label: Label, suite: Suite, salt: [u8; SALT_LEN]) -> Self {
        let message_key = derive::expand(key, label, &key_info(suite, &salt));
        Self::from_derived(&message_key, derive::full_id(key).kid(), suite, salt)
    }

    /// A message key that was derived already: `HKDF-Expand-SHA-256(key, label ‖ key_info(suite, salt))`, where `kid`
    /// names that key.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "the one `expect` cannot fail")]
    pub fn from_derived(message_key: &[u8; KEY_LEN], kid: KeyId, suite: Suite, salt: [u8; SALT_LEN]) -> Self {
        let algorithm = match suite {
            Suite::Aes256Gcm => &AES_256_GCM,
            Suite::ChaCha20Poly1305 => &CHACHA20_POLY1305,
        };
        #[expect(clippy::expect_used, reason = "fails only for a wrong key length, and both ciphers take 32 bytes")]
        let key = UnboundKey::new(algorithm, message_key).expect("both ciphers take keys of 32 bytes");
        Self { cipher: LessSafeKey::new(key), suite, kid, salt }
    }

    /// The name of the key that the message key was derived from.
    #[must_use]
    pub const fn kid(&self) -> KeyId {
        self.kid
    }

    /// The salt that the message key was derived with.
    #[must_use]
    pub const fn salt(&self) -> [u8; SALT_LEN] {
        self.salt
    }

    /// Seals one plaintext.
    ///
    /// # Errors
    /// [`SealError`] when the plaintext is longer than [`MAX_PLAINTEXT`].
    pub fn seal(&self, nonce: Nonce, aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut out = Vec::with_capacity(OVERHEAD.saturating_add(plaintext.len()));
        self.seal_into(nonce, aad, plaintext, &mut out)?;
        Ok(out)
    }

    /// Seals one plaintext behind what `out` holds already. Allocates only when `out` lacks room.
    ///
    /// # Errors
    /// [`SealError`] when the plaintext is longer than [`MAX_PLAINTEXT`]; `out` is then as it was.
    pub fn seal_into(&self, nonce: Nonce, aad: &[u8], plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        if plaintext.len() > MAX_PLAINTEXT {
            return Err(SealError);
        }
        let nonce = nonce.into_bytes();
        let start = out.len();
        // One reservation, so that no plaintext is left behind in memory that a growing vector gave back.
        out.reserve(OVERHEAD + plaintext.len());
        out.push(self.suite.byte());
        out.extend_from_slice(self.kid.as_bytes());
        out.extend_from_slice(&self.salt);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(plaintext);
        let nonce = ring::aead::Nonce::assume_unique_for_key(nonce);
        // `start + HEADER_LEN` bytes were just written; an empty slice is never taken.
        let body = out.get_mut(start + HEADER_LEN..).unwrap_or_default();
        match self.cipher.seal_in_place_separate_tag(nonce, Aad::from(aad), body) {
            Ok(tag) => {
                out.extend_from_slice(tag.as_ref());
                Ok(())
            }
            Err(_) => {
                wipe(out, start);
                Err(SealError)
            }
        }
    }

    /// Opens one value.
    ///
    /// # Errors
    /// [`OpenError`], which says nothing more, when the value was sealed by another key or under other associated data,
    /// or was altered.
    pub fn open(&self, parts: &Parts<'_>, aad: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let mut out = Zeroizing::new(Vec::with_capacity(parts.body.len()));
        self.open_into(parts, aad, &mut out)?;
        Ok(out)
    }

    /// Opens one value and puts the plaintext behind what `out` holds already. Needs room for the tag as well, and
    /// allocates only when `out` lacks it.
    ///
    /// # Errors
    /// As [`open`](Self::open); `out` is then as it was.
    pub fn open_into(&self, parts: &Parts<'_>, aad: &[u8], out: &mut Vec<u8>) -> Result<(), OpenError> {
        if (parts.suite, parts.kid, parts.salt) != (self.suite, self.kid, self.salt) {
            return Err(OpenError);
        }
        let start = out.len();
        out.extend_from_slice(parts.body);
        let nonce = ring::aead::Nonce::assume_unique_for_key(parts.nonce);
        let body = out.get_mut(start..).unwrap_or_default();
        match self.cipher.open_in_place(nonce, Aad::from(aad), body).map(|plaintext| plaintext.len()) {
            Ok(length) => {
                out.truncate(start + length);
                Ok(())
            }
            Err(_) => {
                wipe(out, start);
                Err(OpenError)
            }
        }
    }
}

/// Overwrites and removes everything from `start` on.
fn wipe(out: &mut Vec<u8>, start: usize) {
    out.get_mut(start..).unwrap_or_default().zeroize();
    out.truncate(start);
}

impl fmt::Debug for MessageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageKey({})", self.kid)
    }
}

/// Bytes that are not a value of format F1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FormatError {
    /// Fewer than 57 bytes, an unknown first byte, or a text without canonical encoding.
    NotSealed,
    /// A suite that is reserved for padded plaintexts and that this version does not open.
    ReservedSuite(u8),
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSealed => f.write_str("not a sealed value: shorter than 57 bytes or of an unknown format"),
            Self::ReservedSuite(byte) => {
                write!(f, "sealed with suite {byte:#04x}, which needs a later version of this crate")
            }
        }
    }
}

impl core::error::Error for FormatError {}

/// The plaintext is longer than [`MAX_PLAINTEXT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SealError;

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sealed value holds at most 64 MiB: seal larger content as a file")
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

#[cfg(test)]
mod tests {
    use super::*;

    const SUITES: [Suite; 2] = [Suite::Aes256Gcm, Suite::ChaCha20Poly1305];

    fn sealed(suite: Suite, plaintext: &[u8]) -> Vec<u8> {
        let key = MessageKey::derive(&[7; 32], Label::FIELD, suite, [3; 12]);
        key.seal(Nonce::random().unwrap(), b"aad", plaintext).unwrap()
    }

    fn open(bytes: &[u8], aad: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let parts = parse(bytes).ok()?;
        MessageKey::derive(&[7; 32], Label::FIELD, parts.suite(), parts.salt()).open(&parts, aad).ok()
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_refused() {
        for suite in SUITES {
            for plaintext in [&b""[..], b"412-65-3388"] {
                let good = sealed(suite, plaintext);
                assert_eq!(good.len(), OVERHEAD + plaintext.len());
                assert_eq!(open(&good, b"aad").unwrap().as_slice(), plaintext);
                assert!(open(&good, b"aae").is_none());
                for bit in 0..good.len() * 8 {
                    let mut bad = good.clone();
                    bad[bit / 8] ^= 1 << (bit % 8);
                    assert!(open(&bad, b"aad").is_none(), "bit {bit}");
                }
                for length in 0..good.len() {
                    assert!(open(&good[..length], b"aad").is_none(), "length {length}");
                }
            }
        }
    }

    #[test]
    fn suites_and_labels_have_keys_of_their_own() {
        let mut cross = sealed(Suite::Aes256Gcm, b"x");
        cross[0] = Suite::ChaCha20Poly1305.byte();
        assert!(open(&cross, b"aad").is_none());

        let good = sealed(Suite::Aes256Gcm, b"x");
        let parts = parse(&good).unwrap();
        let other = MessageKey::derive(&[7; 32], Label::WRAP, parts.suite(), parts.salt());
        assert_eq!(other.open(&parts, b"aad"), Err(OpenError));
    }

    #[test]
    fn reserved_and_unknown_suites_are_told_apart() {
        let mut value = sealed(Suite::Aes256Gcm, b"x");
        for byte in 0..=255 {
            value[0] = byte;
            match (byte, parse(&value)) {
                (0x01 | 0x02, Ok(_)) | (_, Err(FormatError::NotSealed)) => {}
                (0x11 | 0x12, Err(FormatError::ReservedSuite(given))) => assert_eq!(given, byte),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_failed_opening_leaves_the_buffer_as_it_was() {
        let good = sealed(Suite::Aes256Gcm, b"secret");
        let parts = parse(&good).unwrap();
        let key = MessageKey::derive(&[7; 32], Label::FIELD, parts.suite(), parts.salt());
        let mut out = b"before".to_vec();
        assert_eq!(key.open_into(&parts, b"wrong", &mut out), Err(OpenError));
        assert_eq!(out, b"before");
        key.open_into(&parts, b"aad", &mut out).unwrap();
        assert_eq!(out, b"beforesecret");
    }

    #[test]
    fn what_is_too_long_is_refused_before_it_is_copied() {
        let key = MessageKey::derive(&[7; 32], Label::FIELD, Suite::Aes256Gcm, [3; 12]);
        let mut out = Vec::new();
        let long = vec![0; MAX_PLAINTEXT + 1];
        assert_eq!(key.seal_into(Nonce::random().unwrap(), b"", &long, &mut out), Err(SealError));
        assert_eq!(out.capacity(), 0);
    }
}
