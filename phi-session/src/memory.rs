//! Sessions in this process's memory: for tests and for services that accept losing every session at a restart.
//!
//! ```
//! use phi_session::{MemorySessionStore, SessionStore};
//!
//! assert!(MemorySessionStore::new().in_process());
//! ```

use core::array;
use core::fmt;
use core::hash::{BuildHasherDefault, Hasher};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use phi_types::{Actor, Timestamp};

use crate::store::{LIST_LIMIT, REPORT_GRACE, StoreFuture, expiry};
use crate::{
    PublicId, Rotated, Row, Selector, SessionStore, Stamp, StoreError, Stored, Swept, TokenHash, Tombstone, Touched,
};

const SHARDS: usize = 16;

/// A session store in memory.
///
/// Reads and touches lock one of 16 shards; whatever creates, rotates or ends a session also holds the one index lock,
/// always taken first.
pub struct MemorySessionStore {
    shards: [RwLock<Shard>; SHARDS],
    index: Mutex<Index>,
}

type Shard = HashMap<TokenHash, Entry, BuildHasherDefault<HashPrefix>>;

#[derive(Default)]
struct Index {
    by_id: HashMap<PublicId, TokenHash>,
    /// Each user's sessions, the oldest first.
    by_user: HashMap<Actor, BTreeSet<(Timestamp, PublicId)>>,
}

impl Index {
    fn insert(&mut self, row: &Row) {
        self.by_id.insert(row.public_id, row.token_hash);
        match self.by_user.get_mut(&row.user) {
            Some(ids) => ids.insert((row.created, row.public_id)),
            None => self.by_user.entry(row.user.clone()).or_default().insert((row.created, row.public_id)),
        };
    }

    fn remove(&mut self, row: &Row) {
        self.by_id.remove(&row.public_id);
        if let Some(ids) = self.by_user.get_mut(&row.user) {
            ids.remove(&(row.created, row.public_id));
            if ids.is_empty() {
                self.by_user.remove(&row.user);
            }
        }
    }

    /// The token hashes that a selector may mean.
    fn hashes(&self, selector: &Selector) -> Vec<TokenHash> {
        match selector {
            Selector::One(id) => self.by_id.get(id).into_iter().copied().collect(),
            Selector::User(user) | Selector::Others(user, _) => {
                self.by_user.get(user).into_iter().flatten().filter_map(|(_, id)| self.by_id.get(id)).copied().collect()
            }
            Selector::All => self.by_id.values().copied().collect(),
        }
    }
}

struct Entry {
    stored: Stored,
    reported: bool,
}

/// A token hash is uniformly random and nobody without the token key can choose one, so its first bytes are a good hash.
#[derive(Default)]
struct HashPrefix(u64);

impl Hasher for HashPrefix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some((prefix, _)) = bytes.split_first_chunk() {
            self.0 = u64::from_le_bytes(*prefix);
        }
    }

    /// The length that comes before an array's bytes says nothing.
    fn write_usize(&mut self, _: usize) {}
}

