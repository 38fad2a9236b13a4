use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use super::layer;
use crate::kms::wait::within;
use crate::kms::{Kms, KmsCall, KmsError, KmsFuture, Sleeper};

/// Gives a KMS so much time for each call, and then reports [`KmsError::Unavailable`] with [`TimedOut`] as its source.
///
/// A call that is given up may still have been carried out. That is harmless: nothing that a KMS does here has an effect
/// before its answer is used.
///
/// ```
/// use core::{future::pending, time::Duration};
/// use phi_keys::{EphemeralKeyring, Kms, Sleeper, Timeout};
///
/// #[derive(Debug)]
/// struct Never;
/// impl Sleeper for Never {
///     fn sleep(&self, _: Duration) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
///         Box::pin(pending())
///     }
/// }
///
/// let kms = Timeout::new(EphemeralKeyring::generate()?, Duration::from_secs(2), Never);
/// assert_eq!(kms.kek_id(), "ephemeral");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Timeout {
    inner: Arc<dyn Kms>,
    limit: Duration,
    sleeper: Arc<dyn Sleeper>,
}

impl Timeout {
    /// A KMS that answers within `limit` or not at all.
    pub fn new(inner: impl Kms, limit: Duration, sleeper: impl Sleeper) -> Self {
        Self { inner: Arc::new(inner), limit, sleeper: Arc::new(sleeper) }
    }

    async fn through<'a, T: Send>(
        &'a self,
        _: KmsCall,
        run: impl Fn() -> KmsFuture<'a, T> + Send + Sync,
    ) -> Result<T, KmsError> {
        let answer = within(run(), self.sleeper.sleep(self.limit)).await;
        answer.unwrap_or_else(|| Err(KmsError::unavailable(TimedOut { limit: self.limit })))
    }
}

layer!(Timeout);

/// A KMS did not answer in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimedOut {
    /// How long it was waited for.
    pub limit: Duration,
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no answer within {} ms: check the network, or allow more time", self.limit.as_millis())
    }
}

impl core::error::Error for TimedOut {}
