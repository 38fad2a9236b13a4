//! Every interleaving of the cache's locks and atomics: `cargo xtask loom`.
//!
//! What is checked is that nothing which was revoked, shredded or evicted is in use afterwards, whatever was being read
//! meanwhile. The steps of a reader are those of `Keys`, without store and KMS between them.

use core::num::NonZeroUsize;
use core::time::Duration;
use std::sync::Arc;

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;
use phi_types::ManualClock;
use zeroize::Zeroizing;

use super::cache::{Cache, Entry, Kept, Origin};
use super::handle::{Cell, Found, Gate, Handle};
use super::held::{Held, HeldKeys};
use super::limits::Limits;
use super::maintain::forget;
use crate::derive;
use crate::id::FullId;
use crate::scope::{KeyUse, Scope};

const LEASE: Duration = Duration::from_secs(60);

struct World {
    clock: ManualClock,
    domain_gate: Arc<Gate>,
    data_gate: Arc<Gate>,
    held: HeldKeys,
    cache: Cache,
}

fn world(entries: usize) -> Arc<World> {
    let clock = ManualClock::at_unix_seconds(0);
    let gate = || Gate::new(Arc::new(clock.clone()), LEASE);
    let (domain_gate, data_gate) = (gate(), gate());
    let limits = Limits { entries: NonZeroUsize::new(entries).unwrap(), ..Limits::default() };
    let held = HeldKeys::new(Arc::clone(&domain_gate), limits);
    let cache = Cache::new(Arc::clone(&data_gate), limits);
    Arc::new(World { clock, domain_gate, data_gate, held, cache })
}

impl World {
    /// Reads a domain key, as `Keys::read_domains` does. Whether it is held.
    fn read_domain(&self, key: u8) -> bool {
        let lease = self.domain_gate.begin();
        let key = [key; 32];
        let cell = Cell::new(Zeroizing::new(key), derive::full_id(&key), &self.domain_gate, lease);
        let (key_use, row_mac, asked) = (KeyUse::Data, [0; 32], self.domain_gate.now());
        let fresh = Held { key_use, is_active: true, row_mac, holders: Vec::new(), cell, asked };
        self.held.hold(KeyUse::Data, vec![fresh], lease.generation)
    }

    /// Reads a data key, as `Keys::read_active` does: the lease begins before the parent is looked for.
    fn read_data(&self, name: &str, key: u8) -> Option<Handle> {
        let lease = self.data_gate.begin();
        let parent = self.held.find(KeyUse::Data, None)?.into_handle().cell;
        let (key, scope) = ([key; 32], Scope::group(name));
        let full_id = derive::full_id(&key);
        let cell = Cell::below(&parent, &scope, Zeroizing::new(key), full_id, &self.data_gate, lease);
        let entry = Entry::new(Origin { scope, pseudonym: [0; 32], parent: parent.full_id }, cell, true);
        match self.cache.insert(entry).ok()? {
            Kept::Yes(handle) => Some(handle),
            Kept::Stale => None,
        }
    }

    fn active(&self, name: &str) -> Option<Handle> {
        self.cache.active(&Scope::group(name)).map(Found::into_handle)
    }
}

fn is_live(handle: Option<Handle>) -> bool {
    handle.is_some_and(|handle| handle.is_live())
}

fn spawn<T: 'static>(world: &Arc<World>, work: impl FnOnce(&World) -> T + 'static) -> thread::JoinHandle<T> {
    let world = Arc::clone(world);
    thread::spawn(move || work(&world))
}

#[test]
fn loom_a_data_key_does_not_survive_its_parent() {
    loom::model(|| {
        let world = world(4);
        assert!(world.read_domain(1));
        let reader = spawn(&world, |world| world.read_data("a", 2));
        let gone = forget(&world.held, &world.cache, |_| true);
        assert_eq!(gone.domain_keys, 1);
        let read = reader.join().unwrap();
        assert!(!is_live(read), "a handle outlived the revocation");
        assert!(world.active("a").is_none(), "a data key is in the cache whose parent is gone");
    });
}

#[test]
fn loom_a_domain_key_that_was_being_read_is_not_held_after_its_revocation() {
    loom::model(|| {
        let world = world(4);
        let full_id: FullId = derive::full_id(&[1; 32]);
        let reader = spawn(&world, |world| {
            let held = world.read_domain(1);
            (held, world.held.find(KeyUse::Data, None).map(Found::into_handle))
        });
        let before = world.domain_gate.generation();
        let gone = world.held.revoke(|held| held.cell.full_id == full_id);
        let (held, handle) = reader.join().unwrap();
        // It was forgotten, or refused, or read after the revocation from the beginning.
        let after = handle.as_ref().is_some_and(|handle| handle.cell.lease.generation > before);
        assert!(!gone.is_empty() || !held || after);
        assert_eq!(is_live(handle), after, "a handle outlived the revocation");
    });
}

