//! The data keys that this process holds: so many of them, of so many bytes, each for a lease and so many uses.

use core::fmt;
use core::hash::{BuildHasherDefault, Hasher};
use core::time::Duration;
use std::collections::HashMap;
use std::hash::RandomState;
use std::sync::{Arc, PoisonError};

use super::handle::{Cell, Found, Gate, Handle};
use super::limits::Limits;
use super::name::Name;
use super::sync::{Ordering, RwLock, RwLockReadGuard, RwLockWriteGuard};
use crate::error::Error;
use crate::id::{FullId, KeyId};
use crate::scope::Scope;

/// Evicts by second chance: a hand goes round, skips once what was used since it last came by, and takes the next. A hit
/// needs no write lock, and an eviction a constant number of steps on average.
pub(super) struct Cache {
    gate: Arc<Gate>,
    limits: Limits,
    inner: RwLock<Inner>,
}

/// A lookup among many keys costs what it touches of memory that is in no processor's cache, one after the other. So the
/// maps are keyed by numbers and stay small, and lead to the key itself, which says whether it is the one that was asked for.
#[derive(Default)]
struct Inner {
    /// Without gaps, so that the hand finds an entry wherever it is.
    entries: Vec<Entry>,
    by_kid: Index,
    active: Index,
    /// Keyed afresh in every process, so that nobody can choose scopes that fall together.
    hasher: RandomState,
    hand: usize,
    /// What the entries weigh.
    bytes: usize,
    /// Scopes that are being shredded, with the number of transactions that do so.
    blocked: HashMap<Scope, usize>,
}

/// Where an entry may be, by a number that is spread evenly already: of two entries with one number, the older one is not
/// found and read again.
type Index = HashMap<u64, Place, BuildHasherDefault<Even>>;

/// Where an entry is, and its key.
struct Place {
    at: usize,
    cell: Arc<Cell>,
}

/// Takes a number for its own hash.
#[derive(Default)]
struct Even(u64);

impl Hasher for Even {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Only numbers are hashed; anything else would be spread less evenly, and found all the same.
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

/// The half of a kid by which it is looked for: part of a keyed hash, so it is spread evenly.
fn half(kid: KeyId) -> u64 {
    kid.as_bytes().first_chunk().map_or(0, |half| u64::from_ne_bytes(*half))
}

/// A data key as it was read from the store.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) cell: Arc<Cell>,
    pub(super) is_active: bool,
    /// How often it had been handed out when the hand last came by.
    seen: u64,
    pub(super) origin: Box<Origin>,
}

/// Where a data key comes from.
#[derive(Clone)]
pub(super) struct Origin {
    pub(super) scope: Scope,
    /// How key rows name the scope.
    pub(super) pseudonym: [u8; 32],
    /// The domain key that wraps it.
    pub(super) parent: FullId,
}

/// What became of an insertion.
pub(super) enum Kept {
    Yes(Handle),
    /// Something was shredded or revoked since the key was read: read it again.
    Stale,
}

impl Cache {
    pub(super) fn new(gate: Arc<Gate>, limits: Limits) -> Self {
        Self { gate, limits, inner: RwLock::new(Inner::default()) }
    }

    /// The active key of a scope.
    pub(super) fn active(&self, scope: &Scope) -> Option<Found> {
        self.hand_out(&self.read().active_place(scope)?.cell)
    }

    /// The key of a kid, or the reason why this scope cannot have it.
    pub(super) fn by_kid(&self, kid: KeyId, scope: &Scope) -> Result<Option<Found>, Error> {
        let inner = self.read();
        let Some(place) = inner.place(kid) else { return Ok(None) };
        if inner.is_of(place, scope) { Ok(self.hand_out(&place.cell)) } else { Err(Error::WrongScope) }
    }

    fn hand_out(&self, cell: &Arc<Cell>) -> Option<Found> {
        let uses = cell.uses.fetch_add(1, Ordering::Relaxed);
        if uses < self.limits.uses.get() { cell.hand_out(&self.gate) } else { None }
    }

