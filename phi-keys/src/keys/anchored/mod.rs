//! What the anchor knows, while a key manager runs.

mod record;

use core::cmp::Ordering;
use core::time::Duration;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use record::Record;

use super::handle::Gate;
use crate::anchor::StoreAnchor;
use crate::backend::MacKey;
use crate::error::Error;
use crate::id::{FullId, KeyId};
use crate::store::{KeyRow, Slot};

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
    /// The highest revision of each key's row that was noted or seen; absent while it is the first one.
    revisions: HashMap<KeyId, u64>,
    /// Those that were seen and are not noted yet.
    seen: HashMap<KeyId, u64>,
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

    /// Refuses an authentic row that is older than one in its place was, and remembers one that is newer.
    pub(super) fn check(&self, row: &KeyRow) -> Result<(), Error> {
        let Some(kid) = row.full_id.map(|id| id.kid()) else { return Ok(()) };
        let newest = self.known().revisions.get(&kid).copied().unwrap_or(0);
        match row.revision.cmp(&newest) {
            Ordering::Less => Err(Error::RowOutdated(row.kind)),
            Ordering::Equal => Ok(()),
            Ordering::Greater => {
                self.known_mut().saw(kid, row.revision);
                Ok(())
            }
        }
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
            // Who replaced those rows has noted it, or was killed before. This process knows it in any case, and reading a key
            // is not to fail because an anchor takes nothing for a while.
            let _not_yet = self.note_seen().await;
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

    /// Notes rows that were put in the place of others. Known from now on, even when the anchor takes nothing.
    pub(super) async fn replaced(&self, rows: impl Iterator<Item = &KeyRow>) -> Result<(), Error> {
        {
            let mut known = self.known_mut();
            rows.for_each(|row| row.full_id.iter().for_each(|id| known.saw(id.kid(), row.revision)));
        }
        self.note_seen().await
    }

    /// Notes that older rows than were known are accepted for good.
    pub(super) async fn accept_older_rows(&self) -> Result<(), Error> {
        let (none, mark) = (self.known().revisions.is_empty(), self.mark());
        if none { Ok(()) } else { self.note(&[(mark, Record::Accepted)]).await }
    }

    /// Notes the rows that were seen to be newer than the anchor says.
    pub(super) async fn note_seen(&self) -> Result<(), Error> {
        let (mark, mut rows) = {
            let known = self.known();
            (known.mark, known.seen.iter().map(|(kid, revision)| (*kid, *revision)).collect::<Vec<_>>())
        };
        rows.sort_unstable();
        if rows.is_empty() { Ok(()) } else { self.note(&[(mark, Record::Replaced(rows))]).await }
    }

    async fn note(&self, records: &[(u64, Record)]) -> Result<(), Error> {
        let mut lists = Vec::with_capacity(records.len());
        for (generation, record) in records {
            lists.extend(record::encode(&self.mac_key, *generation, record)?);
        }
        self.anchor.append(&lists).await.map_err(Error::Anchor)?;
        let mut known = self.known_mut();
        records.iter().for_each(|(generation, record)| known.apply(*generation, record));
        Ok(())
    }

    fn learn(&self, records: &[Vec<u8>]) -> Result<(), Error> {
        let mut known = self.known_mut();
        for record in records {
            let (generation, record) = record::decode(&self.mac_key, record).ok_or(Error::AnchorRejected)?;
            known.apply(generation, &record);
            known.read += 1;
        }
        Ok(())
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
            Record::Replaced(rows) => {
                for (kid, revision) in rows {
                    if self.seen.get(kid).is_some_and(|seen| seen <= revision) {
                        self.seen.remove(kid);
                    }
                    let newest = self.revisions.entry(*kid).or_default();
                    *newest = (*newest).max(*revision);
                }
            }
            Record::Accepted => {
                self.revisions.clear();
                self.seen.clear();
            }
        }
    }

    fn saw(&mut self, kid: KeyId, revision: u64) {
        let newest = self.revisions.entry(kid).or_default();
        if revision > *newest {
            *newest = revision;
            self.seen.insert(kid, revision);
        }
    }
}

#[cfg(test)]
mod tests {
    use phi_types::Timestamp;
    use zeroize::Zeroizing;

