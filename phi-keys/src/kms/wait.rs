//! Waiting and chance, injected so that no test sleeps.

use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::Poll;
use core::time::Duration;
use std::sync::Arc;

use crate::random;

/// Lets time pass for one task. The crate has no timer of its own, since a timer belongs to a runtime: with the feature
/// `tokio-time`, `TokioSleeper` is tokio's.
pub trait Sleeper: fmt::Debug + Send + Sync + 'static {
    /// Completes after `duration`.
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

impl<S: Sleeper + ?Sized> Sleeper for Arc<S> {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        (**self).sleep(duration)
    }
}

/// The timer of a tokio runtime that was built with time enabled.
///
/// ```
/// use core::time::Duration;
/// use phi_keys::{EphemeralKeyring, Kms, Timeout, TokioSleeper};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let kms = Timeout::new(EphemeralKeyring::generate()?, Duration::from_secs(2), TokioSleeper::new());
/// assert!(kms.status().await.is_ok());
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "tokio-time")]
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct TokioSleeper;

#[cfg(feature = "tokio-time")]
impl TokioSleeper {
    /// The timer of the runtime in which the waiting happens.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

#[cfg(feature = "tokio-time")]
impl Sleeper for TokioSleeper {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        // Made inside the future, which is polled in the runtime: outside of one, making it panics.
        Box::pin(async move { tokio::time::sleep(duration).await })
    }
}

/// Where the random part of a wait comes from.
pub trait Jitter: fmt::Debug + Send + Sync + 'static {
    /// A duration from zero to `limit`, each as likely as the other.
    fn up_to(&self, limit: Duration) -> Duration;
}

impl<J: Jitter + ?Sized> Jitter for Arc<J> {
    fn up_to(&self, limit: Duration) -> Duration {
        (**self).up_to(limit)
    }
}

/// The operating system's generator; the whole limit when that gives nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SystemJitter;

impl Jitter for SystemJitter {
    fn up_to(&self, limit: Duration) -> Duration {
        let Ok(bytes) = random::bytes() else { return limit };
        let micros = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
        // The bias of the remainder is below 2^-20 for waits of less than an hour.
        Duration::from_micros(u64::from_be_bytes(bytes) % micros.saturating_add(1).max(1))
    }
}

/// The result of `work`, or `None` when `limit` ends first. What is ready at once is never too late.
pub(crate) async fn within<T>(work: impl Future<Output = T>, limit: impl Future<Output = ()>) -> Option<T> {
    let (mut work, mut limit) = (pin!(work), pin!(limit));
    poll_fn(|task| match work.as_mut().poll(task) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending => limit.as_mut().poll(task).map(|()| None),
    })
    .await
}
