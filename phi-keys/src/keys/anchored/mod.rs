//! What the anchor knows, while a key manager runs.

mod record;

use core::cmp::Ordering;
use core::time::Duration;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use record::{Record, Revision};

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
    /// The highest generation that this process has made.
    reached: u64,
    shredded: HashMap<Slot, Vec<FullId>>,
    gone: HashSet<FullId>,
    /// How often older rows were accepted.
    accepted: u32,
    /// The newest row of each key that was noted. Of two with one number it is the one that was noted first: so whoever
    /// builds on an older row that was put back convinces nobody of it.
    noted: HashMap<KeyId, Revision>,
    /// Newer rows that this process wrote or read, and has not read from the anchor yet.
    seen: HashMap<KeyId, Revision>,
}

impl Anchored {
    /// Takes the records that were read from the anchor; refuses those that the root key did not authenticate.
    pub(super) fn new(anchor: Arc<dyn StoreAnchor>, records: &[Vec<u8>], mac_key: &MacKey) -> Result<Self, Error> {
        let (known, refreshing) = (RwLock::default(), tokio::sync::Mutex::default());
        let anchored = Self { anchor, mac_key: mac_key.clone(), known, refreshing };
        anchored.learn(records)?;
        Ok(anchored)
    }

    /// The highest generation that was noted, or made by this process.
    pub(super) fn mark(&self) -> u64 {
        let known = self.known();
        known.mark.max(known.reached)
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
        let place = self.known().compare(row);
        match place {
            Ordering::Less => Err(Error::RowOutdated { kind: row.kind, kid }),
            Ordering::Equal => Ok(()),
            Ordering::Greater => {
                self.known_mut().see(row);
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
            self.catch_up().await?;
            self.known_mut().at = now;
            // This process knows it in any case, and reading a key is not to fail because an anchor takes nothing for a while.
            let _not_yet = self.note_seen().await;
        }
        Ok(())
    }

    /// Before rows are replaced: learns what others noted, refuses rows that somebody has put back, and leaves nothing
    /// unnoted from before.
    pub(super) async fn may_replace<'r>(&self, mut rows: impl Iterator<Item = &'r KeyRow>) -> Result<(), Error> {
        {
            let _one = self.refreshing.lock().await;
            self.catch_up().await?;
        }
        rows.try_for_each(|row| self.check(row))?;
        self.note_seen().await
    }

