use core::time::Duration;
use std::sync::Arc;

use phi_types::Clock;

use super::layer;
use crate::kms::observer::Watch;
use crate::kms::{Kms, KmsCall, KmsError, KmsEvent, KmsFuture, KmsObserver};

/// Tells an observer of every call to a KMS, with its duration and its error, also of those that are given up before there is
/// an answer.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use phi_keys::{EphemeralKeyring, Kms, KmsEvent, KmsObserver, Observed};
/// use phi_types::SystemClock;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let log = Arc::new(Mutex::new(Vec::new()));
/// let lines = Arc::clone(&log);
/// let observer: Arc<dyn KmsObserver> = Arc::new(move |event: &KmsEvent<'_>| {
///     if let KmsEvent::Called { call, error, .. } = event {
///         lines.lock().unwrap().push((call.as_str(), error.map(|error| error.kind())));
///     }
/// });
/// let kms = Observed::new(EphemeralKeyring::generate()?, observer, SystemClock::new());
/// kms.status().await?;
/// assert_eq!(*log.lock().unwrap(), [("status", None)]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Observed {
    inner: Arc<dyn Kms>,
    watch: Watch,
    clock: Arc<dyn Clock>,
}

impl Observed {
    /// A KMS that is watched.
    pub fn new(inner: impl Kms, observer: Arc<dyn KmsObserver>, clock: impl Clock) -> Self {
        Self { inner: Arc::new(inner), watch: Watch(Some(observer)), clock: Arc::new(clock) }
    }

    async fn through<'a, T: Send>(
        &'a self,
        call: KmsCall,
        run: impl Fn() -> KmsFuture<'a, T> + Send + Sync,
    ) -> Result<T, KmsError> {
        let under_way = UnderWay { observed: self, call, began: self.clock.monotonic(), ended: false };
        let result = run().await;
        under_way.end(result.as_ref().err());
        result
    }
}

/// A call that the observer has not been told of yet.
struct UnderWay<'a> {
    observed: &'a Observed,
    call: KmsCall,
    began: Duration,
    ended: bool,
}

impl UnderWay<'_> {
    fn elapsed(&self) -> Duration {
        self.observed.clock.monotonic().saturating_sub(self.began)
    }

    fn end(mut self, error: Option<&KmsError>) {
        // Before the observer is told, which may panic: it is told of each call once.
        self.ended = true;
        let (kek_id, elapsed) = (self.observed.inner.kek_id(), self.elapsed());
        self.observed.watch.tell(&KmsEvent::Called { kek_id, call: self.call, elapsed, error });
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        // While a panic unwinds, a second one in the observer would end the process.
        if !self.ended && !std::thread::panicking() {
            let (kek_id, elapsed) = (self.observed.inner.kek_id(), self.elapsed());
            self.observed.watch.tell(&KmsEvent::GivenUp { kek_id, call: self.call, elapsed });
        }
    }
}

layer!(Observed);