    /// Whether the scope may be read from the store at all.
    pub(super) fn admit(&self, scope: &Scope) -> Result<(), Error> {
        if self.read().blocked.contains_key(scope) { Err(Error::ShredUnderWay) } else { Ok(()) }
    }

    /// Keeps a key that was read, unless something was revoked since its lease began.
    pub(super) fn insert(&self, entry: Entry) -> Result<Kept, Error> {
        let mut inner = self.write();
        if inner.blocked.contains_key(&entry.origin.scope) {
            return Err(Error::ShredUnderWay);
        }
        let generation = entry.cell.lease.generation;
        if generation != self.gate.generation() {
            return Ok(Kept::Stale);
        }
        let handle = Handle { cell: Arc::clone(&entry.cell), generation };
        // Its former self goes first: it may have been active, and must not go on sealing with a new lease.
        if let Some(former) = inner.place(handle.cell.full_id.kid()).map(|former| former.at) {
            inner.remove(former);
        }
        let weight = entry.weight();
        // What is heavier than everything that may be held is leased without being held.
        if weight <= self.limits.bytes.get() {
            while inner.len() >= self.limits.entries.get() || inner.bytes + weight > self.limits.bytes.get() {
                inner.evict();
            }
            inner.put(entry);
        }
        Ok(Kept::Yes(handle))
    }

    /// Stretches the lease of a key that cannot be read again, within the grace for outages.
    pub(super) fn stretch(&self, scope: &Scope, kid: Option<KeyId>) -> Option<Handle> {
        let mut inner = self.write();
        let place = match kid {
            Some(kid) => inner.place(kid).filter(|place| inner.is_of(place, scope))?,
            None => inner.active_place(scope)?,
        };
        let (at, cell) = (place.at, place.cell.stretched(self.limits.grace)?);
        let handle = Handle { cell: Arc::clone(&cell), generation: self.gate.generation() };
        let entry = inner.remove(at)?;
        inner.put(Entry { cell, seen: 0, ..entry });
        Some(handle)
    }

    /// Forgets which key of a scope seals; what it sealed is still opened from memory.
    pub(super) fn forget_active(&self, scope: &Scope) {
        let mut inner = self.write();
        if let Some(at) = inner.active_place(scope).map(|place| place.at)
            && let Some(entry) = inner.remove(at)
        {
            inner.put(Entry { is_active: false, ..entry });
        }
    }

    /// Forgets a scope, ends every lease and lets nobody read the scope until [`unblock`](Self::unblock).
    pub(super) fn block(&self, scope: &Scope) {
        let mut inner = self.write();
        *inner.blocked.entry(scope.clone()).or_default() += 1;
        inner.remove_where(|entry| entry.is_of(scope));
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

    /// Forgets keys and ends every lease: what is being read meanwhile is read again, what is still held is leased anew.
    pub(super) fn revoke(&self, which: impl Fn(&Entry) -> bool) -> usize {
        let mut inner = self.write();
        self.gate.end_all();
        inner.remove_where(which)
    }

    /// Forgets keys whose leases end by themselves.
    pub(super) fn forget(&self, scope: &Scope) {
        self.write().remove_where(|entry| entry.is_of(scope));
    }

    /// Forgets keys whose time has come.
    pub(super) fn reap(&self) -> usize {
        let now = self.gate.now();
        self.write().remove_where(|entry| entry.cell.is_over(now, self.limits.grace))
    }

    pub(super) fn grace(&self) -> Duration {
        self.limits.grace
    }

    pub(super) fn len(&self) -> usize {
        self.read().len()
    }

    // Each change leaves the maps consistent before anything could panic, so a poisoned lock is still sound.
    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    pub(super) fn new(origin: Origin, cell: Arc<Cell>, is_active: bool) -> Self {
        Self { cell, is_active, seen: 0, origin: Box::new(origin) }
    }

    fn is_of(&self, scope: &Scope) -> bool {
        self.origin.scope == *scope
    }

    fn number(&self, hasher: &RandomState) -> u64 {
        self.cell.name.hash(&self.origin.scope, hasher)
    }

    /// The bytes that it takes in memory, without the slack of allocator and maps.
    fn weight(&self) -> usize {
        const FIXED: usize = size_of::<Entry>()
            + size_of::<Cell>()
            + size_of::<Origin>()
            + 2 * size_of::<usize>()
            + 2 * size_of::<(u64, Place)>();
        let (_, name) = self.origin.scope.parts();
        FIXED.saturating_add(name.len())
    }
}

impl Inner {
    fn entry(&self, at: usize) -> Option<&Entry> {
        self.entries.get(at)
    }

