//! Sealing and opening under one message key.

use core::fmt;

use zeroize::{Zeroize, Zeroizing};

use super::padding::{MARK, pad, unpadded_len};
use super::{
    HEADER_LEN, MAX_PLAINTEXT, NAME_LEN, NONCE_LEN, Nonce, OVERHEAD, OpenError, Parts, SALT_LEN, SealError, Suite,
    TAG_LEN, key_info, parse,
};
use crate::backend::{AeadKey, Backend, NotApproved};
use crate::derive::{self, KEY_LEN, Label};
use crate::id::KeyId;

/// A cipher under one message key, with what the header says about it.
///
/// The backend does not wipe its key schedule when this is dropped.
pub struct MessageKey {
    cipher: AeadKey,
    suite: Suite,
    kid: KeyId,
    salt: [u8; SALT_LEN],
    /// What each of its values begins with.
    name: [u8; NAME_LEN],
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
    pub fn from_derived(message_key: &[u8; KEY_LEN], kid: KeyId, suite: Suite, salt: [u8; SALT_LEN]) -> Self {
        Self::assemble(AeadKey::on_ring(suite, message_key), kid, suite, salt)
    }

    /// As [`derive`](Self::derive), on a backend.
    ///
    /// # Errors
    /// [`NotApproved`] when the backend does not have the cipher of the suite.
    pub fn derive_on(
        backend: Backend,
        key: &[u8; KEY_LEN],
        label: Label,
        suite: Suite,
        salt: [u8; SALT_LEN],
    ) -> Result<Self, NotApproved> {
        let message_key = backend.expand(key, label, &key_info(suite, &salt));
        Self::from_derived_on(backend, &message_key, backend.full_id(key).kid(), suite, salt)
    }

    /// As [`from_derived`](Self::from_derived), on a backend.
    ///
    /// # Errors
    /// [`NotApproved`] when the backend does not have the cipher of the suite.
    pub fn from_derived_on(
        backend: Backend,
        message_key: &[u8; KEY_LEN],
        kid: KeyId,
        suite: Suite,
        salt: [u8; SALT_LEN],
    ) -> Result<Self, NotApproved> {
        Ok(Self::assemble(AeadKey::new(backend, suite, message_key)?, kid, suite, salt))
    }

