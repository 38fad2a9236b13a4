use core::num::NonZeroU32;
use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use phi_types::Clock;

use super::layer;
use crate::kms::{Kms, KmsCall, KmsError, KmsFuture, Sleeper};

/// Calls a KMS so many times a second, with bursts of so many calls, as a token bucket does. Who comes too early waits, or
/// gets [`KmsError::Throttled`] when that would take longer than the patience. A turn that is given up before it comes goes to
/// the next caller.
///
/// Put it around a [`CircuitBreaker`](super::CircuitBreaker), to which its refusals would look like a KMS that fails.
///
/// ```
/// # #[cfg(feature = "tokio-time")] {
/// use core::{num::NonZeroU32, time::Duration};
/// use phi_keys::{EphemeralKeyring, RateLimit, TokioSleeper};
/// use phi_types::SystemClock;
///
/// let (rate, burst) = (NonZeroU32::new(100).ok_or("0")?, NonZeroU32::new(20).ok_or("0")?);
/// let kms = RateLimit::new(EphemeralKeyring::generate()?, rate, burst, SystemClock::new(), TokioSleeper::new())
///     .with_patience(Duration::from_secs(1));
/// # let _ = kms;
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct RateLimit {
    inner: Arc<dyn Kms>,
    /// From one call to the next in the long run.
    interval: Duration,
    /// How far calls may run ahead of that.
    slack: Duration,
    patience: Duration,
    clock: Arc<dyn Clock>,
    sleeper: Arc<dyn Sleeper>,
    turns: Mutex<Turns>,
}

/// Who may call when, at an even pace and in monotonic time.
#[derive(Debug, Default)]
struct Turns {
    /// The first turn that nobody has taken yet.
    next: Duration,
    /// Turns before it that were given back: without these, callers that give up would use up the rate and call nothing.
    given_back: BTreeSet<Duration>,
}

impl RateLimit {
    /// A KMS that is called `per_second` times a second, `burst` times at once.
    pub fn new(
        inner: impl Kms,
        per_second: NonZeroU32,
        burst: NonZeroU32,
        clock: impl Clock,
        sleeper: impl Sleeper,
    ) -> Self {
        let interval = Duration::from_secs(1) / per_second.get();
        Self {
            inner: Arc::new(inner),
            interval,
            slack: interval.saturating_mul(burst.get() - 1),
            patience: Duration::from_secs(5),
            clock: Arc::new(clock),
            sleeper: Arc::new(sleeper),
            turns: Mutex::default(),
        }
    }

    /// How long a call may wait for its turn, 5 s unless given.
    #[must_use]
    pub const fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    async fn through<'a, T: Send>(
        &'a self,
        _: KmsCall,
        run: impl Fn() -> KmsFuture<'a, T> + Send + Sync,
    ) -> Result<T, KmsError> {
        let (turn, wait) = self.take_turn()?;
        if !wait.is_zero() {
            self.sleeper.sleep(wait).await;
        }
        turn.used();
        run().await
    }

    /// The turn that this call takes, and how long it is until then.
    fn take_turn(&self) -> Result<(Turn<'_>, Duration), KmsError> {
        let mut turns = self.turns();
        let now = self.clock.monotonic();
        // What nobody took in time is gone, as it is from a bucket that is full.
        turns.given_back = turns.given_back.split_off(&now);
        let at = turns.given_back.first().copied().unwrap_or_else(|| turns.next.max(now));
        let wait = at.saturating_sub(self.slack).saturating_sub(now);
        if wait > self.patience {
            return Err(KmsError::Throttled { after: Some(wait) });
        }
        if !turns.given_back.remove(&at) {
            turns.next = at.saturating_add(self.interval);
        }
        Ok((Turn { limit: self, at, used: false }, wait))
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        // Nothing panics under this lock.
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A turn that was taken, and is given back unless it is used.
struct Turn<'a> {
    limit: &'a RateLimit,
    at: Duration,
    used: bool,
}

impl Turn<'_> {
    fn used(mut self) {
        self.used = true;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if !self.used {
            self.limit.turns().given_back.insert(self.at);
        }
    }
}

layer!(RateLimit);