    fn len(&self) -> usize {
        self.entries.len()
    }

    /// Where the active key of a scope is.
    fn active_place(&self, scope: &Scope) -> Option<&Place> {
        let name = Name::of(scope);
        let place = self.active.get(&name.hash(scope, &self.hasher))?;
        self.is_named(place, name, scope).then_some(place)
    }

    /// Where the key of a kid is.
    fn place(&self, kid: KeyId) -> Option<&Place> {
        self.by_kid.get(&half(kid)).filter(|place| place.cell.full_id.kid() == kid)
    }

    fn is_of(&self, place: &Place, scope: &Scope) -> bool {
        self.is_named(place, Name::of(scope), scope)
    }

    fn is_named(&self, place: &Place, name: Name, scope: &Scope) -> bool {
        place.cell.name.is(name, || self.entry(place.at).is_some_and(|entry| entry.is_of(scope)))
    }

    fn put(&mut self, entry: Entry) {
        let at = self.entries.len();
        self.bytes += entry.weight();
        let found_at = || Place { at, cell: Arc::clone(&entry.cell) };
        self.by_kid.insert(half(entry.cell.full_id.kid()), found_at());
        if entry.is_active {
            self.active.insert(entry.number(&self.hasher), found_at());
        }
        self.entries.push(entry);
    }

    fn remove(&mut self, at: usize) -> Option<Entry> {
        let last = self.entries.len().checked_sub(1)?;
        for (index, number) in self.numbers(at)? {
            if index.get(&number).is_some_and(|place| place.at == at) {
                index.remove(&number);
            }
        }
        // The last one takes its place.
        for (index, number) in self.numbers(last)? {
            if let Some(place) = index.get_mut(&number).filter(|place| place.at == last) {
                place.at = at;
            }
        }
        // It is there, or it would have no numbers.
        let entry = self.entries.swap_remove(at);
        self.bytes = self.bytes.saturating_sub(entry.weight());
        Some(entry)
    }

    /// The maps in which an entry may be, each with its number there.
    fn numbers(&mut self, at: usize) -> Option<[(&mut Index, u64); 2]> {
        let entry = self.entries.get(at)?;
        let (kid, name) = (half(entry.cell.full_id.kid()), entry.number(&self.hasher));
        Some([(&mut self.by_kid, kid), (&mut self.active, name)])
    }

    fn remove_where(&mut self, which: impl Fn(&Entry) -> bool) -> usize {
        // From the end, so that what takes the place of another was looked at before.
        let gone = |at: &usize| self.entry(*at).is_some_and(&which);
        let gone = (0..self.len()).rev().filter(gone).collect::<Vec<_>>();
        gone.into_iter().filter_map(|at| self.remove(at)).count()
    }

