use std::sync::Arc;

use phi_types::Clock;

use super::layer;
use crate::kms::observer::Watch;
use crate::kms::{Kms, KmsCall, KmsError, KmsEvent, KmsFuture, KmsObserver};

/// Tells an observer of every call to a KMS, with its duration and its error.
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
        let before = self.clock.monotonic();
        let result = run().await;
        let elapsed = self.clock.monotonic().saturating_sub(before);
        let error = result.as_ref().err();
        self.watch.tell(&KmsEvent::Called { kek_id: self.inner.kek_id(), call, elapsed, error });
        result
    }
}

layer!(Observed);
