use core::time::Duration;
use std::sync::Arc;

use crate::kms::{KekChange, KekTarget, KekVersions, KmsAdmin, KmsCall, KmsError, KmsFuture, Sleeper, layer};

/// A KEK whose changes take a while to show everywhere, for [`kms_admin`](super::kms_admin) and
/// [`kek_rotation`](super::kek_rotation): waits after each change, and hands everything else on.
///
/// ```
/// use core::time::Duration;
/// use std::sync::Arc;
/// use phi_keys::conformance::{self, Settling};
/// use phi_keys::{EphemeralKeyring, MemoryKeyStore, TokioSleeper};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // A cloud's KMS in the keyring's place takes seconds.
/// let kms = Arc::new(EphemeralKeyring::generate()?);
/// let kms = Settling::new(kms, Duration::from_millis(1), TokioSleeper::new());
/// conformance::kms_admin(&kms).await?;
/// conformance::kek_rotation(|| async { MemoryKeyStore::new() }, Arc::new(kms)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Settling {
    inner: Arc<dyn KmsAdmin>,
    wait: Duration,
    sleeper: Arc<dyn Sleeper>,
}

impl Settling {
    /// A KEK that after each change gives the KMS `wait` to make it known.
    pub fn new(inner: Arc<dyn KmsAdmin>, wait: Duration, sleeper: impl Sleeper) -> Self {
        Self { inner, wait, sleeper: Arc::new(sleeper) }
    }

    async fn through<'a, T: Send>(
        &'a self,
        _: KmsCall,
        run: impl Fn() -> KmsFuture<'a, T> + Send + Sync,
    ) -> Result<T, KmsError> {
        run().await
    }

    fn settled<'a>(&'a self, change: KmsFuture<'a, KekChange>) -> KmsFuture<'a, KekChange> {
        Box::pin(async move {
            let change = change.await?;
            self.sleeper.sleep(self.wait).await;
            Ok(change)
        })
    }
}

layer!(Settling);

impl KmsAdmin for Settling {
    fn versions(&self) -> KmsFuture<'_, KekVersions> {
        self.inner.versions()
    }

    fn rotate(&self) -> KmsFuture<'_, KekChange> {
        self.settled(self.inner.rotate())
    }

    fn disable<'a>(&'a self, target: &'a KekTarget) -> KmsFuture<'a, KekChange> {
        self.settled(self.inner.disable(target))
    }

    fn enable<'a>(&'a self, target: &'a KekTarget) -> KmsFuture<'a, KekChange> {
        self.settled(self.inner.enable(target))
    }

    fn schedule_destruction<'a>(&'a self, target: &'a KekTarget, window: Duration) -> KmsFuture<'a, KekChange> {
        self.settled(self.inner.schedule_destruction(target, window))
    }

    fn cancel_destruction<'a>(&'a self, target: &'a KekTarget) -> KmsFuture<'a, KekChange> {
        self.settled(self.inner.cancel_destruction(target))
    }
}
