//! Single flight: of many tasks that want one cold key, one fetches it and the others share what it got.

use core::fmt;
use core::hash::Hash;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Slot<V> = Arc<tokio::sync::Mutex<Option<V>>>;

pub(super) struct Flights<K, V>(Mutex<HashMap<K, Flight<V>>>);

struct Flight<V> {
    slot: Slot<V>,
    /// Tasks that fetch or wait.
    aboard: usize,
}

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
        let mut map = self.map();
        let flight = map.entry(key.clone()).or_insert_with(|| Flight { slot: Slot::default(), aboard: 0 });
        flight.aboard += 1;
        Arc::clone(&flight.slot)
    }

    fn map(&self) -> MutexGuard<'_, HashMap<K, Flight<V>>> {
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
        // One that has landed is there no longer, but the next one for its key may be.
        if let Some(flight) = map.get_mut(&self.key).filter(|flight| Arc::ptr_eq(&flight.slot, &self.slot)) {
            flight.aboard = flight.aboard.saturating_sub(1);
            if flight.aboard == 0 {
                map.remove(&self.key);
            }
        }
    }
}

impl<K, V> fmt::Debug for Flights<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flights")
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use core::cell::Cell;
    use core::future::{pending, poll_fn};
    use core::pin::Pin;
    use core::task::{Context, Poll, Waker};

    use super::*;

    fn poll<T>(future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_flight_is_kept_while_anybody_is_aboard_and_forgotten_with_the_last() {
        let flights = Flights::<&str, u8>::new();
        let aboard = || flights.map().get("key").map(|flight| flight.aboard);
        {
            let mut first = Box::pin(flights.run("key", pending()));
            let mut second = Box::pin(flights.run("key", pending()));
            assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
            assert_eq!(aboard(), Some(2));
            drop(first);
            assert_eq!(aboard(), Some(1), "the second waits for what the first began");
            drop(second);
        }
        assert_eq!(aboard(), None, "nobody wants it any longer");
    }

    #[test]
    fn who_leaves_a_flight_that_has_landed_leaves_the_next_one_alone() {
        let (flights, answered) = (Flights::<&str, u8>::new(), Cell::new(false));
        let fetch = poll_fn(|_| if answered.get() { Poll::Ready(1) } else { Poll::Pending });
        let mut first = Box::pin(flights.run("key", fetch));
        let mut second = Box::pin(flights.run("key", pending()));
        assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
        answered.set(true);
        assert_eq!(poll(first.as_mut()), Poll::Ready(1));
        let mut next = Box::pin(flights.run("key", pending()));
        assert!(poll(next.as_mut()).is_pending());
        drop(second);
        assert_eq!(flights.map().get("key").map(|flight| flight.aboard), Some(1));
        drop(next);
        assert!(flights.map().is_empty());
    }
}
