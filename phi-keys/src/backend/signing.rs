//! Ed25519 (RFC 8032, FIPS 186-5): signing only. Signatures are verified by *ring*.

use ring::signature::{Ed25519KeyPair, KeyPair as _};

#[cfg(feature = "fips")]
use super::fips;
use super::{Backend, Which};
use crate::signer::SignError;

/// A private key on one backend.
pub(crate) struct Ed25519Key(Pair);

enum Pair {
    Ring(Ed25519KeyPair),
    #[cfg(feature = "fips")]
    Fips(fips::Ed25519Key),
}

impl Ed25519Key {
    pub(crate) fn from_seed(backend: Backend, seed: &[u8; 32]) -> Self {
        Self(match backend.0 {
            #[expect(clippy::expect_used, reason = "fails only for a wrong seed length, and a seed has 32 bytes")]
            Which::Ring => Pair::Ring(Ed25519KeyPair::from_seed_unchecked(seed).expect("a seed of 32 bytes")),
            #[cfg(feature = "fips")]
            Which::Fips => Pair::Fips(fips::Ed25519Key::from_seed(seed)),
        })
    }

    pub(crate) fn public_key(&self) -> [u8; 32] {
        let mut public_key = [0; 32];
        // An Ed25519 public key has 32 bytes.
        match &self.0 {
            Pair::Ring(pair) => public_key.copy_from_slice(pair.public_key().as_ref()),
            #[cfg(feature = "fips")]
            Pair::Fips(pair) => public_key.copy_from_slice(pair.public_key()),
        }
        public_key
    }

    /// Ed25519 signs any message; a module may still give no signature, when it has no memory or is in its error state.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        let mut signature = [0; 64];
        // An Ed25519 signature has 64 bytes.
        match &self.0 {
            Pair::Ring(pair) => signature.copy_from_slice(pair.sign(message).as_ref()),
            #[cfg(feature = "fips")]
            Pair::Fips(pair) => signature.copy_from_slice(pair.sign(message).map_err(SignError::new)?.as_ref()),
        }
        Ok(signature)
    }
}