impl MemorySessionStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self { shards: array::from_fn(|_| RwLock::default()), index: Mutex::default() }
    }

    fn shard(&self, hash: &TokenHash) -> &RwLock<Shard> {
        let [.., last] = hash.as_bytes();
        let [first, rest @ ..] = &self.shards;
        // The last byte is not among those that place an entry within its shard.
        match usize::from(*last) % SHARDS {
            0 => first,
            n => rest.get(n - 1).unwrap_or(first),
        }
    }

    // A thread that panicked while it held a lock left whole entries behind: every write below is a single insert,
    // removal or assignment.
    fn read(&self, hash: &TokenHash) -> RwLockReadGuard<'_, Shard> {
        self.shard(hash).read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, hash: &TokenHash) -> RwLockWriteGuard<'_, Shard> {
        self.shard(hash).write().unwrap_or_else(PoisonError::into_inner)
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, hash: &TokenHash) -> Option<Stored> {
        self.read(hash).get(hash).map(|entry| entry.stored.clone())
    }

    fn insert(
        &self,
        row: Arc<Row>,
        stamp: Stamp,
        now: Timestamp,
        limit: Option<u32>,
        evicted: &Tombstone,
    ) -> Result<Vec<Stored>, StoreError> {
        let mut index = self.index();
        if index.by_id.contains_key(&row.public_id) || self.read(&row.token_hash).contains_key(&row.token_hash) {
            return Err(StoreError::Exists);
        }
        let mut out = Vec::new();
        if let Some(limit) = limit {
            let mut rivals = index.hashes(&Selector::User(row.user.clone()));
            rivals.retain(|hash| self.find(hash).is_some_and(|other| live(&other, now)));
            let room = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(1);
            for hash in rivals.iter().take(rivals.len().saturating_sub(room)) {
                out.extend(self.end_one(hash, evicted));
            }
        }
        self.place(&mut index, row, stamp);
        Ok(out)
    }

    fn place(&self, index: &mut Index, row: Arc<Row>, stamp: Stamp) {
        index.insert(&row);
        let hash = row.token_hash;
        self.write(&hash).insert(hash, Entry { stored: Stored { row, stamp, ended: None }, reported: false });
    }

    fn end_one(&self, hash: &TokenHash, tombstone: &Tombstone) -> Option<Stored> {
        let mut shard = self.write(hash);
        let stored = &mut shard.get_mut(hash)?.stored;
        if stored.ended.is_some() {
            return None;
        }
        stored.ended = Some(tombstone.clone());
        Some(stored.clone())
    }

    fn advance(&self, hash: &TokenHash, version: u64, stamp: Stamp, now: Timestamp) -> Touched {
        let mut shard = self.write(hash);
        match shard.get_mut(hash) {
            Some(Entry { stored, .. }) if stored.row.version == version && live(stored, now) => {
                if stamp.last_activity > stored.stamp.last_activity {
                    stored.stamp = stamp;
                }
                Touched::Live
            }
            _ => Touched::Gone,
        }
    }

    fn swap(&self, old: &TokenHash, version: u64, row: Arc<Row>, stamp: Stamp, now: Timestamp) -> Rotated {
        let mut index = self.index();
        let Some(found) = self.find(old) else { return Rotated::Lost };
        if !live(&found, now) {
            return Rotated::Gone;
        }
        if found.row.version != version {
            return Rotated::Lost;
        }
        index.remove(&found.row);
        self.write(old).remove(old);
        self.place(&mut index, row, stamp);
        Rotated::Won
    }

    fn end_all(&self, selector: &Selector, tombstone: &Tombstone) -> Vec<Stored> {
        let index = self.index();
        let mut hashes = index.hashes(selector);
        hashes.retain(|hash| self.find(hash).is_some_and(|stored| selector.matches(&stored.row)));
        hashes.iter().filter_map(|hash| self.end_one(hash, tombstone)).collect()
    }

    fn select(&self, selector: &Selector) -> Vec<Stored> {
        let index = self.index();
        let mut found: Vec<_> = index
            .hashes(selector)
            .iter()
            .filter_map(|hash| self.find(hash))
            .filter(|stored| stored.ended.is_none() && selector.matches(&stored.row))
            .collect();
        found.sort_by_key(|stored| (stored.row.created, stored.row.public_id));
        found.truncate(LIST_LIMIT);
        found
    }

    fn mark(&self, id: PublicId) {
        let index = self.index();
        let Some(hash) = index.by_id.get(&id) else { return };
        if let Some(entry) = self.write(hash).get_mut(hash) {
            entry.reported = entry.stored.ended.is_some();
        }
    }

    fn clean(&self, now: Timestamp, batch: u32) -> Swept {
        let batch = usize::try_from(batch).unwrap_or(usize::MAX);
        let before = now.saturating_sub(REPORT_GRACE);
        let mut index = self.index();
        let mut swept = Swept::default();
        let mut lost = Vec::new();
        let mut dead = Vec::new();
        for hash in index.by_id.values() {
            let mut shard = self.write(hash);
            let Some(Entry { stored, reported }) = shard.get_mut(hash) else { continue };
            match &stored.ended {
                None if !live(stored, now) && swept.ended.len() < batch => {
                    stored.ended = Some(expiry(stored, now));
                    swept.ended.push(stored.clone());
                }
                Some(tombstone) if !*reported && tombstone.at <= before && lost.len() < batch => {
                    lost.push(stored.clone());
                }
                Some(_) if *reported && stored.row.absolute_deadline <= before && dead.len() < batch => {
                    dead.push(Arc::clone(&stored.row));
                    shard.remove(hash);
                }
                _ => {}
            }
        }
        for row in &dead {
            index.remove(row);
        }
        swept.ended.append(&mut lost);
        swept.deleted = u64::try_from(dead.len()).unwrap_or(u64::MAX);
        swept
    }
}

/// Whether the row is live as [`SessionStore`] defines it.
fn live(stored: &Stored, now: Timestamp) -> bool {
    stored.ended.is_none() && stored.stamp.idle_deadline > now && stored.row.absolute_deadline > now
}

impl Default for MemorySessionStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemorySessionStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemorySessionStore").finish_non_exhaustive()
    }
}

fn ready<'a, T: Send + 'a>(result: Result<T, StoreError>) -> StoreFuture<'a, T> {
    Box::pin(core::future::ready(result))
}

impl SessionStore for MemorySessionStore {
    fn load(&self, hash: TokenHash) -> StoreFuture<'_, Option<Stored>> {
        ready(Ok(self.find(&hash)))
    }

    fn load_now(&self, hash: &TokenHash) -> Option<Option<Stored>> {
        Some(self.find(hash))
    }

    fn in_process(&self) -> bool {
        true
    }

    fn create(
        &self,
        row: Arc<Row>,
        stamp: Stamp,
        now: Timestamp,
        limit: Option<u32>,
        evicted: Tombstone,
    ) -> StoreFuture<'_, Vec<Stored>> {
        ready(self.insert(row, stamp, now, limit, &evicted))
    }

    fn touch(&self, hash: TokenHash, version: u64, stamp: Stamp, now: Timestamp) -> StoreFuture<'_, Touched> {
        ready(Ok(self.advance(&hash, version, stamp, now)))
    }

    fn rotate(
        &self,
        old: TokenHash,
        version: u64,
        row: Arc<Row>,
        stamp: Stamp,
        now: Timestamp,
    ) -> StoreFuture<'_, Rotated> {
        ready(Ok(self.swap(&old, version, row, stamp, now)))
    }

    fn end(&self, selector: Selector, tombstone: Tombstone) -> StoreFuture<'_, Vec<Stored>> {
        ready(Ok(self.end_all(&selector, &tombstone)))
    }

    fn reported(&self, id: PublicId) -> StoreFuture<'_, ()> {
        self.mark(id);
        ready(Ok(()))
    }

    fn list<'a>(&'a self, selector: &'a Selector) -> StoreFuture<'a, Vec<Stored>> {
        ready(Ok(self.select(selector)))
    }

    fn sweep(&self, now: Timestamp, batch: u32) -> StoreFuture<'_, Swept> {
        ready(Ok(self.clean(now, batch)))
    }
}
