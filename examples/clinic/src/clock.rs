//! The time as the tour wants it.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use phi_types::{Clock, SystemClock, Timestamp};

/// The system's clocks, set forward by as much as [`advance`](Self::advance) says. The clinic itself never advances one;
/// the tour does, on a copy of the data, to show what idle time does without waiting for it.
#[derive(Debug, Default)]
pub(crate) struct OffsetClock {
    ahead_micros: AtomicU64,
}

impl OffsetClock {
    pub(crate) fn advance(&self, by: Duration) {
        let micros = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
        // Only the tour's single task writes; readers may see the old time for a moment, as with any clock.
        self.ahead_micros.fetch_add(micros, Ordering::Relaxed);
    }

    fn ahead(&self) -> Duration {
        Duration::from_micros(self.ahead_micros.load(Ordering::Relaxed))
    }
}

impl Clock for OffsetClock {
    fn now(&self) -> Timestamp {
        SystemClock::new().now().saturating_add(self.ahead())
    }

    fn monotonic(&self) -> Duration {
        SystemClock::new().monotonic().saturating_add(self.ahead())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_ahead_by_what_it_was_advanced() {
        let clock = OffsetClock::default();
        clock.advance(Duration::from_secs(900));
        let ahead = clock.now().saturating_since(SystemClock::new().now());
        assert!(ahead > Duration::from_secs(890) && ahead <= Duration::from_secs(900), "{ahead:?}");
        assert!(clock.monotonic() >= Duration::from_secs(900));
    }
}
