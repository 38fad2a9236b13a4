use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::sync::Arc;

use super::{CircuitOpen, layer};
use crate::kms::observer::Watch;
use crate::kms::wait::SystemJitter;
use crate::kms::{Jitter, Kms, KmsCall, KmsError, KmsEvent, KmsFuture, KmsObserver, Sleeper};

/// What a retry costs in the budget, whose unit is what a success earns.
const COST: u32 = 10;

/// How often and how fast a call is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// Calls in all, the first included; 3 by default.
    pub attempts: u32,
    /// The longest wait before the second call; it doubles with each further one. 100 ms by default.
    pub base: Duration,
    /// No random wait is longer, 5 s by default; it comes on top of what the KMS asks for. Who is asked to wait longer than
    /// this gets the error at once.
    pub longest: Duration,
    /// Retries that may be made without a success in between, over all calls; 20 by default. Ten successes earn one more,
    /// up to this number: so a KMS that is down gets a tenth more calls, not three times as many.
    pub budget: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts: 3, base: Duration::from_millis(100), longest: Duration::from_secs(5), budget: 20 }
    }
}

impl RetryPolicy {
    /// The policy by default, with so many calls in all.
    #[must_use]
    pub fn attempts(attempts: u32) -> Self {
        Self { attempts, ..Self::default() }
    }
}

/// Repeats what failed and may succeed: [transient](KmsError::is_transient) errors and nothing else. It waits a random part
/// of a limit that doubles, or at least as long as the KMS asked for.
///
/// Put it around [`Timeout`](super::Timeout), so that each attempt has its time, and around
/// [`CircuitBreaker`](super::CircuitBreaker), whose refusals it passes on at once. Switch off the retries of an SDK beneath
/// it.
///
/// ```
/// # #[cfg(feature = "tokio-time")] {
/// use core::time::Duration;
/// use phi_keys::{CircuitBreaker, EphemeralKeyring, Retry, RetryPolicy, Timeout, TokioSleeper};
/// use phi_types::SystemClock;
///
/// let kms = Timeout::new(EphemeralKeyring::generate()?, Duration::from_secs(2), TokioSleeper::new());
/// let kms = CircuitBreaker::new(kms, 5, Duration::from_secs(30), SystemClock::new());
/// let kms = Retry::new(kms, RetryPolicy::default(), TokioSleeper::new());
/// # let _ = kms;
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Retry {
    inner: Arc<dyn Kms>,
    policy: RetryPolicy,
    sleeper: Arc<dyn Sleeper>,
    jitter: Arc<dyn Jitter>,
    watch: Watch,
    /// What is left of the budget, in units of a success.
    left: AtomicU32,
}

impl Retry {
    /// A KMS that is asked again.
    pub fn new(inner: impl Kms, policy: RetryPolicy, sleeper: impl Sleeper) -> Self {
        Self {
            inner: Arc::new(inner),
            policy,
            sleeper: Arc::new(sleeper),
            jitter: Arc::new(SystemJitter),
            watch: Watch::default(),
            left: AtomicU32::new(policy.budget.saturating_mul(COST)),
        }
    }

    /// Where the random part of a wait comes from; the operating system unless given.
    #[must_use]
    pub fn with_jitter(mut self, jitter: impl Jitter) -> Self {
        self.jitter = Arc::new(jitter);
        self
    }

    /// Who is told of every retry.
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn KmsObserver>) -> Self {
        self.watch = Watch(Some(observer));
        self
    }

    async fn through<'a, T: Send>(
        &'a self,
        call: KmsCall,
        run: impl Fn() -> KmsFuture<'a, T> + Send + Sync,
    ) -> Result<T, KmsError> {
        let mut limit = self.policy.base.min(self.policy.longest);
        let mut attempt = 1;
        loop {
            let error = match run().await {
                Ok(answer) => {
                    self.earn();
                    return Ok(answer);
                }
                Err(error) => error,
            };
            if !error.is_transient() || CircuitOpen::is_source_of(&error) || attempt >= self.policy.attempts {
                return Err(error);
            }
            let Some(wait) = self.wait(limit, error.retry_after()) else { return Err(error) };
            if !self.spend() {
                return Err(error);
            }
            self.watch.tell(&KmsEvent::Retried { kek_id: self.inner.kek_id(), call, wait, error: &error });
            self.sleeper.sleep(wait).await;
            limit = limit.saturating_mul(2).min(self.policy.longest);
            attempt += 1;
        }
    }

    /// How long to wait, unless that is too long.
    fn wait(&self, limit: Duration, asked: Option<Duration>) -> Option<Duration> {
        let random = self.jitter.up_to(limit).min(limit);
        match asked {
            Some(asked) if asked > self.policy.longest => None,
            // The random part comes on top, or all who were asked to wait would come back at once.
            Some(asked) => Some(asked.saturating_add(random)),
            None => Some(random),
        }
    }

    fn earn(&self) {
        let full = self.policy.budget.saturating_mul(COST);
        let more = |left: u32| (left < full).then(|| left + 1);
        // A full budget stays as it is.
        let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    fn spend(&self) -> bool {
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(COST)).is_ok()
    }
}

layer!(Retry);
