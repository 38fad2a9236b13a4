//! Single flight: of many tasks that want one cold key, one fetches it and the others share what it got.

use core::fmt;
use core::hash::Hash;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Slot<V> = Arc<tokio::sync::Mutex<Option<V>>>;

pub(super) struct Flights<K, V>(Mutex<HashMap<K, Slot<V>>>);

impl<K: Eq + Hash + Clone, V: Clone> Flights<K, V> {
    pub(super) fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }

    /// Runs `fetch`, or waits for the task that runs it for the same key and takes its result. When that task is
    /// cancelled, one of the waiting takes over.
    pub(super) async fn run(&self, key: K, fetch: impl Future<Output = V>) -> V {
        let passenger = Passenger { flights: self, slot: self.board(&key), key };
        let mut landed = passenger.slot.lock().await;
        if let Some(value) = &*landed {
            return value.clone();
        }
        let value = fetch.await;
        *landed = Some(value.clone());
        // Whoever comes from here on starts a flight of their own, and so sees what is true then.
        self.map().remove(&passenger.key);
        value
    }

    fn board(&self, key: &K) -> Slot<V> {
        Arc::clone(self.map().entry(key.clone()).or_default())
    }

    fn map(&self) -> MutexGuard<'_, HashMap<K, Slot<V>>> {
        // Nothing panics under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One task in a flight. When the last of them gives up, the flight is forgotten.
struct Passenger<'a, K: Eq + Hash + Clone, V: Clone> {
    flights: &'a Flights<K, V>,
    slot: Slot<V>,
    key: K,
}

impl<K: Eq + Hash + Clone, V: Clone> Drop for Passenger<'_, K, V> {
    fn drop(&mut self) {
        let mut map = self.flights.map();
        // Two references: the map's and this one's.
        if map.get(&self.key).is_some_and(|slot| Arc::ptr_eq(slot, &self.slot) && Arc::strong_count(slot) == 2) {
            map.remove(&self.key);
        }
    }
}

impl<K, V> fmt::Debug for Flights<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flights")
    }
}
