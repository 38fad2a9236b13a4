//! Orion's sealed box under one key.

use orion::aead::{self, SecretKey};

use super::Peer;
use crate::Result;

pub(in crate::crypto) struct Orion(SecretKey);

impl Orion {
    pub(in crate::crypto) fn new() -> Result<Self> {
        Ok(Self(SecretKey::generate().map_err(|error| error.to_string())?))
    }
}

impl Peer for Orion {
    const NAME: &'static str = "orion";
    const PACKAGE: &'static str = "orion";
    const NOTES: &'static str = "XChaCha20-Poly1305, one key, no envelope; binds nothing, commits to no key, streams in \
                                 another function; random 192-bit nonce";

    type Stored = Vec<u8>;

    fn seal(&self, plaintext: &[u8]) -> Vec<u8> {
        aead::seal(&self.0, plaintext).expect("some bytes")
    }

    fn open(&self, stored: &Vec<u8>) -> Vec<u8> {
        aead::open(&self.0, stored).expect("what was sealed opens")
    }
}
