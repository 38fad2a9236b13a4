//! What is derived from data keys, shared by every handle of the same key and dropped with its last lease.

use std::hash::RandomState;
use std::sync::{Arc, Mutex, PoisonError};

use phi_keys::{DataKey, KeyId};

use crate::cache::Bounded;

/// Keys of which derived state is kept.
const CAPACITY: usize = 1024;

/// How many additions may pass before entries whose lease has ended are dropped.
const SWEEP: usize = 64;

/// Derived state by key.
pub(crate) struct Handles<C>(Mutex<Entries<C>>);

struct Entries<C> {
    by_kid: Bounded<KeyId, Entry<C>, RandomState>,
    until_sweep: usize,
}

struct Entry<C> {
    newest: DataKey,
    derived: Arc<C>,
}

impl<C: Default> Handles<C> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Entries { by_kid: Bounded::new(CAPACITY), until_sweep: SWEEP }))
    }

    /// The state of this key, kept while some lease of it lives.
    pub(crate) fn derived(&self, data: &DataKey) -> Arc<C> {
        // A poisoned lock guards a cache whose entries are replaced whole.
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.by_kid.get_mut(&data.kid()) {
            entry.newest = data.clone();
            return Arc::clone(&entry.derived);
        }
        entries.until_sweep = entries.until_sweep.saturating_sub(1);
        if entries.until_sweep == 0 {
            entries.until_sweep = SWEEP;
            entries.by_kid.retain(|entry| entry.newest.is_live());
        }
        let derived = Arc::new(C::default());
        entries.by_kid.insert(data.kid(), Entry { newest: data.clone(), derived: Arc::clone(&derived) });
        derived
    }
}
