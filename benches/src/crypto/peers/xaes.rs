//! XAES-256-GCM of RustCrypto under one key: a key for each message, derived from half of a long random nonce.

use xaes_256_gcm::Xaes256Gcm;
use xaes_256_gcm::aead::{Aead as _, AeadInOut as _, Generate as _, Key, KeyInit as _, Nonce, Payload};

use super::Peer;
use crate::Result;
use crate::crypto::ours;

pub(in crate::crypto) struct Xaes {
    cipher: Xaes256Gcm,
    /// The bytes that ours binds at the same place, made once.
    aad: Vec<u8>,
}

/// The bytes of its nonce, which go before the ciphertext.
const NONCE: usize = 24;

impl Xaes {
    pub(in crate::crypto) fn new() -> Result<Self> {
        Ok(Self { cipher: Xaes256Gcm::new(&Key::<Xaes256Gcm>::generate()), aad: ours::aad()? })
    }
}

impl Peer for Xaes {
    const NAME: &'static str = "xaes-256-gcm";
    const PACKAGE: &'static str = "xaes-256-gcm";
    const NOTES: &'static str = "RustCrypto, one key, no envelope; binds the context's bytes, which were encoded before; \
                                 commits to no key, streams in another crate; random 192-bit nonce";

    type Stored = Vec<u8>;

    fn seal(&self, plaintext: &[u8]) -> Vec<u8> {
        let nonce = Nonce::<Xaes256Gcm>::generate();
        let mut stored = Vec::with_capacity(NONCE + plaintext.len() + 16);
        stored.extend_from_slice(&nonce);
        stored.extend_from_slice(plaintext);
        let buffer = (&mut stored[NONCE..]).into();
        let tag = self.cipher.encrypt_inout_detached(&nonce, &self.aad, buffer).expect("far from the length limit");
        stored.extend_from_slice(&tag);
        stored
    }

    fn open(&self, stored: &Vec<u8>) -> Vec<u8> {
        let (nonce, sealed) = stored.split_at(NONCE);
        let nonce = Nonce::<Xaes256Gcm>::try_from(nonce).expect("24 bytes");
        self.cipher.decrypt(&nonce, Payload { msg: sealed, aad: &self.aad }).expect("what was sealed opens")
    }
}
