//! Tink's AEAD of a keyset: no envelope and no KMS, so that this is the least that Tink costs.

use tink_core::{Aead, TinkError};

use super::Peer;
use crate::Result;
use crate::crypto::ours;

pub(in crate::crypto) struct Tink {
    aead: Box<dyn Aead>,
    /// The bytes that ours binds at the same place, made once.
    aad: Vec<u8>,
}

impl Tink {
    pub(in crate::crypto) fn new() -> Result<Self> {
        tink_aead::init();
        let text = |error: TinkError| format!("{error:?}");
        let keyset = tink_core::keyset::Handle::new(&tink_aead::aes256_gcm_key_template()).map_err(text)?;
        Ok(Self { aead: tink_aead::new(&keyset).map_err(text)?, aad: ours::aad()? })
    }
}

impl Peer for Tink {
    const NAME: &'static str = "tink-aead";
    const PACKAGE: &'static str = "tink-aead";
    const NOTES: &'static str = "one keyset for all patients, no envelope; binds the context's bytes, which were encoded \
                                 before; commits to no key, streams in another crate; random nonce";

    type Stored = Vec<u8>;

    fn seal(&self, plaintext: &[u8]) -> Vec<u8> {
        self.aead.encrypt(plaintext, &self.aad).expect("a key of the keyset")
    }

    fn open(&self, stored: &Vec<u8>) -> Vec<u8> {
        self.aead.decrypt(stored, &self.aad).expect("what was sealed opens")
    }
}
