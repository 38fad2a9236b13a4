//! One KMS in this process for every system: it counts its calls, and takes its time if it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use phi_keys::{
    Carrier, EphemeralKeyring, KekState, KekStatus, Kms, KmsError, KmsFuture, RootPin, WrapContext, Wrapped,
};

#[derive(Debug)]
pub(crate) struct Counting {
    pub(crate) kms: EphemeralKeyring,
    calls: AtomicU64,
    down: AtomicBool,
    latency: Duration,
}

impl Counting {
    pub(crate) fn new(name: &str, latency: Duration) -> crate::Result<Arc<Self>> {
        let kms = EphemeralKeyring::named(name, phi_types::SystemClock::new())?;
        Ok(Arc::new(Self { kms, calls: AtomicU64::new(0), down: AtomicBool::new(false), latency }))
    }

    /// How often it was called since the last time.
    pub(crate) fn take(&self) -> u64 {
        self.calls.swap(0, Ordering::SeqCst)
    }

    pub(crate) fn kill(&self) {
        self.down.store(true, Ordering::SeqCst);
    }

    async fn answer(&self) -> Result<(), KmsError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if !self.latency.is_zero() {
            tokio::time::sleep(self.latency).await;
        }
        if self.down.load(Ordering::SeqCst) { Err(KmsError::unavailable("killed")) } else { Ok(()) }
    }
}

impl Kms for Counting {
    fn kek_id(&self) -> &str {
        self.kms.kek_id()
    }

    fn wrap_dek<'a>(&'a self, carrier: &'a Carrier, context: &'a WrapContext) -> KmsFuture<'a, Wrapped> {
        Box::pin(async move {
            self.answer().await?;
            self.kms.wrap_dek(carrier, context).await
        })
    }

    fn unwrap_dek<'a>(&'a self, wrapped: &'a Wrapped, context: &'a WrapContext) -> KmsFuture<'a, Carrier> {
        Box::pin(async move {
            self.answer().await?;
            self.kms.unwrap_dek(wrapped, context).await
        })
    }

    fn status(&self) -> KmsFuture<'_, KekStatus> {
        self.kms.status()
    }

    fn version_state<'a>(&'a self, version: &'a str) -> KmsFuture<'a, Option<KekState>> {
        self.kms.version_state(version)
    }

    fn root_pin(&self) -> Option<&dyn RootPin> {
        self.kms.root_pin()
    }
}