#[test]
fn loom_a_revocation_ends_what_is_handed_out_meanwhile() {
    loom::model(|| {
        let world = world(4);
        assert!(world.read_domain(1));
        world.read_data("a", 2);
        let data = spawn(&world, |world| world.active("a"));
        let domain = spawn(&world, |world| world.held.find(KeyUse::Data, None).map(Found::into_handle));
        let gone = forget(&world.held, &world.cache, |_| true);
        assert_eq!((gone.domain_keys, gone.data_keys), (1, 1));
        assert!(!is_live(data.join().unwrap()), "a data key was handed out that had been revoked");
        assert!(!is_live(domain.join().unwrap()), "a domain key was handed out that had been revoked");
    });
}

#[test]
fn loom_a_shred_ends_what_readers_got_and_keeps_them_out() {
    loom::model(|| {
        let world = world(4);
        assert!(world.read_domain(1));
        world.read_data("a", 2);
        let reader = spawn(&world, |world| (world.active("a"), world.read_data("a", 2)));
        world.cache.block(&Scope::group("a"));
        let (from_memory, from_store) = reader.join().unwrap();
        assert!(!is_live(from_memory) && !is_live(from_store), "a handle outlived the shred");
        assert!(world.active("a").is_none());
        world.cache.unblock(&Scope::group("a"));
        assert!(world.read_data("a", 3).is_some());
    });
}

#[test]
fn loom_an_eviction_leaves_the_cache_whole() {
    loom::model(|| {
        let world = world(1);
        assert!(world.read_domain(1));
        world.read_data("a", 2);
        let reader = spawn(&world, |world| is_live(world.active("a")));
        assert!(is_live(world.read_data("b", 3)));
        reader.join().unwrap();
        assert_eq!(world.cache.len(), 1);
        assert!(world.active("a").is_none() && is_live(world.active("b")));
    });
}

#[test]
fn loom_one_of_two_renews_ahead() {
    loom::model(|| {
        let world = world(4);
        assert!(world.read_domain(1));
        world.read_data("a", 2);
        world.clock.advance(LEASE * 4 / 5);
        let find = |world: &World| world.cache.active(&Scope::group("a"));
        let other = spawn(&world, find);
        let here = find(&world);
        let there = other.join().unwrap();
        let ahead = [&here, &there].into_iter().filter(|found| matches!(found, Some(Found::Ahead(..)))).count();
        assert_eq!(ahead, 1);
        drop((here, there));
        assert!(matches!(find(&world), Some(Found::Ahead(..))), "who gives up lets another one try");
    });
}

#[test]
fn loom_what_is_read_beside_a_shred_that_ends_is_not_handed_out() {
    loom::model(|| {
        let world = world(4);
        assert!(world.read_domain(1));
        let shredded = Arc::new(AtomicBool::new(false));
        let reader = spawn(&world, {
            let shredded = Arc::clone(&shredded);
            move |world| {
                let scope = Scope::group("a");
                // As `Keys::read_slot`: the other way round, a shred may come to its end in between unseen.
                let lease = world.data_gate.begin();
                world.cache.admit(&scope).ok()?;
                if shredded.load(Ordering::SeqCst) {
                    return None;
                }
                let [above, key] = [[1; 32], [2; 32]];
                let above = Cell::new(Zeroizing::new(above), derive::full_id(&above), &world.domain_gate, lease);
                let full_id = derive::full_id(&key);
                let cell = Cell::below(&above, &scope, Zeroizing::new(key), full_id, &world.data_gate, lease);
                let origin = Origin { scope, pseudonym: [0; 32], parent: above.full_id };
                match world.cache.insert(Entry::new(origin, cell, true)).ok()? {
                    Kept::Yes(handle) => Some(handle),
                    Kept::Stale => None,
                }
            }
        });
        world.cache.block(&Scope::group("a"));
        shredded.store(true, Ordering::SeqCst);
        world.cache.unblock(&Scope::group("a"));
        assert!(!is_live(reader.join().unwrap()), "a handle outlived the shred");
        assert!(world.active("a").is_none());
    });
}
