//! Nonces that cannot be used twice by mistake.

use core::fmt;

use ring::hmac;

use super::NONCE_LEN;
use super::padding::MARK;
use crate::backend::Backend;
use crate::derive::KEY_LEN;
use crate::random::NoRandomness;

/// One nonce of 96 bits. It is consumed by the message that it seals and cannot be copied.
///
/// Held as numbers, which are handed on in registers: an array is written to memory and read back at each step of the way to
/// the cipher, which waits for it.
#[derive(Debug)]
pub struct Nonce {
    /// The first eight bytes, in the order of memory.
    first: u64,
    last: u32,
    /// Whether the backend draws it, and the bytes mean nothing.
    is_left: bool,
}

impl Nonce {
    /// A nonce from the operating system's randomness.
    ///
    /// # Errors
    /// [`NoRandomness`] when the operating system gives none.
    pub fn random() -> Result<Self, NoRandomness> {
        Backend::ring().bytes().map(Self::dangerous_from_bytes)
    }

    /// A fresh nonce for a key on a backend: random, and drawn by the backend itself where it wants that.
    ///
    /// # Errors
    /// [`NoRandomness`] when there is none.
    pub fn of(backend: Backend) -> Result<Self, NoRandomness> {
        if backend.draws_nonces() {
            Ok(Self::drawn_by_backend())
        } else {
            backend.bytes().map(Self::dangerous_from_bytes)
        }
    }

    /// Leaves the nonce to the key's backend; refused by a backend that [draws none](Backend::draws_nonces).
    #[inline]
    #[must_use]
    pub const fn drawn_by_backend() -> Self {
        Self { first: 0, last: 0, is_left: true }
    }

    /// A nonce that the caller vouches for. Two messages under one key and one nonce give away both and the
    /// authentication key with them.
    ///
    /// Meant for published test vectors and for nonces that are a MAC over the message itself.
    #[inline]
    #[must_use]
    pub const fn dangerous_from_bytes(bytes: [u8; NONCE_LEN]) -> Self {
        let [a, b, c, d, e, f, g, h, last @ ..] = bytes;
        let first = u64::from_ne_bytes([a, b, c, d, e, f, g, h]);
        Self { first, last: u32::from_ne_bytes(last), is_left: false }
    }

    /// Whether it is left to the backend.
    #[inline]
    pub(crate) const fn is_left(&self) -> bool {
        self.is_left
    }

    /// Zeros where the backend draws it.
    #[inline]
    pub(crate) const fn into_bytes(self) -> [u8; NONCE_LEN] {
        let ([a, b, c, d, e, f, g, h], [i, j, k, l]) = (self.first.to_ne_bytes(), self.last.to_ne_bytes());
        [a, b, c, d, e, f, g, h, i, j, k, l]
    }
}

/// A run of nonces for messages that are sealed in one call: a random start, then counting modulo 2^96.
///
/// Fix every message before the run is drawn. A process that is cloned within the call then repeats the same messages
/// under the same nonces, which shows an attacker nothing new.
#[derive(Debug)]
pub struct NonceRun(u128);

impl NonceRun {
    /// A run with a random start.
    ///
    /// # Errors
    /// [`NoRandomness`] when the operating system gives none.
    pub fn random() -> Result<Self, NoRandomness> {
        Backend::ring().bytes().map(Self::dangerous_from_start)
    }

    /// The next `count` nonces as a run of their own, for a thread of their own.
    #[must_use]
    pub fn split_off(&mut self, count: usize) -> Self {
        let run = Self(self.0);
        // Two lengths of memory fit into 128 bits.
        self.0 = self.0.wrapping_add(count as u128) & (u128::MAX >> 32);
        run
    }

    /// A run that begins at a number that the caller drew at random, or replays in a test.
    #[must_use]
    pub const fn dangerous_from_start(start: [u8; 12]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = start;
        Self(u128::from_be_bytes([0, 0, 0, 0, a, b, c, d, e, f, g, h, i, j, k, l]))
    }

