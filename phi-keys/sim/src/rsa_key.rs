//! RSA-OAEP with SHA-256, for Azure's RSA keys and Transit's `rsa-*` types.

use std::sync::OnceLock;

use rsa::pkcs8::{EncodePublicKey, LineEnding};
use rsa::rand_core::OsRng;
use rsa::sha2::Sha256;
use rsa::traits::PublicKeyParts;
use rsa::{Oaep, RsaPrivateKey};

/// A key that is generated when it is first used: finding primes takes most of a second in a debug build, and many
/// tests never need them.
#[derive(Debug)]
pub(crate) struct RsaKey {
    bits: usize,
    key: OnceLock<RsaPrivateKey>,
}

impl RsaKey {
    pub(crate) const fn new(bits: usize) -> Self {
        Self { bits, key: OnceLock::new() }
    }

    fn key(&self) -> Option<&RsaPrivateKey> {
        if let Some(key) = self.key.get() {
            return Some(key);
        }
        let fresh = RsaPrivateKey::new(&mut OsRng, self.bits).ok()?;
        Some(self.key.get_or_init(|| fresh))
    }

    /// Modulus and public exponent, big-endian.
    pub(crate) fn public(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let key = self.key()?;
        Some((key.n().to_bytes_be(), key.e().to_bytes_be()))
    }

    /// The public key as PEM.
    pub(crate) fn public_pem(&self) -> Option<String> {
        self.key()?.to_public_key().to_public_key_pem(LineEnding::LF).ok()
    }

    pub(crate) fn wrap(&self, plaintext: &[u8]) -> Option<Vec<u8>> {
        self.key()?.to_public_key().encrypt(&mut OsRng, Oaep::new::<Sha256>(), plaintext).ok()
    }

    pub(crate) fn unwrap(&self, wrapped: &[u8]) -> Option<Vec<u8>> {
        self.key()?.decrypt_blinded(&mut OsRng, Oaep::new::<Sha256>(), wrapped).ok()
    }
}
