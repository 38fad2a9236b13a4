//! RSA-OAEP with SHA-256, for Azure's RSA keys and Transit's `rsa-*` types.

use rsa::rand_core::OsRng;
use rsa::sha2::Sha256;
use rsa::traits::PublicKeyParts;
use rsa::{Oaep, RsaPrivateKey};

#[derive(Debug)]
pub(crate) struct RsaKey(RsaPrivateKey);

impl RsaKey {
    pub(crate) fn generate(bits: usize) -> Option<Self> {
        RsaPrivateKey::new(&mut OsRng, bits).ok().map(Self)
    }

    /// Modulus and public exponent, big-endian.
    pub(crate) fn public(&self) -> (Vec<u8>, Vec<u8>) {
        (self.0.n().to_bytes_be(), self.0.e().to_bytes_be())
    }

    pub(crate) fn wrap(&self, plaintext: &[u8]) -> Option<Vec<u8>> {
        self.0.to_public_key().encrypt(&mut OsRng, Oaep::new::<Sha256>(), plaintext).ok()
    }

    pub(crate) fn unwrap(&self, wrapped: &[u8]) -> Option<Vec<u8>> {
        self.0.decrypt_blinded(&mut OsRng, Oaep::new::<Sha256>(), wrapped).ok()
    }
}
