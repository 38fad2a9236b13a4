//! The data keys that this process holds, at most so many of them.

use core::fmt;
use core::num::NonZeroUsize;
use core::sync::atomic::{AtomicBool, Ordering};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::handle::{Cell, Gate, Handle};
use crate::error::Error;
use crate::id::KeyId;
use crate::scope::Scope;

/// Evicts by second chance: a hand goes round, skips once what was used since it last came by, and takes the next. A hit
/// needs no write lock, and an eviction a constant number of steps on average.
pub(super) struct Cache {
    gate: Arc<Gate>,
    capacity: NonZeroUsize,
    inner: RwLock<Inner>,
}

#[derive(Default)]
struct Inner {
    entries: Vec<Option<Entry>>,
    free: Vec<usize>,
    by_kid: HashMap<KeyId, usize>,
    active: HashMap<Scope, usize>,
    hand: usize,
    /// Scopes that are being shredded, with the number of transactions that do so.
    blocked: HashMap<Scope, usize>,
}

struct Entry {
    scope: Scope,
    cell: Arc<Cell>,
    used: AtomicBool,
}

/// What became of an insertion.
pub(super) enum Kept {
    Yes(Handle),
    /// Something was shredded since the key was read: read it again.
    Stale,
}

impl Cache {
    pub(super) fn new(gate: Arc<Gate>, capacity: NonZeroUsize) -> Self {
        Self { gate, capacity, inner: RwLock::default() }
    }

    /// The active key of a scope.
    pub(super) fn active(&self, scope: &Scope) -> Option<Handle> {
        let inner = self.read();
        self.handle(inner.entry(*inner.active.get(scope)?)?)
    }

    /// The key of a kid, or the reason why this scope cannot have it.
    pub(super) fn by_kid(&self, kid: KeyId, scope: &Scope) -> Result<Option<Handle>, Error> {
        let inner = self.read();
        let Some(entry) = inner.by_kid.get(&kid).and_then(|at| inner.entry(*at)) else { return Ok(None) };
        if entry.scope == *scope { Ok(self.handle(entry)) } else { Err(Error::WrongScope) }
    }

    /// Called under the lock, so that a shred comes before (and the entry is gone) or after (and ends the handle).
    fn handle(&self, entry: &Entry) -> Option<Handle> {
        if !entry.cell.in_time() {
            return None;
        }
        if !entry.used.load(Ordering::Relaxed) {
            entry.used.store(true, Ordering::Relaxed);
        }
        Some(Handle { cell: Arc::clone(&entry.cell), generation: self.gate.generation() })
    }

    /// Whether the scope may be read from the store at all.
    pub(super) fn admit(&self, scope: &Scope) -> Result<(), Error> {
        if self.read().blocked.contains_key(scope) { Err(Error::ShredUnderWay) } else { Ok(()) }
    }

    /// Keeps a key that was read in `generation`.
    pub(super) fn insert(
        &self,
        scope: &Scope,
        cell: Arc<Cell>,
        is_active: bool,
        generation: u64,
    ) -> Result<Kept, Error> {
        let mut inner = self.write();
        if inner.blocked.contains_key(scope) {
            return Err(Error::ShredUnderWay);
        }
        if generation != self.gate.generation() {
            return Ok(Kept::Stale);
        }
        let kid = cell.full_id.kid();
        let entry = Entry { scope: scope.clone(), cell: Arc::clone(&cell), used: AtomicBool::new(true) };
        let at = match inner.by_kid.get(&kid) {
            Some(at) => *at,
            None => inner.room(self.capacity),
        };
        if let Some(place) = inner.entries.get_mut(at) {
            *place = Some(entry);
            inner.by_kid.insert(kid, at);
            if is_active {
                inner.active.insert(scope.clone(), at);
            } else if inner.active.get(scope) == Some(&at) {
                // It was active when it was read before, and must not go on sealing with a new lease.
                inner.active.remove(scope);
            }
        }
        Ok(Kept::Yes(Handle { cell, generation }))
    }

    /// Forgets a scope, ends every lease and lets nobody read the scope until [`unblock`](Self::unblock).
    pub(super) fn block(&self, scope: &Scope) {
        let mut inner = self.write();
        *inner.blocked.entry(scope.clone()).or_default() += 1;
        inner.active.remove(scope);
        let Inner { entries, free, by_kid, .. } = &mut *inner;
        for (at, place) in entries.iter_mut().enumerate() {
            if place.as_ref().is_some_and(|entry| entry.scope == *scope)
                && let Some(entry) = place.take()
            {
                by_kid.remove(&entry.cell.full_id.kid());
                free.push(at);
            }
        }
        self.gate.end_all();
    }

    pub(super) fn unblock(&self, scope: &Scope) {
        let mut inner = self.write();
        if let Some(count) = inner.blocked.get_mut(scope) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                inner.blocked.remove(scope);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.read().by_kid.len()
    }

    // Each change below leaves the maps consistent before anything could panic, so a poisoned lock is still sound.
    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn entry(&self, at: usize) -> Option<&Entry> {
        self.entries.get(at)?.as_ref()
    }

    /// A free place, made by eviction if need be.
    fn room(&mut self, capacity: NonZeroUsize) -> usize {
        if let Some(at) = self.free.pop() {
            return at;
        }
        if self.entries.len() < capacity.get() {
            self.entries.push(None);
            return self.entries.len() - 1;
        }
        loop {
            let at = self.hand;
            self.hand = (self.hand + 1) % capacity.get();
            let Some(place) = self.entries.get_mut(at) else { continue };
            // The second round finds every mark cleared, so the loop ends.
            if place.as_ref().is_some_and(|entry| entry.used.swap(false, Ordering::Relaxed)) {
                continue;
            }
            if let Some(entry) = place.take() {
                self.by_kid.remove(&entry.cell.full_id.kid());
                if self.active.get(&entry.scope) == Some(&at) {
                    self.active.remove(&entry.scope);
                }
            }
            return at;
        }
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cache({} of {} keys)", self.len(), self.capacity)
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use phi_types::SystemClock;
    use zeroize::Zeroizing;

    use super::*;
    use crate::derive;

    #[test]
    fn a_key_that_is_no_longer_active_seals_no_more_once_it_was_read_again() {
        let gate = Gate::new(Arc::new(SystemClock::new()), Duration::from_secs(60));
        let cache = Cache::new(Arc::clone(&gate), NonZeroUsize::MIN);
        let (scope, key) = (Scope::group("g"), [7; 32]);
        let read = || Cell::new(Zeroizing::new(key), derive::full_id(&key), &gate, gate.begin());
        cache.insert(&scope, read(), true, gate.generation()).unwrap();
        assert!(cache.active(&scope).is_some());
        // Another process made a newer key; this one is read to open what it sealed.
        cache.insert(&scope, read(), false, gate.generation()).unwrap();
        assert!(cache.active(&scope).is_none());
        assert!(cache.by_kid(derive::full_id(&key).kid(), &scope).unwrap().is_some());
    }
}