    use super::*;
    use crate::anchor::AnchorFuture;
    use crate::backend::Backend;
    use crate::derive::Label;
    use crate::scope::KeyUse;
    use crate::store::{KeyState, RowKind};

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
        let vectors: serde_json::Value = serde_json::from_str(include_str!("../../../tests/vectors/v1.json")).unwrap();
        let case = &vectors["anchor"];
        let root: [u8; 32] = unhex(&case["root"]).try_into().unwrap();
        let mac_key = MacKey::new(backend, backend.expand(&root, Label::ANCHOR, &[]));
        assert_eq!(mac_key.as_bytes(), unhex(&case["mac_key"]));
        let records = case["records"].as_array().unwrap().iter().map(unhex).collect::<Vec<_>>();
        let anchored = Anchored::new(Arc::new(Nowhere), &records, &mac_key).unwrap();
        for record in &records {
            let (generation, read) = record::decode(&mac_key, record).unwrap();
            assert_eq!(record::encode(&mac_key, generation, &read).unwrap(), core::slice::from_ref(record));
        }
        assert_eq!((anchored.mark(), anchored.known().read), (9, 7));
        // The last one but one takes back what was noted before of rows.
        let revisions = anchored.known().revisions.iter().map(|(kid, revision)| (*kid, *revision)).collect::<Vec<_>>();
        assert_eq!(
            revisions,
            [(KeyId::from_bytes(core::array::from_fn(|i| u8::try_from(0x60 + i).unwrap())), 1 << 40)]
        );
        let scope = core::array::from_fn(|i| u8::try_from(0x22 + i).unwrap());
        let slot = Slot::new("clinic é", KeyUse::Data, Some(scope));
        let shredded = anchored.shredded();
        assert_eq!((shredded.len(), shredded[0].0 == slot, shredded[0].1.len()), (1, true, 2));
        assert!(anchored.has_shredded(&slot) && shredded[0].1.iter().all(|id| anchored.is_gone(id)));
        assert!(record::decode(&mac_key, &records[0][..40]).is_none());
    }

    fn anchored() -> Anchored {
        Anchored::new(Arc::new(Nowhere), &[], &MacKey::new(Backend::ring(), Zeroizing::new([7; 32]))).unwrap()
    }

    fn id(number: usize) -> FullId {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&number.to_be_bytes());
        FullId::from_bytes(id)
    }

    #[test]
    fn very_many_keys_take_several_records() {
        let slot = Slot::new("clinic", KeyUse::Data, Some([1; 32]));
        let ids = (0..2 * record::KEYS + 1).map(id).collect::<Vec<_>>();
        let rows = ids.iter().map(|id| (id.kid(), 7)).collect::<Vec<_>>();
        for record in [Record::Shredded(slot.clone(), ids.clone()), Record::Replaced(rows)] {
            let anchored = anchored();
            let records = record::encode(&anchored.mac_key, 3, &record).unwrap();
            assert_eq!(records.len(), 3);
            assert!(records.iter().all(|record| record.len() <= 1 << 20));
            anchored.learn(&records).unwrap();
            match record {
                Record::Shredded(..) => assert_eq!(anchored.shredded(), [(slot.clone(), ids.clone())]),
                _ => assert_eq!(anchored.known().revisions.len(), ids.len()),
            }
        }
    }

    fn row(revision: u64) -> KeyRow {
        let slot = Slot::new("clinic", KeyUse::Data, Some([1; 32]));
        let mut row = KeyRow::new(
            RowKind::Data,
            slot,
            1,
            Some(id(1)),
            None,
            KeyState::Active,
            Timestamp::UNIX_EPOCH,
            Vec::new(),
            [0; 32],
        );
        row.revision = revision;
        row
    }

    #[tokio::test]
    async fn a_row_that_was_seen_in_a_newer_form_is_refused_in_an_older_one_until_that_is_accepted() {
        let anchored = anchored();
        let noted = |revision| {
            let record = Record::Replaced(vec![(id(1).kid(), revision)]);
            anchored.learn(&record::encode(&anchored.mac_key, 0, &record).unwrap()).unwrap();
        };
        let seen = || anchored.known().seen.values().copied().collect::<Vec<_>>();
        anchored.check(&row(0)).unwrap();
        assert_eq!(anchored.known().revisions.len(), 0, "what was never replaced takes no room");
        anchored.check(&row(2)).unwrap();
        anchored.check(&row(2)).unwrap();
        assert!(matches!(anchored.check(&row(1)), Err(Error::RowOutdated(RowKind::Data))));
        assert_eq!(seen(), [2]);
        noted(1);
        assert_eq!(seen(), [2], "what others noted is older");
        assert!(matches!(anchored.check(&row(1)), Err(Error::RowOutdated(RowKind::Data))));
        noted(2);
        assert!(seen().is_empty(), "others have noted it");
        noted(5);
        assert!(matches!(anchored.check(&row(4)), Err(Error::RowOutdated(RowKind::Data))));
        anchored.replaced([row(6), row(3)].iter()).await.unwrap();
        assert!(seen().is_empty());
        assert!(matches!(anchored.check(&row(5)), Err(Error::RowOutdated(RowKind::Data))));
        anchored.accept_older_rows().await.unwrap();
        anchored.check(&row(0)).unwrap();
    }
}