    /// Notes a commit: the generation that it made, and rows that were put in the place of others. This process knows them
    /// from now on; what the anchor does not take is noted later, since the commit is done.
    pub(super) async fn committed<'r>(&self, generation: Option<u64>, rows: impl Iterator<Item = &'r KeyRow>) {
        let records = {
            let mut known = self.known_mut();
            known.reached = known.reached.max(generation.unwrap_or(0));
            let rows = rows.filter_map(|row| known.see(row)).collect();
            known.unnoted(rows)
        };
        let _later = self.note(&records).await;
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

    /// Notes the store's generation, unless a later one is noted.
    pub(super) async fn reached(&self, generation: u64) -> Result<(), Error> {
        let mark = self.known().mark;
        if mark >= generation { Ok(()) } else { self.note(&[(generation, Record::Mark)]).await }
    }

    /// Notes that older rows than are known are accepted for good; false when none are known that could be older.
    pub(super) async fn accept_older_rows(&self) -> Result<bool, Error> {
        self.catch_up().await?;
        let mark = {
            let known = self.known();
            if known.noted.is_empty() && known.seen.is_empty() {
                return Ok(false);
            }
            known.mark
        };
        self.note(&[(mark, Record::Accepted)]).await?;
        self.catch_up().await?;
        Ok(true)
    }

    /// Notes what this process knows and the anchor does not.
    pub(super) async fn note_seen(&self) -> Result<(), Error> {
        let records = {
            let known = self.known();
            known.unnoted(known.seen.iter().map(|(kid, revision)| (*kid, *revision)).collect())
        };
        self.note(&records).await
    }

    /// Learns what was noted since the last time.
    async fn catch_up(&self) -> Result<(), Error> {
        let from = self.known().read;
        let records = self.anchor.read(from).await.map_err(Error::Anchor)?;
        // Unless another task was faster.
        if self.known().read == from { self.learn(&records) } else { Ok(()) }
    }

    async fn note(&self, records: &[(u64, Record)]) -> Result<(), Error> {
        if records.is_empty() {
            return Ok(());
        }
        let mut lists = Vec::with_capacity(records.len());
        for (generation, record) in records {
            lists.extend(record::encode(&self.mac_key, *generation, record)?);
        }
        self.anchor.append(&lists).await.map_err(Error::Anchor)?;
        let mut known = self.known_mut();
        for (generation, record) in records {
            // What is said of revisions depends on what others have noted before it: it counts when it is read.
            if !matches!(record, Record::Replaced(..) | Record::Accepted) {
                known.apply(*generation, record);
            }
        }
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
                self.lose(ids);
            }
            Record::Destroyed(ids) => self.lose(ids),
            // From before an acceptance of which its writer did not know.
            Record::Replaced(accepted, _) if *accepted != self.accepted => {}
            Record::Replaced(_, rows) => {
                for (kid, revision) in rows {
                    let newest = self.noted.entry(*kid).or_insert(*revision);
                    if revision.number > newest.number {
                        *newest = *revision;
                    }
                    if self.seen.get(kid).is_some_and(|seen| seen.number <= revision.number) {
                        self.seen.remove(kid);
                    }
                }
            }
            Record::Accepted => {
                self.accepted = self.accepted.saturating_add(1);
                self.noted.clear();
                self.seen.clear();
            }
        }
    }

    fn lose(&mut self, ids: &[FullId]) {
        for id in ids {
            self.gone.insert(*id);
            // None of its rows is used any more.
            self.noted.remove(&id.kid());
            self.seen.remove(&id.kid());
        }
    }

    /// Whether a row is older than the newest one of its key that is known, that one, or newer.
    fn compare(&self, row: &KeyRow) -> Ordering {
        let Some(id) = row.full_id.filter(|id| !self.gone.contains(id)) else { return Ordering::Equal };
        let (kid, found) = (id.kid(), Revision::of(row));
        // What was seen is newer than what was noted.
        match self.seen.get(&kid).or_else(|| self.noted.get(&kid)) {
            // The first row of a key has no predecessor.
            None => found.number.cmp(&0),
            Some(known) if found.number == known.number && found.mac != known.mac => Ordering::Less,
            Some(known) => found.number.cmp(&known.number),
        }
    }

    /// Remembers a row that is newer than what is known.
    fn see(&mut self, row: &KeyRow) -> Option<(KeyId, Revision)> {
        if self.compare(row) != Ordering::Greater {
            return None;
        }
        let seen = (row.full_id?.kid(), Revision::of(row));
        self.seen.insert(seen.0, seen.1);
        Some(seen)
    }

    /// The records that lack.
    fn unnoted(&self, mut rows: Vec<(KeyId, Revision)>) -> Vec<(u64, Record)> {
        rows.sort_unstable();
        let mark = (self.reached > self.mark).then_some((self.reached, Record::Mark));
        let rows = (!rows.is_empty()).then(|| (self.mark.max(self.reached), Record::Replaced(self.accepted, rows)));
        mark.into_iter().chain(rows).collect()
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use phi_types::Timestamp;
    use zeroize::Zeroizing;

    use super::*;
    use crate::anchor::AnchorFuture;
    use crate::backend::Backend;
    use crate::derive::Label;
    use crate::scope::KeyUse;
    use crate::store::{KeyState, RowKind};

    /// Whatever was appended.
    #[derive(Debug, Default)]
    struct Shared(Mutex<Vec<Vec<u8>>>);

    impl StoreAnchor for Shared {
        fn read(&self, from: u64) -> AnchorFuture<'_, Vec<Vec<u8>>> {
            let records = self.0.lock().unwrap()[from.try_into().unwrap()..].to_vec();
            Box::pin(async { Ok(records) })
        }

        fn append<'a>(&'a self, records: &'a [Vec<u8>]) -> AnchorFuture<'a, ()> {
            self.0.lock().unwrap().extend_from_slice(records);
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
        let anchored = Anchored::new(Arc::new(Shared::default()), &records, &mac_key).unwrap();
        for record in &records {
            let (generation, read) = record::decode(&mac_key, record).unwrap();
            assert_eq!(record::encode(&mac_key, generation, &read).unwrap(), core::slice::from_ref(record));
        }
        assert_eq!((anchored.mark(), anchored.known().read), (9, 8));
        // One takes back what was noted before of rows, and the last one is of somebody who did not know that yet.
        let pattern = |start: u8| -> [u8; 16] { core::array::from_fn(|i| start + u8::try_from(i).unwrap()) };
        let noted = anchored.known().noted.iter().map(|(kid, revision)| (*kid, *revision)).collect::<Vec<_>>();
        let newest = Revision { number: 1 << 40, mac: *pattern(0x70).first_chunk().unwrap() };
        assert_eq!(noted, [(KeyId::from_bytes(pattern(0x60)), newest)]);
        let scope = core::array::from_fn(|i| u8::try_from(0x22 + i).unwrap());
        let slot = Slot::new("clinic é", KeyUse::Data, Some(scope));
        let shredded = anchored.shredded();
        assert_eq!((shredded.len(), shredded[0].0 == slot, shredded[0].1.len()), (1, true, 2));
        assert!(anchored.has_shredded(&slot) && shredded[0].1.iter().all(|id| anchored.is_gone(id)));
        assert!(record::decode(&mac_key, &records[0][..40]).is_none());
    }

    /// A process beside an anchor.
    fn beside(anchor: &Arc<Shared>) -> Anchored {
        let anchor: Arc<dyn StoreAnchor> = Arc::<Shared>::clone(anchor);
        Anchored::new(anchor, &[], &MacKey::new(Backend::ring(), Zeroizing::new([7; 32]))).unwrap()
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
        let rows = ids.iter().map(|id| (id.kid(), Revision { number: 7, mac: [8; 8] })).collect::<Vec<_>>();
        for record in [Record::Shredded(slot.clone(), ids.clone()), Record::Replaced(0, rows)] {
            let anchored = beside(&Arc::default());
            let records = record::encode(&anchored.mac_key, 3, &record).unwrap();
            assert_eq!(records.len(), 3);
            assert!(records.iter().all(|record| record.len() <= 1 << 20));
            anchored.learn(&records).unwrap();
            match record {
                Record::Shredded(..) => assert_eq!(anchored.shredded(), [(slot.clone(), ids.clone())]),
                _ => assert_eq!(anchored.known().noted.len(), ids.len()),
            }
        }
    }

    /// The row of a key in a revision, of which there may be two.
    fn row(revision: u64, fork: u8) -> KeyRow {
        let slot = Slot::new("clinic", KeyUse::Data, Some([1; 32]));
        let (state, at) = (KeyState::Active, Timestamp::UNIX_EPOCH);
        let mut row = KeyRow::new(RowKind::Data, slot, 1, Some(id(1)), None, state, at, Vec::new(), [fork; 32]);
        row.revision = revision;
        row
    }

    fn is_refused(anchored: &Anchored, row: &KeyRow) -> bool {
        match anchored.check(row) {
            Err(Error::RowOutdated { kind, kid }) => kind == row.kind && kid == id(1).kid(),
            other => {
                other.unwrap();
                false
            }
        }
    }

    #[tokio::test]
    async fn a_row_that_was_seen_in_a_newer_form_is_refused_in_an_older_one() {
        let anchor = Arc::default();
        let (one, other) = (beside(&anchor), beside(&anchor));
        let seen = |process: &Anchored| process.known().seen.values().map(|row| row.number).collect::<Vec<_>>();
        assert!(!is_refused(&one, &row(0, 0)));
        assert!(one.known().seen.is_empty(), "what was never replaced takes no room");
        assert!(!is_refused(&one, &row(2, 0)) && !is_refused(&one, &row(2, 0)));
        assert!(is_refused(&one, &row(1, 0)) && is_refused(&one, &row(2, 1)));
        assert_eq!(seen(&one), [2]);
        other.committed(None, [row(1, 0)].iter()).await;
        one.catch_up().await.unwrap();
        assert_eq!(seen(&one), [2], "what others noted is older");
        assert!(is_refused(&one, &row(1, 0)));
        other.committed(None, [row(2, 0)].iter()).await;
        one.catch_up().await.unwrap();
        assert!(seen(&one).is_empty(), "others have noted it");
        other.committed(None, [row(5, 0)].iter()).await;
        assert!(!is_refused(&one, &row(4, 0)), "it does not know better");
        let refused = one.may_replace([row(4, 0)].iter()).await;
        assert!(matches!(refused, Err(Error::RowOutdated { .. })), "it learns what others noted before it writes");
        one.committed(None, [row(6, 0), row(3, 0)].iter()).await;
        assert!(is_refused(&one, &row(5, 0)));
    }

    #[tokio::test]
    async fn who_builds_on_an_older_row_convinces_nobody() {
        let anchor = Arc::default();
        let [one, other, third] = [beside(&anchor), beside(&anchor), beside(&anchor)];
        one.committed(None, [row(1, 1)].iter()).await;
        // It was not told yet, and got the row from before.
        other.committed(None, [row(1, 2)].iter()).await;
        for process in [&one, &other, &third] {
            process.catch_up().await.unwrap();
            assert!(is_refused(process, &row(1, 2)) && !is_refused(process, &row(1, 1)));
        }
    }

    #[tokio::test]
    async fn what_is_known_of_rows_ends_with_an_acceptance_and_with_the_key() {
        let anchor = Arc::default();
        let (one, other) = (beside(&anchor), beside(&anchor));
        assert!(!one.accept_older_rows().await.unwrap(), "there is nothing that could be older");
        other.committed(None, [row(2, 0)].iter()).await;
        assert!(one.accept_older_rows().await.unwrap());
        assert!(!is_refused(&one, &row(0, 0)));
        one.committed(None, [row(1, 1)].iter()).await;
        // The other one does not know of it yet, and notes once more what it has seen before.
        other.note_seen().await.unwrap();
        for process in [&one, &other, &beside(&anchor)] {
            process.catch_up().await.unwrap();
            assert!(is_refused(process, &row(0, 0)) && is_refused(process, &row(1, 0)));
            assert!(!is_refused(process, &row(1, 1)));
        }
        one.destroyed(id(1), 0).await.unwrap();
        assert!(one.known().noted.is_empty() && !is_refused(&one, &row(0, 0)), "it is gone whatever its row says");
    }

    #[tokio::test]
    async fn a_generation_and_rows_are_noted_together_and_once() {
        let anchor = Arc::<Shared>::default();
        let one = beside(&anchor);
        one.committed(Some(3), [row(1, 0)].iter()).await;
        assert_eq!((anchor.0.lock().unwrap().len(), one.mark()), (2, 3));
        one.committed(Some(3), core::iter::empty()).await;
        one.catch_up().await.unwrap();
        one.note_seen().await.unwrap();
        assert_eq!(anchor.0.lock().unwrap().len(), 2);
    }
}