    /// The next nonce. A run repeats itself after 2^96 nonces only.
    #[inline]
    #[must_use]
    pub fn draw(&mut self) -> Nonce {
        let [_, _, _, _, bytes @ ..] = self.0.to_be_bytes();
        self.0 = self.0.wrapping_add(1) & (u128::MAX >> 32);
        Nonce::dangerous_from_bytes(bytes)
    }
}

/// Random bytes that a hedged nonce takes in.
pub const HEDGE_LEN: usize = 32;

/// Makes nonces of random bytes *and* of the message, for hosts whose randomness may repeat: a virtual machine that is
/// restored from a memory snapshot, or cloned.
///
/// `nonce = first 96 bits of HMAC-SHA-256(nonce key, random ‖ associated data ‖ plaintext with its padding)`. Where the
/// random bytes repeat, a nonce repeats for the same message only, and then the whole value is the same.
pub struct NonceKey(hmac::Key);

impl NonceKey {
    /// The nonce key that was derived with [`Label::NONCE`](crate::derive::Label::NONCE) beside a message key.
    #[must_use]
    pub fn from_derived(key: &[u8; KEY_LEN]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The nonce of one message. `aad` must say where it ends, as an encoded list of fields does.
    #[must_use]
    pub fn nonce(&self, random: &[u8; HEDGE_LEN], aad: &[u8], plaintext: &[u8], padding: usize) -> Nonce {
        let mut mac = hmac::Context::with_key(&self.0);
        [random, aad, plaintext].into_iter().for_each(|part| mac.update(part));
        if padding > 0 {
            mac.update(&[MARK]);
            let mut zeros = padding - 1;
            while zeros > 0 {
                let chunk = [0; 64];
                let some = chunk.get(..zeros).unwrap_or(&chunk);
                mac.update(some);
                zeros -= some.len();
            }
        }
        let tag = mac.sign();
        let mut nonce = [0; 12];
        // A tag has 32 bytes, so every byte of the nonce is taken from it.
        nonce.iter_mut().zip(tag.as_ref()).for_each(|(place, byte)| *place = *byte);
        Nonce::dangerous_from_bytes(nonce)
    }
}

impl fmt::Debug for NonceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NonceKey([key])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_counts_modulo_2_to_the_96() {
        let mut run = NonceRun((1 << 96) - 1);
        assert_eq!(run.draw().into_bytes(), [0xff; 12]);
        assert_eq!(run.draw().into_bytes(), [0; 12]);
        assert_eq!(run.draw().into_bytes(), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn parts_of_a_run_are_the_run() {
        let start = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfd];
        let (mut whole, mut parted) = (NonceRun::dangerous_from_start(start), NonceRun::dangerous_from_start(start));
        for count in [2, 0, 5, 1] {
            let mut part = parted.split_off(count);
            for _ in 0..count {
                assert_eq!(part.draw().into_bytes(), whole.draw().into_bytes());
            }
        }
    }

    #[test]
    fn every_bit_of_a_message_enters_its_hedged_nonce() {
        let key = NonceKey::from_derived(&[7; 32]);
        let base = key.nonce(&[1; 32], b"context", b"plaintext", 3).into_bytes();
        assert_eq!(key.nonce(&[1; 32], b"context", b"plaintext", 3).into_bytes(), base);
        for other in [
            NonceKey::from_derived(&[8; 32]).nonce(&[1; 32], b"context", b"plaintext", 3),
            key.nonce(&[2; 32], b"context", b"plaintext", 3),
            key.nonce(&[1; 32], b"contexu", b"plaintext", 3),
            key.nonce(&[1; 32], b"context", b"plaintexu", 3),
            key.nonce(&[1; 32], b"context", b"plaintext", 0),
            key.nonce(&[1; 32], b"context", b"plaintext", 4),
            key.nonce(&[1; 32], b"context", b"plaintext", 200),
        ] {
            assert_ne!(other.into_bytes(), base);
        }
        let spelt_out = [&[1; 32][..], b"context", b"plaintext\x80\0\0"].concat();
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]), &spelt_out);
        assert_eq!(base, tag.as_ref()[..12]);
    }
}
