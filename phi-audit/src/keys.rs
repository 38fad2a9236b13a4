//! The keys that a log works with, held no longer than their lease.

use std::sync::{Arc, PoisonError, RwLock};

use phi_keys::derive::Label;
use phi_keys::{DomainKey, KeyUse, Keys};
use ring::hmac;

use crate::entry::Pseudonyms;
use crate::{Error, Hash, Head, WriterId};

/// HMAC key of the pseudonyms, out of the audit domain key.
const PSEUDONYM: Label = Label::new("phi/v1/audit-pseudonym");
/// HMAC key of one writer's pending rows, out of the audit domain key; the info is the writer's id.
const WRITER: Label = Label::new("phi/v1/audit-writer");
/// HMAC key of a log's head, out of the audit domain key; the info is the origin.
const HEAD: Label = Label::new("phi/v1/audit-head");

/// Gives out the current keys, renewing the lease when it has ended.
#[derive(Debug)]
pub(crate) struct AuditKeys {
    keys: Keys,
    current: RwLock<Option<Arc<Current>>>,
}

/// Keys under one lease.
#[derive(Debug)]
pub(crate) struct Current {
    domain: DomainKey,
    pub(crate) pseudonyms: Pseudonyms,
}

impl AuditKeys {
    pub(crate) const fn new(keys: Keys) -> Self {
        Self { keys, current: RwLock::new(None) }
    }

    pub(crate) async fn current(&self) -> Result<Arc<Current>, Error> {
        if let Some(current) = &*self.current.read().unwrap_or_else(PoisonError::into_inner)
            && current.domain.is_live()
        {
            return Ok(Arc::clone(current));
        }
        let domain = self.keys.domain_key(KeyUse::Audit).await?;
        let key = domain.derive(PSEUDONYM, &[]).map_err(|_| Error::KeyChanged)?;
        let pseudonyms = Pseudonyms::new(*domain.kid().as_bytes(), &key);
        let current = Arc::new(Current { domain, pseudonyms });
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&current));
        Ok(current)
    }
}

impl Current {
    pub(crate) const fn epoch(&self) -> &[u8; 16] {
        self.pseudonyms.epoch()
    }

    pub(crate) fn writer_key(&self, writer: &WriterId) -> Result<WriterKey, Error> {
        let key = self.domain.derive(WRITER, writer.as_bytes()).map_err(|_| Error::KeyChanged)?;
        Ok(WriterKey::new(&key))
    }

    pub(crate) fn head_key(&self, origin: &str) -> Result<HeadKey, Error> {
        let key = self.domain.derive(HEAD, origin.as_bytes()).map_err(|_| Error::KeyChanged)?;
        Ok(HeadKey(hmac::Key::new(hmac::HMAC_SHA256, &*key)))
    }
}

/// Proves that a tree was made by a process that holds the audit domain key: only such a process checks who wrote the
/// entries that go into it.
#[derive(Debug)]
pub(crate) struct HeadKey(hmac::Key);

/// Keeps these MACs apart from every other use of HMAC.
const HEAD_DOMAIN: &[u8] = b"phi-audit/head/v1";

impl HeadKey {
    pub(crate) fn mac(&self, size: u64, root: &Hash) -> [u8; 32] {
        let mut mac = [0; 32];
        for (to, from) in mac.iter_mut().zip(hmac::sign(&self.0, &head_message(size, root)).as_ref()) {
            *to = *from;
        }
        mac
    }

    /// In constant time.
    pub(crate) fn verify(&self, head: &Head) -> bool {
        hmac::verify(&self.0, &head_message(head.size, &head.root), &head.mac).is_ok()
    }
}

fn head_message(size: u64, root: &Hash) -> Vec<u8> {
    [HEAD_DOMAIN, &size.to_be_bytes(), root.as_bytes()].concat()
}

/// Proves that a pending row comes from a process that holds the audit domain key.
#[derive(Debug, Clone)]
pub(crate) struct WriterKey(hmac::Key);

/// Keeps these MACs apart from every other use of HMAC.
const DOMAIN: &[u8] = b"phi-audit/pending/v1";

impl WriterKey {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    pub(crate) fn mac(&self, writer: &WriterId, sequence: u64, entry: &[u8]) -> Vec<u8> {
        hmac::sign(&self.0, &message(writer, sequence, entry)).as_ref().to_vec()
    }

    /// In constant time.
    pub(crate) fn verify(&self, writer: &WriterId, sequence: u64, entry: &[u8], mac: &[u8]) -> bool {
        hmac::verify(&self.0, &message(writer, sequence, entry), mac).is_ok()
    }
}

/// Everything before the entry has a fixed length, so no boundary can move.
fn message(writer: &WriterId, sequence: u64, entry: &[u8]) -> Vec<u8> {
    [DOMAIN, writer.as_bytes(), &sequence.to_be_bytes(), entry].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mac_notices_every_flipped_bit_and_every_moved_boundary() {
        let key = WriterKey::new(&[1; 32]);
        let (writer, sequence, entry) = (WriterId::from_bytes([2; 16]), 3, b"the bytes of an entry");
        let mac = key.mac(&writer, sequence, entry);
        assert!(key.verify(&writer, sequence, entry, &mac));
        let flip = |bytes: &[u8], bit: usize| {
            let mut changed = bytes.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            changed
        };
        for bit in 0..128 {
            let other = WriterId::from_bytes(flip(writer.as_bytes(), bit).try_into().unwrap());
            assert!(!key.verify(&other, sequence, entry, &mac));
        }
        for bit in 0..64 {
            assert!(!key.verify(&writer, sequence ^ (1 << bit), entry, &mac));
        }
        for bit in 0..entry.len() * 8 {
            assert!(!key.verify(&writer, sequence, &flip(entry, bit), &mac));
        }
        for bit in 0..mac.len() * 8 {
            assert!(!key.verify(&writer, sequence, entry, &flip(&mac, bit)));
        }
        assert!(!key.verify(&writer, sequence, entry, &mac[..31]));
        assert!(!key.verify(&writer, sequence, &entry[1..], &mac));
        let other = WriterKey::new(&[4; 32]);
        assert!(!other.verify(&writer, sequence, entry, &mac));
    }

    #[test]
    fn the_mac_of_a_head_notices_every_flipped_bit() {
        let key = HeadKey(hmac::Key::new(hmac::HMAC_SHA256, &[1; 32]));
        let (size, root) = (300, Hash::leaf(b"root"));
        let mac = key.mac(size, &root);
        assert!(key.verify(&Head::new(size, root, 7, mac)));
        for bit in 0..64 {
            assert!(!key.verify(&Head::new(size ^ (1 << bit), root, 7, mac)));
        }
        for bit in 0..256 {
            let flip = |bytes: &[u8; 32]| {
                let mut changed = *bytes;
                changed[bit / 8] ^= 1 << (bit % 8);
                changed
            };
            assert!(!key.verify(&Head::new(size, Hash::from_bytes(flip(root.as_bytes())), 7, mac)));
            assert!(!key.verify(&Head::new(size, root, 7, flip(&mac))));
        }
        assert!(!HeadKey(hmac::Key::new(hmac::HMAC_SHA256, &[2; 32])).verify(&Head::new(size, root, 7, mac)));
    }
}
