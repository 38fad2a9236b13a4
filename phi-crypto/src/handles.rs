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
}
