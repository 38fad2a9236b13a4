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

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use phi_keys::{EphemeralKeyring, Keys, MemoryKeyStore, Scope};

    use super::*;
    use crate::handles::Handles;
    use crate::seal::{Sealer, Shared};
    use crate::{Context, ScopedSealer, Sealed};

    const PLACE: Context<'static> = Context::new("P", "f");

    async fn sealer(limits: Limits) -> ScopedSealer {
        let keys = Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate().unwrap()).build();
        let sealer = Sealer::builder(keys.await.unwrap()).build();
        let Shared { keys, suite, .. } = Arc::into_inner(sealer.0).unwrap();
        let sealer = Sealer(Arc::new(Shared { keys, suite, limits, epochs: Handles::new() }));
        sealer.for_scope(&Scope::group("g")).await.unwrap()
    }

    /// How many values share each salt, in the order in which the salts came.
    fn runs<T>(sealed: &[Sealed<T>]) -> Vec<usize> {
        sealed.chunk_by(|a, b| a.as_bytes()[17..29] == b.as_bytes()[17..29]).map(<[_]>::len).collect()
    }

    #[tokio::test]
    async fn an_epoch_holds_so_many_messages_and_no_more() {
        let sealer = sealer(Limits { messages: 4, ..LIMITS }).await;
        let sealed: Vec<_> = (0..10).map(|_| sealer.seal("x", &PLACE).unwrap()).collect();
        assert_eq!(runs(&sealed), [4, 4, 2]);
    }

    #[tokio::test]
    async fn an_epoch_holds_so_many_bytes_and_no_more() {
        let sealer = sealer(Limits { bytes: 10, ..LIMITS }).await;
        let sealed: Vec<_> = (0..6).map(|_| sealer.seal("four", &PLACE).unwrap()).collect();
        assert_eq!(runs(&sealed), [2, 2, 2]);
        assert_eq!(sealer.seal("eleven bytes", &PLACE), Err(SealError::TooLarge));
    }

    #[tokio::test]
    async fn a_batch_longer_than_an_epoch_is_sealed_in_parts() {
        let sealer = sealer(Limits { messages: 4, ..LIMITS }).await;
        sealer.seal("x", &PLACE).unwrap();
        let sealed = sealer.seal_many(&[const { ("x", PLACE) }; 9]);
        // The first part finds no room for four in the epoch that has begun, and takes one of its own.
        assert_eq!(runs(&sealed.unwrap()), [4, 4, 1]);
    }

    #[tokio::test]
    async fn threads_together_do_not_pass_the_limit() {
        const THREADS: usize = 8;
        let sealer = sealer(Limits { messages: 16, ..LIMITS }).await;
        let barrier = Arc::new(Barrier::new(THREADS));
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let (sealer, barrier) = (sealer.clone(), Arc::clone(&barrier));
                std::thread::spawn(move || {
                    barrier.wait();
                    (0..100).map(|_| sealer.seal("x", &PLACE).unwrap()).collect::<Vec<_>>()
                })
            })
            .collect();
        let mut sealed: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        sealed.sort_by(|a, b| a.as_bytes()[17..29].cmp(&b.as_bytes()[17..29]));
        let runs = runs(&sealed);
        assert_eq!(runs.iter().sum::<usize>(), THREADS * 100);
        assert!(runs.iter().all(|run| *run <= 16), "{runs:?}");
    }
}
