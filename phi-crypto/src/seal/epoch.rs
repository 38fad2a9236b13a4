//! One message key and what has been sealed under it.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::{Arc, PoisonError, RwLock};

use phi_keys::DataKey;
use phi_keys::derive::Label;
use phi_keys::f1::{self, MessageKey, Suite};

use super::SealError;

/// When an epoch is over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) age: Duration,
}

/// `SPEC.md` section 3.
pub(crate) const LIMITS: Limits = Limits { messages: 1 << 24, bytes: 64 << 30, age: Duration::from_secs(3600) };

/// A message key under a salt of its own, with the room that is left in it.
pub(crate) struct Epoch {
    pub(crate) key: MessageKey,
    began: Duration,
    messages: AtomicU64,
    bytes: AtomicU64,
}

impl Epoch {
    pub(crate) fn begin(data: &DataKey, suite: Suite, now: Duration) -> Result<Self, SealError> {
        let salt = f1::fresh_salt().map_err(|_| SealError::NoRandomness)?;
        let derived = data.derive(Label::FIELD, &f1::key_info(suite, &salt)).map_err(|_| SealError::LeaseEnded)?;
        let key = MessageKey::from_derived(&derived, data.kid(), suite, salt);
        Ok(Self { key, began: now, messages: AtomicU64::new(0), bytes: AtomicU64::new(0) })
    }

    /// Takes room for messages; false when the epoch is over, which it then stays.
    fn take(&self, limits: &Limits, now: Duration, messages: u64, bytes: u64) -> bool {
        // Relaxed: the counters bound how much is sealed and order nothing else. They cannot wrap, because the epoch is
        // replaced the first time a sum passes its limit, and each addend is far below the type's range.
        let young = now.saturating_sub(self.began) < limits.age;
        let messages = self.messages.fetch_add(messages, Ordering::Relaxed).saturating_add(messages);
        let bytes = self.bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        young && messages <= limits.messages && bytes <= limits.bytes
    }
}

/// The current epoch of one data key, shared by every sealer of its scope.
#[derive(Default)]
pub(crate) struct EpochCell(RwLock<Option<Arc<Epoch>>>);

impl EpochCell {
    /// The current epoch with the room already taken, or a new one when the current is over.
    pub(crate) fn reserve(
        &self,
        limits: &Limits,
        now: Duration,
        (messages, bytes): (u64, u64),
        begin: impl FnOnce() -> Result<Epoch, SealError>,
    ) -> Result<Arc<Epoch>, SealError> {
        let has_room = |epoch: &&Arc<Epoch>| epoch.take(limits, now, messages, bytes);
        // A poisoned lock holds no half-written state: the option is replaced in one step.
        if let Some(epoch) = self.0.read().unwrap_or_else(PoisonError::into_inner).as_ref().filter(has_room) {
            return Ok(Arc::clone(epoch));
        }
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(epoch) = current.as_ref().filter(has_room) {
            return Ok(Arc::clone(epoch));
        }
        let epoch = Arc::new(begin()?);
        if !epoch.take(limits, now, messages, bytes) {
            return Err(SealError::TooLarge);
        }
        *current = Some(Arc::clone(&epoch));
        Ok(epoch)
    }

    /// Ends the current epoch.
    pub(crate) fn roll(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
