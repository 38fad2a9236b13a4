use core::num::NonZeroU32;
use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};

use phi_types::Clock;

use super::layer;
use crate::kms::{Kms, KmsCall, KmsError, KmsFuture, Sleeper};

/// Calls a KMS so many times a second, with bursts of so many calls, as a token bucket does. Who comes too early waits, or
/// gets [`KmsError::Throttled`] when that would take longer than the patience.
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
    /// When the calls so far would have been made at an even pace, in monotonic time.
    due: Mutex<Duration>,
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
            due: Mutex::new(Duration::ZERO),
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
        let wait = self.turn()?;
        if !wait.is_zero() {
            self.sleeper.sleep(wait).await;
        }
        run().await
    }

    /// How long until the turn that this call takes. A call that is given up while it waits has taken its turn.
    fn turn(&self) -> Result<Duration, KmsError> {
        // Nothing panics under this lock.
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.monotonic();
        let start = (*due).max(now);
        let wait = start.saturating_sub(self.slack).saturating_sub(now);
        if wait > self.patience {
            return Err(KmsError::Throttled { after: Some(wait) });
        }
        *due = start.saturating_add(self.interval);
        Ok(wait)
    }
}

layer!(RateLimit);
