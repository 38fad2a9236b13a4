//! Format F1: one sealed value. Wrapped keys and sealed fields share it.
//!
//! ```text
//! suite 1 · kid 16 · salt 12 · nonce 12 · ciphertext · tag 16
//! ```
//!
//! The message key is `HKDF-Expand-SHA-256(key, label ‖ suite ‖ salt)`; suite, kid and salt are bound through it, the
//! nonce through the cipher, and the associated data through the tag. Under a padded suite the ciphertext is that of the
//! plaintext, the byte `0x80` and as many zeros as the writer chose. F1 commits to the key through the kid. It does not
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

mod error;
mod key;
mod nonce;
mod padding;
mod suite;
mod text;

pub use error::{FormatError, OpenError, SealError};
pub use key::MessageKey;
pub use nonce::{HEDGE_LEN, Nonce, NonceKey, NonceRun};
pub use suite::Suite;
pub use text::{from_text, to_text};

use crate::backend::Backend;
use crate::id::KeyId;
use crate::random::NoRandomness;

/// Bytes before the ciphertext: suite, kid, salt and nonce.
pub const HEADER_LEN: usize = NAME_LEN + NONCE_LEN;
/// The bytes of them that all values under one message key begin with: suite, kid and salt.
const NAME_LEN: usize = 1 + 16 + SALT_LEN;
/// Bytes of the authentication tag behind the ciphertext.
pub const TAG_LEN: usize = 16;
/// Bytes that a sealed value is longer than its plaintext.
pub const OVERHEAD: usize = HEADER_LEN + TAG_LEN;
/// The longest plaintext, 64 MiB. What is longer belongs in a file format that can be read in parts.
pub const MAX_PLAINTEXT: usize = 64 << 20;

/// Bytes of a salt.
pub const SALT_LEN: usize = 12;
/// Bytes of a nonce.
pub const NONCE_LEN: usize = 12;

/// A fresh random salt.
///
/// # Errors
/// [`NoRandomness`] when the operating system gives none.
pub fn fresh_salt() -> Result<[u8; SALT_LEN], NoRandomness> {
    Backend::ring().bytes()
}

/// A fresh random salt of a backend's randomness.
///
/// # Errors
/// [`NoRandomness`] when there is none.
pub fn fresh_salt_of(backend: Backend) -> Result<[u8; SALT_LEN], NoRandomness> {
    backend.bytes()
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
    header: &'a [u8; HEADER_LEN],
    body: &'a [u8],
}

impl<'a> Parts<'a> {
    /// The cipher.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// The name of the key that sealed it.
    #[must_use]
    pub const fn kid(&self) -> KeyId {
        KeyId::from_bytes(self.part(1))
    }

    /// The salt of its message key.
    #[must_use]
    pub const fn salt(&self) -> [u8; SALT_LEN] {
        self.part(NAME_LEN - SALT_LEN)
    }

    /// Ciphertext and tag: what [`MessageKey::open_body`] opens a copy of.
    #[inline]
    #[must_use]
    pub const fn body(&self) -> &'a [u8] {
        self.body
    }

    /// Bytes of the plaintext, with its padding if the suite has some.
    #[must_use]
    pub const fn plaintext_len(&self) -> usize {
        self.body.len().saturating_sub(TAG_LEN)
    }

    /// Suite, kid and salt: what names the message key.
    #[inline]
    fn name(&self) -> &'a [u8; NAME_LEN] {
        // A header begins with it.
        self.header.first_chunk().unwrap_or(&[0; NAME_LEN])
    }

    #[inline]
    const fn nonce(&self) -> [u8; NONCE_LEN] {
        self.part(NAME_LEN)
    }

    /// A part of the header. All that are asked for lie within it, so zeros are never the answer.
    #[inline]
    const fn part<const N: usize>(&self, start: usize) -> [u8; N] {
        if let Some((_, rest)) = self.header.split_at_checked(start)
            && let Some(part) = rest.first_chunk()
        {
            *part
        } else {
            [0; N]
        }
    }
}

/// Takes a value apart.
///
/// # Errors
/// [`FormatError::NotSealed`] when it has fewer than 57 bytes or no known suite byte.
#[inline]
pub fn parse(sealed: &[u8]) -> Result<Parts<'_>, FormatError> {
    let (header, body) = sealed.split_first_chunk().ok_or(FormatError::NotSealed)?;
    if body.len() < TAG_LEN {
        return Err(FormatError::NotSealed);
    }
    Ok(Parts { body, ..parse_header(header)? })
}

