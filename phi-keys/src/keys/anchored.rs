//! What the anchor knows, while a key manager runs.

use core::time::Duration;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use subtle::ConstantTimeEq;

use super::handle::Gate;
use crate::anchor::StoreAnchor;
use crate::backend::MacKey;
use crate::error::Error;
use crate::id::FullId;
use crate::scope::KeyUse;
use crate::store::Slot;
use crate::tlv::{self, Writer};

/// The domain of a record.
const RECORD_DOMAIN: &str = "phi/anchor/v1";
/// The longest list of full ids in one record.
const IDS: usize = 16_384;

/// An anchor with what was read of it.
pub(super) struct Anchored {
    anchor: Arc<dyn StoreAnchor>,
    mac_key: MacKey,
    known: RwLock<Known>,
    refreshing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Known {
    /// How many records were read.
    read: u64,
    /// When, in monotonic time.
    at: Duration,
    /// The highest generation that was noted.
    mark: u64,
    shredded: HashMap<Slot, Vec<FullId>>,
    gone: HashSet<FullId>,
}

/// What a record says.
enum Record {
    /// The store had this generation.
    Mark,
    /// A scope was shredded, with these keys.
    Shredded(Slot, Vec<FullId>),
    /// Keys were destroyed that belong to no shredded scope.
    Destroyed(Vec<FullId>),
}

impl Anchored {
    /// Takes the records that were read from the anchor; refuses those that the root key did not authenticate.
    pub(super) fn new(anchor: Arc<dyn StoreAnchor>, records: &[Vec<u8>], mac_key: &MacKey) -> Result<Self, Error> {
        let (known, refreshing) = (RwLock::default(), tokio::sync::Mutex::default());
        let anchored = Self { anchor, mac_key: mac_key.clone(), known, refreshing };
        anchored.learn(records)?;
        Ok(anchored)
    }

    /// The highest generation that was noted.
    pub(super) fn mark(&self) -> u64 {
        self.known().mark
    }

    pub(super) fn has_shredded(&self, slot: &Slot) -> bool {
        self.known().shredded.contains_key(slot)
    }

    /// Whether a key was shredded or destroyed.
    pub(super) fn is_gone(&self, full_id: &FullId) -> bool {
        self.known().gone.contains(full_id)
    }

    /// Every scope that was shredded.
    pub(super) fn shredded(&self) -> Vec<(Slot, Vec<FullId>)> {
        self.known().shredded.iter().map(|(slot, ids)| (slot.clone(), ids.clone())).collect()
    }

    /// Learns what others noted, at most once in a lease: so another process's shred is known within one.
    pub(super) async fn refresh(&self, gate: &Gate) -> Result<(), Error> {
        let now = gate.clock.monotonic();
        let is_due = || now.saturating_sub(self.known().at) >= gate.lease;
        if !is_due() {
            return Ok(());
        }
        let _one = self.refreshing.lock().await;
        if is_due() {
            let from = self.known().read;
            let records = self.anchor.read(from).await.map_err(Error::Anchor)?;
            self.learn(&records)?;
            self.known_mut().at = now;
        }
        Ok(())
    }

    /// Notes that a scope is being shredded. Known from now on, whatever becomes of the store.
    pub(super) async fn shredding(&self, slot: &Slot, ids: &[FullId], generation: u64) -> Result<(), Error> {
        let known = {
            let known = self.known();
            known.shredded.get(slot).is_some_and(|known| ids.iter().all(|id| known.contains(id)))
        };
        if known {
            return Ok(());
        }
        self.note(&[(generation, Record::Shredded(slot.clone(), ids.to_vec()))]).await
    }

    /// Notes several scopes at once.
    pub(super) async fn were_shredded(&self, scopes: Vec<(Slot, Vec<FullId>)>, generation: u64) -> Result<(), Error> {
        let records = scopes.into_iter().map(|(slot, ids)| (generation, Record::Shredded(slot, ids)));
        self.note(&records.collect::<Vec<_>>()).await
    }

    /// Notes that a key is being destroyed.
    pub(super) async fn destroyed(&self, id: FullId, generation: u64) -> Result<(), Error> {
        if self.is_gone(&id) { Ok(()) } else { self.note(&[(generation, Record::Destroyed(vec![id]))]).await }
    }

    /// Notes the store's generation, unless a later one is known.
    pub(super) async fn reached(&self, generation: u64) -> Result<(), Error> {
        if self.mark() >= generation { Ok(()) } else { self.note(&[(generation, Record::Mark)]).await }
    }

    async fn note(&self, records: &[(u64, Record)]) -> Result<(), Error> {
        let mut lists = Vec::with_capacity(records.len());
        for (generation, record) in records {
            lists.extend(self.encode(*generation, record)?);
        }
        self.anchor.append(&lists).await.map_err(Error::Anchor)?;
        let mut known = self.known_mut();
        records.iter().for_each(|(generation, record)| known.apply(*generation, record));
        Ok(())
    }

    fn learn(&self, records: &[Vec<u8>]) -> Result<(), Error> {
        let mut known = self.known_mut();
        for record in records {
            let (generation, record) = self.decode(record).ok_or(Error::AnchorRejected)?;
            known.apply(generation, &record);
            known.read += 1;
        }
        Ok(())
    }

