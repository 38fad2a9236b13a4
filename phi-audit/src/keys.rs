//! The keys that a log works with, held no longer than their lease.

use std::sync::{Arc, PoisonError, RwLock};

use phi_keys::derive::Label;
use phi_keys::{DomainKey, KeyUse, Keys};
use ring::hmac;

use crate::entry::Pseudonyms;
use crate::{Error, WriterId};

/// HMAC key of the pseudonyms, out of the audit domain key.
const PSEUDONYM: Label = Label::new("phi/v1/audit-pseudonym");
/// HMAC key of one writer's pending rows, out of the audit domain key; the info is the writer's id.
const WRITER: Label = Label::new("phi/v1/audit-writer");

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
}
