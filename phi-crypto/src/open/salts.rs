//! Message keys of one data key, by suite and salt.

use core::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::{Arc, PoisonError, RwLock};

use phi_keys::DataKey;
use phi_keys::derive::Label;
use phi_keys::f1::{self, MessageKey, Parts, Suite};

use super::OpenError;
use crate::cache::Bounded;

/// Message keys kept for one data key. A subject's values share few salts: one for each process and epoch that wrote.
const CAPACITY: usize = 32;

/// What a message key is derived from, beside the data key.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Name {
    suite: Suite,
    salt: [u8; f1::SALT_LEN],
}

/// A salt is random; one that was made up to collide costs its maker a scan of at most [`CAPACITY`] entries.
impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [a, b, c, d, e, f, g, h, ..] = self.salt;
        state.write_u64(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
    }
}

/// Takes the first bytes of a salt as their own hash.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

/// The bounded cache of the opening side.
pub(super) struct Salts(RwLock<Bounded<Name, Arc<MessageKey>, BuildHasherDefault<Identity>>>);

impl Default for Salts {
    fn default() -> Self {
        Self(RwLock::new(Bounded::new(CAPACITY)))
    }
}

impl Salts {
    /// The message key that sealed a value.
    pub(super) fn key(&self, data: &DataKey, parts: &Parts<'_>) -> Result<Arc<MessageKey>, OpenError> {
        let name = Name { suite: parts.suite(), salt: parts.salt() };
        // A poisoned lock guards a cache whose entries are put in whole.
        if let Some(key) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&name) {
            return Ok(Arc::clone(key));
        }
        let derived = data.derive(Label::FIELD, &f1::key_info(name.suite, &name.salt));
        let derived = derived.map_err(|_| OpenError::LeaseEnded)?;
        let key = MessageKey::from_derived_on(data.backend(), &derived, data.kid(), name.suite, name.salt)?;
        let key = Arc::new(key);
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(name, Arc::clone(&key));
        Ok(key)
    }
}
