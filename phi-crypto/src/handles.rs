//! What is derived from data keys, shared by every handle of the same key and dropped with its last lease.

use std::hash::RandomState;
use std::sync::{Arc, Mutex, PoisonError};

use phi_keys::{DataKey, KeyId};

use crate::cache::Bounded;

/// Keys of which derived state is kept.
const CAPACITY: usize = 1024;

/// How many additions may pass before entries whose lease has ended are dropped: so many, or half as many as there are
/// entries, so that an addition pays for a look at two of them.
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
            entries.by_kid.retain(|entry| entry.newest.is_live());
            entries.until_sweep = SWEEP.max(entries.by_kid.len() / 2);
        }
        let derived = Arc::new(C::default());
        entries.by_kid.insert(data.kid(), Entry { newest: data.clone(), derived: Arc::clone(&derived) });
        derived
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use phi_keys::{EphemeralKeyring, Keys, MemoryKeyStore, Scope};
    use phi_types::ManualClock;

    use super::*;

    #[tokio::test]
    async fn one_key_has_one_state_and_dead_ones_are_swept() {
        let clock = ManualClock::at_unix_seconds(0);
        let keys = Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate().unwrap()).clock(clock.clone());
        let keys = keys.build().await.unwrap();
        let key = async |name: usize| keys.data_key(&Scope::group(name.to_string())).await.unwrap();

        let handles = Handles::<u8>::new();
        let first = key(0).await;
        let derived = handles.derived(&first);
        assert!(Arc::ptr_eq(&derived, &handles.derived(&first)));
        let lives = Arc::downgrade(&derived);
        drop(derived);
        for name in 1..SWEEP {
            handles.derived(&key(name).await);
        }
        // The lease of 60 seconds is renewed once, so the next sweep leaves the state alone.
        clock.advance(Duration::from_secs(60));
        handles.derived(&key(0).await);
        handles.derived(&key(SWEEP).await);
        assert!(lives.upgrade().is_some(), "a renewed key begins a new epoch");
        clock.advance(Duration::from_secs(60));
        for name in SWEEP + 1..=2 * SWEEP {
            handles.derived(&key(name).await);
        }
        assert!(lives.upgrade().is_none(), "what was derived outlives the lease");
    }

    #[tokio::test]
    async fn sweeps_become_rarer_with_more_entries() {
        let keys = Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate().unwrap());
        let keys = keys.build().await.unwrap();
        let handles = Handles::<u8>::new();
        let mut looked_at = 0;
        for name in 0..2 * CAPACITY {
            let before = handles.0.lock().unwrap().until_sweep;
            handles.derived(&keys.data_key(&Scope::group(name.to_string())).await.unwrap());
            let entries = handles.0.lock().unwrap();
            if entries.until_sweep > before {
                looked_at += entries.by_kid.len();
            }
        }
        assert!(looked_at <= 3 * 2 * CAPACITY, "{looked_at} looks for {} additions", 2 * CAPACITY);
        assert!(looked_at > 0);
    }
}
