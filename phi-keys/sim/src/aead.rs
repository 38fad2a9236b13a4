//! AEAD under `nonce ‖ ciphertext ‖ tag`, the layout Transit uses and the other two hide.

use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

use crate::env::Env;

pub(crate) const NONCE: usize = 12;
pub(crate) const TAG: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aead {
    Aes128Gcm,
    Aes256Gcm,
    ChaCha20Poly1305,
}

impl Aead {
    fn algorithm(self) -> &'static Algorithm {
        match self {
            Self::Aes128Gcm => &AES_128_GCM,
            Self::Aes256Gcm => &AES_256_GCM,
            Self::ChaCha20Poly1305 => &CHACHA20_POLY1305,
        }
    }

    pub(crate) fn key_len(self) -> usize {
        self.algorithm().key_len()
    }

    fn key(self, key: &[u8]) -> Option<LessSafeKey> {
        UnboundKey::new(self.algorithm(), key).ok().map(LessSafeKey::new)
    }

    /// Seals under a fresh random nonce.
    pub(crate) fn seal(self, env: &Env, key: &[u8], aad: &[u8], plaintext: &[u8]) -> Option<Vec<u8>> {
        let nonce: [u8; NONCE] = env.bytes()?;
        let mut sealed = plaintext.to_vec();
        self.key(key)?
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut sealed)
            .ok()?;
        let mut whole = nonce.to_vec();
        whole.append(&mut sealed);
        Some(whole)
    }

    /// Opens; `None` for anything that is not authentic.
    pub(crate) fn open(self, key: &[u8], aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, rest) = sealed.split_at_checked(NONCE)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut rest = rest.to_vec();
        let len = self.key(key)?.open_in_place(nonce, Aad::from(aad), &mut rest).ok()?.len();
        rest.truncate(len);
        Some(rest)
    }
}
