//! Refusals that are remembered for a moment, so that a KMS which says no is not asked by every request.

use core::fmt;
use core::hash::Hash;
use core::time::Duration;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::handle::{Gate, Moment};
use crate::error::Error;

/// How many are remembered.
const MOST: usize = 1024;

pub(super) struct Refusals<K> {
    gate: Arc<Gate>,
    age: Duration,
    known: Mutex<Known<K>>,
}

struct Known<K> {
    errors: HashMap<K, (Error, Moment)>,
    /// In the order in which they were learned, which is the order in which they are forgotten.
    order: VecDeque<K>,
}

impl<K: Eq + Hash + Clone> Refusals<K> {
    pub(super) fn new(gate: Arc<Gate>, age: Duration) -> Self {
        Self { gate, age, known: Mutex::new(Known { errors: HashMap::new(), order: VecDeque::new() }) }
    }

    /// Why this was refused a moment ago.
    pub(super) fn check(&self, key: &K) -> Result<(), Error> {
        match self.known().errors.get(key) {
            Some((error, until)) if !until.has_come(self.gate.now()) => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// Remembers a refusal, unless one is still remembered: repeating it does not make it last longer.
    pub(super) fn remember(&self, key: &K, error: &Error) {
        if self.age.is_zero() {
            return;
        }
        let now = self.gate.now();
        let Known { errors, order } = &mut *self.known();
        while let Some(oldest) = order.front() {
            let over = errors.get(oldest).is_none_or(|(_, until)| until.has_come(now));
            if !over && order.len() < MOST {
                break;
            }
            errors.remove(oldest);
            order.pop_front();
        }
        if !errors.contains_key(key) {
            errors.insert(key.clone(), (error.clone(), now.plus(self.age)));
            order.push_back(key.clone());
        }
    }

    /// Forgets all of them: something changed that may have mended their cause.
    pub(super) fn clear(&self) {
        let Known { errors, order } = &mut *self.known();
        errors.clear();
        order.clear();
    }

    fn known(&self) -> MutexGuard<'_, Known<K>> {
        // Nothing panics under this lock.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K> fmt::Debug for Refusals<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Refusals")
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use phi_types::ManualClock;

    use super::*;

    #[test]
    fn no_more_than_the_bound_are_remembered_and_none_longer_than_its_age() {
        let clock = ManualClock::at_unix_seconds(0);
        let gate = Gate::new(Arc::new(clock.clone()), Duration::from_secs(60));
        let refusals = Refusals::new(gate, Duration::from_secs(5));
        for key in 0..2 * MOST {
            refusals.remember(&key, &Error::Shredded);
        }
        assert_eq!(refusals.known().errors.len(), MOST);
        assert_eq!(refusals.known().order.len(), MOST);
        assert!(refusals.check(&0).is_ok() && refusals.check(&(2 * MOST - 1)).is_err());

        clock.advance(Duration::from_secs(3));
        refusals.remember(&(2 * MOST - 1), &Error::Shredded);
        clock.advance(Duration::from_secs(2));
        assert!(refusals.check(&(2 * MOST - 1)).is_ok(), "being asked for it does not prolong a refusal");
        refusals.remember(&7, &Error::Shredded);
        assert_eq!(refusals.known().errors.len(), 1, "what is over takes no room");
        refusals.clear();
        assert!(refusals.check(&7).is_ok());
    }
}
