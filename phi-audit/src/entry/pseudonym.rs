//! Names under which a patient stays recognisable in the log without being named.

use core::fmt;

use phi_types::{Actor, SubjectId};
use ring::hmac;

use crate::hash::write_hex;

/// HMAC-SHA-256 of an id under a key of the audit domain.
///
/// It is still PHI: whoever holds the key can test guesses, and equal pseudonyms are the same patient. `Debug` prints it
/// because it appears in the log in this form anyway.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pseudonym([u8; 32]);

impl Pseudonym {
    /// A pseudonym from storage.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pseudonym({self})")
    }
}

/// The key of the pseudonyms and its id.
pub(crate) struct Pseudonyms {
    epoch: [u8; 16],
    key: hmac::Key,
}

impl Pseudonyms {
    pub(crate) fn new(epoch: [u8; 16], key: &[u8; 32]) -> Self {
        Self { epoch, key: hmac::Key::new(hmac::HMAC_SHA256, key) }
    }

    pub(crate) const fn epoch(&self) -> &[u8; 16] {
        &self.epoch
    }

    pub(crate) fn subject(&self, subject: &SubjectId) -> Pseudonym {
        self.over(b"subject", &[subject.expose().as_bytes()])
    }

    pub(crate) fn actor(&self, actor: &Actor) -> Pseudonym {
        self.over(b"actor", &[actor.kind().as_str().as_bytes(), actor.id().as_bytes()])
    }

    pub(crate) fn resource(&self, kind: &str, id: &str) -> Pseudonym {
        self.over(b"resource", &[kind.as_bytes(), id.as_bytes()])
    }

    /// Each part is preceded by its length, so that no part can take bytes from its neighbour.
    fn over(&self, label: &[u8], parts: &[&[u8]]) -> Pseudonym {
        let mut context = hmac::Context::with_key(&self.key);
        for part in core::iter::once(&label).chain(parts) {
            // Ids and names in memory are far below 2^64 bytes, so the length never saturates.
            context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(part);
        }
        let mut bytes = [0; 32];
        for (to, from) in bytes.iter_mut().zip(context.sign().as_ref()) {
            *to = *from;
        }
        Pseudonym(bytes)
    }
}

impl fmt::Debug for Pseudonyms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pseudonyms").finish_non_exhaustive()
    }
}
