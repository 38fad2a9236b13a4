//! One message key and what has been sealed under it.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::{Arc, PoisonError, RwLock};

use phi_keys::DataKey;
use phi_keys::derive::Label;
use phi_keys::f1::{self, MessageKey, NonceKey, Suite};

use super::SealError;
use super::nonces::Nonces;

/// When an epoch is over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) age: Duration,
}

/// `SPEC.md` section 3.
pub(super) const LIMITS: Limits = Limits { messages: 1 << 24, bytes: 64 << 30, age: Duration::from_secs(3600) };

/// A message key under a salt of its own, with the room that is left in it.
pub(super) struct Epoch {
    pub(super) key: MessageKey,
    /// Where nonces are hedged.
    pub(super) nonces: Option<NonceKey>,
    began: Duration,
    /// Messages and bytes that were sealed: one word, so that taking room is one exchange.
    taken: AtomicU64,
}

/// Bits of [`Epoch::taken`] that count bytes; 2^36 of them are an epoch's most. The others count messages, at most 2^24.
const BYTE_BITS: u32 = 37;
/// An epoch in which there is no more room.
const OVER: u64 = u64::MAX;

impl Epoch {
    pub(super) fn begin(
        data: &DataKey,
        suite: Suite,
        nonces: Nonces,
        salt: [u8; f1::SALT_LEN],
        now: Duration,
    ) -> Result<Self, SealError> {
        let info = f1::key_info(suite, &salt);
        let derive = |label| data.derive(label, &info).map_err(|_| SealError::LeaseEnded);
        let key = MessageKey::from_derived_on(data.backend(), &*derive(Label::FIELD)?, data.kid(), suite, salt)?;
        let nonces = match nonces {
            Nonces::Random => None,
            Nonces::Hedged => Some(NonceKey::from_derived(&*derive(Label::NONCE)?)),
        };
        Ok(Self { key, nonces, began: now, taken: AtomicU64::new(0) })
    }

    /// Takes room for messages; false when there is not as much left.
    pub(super) fn take(&self, limits: &Limits, now: Duration, messages: u64, bytes: u64) -> bool {
        if now.saturating_sub(self.began) >= limits.age || messages > limits.messages || bytes > limits.bytes {
            return false;
        }
        // Relaxed: the counts bound how much is sealed and order nothing else.
        let mut taken = self.taken.load(Ordering::Relaxed);
        loop {
            if taken == OVER {
                return false;
            }
            // Each sum is of two numbers that are within the limits, so it is far from the end of its type.
            let messages = (taken >> BYTE_BITS) + messages;
            let bytes = (taken & ((1 << BYTE_BITS) - 1)) + bytes;
            if messages > limits.messages || bytes > limits.bytes {
                return false;
            }
            let next = messages << BYTE_BITS | bytes;
            match self.taken.compare_exchange_weak(taken, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => taken = now,
            }
        }
    }

    /// Leaves no room, also for who holds the epoch already.
    fn end(&self) {
        self.taken.store(OVER, Ordering::Relaxed);
    }
}

/// The current epoch of one data key, shared by every sealer of its scope.
#[derive(Default)]
pub(super) struct EpochCell(RwLock<Option<Arc<Epoch>>>);

impl EpochCell {
    /// The current epoch with the room already taken, or a new one when the current is over.
    pub(super) fn reserve(
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
    pub(super) fn roll(&self) {
        if let Some(epoch) = self.0.write().unwrap_or_else(PoisonError::into_inner).take() {
            epoch.end();
        }
    }
}