    /// One record, or several when there are very many keys.
    fn encode(&self, generation: u64, record: &Record) -> Result<Vec<Vec<u8>>, Error> {
        let (kind, slot, ids) = match record {
            Record::Mark => (1, None, &[][..]),
            Record::Shredded(slot, ids) => (2, Some(slot), ids.as_slice()),
            Record::Destroyed(ids) => (3, None, ids.as_slice()),
        };
        let parts: Vec<&[FullId]> = if ids.is_empty() { vec![&[]] } else { ids.chunks(IDS).collect() };
        let one = |ids: &[FullId]| {
            let mut list = Writer::new(RECORD_DOMAIN);
            list.field(1, &[kind])?;
            list.field(2, &generation.to_be_bytes())?;
            if let Some(slot) = slot {
                list.field(3, slot.tenant.as_bytes())?;
                list.field(4, &[slot.key_use.code()])?;
                list.field(5, slot.scope_bytes())?;
            }
            if kind != 1 {
                list.field(6, &ids.iter().flat_map(|id| *id.as_bytes()).collect::<Vec<_>>())?;
            }
            let mut record = list.finish();
            let mac = self.mac_key.mac(&record);
            record.extend_from_slice(&mac);
            Ok(record)
        };
        parts.into_iter().map(one).collect()
    }

    fn decode(&self, record: &[u8]) -> Option<(u64, Record)> {
        let (list, mac) = record.split_last_chunk::<32>()?;
        if !bool::from(self.mac_key.mac(list).ct_eq(mac)) {
            return None;
        }
        let fields = tlv::read(RECORD_DOMAIN, list)?;
        let ids = |bytes: &[u8]| match bytes.as_chunks() {
            (ids, []) => Some(ids.iter().map(|id| FullId::from_bytes(*id)).collect()),
            _ => None,
        };
        let (generation, record) = match fields.as_slice() {
            [(1, [1]), (2, generation)] => (generation, Record::Mark),
            [(1, [2]), (2, generation), (3, tenant), (4, [key_use]), (5, scope), (6, keys)] => {
                let scope = (*scope).try_into().ok()?;
                let slot = Slot::new(core::str::from_utf8(tenant).ok()?, KeyUse::from_code(*key_use)?, Some(scope));
                (generation, Record::Shredded(slot, ids(keys)?))
            }
            [(1, [3]), (2, generation), (6, keys)] => (generation, Record::Destroyed(ids(keys)?)),
            _ => return None,
        };
        Some((u64::from_be_bytes((*generation).try_into().ok()?), record))
    }

    // Each change leaves the sets consistent before anything could panic, so a poisoned lock is still sound.
    fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_mut(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn apply(&mut self, generation: u64, record: &Record) {
        self.mark = self.mark.max(generation);
        match record {
            Record::Mark => {}
            Record::Shredded(slot, ids) => {
                let known = self.shredded.entry(slot.clone()).or_default();
                known.extend(ids);
                known.sort_unstable();
                known.dedup();
                self.gone.extend(ids);
            }
            Record::Destroyed(ids) => self.gone.extend(ids),
        }
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::anchor::AnchorFuture;
    use crate::backend::Backend;
    use crate::derive::Label;

    #[derive(Debug)]
    struct Nowhere;

    impl StoreAnchor for Nowhere {
        fn read(&self, _: u64) -> AnchorFuture<'_, Vec<Vec<u8>>> {
            Box::pin(async { Ok(Vec::new()) })
        }

        fn append<'a>(&'a self, _: &'a [Vec<u8>]) -> AnchorFuture<'a, ()> {
            Box::pin(async { Ok(()) })
        }
    }

    fn unhex(value: &serde_json::Value) -> Vec<u8> {
        let text = value.as_str().unwrap();
        (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
    }

    #[test]
    fn records_are_those_of_the_vectors() {
        crate::backend::all().into_iter().for_each(check_records);
    }

    fn check_records(backend: Backend) {
        let vectors: serde_json::Value = serde_json::from_str(include_str!("../../tests/vectors/v1.json")).unwrap();
        let case = &vectors["anchor"];
        let root: [u8; 32] = unhex(&case["root"]).try_into().unwrap();
        let mac_key = MacKey::new(backend, backend.expand(&root, Label::ANCHOR, &[]));
        assert_eq!(mac_key.as_bytes(), unhex(&case["mac_key"]));
        let records = case["records"].as_array().unwrap().iter().map(unhex).collect::<Vec<_>>();
        let anchored = Anchored::new(Arc::new(Nowhere), &records, &mac_key).unwrap();
        for record in &records {
            let (generation, read) = anchored.decode(record).unwrap();
            assert_eq!(anchored.encode(generation, &read).unwrap(), core::slice::from_ref(record));
        }
        assert_eq!((anchored.mark(), anchored.known().read), (9, 4));
        let scope = core::array::from_fn(|i| u8::try_from(0x22 + i).unwrap());
        let slot = Slot::new("clinic é", KeyUse::Data, Some(scope));
        let shredded = anchored.shredded();
        assert_eq!((shredded.len(), shredded[0].0 == slot, shredded[0].1.len()), (1, true, 2));
        assert!(anchored.has_shredded(&slot) && shredded[0].1.iter().all(|id| anchored.is_gone(id)));
        assert!(anchored.decode(&records[0][..40]).is_none());
    }

    #[test]
    fn very_many_keys_take_several_records() {
        let anchored =
            Anchored::new(Arc::new(Nowhere), &[], &MacKey::new(Backend::ring(), Zeroizing::new([7; 32]))).unwrap();
        let id = |number: usize| {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&number.to_be_bytes());
            FullId::from_bytes(id)
        };
        let slot = Slot::new("clinic", KeyUse::Data, Some([1; 32]));
        let ids = (0..2 * IDS + 1).map(id).collect::<Vec<_>>();
        let records = anchored.encode(3, &Record::Shredded(slot.clone(), ids.clone())).unwrap();
        assert_eq!(records.len(), 3);
        assert!(records.iter().all(|record| record.len() <= 1 << 20));
        anchored.learn(&records).unwrap();
        assert_eq!(anchored.shredded(), [(slot, ids)]);
    }
}
