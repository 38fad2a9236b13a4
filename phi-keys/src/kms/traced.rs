//! What happens between this crate and its KMSs, as events of `tracing`.

use core::time::Duration;

use tracing::{debug, info, warn};

use super::{KmsEvent, KmsObserver};

/// An observer that tells [`tracing`] what happens, with the target `phi_keys::kms`: what went well at `DEBUG`, what is tried
/// again at `INFO`, and what somebody should know of at `WARN`. Fields are the KEK's name, the call, durations in microseconds
/// and the [kind](super::KmsError::kind) of an error, whose text may say more than a log should hold; never wrapped bytes,
/// contexts or keys.
///
/// ```
/// use std::sync::Arc;
/// use phi_keys::{EphemeralKeyring, Kms, Observed, TracingObserver};
/// use phi_types::SystemClock;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let observer = Arc::new(TracingObserver::new());
/// let kms = Observed::new(EphemeralKeyring::generate()?, observer, SystemClock::new());
/// kms.status().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct TracingObserver;

impl TracingObserver {
    /// An observer.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

const TARGET: &str = "phi_keys::kms";

impl KmsObserver for TracingObserver {
    fn observe(&self, event: &KmsEvent<'_>) {
        match *event {
            KmsEvent::Called { kek_id: kek, call, elapsed, error: None } => {
                debug!(target: TARGET, kek, call = call.as_str(), elapsed_us = micros(elapsed), "called");
            }
            KmsEvent::Called { kek_id: kek, call, elapsed, error: Some(error) } => {
                let (call, error) = (call.as_str(), error.kind());
                warn!(target: TARGET, kek, call, elapsed_us = micros(elapsed), error, "failed");
            }
            KmsEvent::GivenUp { kek_id: kek, call, elapsed } => {
                debug!(target: TARGET, kek, call = call.as_str(), elapsed_us = micros(elapsed), "given up");
            }
            KmsEvent::Retried { kek_id: kek, call, wait, error } => {
                let (call, error) = (call.as_str(), error.kind());
                info!(target: TARGET, kek, call, wait_us = micros(wait), error, "tried again");
            }
            KmsEvent::CircuitOpened { kek_id: kek, rest } => {
                warn!(target: TARGET, kek, rest_us = micros(rest), "left alone for a while");
            }
            KmsEvent::PassedOver { kek_id: kek, error } => {
                warn!(target: TARGET, kek, error = error.kind(), "passed over");
            }
            KmsEvent::Hedged { kek_id: kek } => debug!(target: TARGET, kek, "asked as well"),
            KmsEvent::Forgotten { kek_id: kek, version, domain_keys, data_keys } => {
                warn!(target: TARGET, kek, version, domain_keys, data_keys, "takes keys back");
            }
            KmsEvent::CopyMissing { kek_id: kek, error } => {
                warn!(target: TARGET, kek, error = error.kind(), "has no copy of a new key");
            }
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