    fn assemble(cipher: AeadKey, kid: KeyId, suite: Suite, salt: [u8; SALT_LEN]) -> Self {
        Self { cipher, suite, kid, salt, name: name(suite, kid, &salt) }
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

    /// The suite that the message key was derived for.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// Whether the backend draws the nonces, so that each is to be [left to it](Nonce::drawn_by_backend).
    #[inline]
    #[must_use]
    pub const fn draws_nonces(&self) -> bool {
        self.cipher.draws_nonces()
    }

    /// Seals one plaintext, with the least padding that the suite has.
    ///
    /// # Errors
    /// [`SealError`] when the plaintext is longer than [`MAX_PLAINTEXT`], or the nonce is not one for this backend.
    pub fn seal(&self, nonce: Nonce, aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut out = Vec::new();
        self.seal_into(nonce, aad, plaintext, &mut out)?;
        Ok(out)
    }

    /// Seals one plaintext behind what `out` holds already, with the least padding that the suite has. Allocates only
    /// when `out` lacks room.
    ///
    /// # Errors
    /// [`SealError`] when the plaintext is longer than [`MAX_PLAINTEXT`], or the nonce is not one for this backend; `out` is
    /// then as it was.
    pub fn seal_into(&self, nonce: Nonce, aad: &[u8], plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        self.seal_padded_into(nonce, aad, plaintext, self.suite.least_padding(), out)
    }

    /// As [`seal_into`](Self::seal_into), with `padding` bytes of padding: at least one under a padded suite, none under
    /// another.
    ///
    /// # Errors
    /// [`SealError`] when the plaintext or the padding is longer than [`MAX_PLAINTEXT`], the suite does not have such padding,
    /// the nonce is not one for this backend, or the cipher failed; `out` is then as it was.
    #[inline]
    pub fn seal_padded_into(
        &self,
        nonce: Nonce,
        aad: &[u8],
        plaintext: &[u8],
        padding: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), SealError> {
        self.admit(&nonce, plaintext.len(), padding)?;
        let start = out.len();
        // One reservation, so that no plaintext is left behind in memory that a growing vector gave back.
        out.reserve(OVERHEAD + plaintext.len() + padding);
        out.extend_from_slice(&self.name);
        out.extend_from_slice(&nonce.into_bytes());
        out.extend_from_slice(plaintext);
        pad(out, padding);
        out.extend_from_slice(&[0; TAG_LEN]);
        let sealed = self.encrypt(aad, out.get_mut(start..).unwrap_or_default());
        if sealed.is_err() {
            out.truncate(start);
        }
        sealed
    }

    /// Seals the plaintext that stands in `value` behind room for a header, and before room for `padding` bytes of padding and
    /// a tag, in its place; what stands in that room is overwritten.
    ///
    /// # Errors
    /// As [`seal_padded_into`](Self::seal_padded_into), and [`SealError::TooLong`] where `value` lacks the room. `value` is
    /// then as it was; with [`SealError::Cipher`] it is zeros, because the attempt has overwritten the plaintext.
    #[inline]
    pub fn seal_framed(&self, nonce: Nonce, aad: &[u8], padding: usize, value: &mut [u8]) -> Result<(), SealError> {
        let length = padding.checked_add(OVERHEAD).and_then(|room| value.len().checked_sub(room));
        let length = length.ok_or(SealError::TooLong)?;
        self.admit(&nonce, length, padding)?;
        if padding > 0
            && let Some(room) = value.get_mut(HEADER_LEN + length..)
        {
            room.fill(0);
            room.iter_mut().take(1).for_each(|mark| *mark = MARK);
        }
        if let Some((name, rest)) = value.split_first_chunk_mut()
            && let Some(place) = rest.first_chunk_mut()
        {
            (*name, *place) = (self.name, nonce.into_bytes());
        }
        self.encrypt(aad, value)
    }

    /// Turns the plaintext that `buffer` holds into its sealed value. Allocates only when `buffer` lacks room for
    /// [`OVERHEAD`] and padding; what it held before is wiped then.
    ///
    /// # Errors
    /// As [`seal_padded_into`](Self::seal_padded_into). `buffer` is then as it was; with [`SealError::Cipher`] it is empty,
    /// because the attempt has overwritten the plaintext.
    pub fn seal_in_place(
        &self,
        nonce: Nonce,
        aad: &[u8],
        padding: usize,
        buffer: &mut Vec<u8>,
    ) -> Result<(), SealError> {
        let length = buffer.len();
        self.admit(&nonce, length, padding)?;
        let needed = OVERHEAD + length + padding;
        if buffer.capacity() < needed {
            let mut grown = Vec::with_capacity(needed);
            grown.extend_from_slice(buffer);
            buffer.zeroize();
            *buffer = grown;
        }
        // The plaintext moves up by a header, which overwrites what it leaves in front; padding and tag overwrite the rest.
        buffer.resize(needed, 0);
        buffer.copy_within(..length, HEADER_LEN);
        let sealed = self.seal_framed(nonce, aad, padding, buffer);
        if sealed.is_err() {
            buffer.clear();
        }
        sealed
    }

    /// Opens one value.
    ///
    /// # Errors
    /// [`OpenError`], which says nothing more, when the value was sealed by another key or under other associated data,
    /// or was altered.
    pub fn open(&self, parts: &Parts<'_>, aad: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let mut out = Zeroizing::new(parts.body().to_vec());
        let length = self.open_body(parts, aad, &mut out)?;
        out.truncate(length);
        Ok(out)
    }

    /// Opens one value and puts the plaintext behind what `out` holds already. Needs room for the tag as well, and
    /// allocates only when `out` lacks it.
    ///
    /// # Errors
    /// As [`open`](Self::open); `out` is then as it was.
    pub fn open_into(&self, parts: &Parts<'_>, aad: &[u8], out: &mut Vec<u8>) -> Result<(), OpenError> {
        if !self.is_named_by(parts) {
            return Err(OpenError);
        }
        let start = out.len();
        out.extend_from_slice(parts.body());
        let opened = self.open_named_body(parts, aad, out.get_mut(start..).unwrap_or_default());
        out.truncate(start + opened.unwrap_or(0));
        opened.map(drop)
    }

    /// Opens one value of which `body` is a copy of the [body](Parts::body): how long the plaintext is, which then stands
    /// at its front, with nothing but padding and the tag behind it.
    ///
    /// # Errors
    /// As [`open`](Self::open); `body` is then zeros where the attempt has overwritten it.
    #[inline]
    pub fn open_body(&self, parts: &Parts<'_>, aad: &[u8], body: &mut [u8]) -> Result<usize, OpenError> {
        if !self.is_named_by(parts) {
            return Err(OpenError);
        }
        self.open_named_body(parts, aad, body)
    }

    /// As [`open_body`](Self::open_body), of a value that the caller has seen to be [named](Self::is_named_by) by this key.
    /// Where it is not, what the header says would not be proved by opening it.
    ///
    /// # Errors
    /// As [`open_body`](Self::open_body).
    ///
    /// # Panics
    /// In a build with debug assertions, where the value is not named by this key.
    #[inline]
    pub fn open_named_body(&self, parts: &Parts<'_>, aad: &[u8], body: &mut [u8]) -> Result<usize, OpenError> {
        debug_assert!(self.is_named_by(parts), "the key is looked up by the name");
        let opened = self.decrypt(parts.nonce(), aad, 0, body);
        if opened.is_none() {
            body.zeroize();
        }
        opened.ok_or(OpenError)
    }

    /// Turns the sealed value that `buffer` holds into its plaintext. Never allocates.
    ///
    /// # Errors
    /// As [`open`](Self::open). When the cipher refuses, `buffer` is empty: it was overwritten by the attempt.
    pub fn open_in_place(&self, aad: &[u8], buffer: &mut Vec<u8>) -> Result<(), OpenError> {
        let parts = parse(buffer).map_err(|_| OpenError)?;
        if !self.is_named_by(&parts) {
            return Err(OpenError);
        }
        let nonce = parts.nonce();
        match self.decrypt(nonce, aad, HEADER_LEN, buffer) {
            Some(length) => {
                buffer.truncate(length);
                Ok(())
            }
            None => {
                wipe(buffer, 0);
                Err(OpenError)
            }
        }
    }

    /// Whether a value names this message key: its suite, kid and salt are those of the key.
    #[must_use]
    #[inline]
    pub fn is_named_by(&self, parts: &Parts<'_>) -> bool {
        *parts.name() == self.name
    }

    /// Refuses what cannot be sealed, before anything is written.
    #[inline]
    fn admit(&self, nonce: &Nonce, length: usize, padding: usize) -> Result<(), SealError> {
        let fits = length <= MAX_PLAINTEXT && padding <= MAX_PLAINTEXT;
        if !fits || self.suite.is_padded() != (padding > 0) {
            return Err(SealError::TooLong);
        }
        match (nonce.is_left(), self.draws_nonces()) {
            (false, false) | (true, true) => Ok(()),
            (false, true) => Err(SealError::NotApproved(NotApproved::ChosenNonce)),
            (true, false) => Err(SealError::NoNonce),
        }
    }

    /// Encrypts what stands in a value between its header and its tag, under the nonce in the header, which a backend that
    /// draws nonces replaces, and writes the tag. The value is zeros where that fails.
    #[inline]
    fn encrypt(&self, aad: &[u8], value: &mut [u8]) -> Result<(), SealError> {
        let done = match split(value.get_mut(NAME_LEN..).unwrap_or_default()) {
            Some((nonce, message, tag)) => self.cipher.encrypt(nonce, aad, message, tag),
            // Never: the caller has laid out a header and a tag.
            None => Err(SealError::Cipher),
        };
        if done.is_err() {
            value.zeroize();
        }
        done
    }

    /// Decrypts ciphertext and tag, which stand in `bytes` from `from` on, to the front of `bytes`: the length of the
    /// plaintext.
    #[inline]
    fn decrypt(&self, nonce: [u8; NONCE_LEN], aad: &[u8], from: usize, bytes: &mut [u8]) -> Option<usize> {
        let plaintext = self.cipher.open(nonce, aad, bytes, from)?;
        if self.suite.is_padded() { unpadded_len(plaintext) } else { Some(plaintext.len()) }
    }
}

/// What values of a message key begin with: `suite ‖ kid ‖ salt`.
fn name(suite: Suite, kid: KeyId, salt: &[u8; SALT_LEN]) -> [u8; NAME_LEN] {
    let parts = [suite.byte()].into_iter().chain(*kid.as_bytes()).chain(*salt);
    let mut name = [0; NAME_LEN];
    name.iter_mut().zip(parts).for_each(|(place, byte)| *place = byte);
    name
}

/// The nonce, the body and the place of the tag.
#[inline]
fn split(value: &mut [u8]) -> Option<(&mut [u8; NONCE_LEN], &mut [u8], &mut [u8; TAG_LEN])> {
    let (nonce, rest) = value.split_first_chunk_mut()?;
    let (body, tag) = rest.split_last_chunk_mut()?;
    Some((nonce, body, tag))
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
