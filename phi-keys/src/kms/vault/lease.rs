//! How long a token lives, and when to see to it.

use core::time::Duration;

/// What is known about a token's life. Times are of [`Clock::monotonic`](phi_types::Clock::monotonic).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lease {
    /// There is no token yet.
    None,
    /// There is one, and the server was not asked about it yet.
    Unknown,
    /// It never expires, or is not allowed to say.
    Endless,
    /// It expires.
    Until {
        /// How long it had when it was last granted.
        full: Duration,
        /// When something should be done about it.
        renew_at: Duration,
        /// When it is over.
        ends: Duration,
        /// Whether the server extends it.
        renewable: bool,
    },
}

impl Lease {
    /// A token with `seconds` left; 0 means that it never expires. It is renewed when two thirds are over.
    pub(super) fn granted(now: Duration, seconds: u64, renewable: bool) -> Self {
        if seconds == 0 {
            return Self::Endless;
        }
        let full = Duration::from_secs(seconds);
        let renew_at = now.saturating_add(full.saturating_mul(2) / 3);
        Self::Until { full, renew_at, ends: now.saturating_add(full), renewable }
    }

    /// Whether something should be done before the next call.
    pub(super) fn is_due(&self, now: Duration) -> bool {
        match self {
            Self::None | Self::Unknown => true,
            Self::Endless => false,
            Self::Until { renew_at, .. } => now >= *renew_at,
        }
    }

    /// Whether the token is good for now, although something may be due.
    pub(super) fn is_alive(&self, now: Duration) -> bool {
        match self {
            Self::None | Self::Unknown => false,
            Self::Endless => true,
            Self::Until { ends, .. } => now < *ends,
        }
    }

    /// The same token, left alone for a third of the rest of its life, after an attempt that failed.
    pub(super) fn postponed(self, now: Duration) -> Self {
        match self {
            Self::Until { full, ends, renewable, .. } => {
                let rest = ends.saturating_sub(now) / 3;
                Self::Until { full, renew_at: now.saturating_add(rest.max(Duration::from_secs(1))), ends, renewable }
            }
            other => other,
        }
    }

    /// How long until something should be done; `None` for never.
    pub(super) fn due_in(&self, now: Duration) -> Option<Duration> {
        match self {
            Self::None | Self::Unknown => Some(Duration::ZERO),
            Self::Endless => None,
            Self::Until { renew_at, .. } => Some(renew_at.saturating_sub(now)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_token_is_due_when_two_thirds_are_over() {
        let lease = Lease::granted(s(100), 600, true);
        assert!(!lease.is_due(s(499)));
        assert!(lease.is_due(s(500)));
        assert_eq!(lease.due_in(s(200)), Some(s(300)));
        assert_eq!(lease.postponed(s(550)).due_in(s(550)), Some(s(50)));
        assert_eq!(lease.postponed(s(700)).due_in(s(700)), Some(s(1)), "no busy loop after the end");
        assert!(!Lease::granted(s(0), 0, false).is_due(Duration::MAX));
        assert!(Lease::granted(s(0), u64::MAX, true).due_in(s(0)).is_some());
    }
}
