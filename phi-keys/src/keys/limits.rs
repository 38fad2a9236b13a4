//! How much a key manager keeps, and for how long.

use core::num::{NonZeroU64, NonZeroUsize};
use core::time::Duration;

use crate::error::Error;

/// What bounds the keys in memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) entries: NonZeroUsize,
    pub(super) bytes: NonZeroUsize,
    pub(super) uses: NonZeroU64,
    /// How long a domain key is used before a KMS is asked for it again.
    pub(super) age: Duration,
    /// How long a key is used beyond its time while store or KMS do not answer.
    pub(super) grace: Duration,
    /// How long a refusal is remembered.
    pub(super) refusal: Duration,
}

impl Limits {
    const LONGEST_AGE: Duration = Duration::from_secs(7 * 24 * 3600);
    const LONGEST_GRACE: Duration = Duration::from_secs(24 * 3600);
    const LONGEST_REFUSAL: Duration = Duration::from_secs(60);

    /// Refuses what cannot be meant.
    pub(super) fn check(&self) -> Result<(), Error> {
        if !(Duration::from_secs(1)..=Self::LONGEST_AGE).contains(&self.age) {
            return Err(Error::Config("a domain key is kept for 1 s to 7 days before its KMS is asked again"));
        }
        if self.grace > Self::LONGEST_GRACE {
            return Err(Error::Config("the grace for outages lasts at most 24 h"));
        }
        if self.refusal > Self::LONGEST_REFUSAL {
            return Err(Error::Config("a refusal is remembered for at most 60 s"));
        }
        Ok(())
    }
}

impl Default for Limits {
    fn default() -> Self {
        const ENTRIES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(10_000 - 1);
        const BYTES: NonZeroUsize = NonZeroUsize::MIN.saturating_add((16 << 20) - 1);
        const USES: NonZeroU64 = NonZeroU64::MIN.saturating_add((1 << 20) - 1);
        Self {
            entries: ENTRIES,
            bytes: BYTES,
            uses: USES,
            age: Duration::from_secs(3600),
            grace: Duration::ZERO,
            refusal: Duration::from_secs(5),
        }
    }
}
