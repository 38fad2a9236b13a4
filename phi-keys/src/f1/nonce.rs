//! Nonces that cannot be used twice by mistake.

use crate::random::{self, NoRandomness};

/// One nonce of 96 bits. It is consumed by the message that it seals and cannot be copied.
#[derive(Debug)]
pub struct Nonce([u8; 12]);

impl Nonce {
    /// A nonce from the operating system's randomness.
    ///
    /// # Errors
    /// [`NoRandomness`] when the operating system gives none.
    pub fn random() -> Result<Self, NoRandomness> {
        random::bytes().map(Self)
    }

    /// A nonce that the caller vouches for. Two messages under one key and one nonce give away both and the
    /// authentication key with them.
    ///
    /// Meant for published test vectors and for nonces that are a MAC over the message itself.
    #[must_use]
    pub const fn dangerous_from_bytes(bytes: [u8; 12]) -> Self {
        Self(bytes)
    }

    pub(super) const fn into_bytes(self) -> [u8; 12] {
        self.0
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
        let [a, b, c, d, e, f, g, h, i, j, k, l] = random::bytes()?;
        Ok(Self(u128::from_be_bytes([0, 0, 0, 0, a, b, c, d, e, f, g, h, i, j, k, l])))
    }

    /// The next nonce. A run repeats itself after 2^96 nonces only.
    #[must_use]
    pub fn draw(&mut self) -> Nonce {
        let [_, _, _, _, bytes @ ..] = self.0.to_be_bytes();
        self.0 = self.0.wrapping_add(1) & (u128::MAX >> 32);
        Nonce(bytes)
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
}
