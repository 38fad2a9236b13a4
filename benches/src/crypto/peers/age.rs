//! age: a small message to one X25519 recipient.

use age::x25519::{Identity, Recipient};

use super::Peer;

pub(in crate::crypto) struct Age {
    identity: Identity,
    recipient: Recipient,
}

impl Age {
    pub(in crate::crypto) fn new() -> Self {
        let identity = Identity::generate();
        let recipient = identity.to_public();
        Self { identity, recipient }
    }
}

impl Peer for Age {
    const NAME: &'static str = "age";
    const PACKAGE: &'static str = "age";
    const NOTES: &'static str = "ChaCha20-Poly1305, X25519 recipient; binds nothing, commits to its key in the header \
                                 only, streams; a random file key for each value";

    type Stored = Vec<u8>;

    fn seal(&self, plaintext: &[u8]) -> Vec<u8> {
        age::encrypt(&self.recipient, plaintext).expect("a recipient")
    }

    fn open(&self, stored: &Vec<u8>) -> Vec<u8> {
        age::decrypt(&self.identity, stored).expect("what was sealed opens")
    }
}