/// Takes the header of a value apart, as if no ciphertext followed: for a value that is opened in its own memory, where
/// the header is kept apart meanwhile.
///
/// # Errors
/// [`FormatError::NotSealed`] when its first byte names no suite.
#[inline]
pub fn parse_header(header: &[u8; HEADER_LEN]) -> Result<Parts<'_>, FormatError> {
    let [suite, ..] = *header;
    Ok(Parts { suite: Suite::from_byte(suite)?, header, body: &[] })
}

/// A plaintext between room for a header and room for `padding` bytes and a tag, as [`MessageKey::seal_framed`] takes it;
/// `None` where one of them is longer than [`MAX_PLAINTEXT`].
#[inline]
#[must_use]
pub fn framed(plaintext: &[u8], padding: usize) -> Option<Vec<u8>> {
    if plaintext.len() > MAX_PLAINTEXT || padding > MAX_PLAINTEXT {
        return None;
    }
    let length = OVERHEAD + plaintext.len() + padding;
    let mut value = Vec::with_capacity(length);
    value.extend_from_slice(&[0; HEADER_LEN]);
    value.extend_from_slice(plaintext);
    value.resize(length, 0);
    Some(value)
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::backend;
    use crate::derive::{self, Label};

    const SUITES: [Suite; 4] =
        [Suite::Aes256Gcm, Suite::ChaCha20Poly1305, Suite::Aes256GcmPadded, Suite::ChaCha20Poly1305Padded];

    /// The backends that have the cipher of a suite.
    fn backends(suite: Suite) -> impl Iterator<Item = Backend> {
        backend::all().into_iter().filter(move |backend| backend.admit_suite(suite).is_ok())
    }

    fn message_key(backend: Backend, suite: Suite) -> MessageKey {
        MessageKey::derive_on(backend, &[7; 32], Label::FIELD, suite, [3; 12]).unwrap()
    }

    fn sealed(suite: Suite, plaintext: &[u8]) -> Vec<u8> {
        sealed_on(Backend::ring(), suite, plaintext)
    }

    fn sealed_on(backend: Backend, suite: Suite, plaintext: &[u8]) -> Vec<u8> {
        message_key(backend, suite).seal(Nonce::of(backend).unwrap(), b"aad", plaintext).unwrap()
    }

    /// Opens on every backend that has the cipher, which must agree, into a vector and in place.
    fn open(bytes: &[u8], aad: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let parts = parse(bytes).ok()?;
        let on = |backend| {
            let key = MessageKey::derive_on(backend, &[7; 32], Label::FIELD, parts.suite(), parts.salt()).unwrap();
            let opened = key.open(&parts, aad).ok();
            let mut buffer = Zeroizing::new(bytes.to_vec());
            let in_place = key.open_in_place(aad, &mut buffer).ok().map(|()| buffer);
            assert_eq!(opened, in_place, "{backend:?}");
            opened
        };
        let opened = backends(parts.suite()).map(on).collect::<Vec<_>>();
        assert!(opened.windows(2).all(|pair| pair[0] == pair[1]), "the backends do not agree");
        opened.into_iter().next().flatten()
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_refused() {
        for (suite, backend) in SUITES.into_iter().flat_map(|suite| backends(suite).map(move |on| (suite, on))) {
            for plaintext in [&b""[..], b"412-65-3388"] {
                let good = sealed_on(backend, suite, plaintext);
                assert_eq!(good.len(), OVERHEAD + plaintext.len() + usize::from(suite.is_padded()));
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
    fn every_first_byte_is_a_suite_or_no_sealed_value() {
        let mut value = sealed(Suite::Aes256Gcm, b"x");
        for byte in 0..=255 {
            value[0] = byte;
            let parsed = parse(&value).map(|parts| parts.suite().byte());
            let known = SUITES.iter().any(|suite| suite.byte() == byte);
            assert_eq!(parsed, if known { Ok(byte) } else { Err(FormatError::NotSealed) });
        }
    }

    #[test]
    fn padding_hides_the_length_and_comes_off_again() {
        for (suite, backend) in SUITES.into_iter().flat_map(|suite| backends(suite).map(move |on| (suite, on))) {
            let key = message_key(backend, suite);
            let nonce = || match backend.draws_nonces() {
                true => Nonce::drawn_by_backend(),
                false => Nonce::dangerous_from_bytes([9; 12]),
            };
            for plaintext in [&b""[..], b"Ada", b"ends in zeros\0\0", b"\x80\0"] {
                let mut out = b"before".to_vec();
                let padding = if suite.is_padded() { 40 - plaintext.len() } else { 0 };
                key.seal_padded_into(nonce(), b"aad", plaintext, padding, &mut out).unwrap();
                assert_eq!(out.len(), 6 + OVERHEAD + plaintext.len() + padding);
                let sealed = out.split_off(6);
                assert_eq!(open(&sealed, b"aad").unwrap().as_slice(), plaintext);

                let mut value = framed(plaintext, padding).unwrap();
                key.seal_framed(nonce(), b"aad", padding, &mut value).unwrap();
                assert!(backend.draws_nonces() || value == sealed);
                let parts = parse(&value).unwrap();
                let mut body = parts.body().to_vec();
                assert_eq!(key.open_body(&parts, b"aad", &mut body), Ok(plaintext.len()));
                assert_eq!(&body[..plaintext.len()], plaintext);

                for room in [0, 200] {
                    let mut buffer = plaintext.to_vec();
                    buffer.reserve_exact(room);
                    key.seal_in_place(nonce(), b"aad", padding, &mut buffer).unwrap();
                    assert!(backend.draws_nonces() || buffer == sealed);
                    assert_eq!(open(&buffer, b"aad").unwrap().as_slice(), plaintext);
                    key.open_in_place(b"aad", &mut buffer).unwrap();
                    assert_eq!(buffer, plaintext);
                }
            }
            let wrong = if suite.is_padded() { 0 } else { 1 };
            let mut out = b"before".to_vec();
            assert_eq!(key.seal_padded_into(nonce(), b"", b"x", wrong, &mut out), Err(SealError::TooLong));
            assert_eq!(key.seal_in_place(nonce(), b"", wrong, &mut out), Err(SealError::TooLong));
            assert_eq!(key.seal_in_place(nonce(), b"", MAX_PLAINTEXT + 1, &mut out), Err(SealError::TooLong));
            assert_eq!(out, b"before");
            let least = wrong ^ 1;
            for short in 0..OVERHEAD + least {
                let mut value = vec![1; short];
                assert_eq!(key.seal_framed(nonce(), b"", least, &mut value), Err(SealError::TooLong), "{short}");
                assert_eq!(value, vec![1; short], "{short}");
            }
            let framed = framed(b"x", 1).unwrap();
            for padding in [wrong, MAX_PLAINTEXT + 1, usize::MAX] {
                let mut value = framed.clone();
                assert_eq!(key.seal_framed(nonce(), b"", padding, &mut value), Err(SealError::TooLong));
                assert_eq!(value, framed);
            }
            // Whatever stood in the room, what is sealed opens.
            let mut value = [&[7; HEADER_LEN][..], b"Ada", &vec![9; least], &[7; TAG_LEN]].concat();
            key.seal_framed(nonce(), b"aad", least, &mut value).unwrap();
            assert_eq!(open(&value, b"aad").unwrap().as_slice(), b"Ada");
        }
    }

    #[test]
    fn a_padded_value_without_its_mark_is_refused() {
        // Sealed by whoever holds the key and does not keep to the format: the bytes are authentic and have no padding.
        let cipher = derive::expand(&[7; 32], Label::FIELD, &key_info(Suite::Aes256GcmPadded, &[3; 12]));
        let cipher = ring::aead::UnboundKey::new(&ring::aead::AES_256_GCM, cipher.as_slice()).unwrap();
        let cipher = ring::aead::LessSafeKey::new(cipher);
        for unmarked in [&b""[..], b"x", b"\0\0\0"] {
            let mut sealed = sealed(Suite::Aes256GcmPadded, b"")[..HEADER_LEN].to_vec();
            let nonce = sealed[HEADER_LEN - 12..].try_into().unwrap();
            let mut body = unmarked.to_vec();
            cipher
                .seal_in_place_append_tag(
                    ring::aead::Nonce::assume_unique_for_key(nonce),
                    ring::aead::Aad::from(b"aad"),
                    &mut body,
                )
                .unwrap();
            sealed.extend(body);
            assert!(open(&sealed, b"aad").is_none());
            let key = MessageKey::derive(&[7; 32], Label::FIELD, Suite::Aes256GcmPadded, [3; 12]);
            assert_eq!(key.open_in_place(b"aad", &mut sealed), Err(OpenError));
            assert!(sealed.is_empty());
        }
    }

    #[test]
    fn in_place_a_refused_value_leaves_nothing_behind() {
        let good = sealed(Suite::Aes256Gcm, b"secret");
        let key = MessageKey::derive(&[7; 32], Label::FIELD, Suite::Aes256Gcm, [3; 12]);
        let mut buffer = good.clone();
        assert_eq!(key.open_in_place(b"wrong", &mut buffer), Err(OpenError));
        assert!(buffer.is_empty());
        // What names another key was not touched.
        let other = MessageKey::derive(&[8; 32], Label::FIELD, Suite::Aes256Gcm, [3; 12]);
        let mut buffer = good.clone();
        assert_eq!(other.open_in_place(b"aad", &mut buffer), Err(OpenError));
        assert_eq!(buffer, good);
        buffer.truncate(56);
        assert_eq!(key.open_in_place(b"aad", &mut buffer), Err(OpenError));
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

        let mut body = parts.body().to_vec();
        assert_eq!(key.open_body(&parts, b"wrong", &mut body), Err(OpenError));
        assert_eq!(body, vec![0; parts.body().len()], "what was decrypted is gone");
        let other = MessageKey::derive(&[7; 32], Label::FIELD, parts.suite(), [4; 12]);
        let mut body = parts.body().to_vec();
        assert_eq!(other.open_body(&parts, b"aad", &mut body), Err(OpenError));
        assert_eq!(body, parts.body(), "what names another key is not touched");
        // Nor does a buffer without room grow for it, which would leave what it held behind.
        let mut full = b"before".to_vec();
        full.shrink_to_fit();
        let capacity = full.capacity();
        assert_eq!(other.open_into(&parts, b"aad", &mut full), Err(OpenError));
        assert_eq!((full.as_slice(), full.capacity()), (&b"before"[..], capacity));
    }

    #[test]
    fn what_is_too_long_is_refused_before_it_is_copied() {
        let key = MessageKey::derive(&[7; 32], Label::FIELD, Suite::Aes256Gcm, [3; 12]);
        let mut out = Vec::new();
        let long = vec![0; MAX_PLAINTEXT + 1];
        assert_eq!(key.seal_into(Nonce::random().unwrap(), b"", &long, &mut out), Err(SealError::TooLong));
        assert_eq!(framed(&long, 0), None);
        assert_eq!(framed(b"", MAX_PLAINTEXT + 1), None);
        assert_eq!(framed(b"", usize::MAX), None);
        for (plaintext, padding) in [(&long[1..], 0), (b"", MAX_PLAINTEXT)] {
            let length = framed(plaintext, padding).map(|value| value.len());
            assert_eq!(length, Some(MAX_PLAINTEXT + OVERHEAD), "as long as allowed");
        }
        assert!(key.seal(Nonce::random().unwrap(), b"", &long).is_err());
        assert_eq!(out.capacity(), 0);
    }

    #[test]
    fn a_nonce_is_one_for_the_backend_or_nothing_is_touched() {
        for backend in backend::all() {
            let key = message_key(backend, Suite::Aes256Gcm);
            assert_eq!(key.draws_nonces(), backend.draws_nonces());
            let (wrong, why) = match backend.draws_nonces() {
                true => (Nonce::random().unwrap(), SealError::NotApproved(backend::NotApproved::ChosenNonce)),
                false => (Nonce::drawn_by_backend(), SealError::NoNonce),
            };
            let again = || match backend.draws_nonces() {
                true => Nonce::random().unwrap(),
                false => Nonce::drawn_by_backend(),
            };
            let mut buffer = b"before".to_vec();
            assert_eq!(key.seal_in_place(wrong, b"", 0, &mut buffer), Err(why), "{backend:?}");
            assert_eq!(buffer, b"before");
            let mut value = framed(b"before", 0).unwrap();
            assert_eq!(key.seal_framed(again(), b"", 0, &mut value), Err(why), "{backend:?}");
            assert_eq!(value, framed(b"before", 0).unwrap());
            let values = [(); 2].map(|()| key.seal(Nonce::of(backend).unwrap(), b"", b"x").unwrap());
            assert_ne!(values[0], values[1], "{backend:?}");
        }
    }
}