    /// Takes one entry out, if there is one, and says how many were looked at.
    fn evict(&mut self) -> usize {
        for steps in 1.. {
            let at = if self.hand < self.entries.len() { self.hand } else { 0 };
            self.hand = at + 1;
            let Some(entry) = self.entries.get_mut(at) else { break };
            let uses = entry.cell.uses.load(Ordering::Relaxed);
            if uses == entry.seen {
                self.remove(at);
                return steps;
            }
            // The second round finds every entry as it was seen, so the loop ends.
            entry.seen = uses;
        }
        0
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cache({} of {} keys)", self.len(), self.limits.entries)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use core::num::{NonZeroU64, NonZeroUsize};

    use phi_types::{ManualClock, SystemClock};
    use zeroize::Zeroizing;

    use super::*;
    use crate::derive;

    fn entry(gate: &Arc<Gate>, name: &str, key: u8, is_active: bool) -> Entry {
        let (key, lease) = ([key; 32], gate.begin());
        let scope = Scope::group(name);
        let above = Cell::new(Zeroizing::new([0xff; 32]), derive::full_id(&[0xff; 32]), gate, lease);
        let cell = Cell::below(&above, &scope, Zeroizing::new(key), derive::full_id(&key), gate, lease);
        Entry::new(Origin { scope, pseudonym: [0; 32], parent: above.full_id }, cell, is_active)
    }

    fn cache(gate: &Arc<Gate>, limits: Limits) -> Cache {
        Cache::new(Arc::clone(gate), limits)
    }

    #[test]
    fn a_key_that_is_no_longer_active_seals_no_more_once_it_was_read_again() {
        let gate = Gate::new(Arc::new(SystemClock::new()), Duration::from_secs(60));
        let cache = cache(&gate, Limits { entries: NonZeroUsize::MIN, ..Limits::default() });
        let scope = Scope::group("g");
        cache.insert(entry(&gate, "g", 7, true)).unwrap();
        assert!(cache.active(&scope).is_some());
        // Another process made a newer key; this one is read to open what it sealed.
        cache.insert(entry(&gate, "g", 7, false)).unwrap();
        assert!(cache.active(&scope).is_none());
        assert!(cache.by_kid(derive::full_id(&[7; 32]).kid(), &scope).unwrap().is_some());
    }

    #[test]
    fn what_the_entries_weigh_is_counted_and_bounded() {
        let gate = Gate::new(Arc::new(SystemClock::new()), Duration::from_secs(60));
        let one = entry(&gate, "0", 0, true).weight();
        let three = NonZeroUsize::new(3 * one).unwrap();
        let cache = cache(&gate, Limits { bytes: three, ..Limits::default() });
        for key in 0..100 {
            let name = "x".repeat(usize::from(key) % 7);
            cache.insert(entry(&gate, &name, key, key % 2 == 0)).unwrap();
            let inner = cache.read();
            let weighed = inner.entries.iter().map(Entry::weight).sum::<usize>();
            assert_eq!(weighed, inner.bytes);
            assert!(weighed <= three.get());
            assert_eq!(inner.by_kid.len(), inner.len());
            assert!(
                inner
                    .by_kid
                    .values()
                    .chain(inner.active.values())
                    .all(|place| { inner.entry(place.at).is_some_and(|entry| Arc::ptr_eq(&entry.cell, &place.cell)) })
            );
        }
        let heavy = entry(&gate, &"x".repeat(3 * one), 101, true);
        let (scope, before) = (heavy.origin.scope.clone(), cache.len());
        assert!(matches!(cache.insert(heavy), Ok(Kept::Yes(_))));
        assert!(cache.active(&scope).is_none());
        assert_eq!(cache.len(), before, "what is too heavy by itself evicts nothing");
        cache.revoke(|_| true);
        assert_eq!(cache.read().bytes, 0);
        for (key, name) in ["0", "1", "2", "3"].into_iter().enumerate() {
            cache.insert(entry(&gate, name, u8::try_from(key).unwrap(), true)).unwrap();
            assert_eq!(cache.len(), 3.min(key + 1), "as many as fit, to the byte");
        }
    }

    #[test]
    fn an_eviction_looks_at_a_constant_number_of_entries_on_average() {
        const MANY: usize = 2_000;
        let gate = Gate::new(Arc::new(SystemClock::new()), Duration::from_secs(60));
        let key = |number: usize, name: &str| entry(&gate, name, u8::try_from(number % 256).unwrap(), true);
        let light = entry(&gate, "0", 0, true).weight();
        let cache = cache(&gate, Limits { bytes: NonZeroUsize::new(200 * light).unwrap(), ..Limits::default() });
        for number in 0..200 {
            cache.insert(key(number, &number.to_string())).unwrap();
        }
        // Three heavy ones drive all of the light ones out, and are themselves what is left for the hand to find.
        for number in 0..3 {
            cache.insert(key(number, &"x".repeat(60 * light + number))).unwrap();
        }
        assert!(cache.len() < 30, "{}", cache.len());
        let mut inner = cache.write();
        let (mut steps, there) = (0, inner.len());
        for number in 0..MANY {
            steps += inner.evict();
            inner.put(key(number, "new"));
        }
        assert_eq!(inner.len(), there);
        // Each is passed by at most once for each time that it was used, and these were used once.
        assert!((MANY..=2 * MANY + there).contains(&steps), "{steps}");
    }

    #[test]
    fn an_entry_weighs_what_it_is_made_of_and_not_much_more() {
        let gate = Gate::new(Arc::new(SystemClock::new()), Duration::from_secs(60));
        let parts = size_of::<Entry>() + size_of::<Cell>() + size_of::<Origin>();
        let weight = entry(&gate, "0", 0, true).weight();
        assert!((parts..=parts + 128).contains(&weight), "{weight} for {parts}");
    }

    #[test]
    fn a_scope_is_blocked_until_everybody_who_shreds_it_is_done() {
        let gate = Gate::new(Arc::new(SystemClock::new()), Duration::from_secs(60));
        let (cache, scope) = (cache(&gate, Limits::default()), Scope::group("g"));
        cache.block(&scope);
        cache.block(&scope);
        cache.unblock(&scope);
        assert!(matches!(cache.admit(&scope), Err(Error::ShredUnderWay)));
        assert!(matches!(cache.insert(entry(&gate, "g", 7, true)), Err(Error::ShredUnderWay)));
        cache.unblock(&scope);
        assert!(cache.admit(&scope).is_ok());
        assert!(matches!(cache.insert(entry(&gate, "g", 7, true)), Ok(Kept::Yes(_))));
    }

    #[test]
    fn a_key_is_handed_out_so_many_times() {
        let gate = Gate::new(Arc::new(SystemClock::new()), Duration::from_secs(60));
        let cache = cache(&gate, Limits { uses: NonZeroU64::new(3).unwrap(), ..Limits::default() });
        let scope = Scope::group("g");
        cache.insert(entry(&gate, "g", 7, true)).unwrap();
        assert!(cache.active(&scope).is_some() && cache.active(&scope).is_some());
        assert!(cache.active(&scope).is_none(), "the insertion was the first use");
        cache.insert(entry(&gate, "g", 7, true)).unwrap();
        assert!(cache.active(&scope).is_some());
    }

    #[test]
    fn what_expired_is_wiped_and_what_lasts_is_not() {
        let clock = ManualClock::at_unix_seconds(0);
        let gate = Gate::new(Arc::new(clock.clone()), Duration::from_secs(60));
        for grace in [Duration::ZERO, Duration::from_secs(600)] {
            let cache = cache(&gate, Limits { grace, ..Limits::default() });
            let old = entry(&gate, "old", 1, true);
            let bytes = Arc::downgrade(&old.cell);
            drop(cache.insert(old));
            clock.advance(Duration::from_secs(30));
            drop(cache.insert(entry(&gate, "young", 2, true)));
            clock.advance(grace + Duration::from_secs(30) - Duration::from_micros(1));
            assert_eq!((cache.reap(), bytes.strong_count() > 0), (0, true));
            clock.advance(Duration::from_micros(1));
            assert_eq!((cache.reap(), cache.len()), (1, 1));
            assert_eq!(bytes.strong_count(), 0, "nobody holds the key, so its bytes are wiped");
        }
    }
}
