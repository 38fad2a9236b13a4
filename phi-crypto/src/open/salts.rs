//! Message keys of one data key, by suite and salt.

use std::sync::{Arc, PoisonError, RwLock};

use phi_keys::DataKey;
use phi_keys::derive::Label;
use phi_keys::f1::{self, MessageKey, Parts};

use super::OpenError;

/// Message keys kept for one data key. A subject's values share few salts: one for each process and epoch that wrote.
const CAPACITY: usize = 32;

/// The bounded cache of the opening side.
#[derive(Default)]
pub(super) struct Salts(RwLock<Kept>);

/// So few keys that a look at each costs less than a table: most data keys have one or two.
#[derive(Default)]
struct Kept {
    keys: Vec<([u8; f1::SALT_LEN], Arc<MessageKey>)>,
    /// The oldest, which makes room once there are as many as are kept.
    oldest: usize,
}

impl Kept {
    fn get(&self, parts: &Parts<'_>) -> Option<&Arc<MessageKey>> {
        let salt = parts.salt();
        let mut keys = self.keys.iter().filter(|(of, _)| *of == salt).map(|(_, key)| key);
        keys.find(|key| key.is_named_by(parts))
    }

    fn insert(&mut self, key: Arc<MessageKey>) {
        let entry = (key.salt(), key);
        if self.keys.len() < CAPACITY {
            self.keys.push(entry);
        } else if let Some(place) = self.keys.get_mut(self.oldest) {
            *place = entry;
            self.oldest = (self.oldest + 1) % CAPACITY;
        }
    }
}

impl Salts {
    /// The message key that sealed a value.
    pub(super) fn key(&self, data: &DataKey, parts: Parts<'_>) -> Result<Arc<MessageKey>, OpenError> {
        // A poisoned lock guards a cache whose entries are put in whole.
        if let Some(key) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&parts) {
            return Ok(Arc::clone(key));
        }
        let (suite, salt) = (parts.suite(), parts.salt());
        let derived = data.derive(Label::FIELD, &f1::key_info(suite, &salt)).map_err(|_| OpenError::LeaseEnded)?;
        let key = Arc::new(MessageKey::from_derived_on(data.backend(), &derived, data.kid(), suite, salt)?);
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have derived it meanwhile.
        if kept.get(&parts).is_none() {
            kept.insert(Arc::clone(&key));
        }
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use phi_keys::{EphemeralKeyring, Keys, MemoryKeyStore, Scope};

    use super::*;
    use crate::{Context, Sealer};

    #[tokio::test]
    async fn the_oldest_message_keys_make_room_and_are_derived_again() {
        let keys = Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate().unwrap());
        let keys = keys.build().await.unwrap();
        let ward = Scope::group("ward 7");
        let sealer = Sealer::builder(keys.clone()).build().for_scope(&ward).await.unwrap();
        let place = Context::new("Bed", "occupant").record_id(1_u64);
        let sealed: Vec<_> = (0..=2 * CAPACITY)
            .map(|_| {
                sealer.roll();
                sealer.seal("Ada Lovelace", &place).unwrap()
            })
            .collect();
        let (data, salts) = (keys.data_key(&ward).await.unwrap(), Salts::default());
        let key = |at: usize| {
            let parts = f1::parse(sealed[at].as_bytes()).unwrap();
            let key = salts.key(&data, parts).unwrap();
            assert!(key.is_named_by(&parts), "{at}");
            key
        };
        let first = key(0);
        assert!(Arc::ptr_eq(&first, &key(0)));
        for at in 1..CAPACITY {
            assert!(Arc::ptr_eq(&key(at), &key(at)), "{at}");
        }
        assert!(Arc::ptr_eq(&first, &key(0)), "there is room for as many");
        for at in CAPACITY..=2 * CAPACITY {
            key(at);
            assert_eq!(salts.0.read().unwrap().keys.len(), CAPACITY);
        }
        assert!(!Arc::ptr_eq(&first, &key(0)));
        assert_eq!(Arc::strong_count(&first), 1, "the first one made room");
    }
}
