//! Randomness of the operating system, the only source of keys, salts and nonces.

use core::fmt;

use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

/// Fresh random bytes that are not secret, such as a salt or a nonce.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut out = [0; N];
    SystemRandom::new().fill(&mut out).map_err(|_| NoRandomness)?;
    Ok(out)
}

/// A fresh random key.
pub(crate) fn key() -> Result<Zeroizing<[u8; 32]>, NoRandomness> {
    let mut out = Zeroizing::new([0; 32]);
    SystemRandom::new().fill(out.as_mut_slice()).map_err(|_| NoRandomness)?;
    Ok(out)
}

/// The operating system gave no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct NoRandomness;

impl fmt::Display for NoRandomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the operating system gave no random bytes: check that getrandom or /dev/urandom works here")
    }
}

impl core::error::Error for NoRandomness {}
