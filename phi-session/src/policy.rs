//! How long a session may live, and the document that says so.
//!
//! ```
//! use core::time::Duration;
//! use phi_session::Policy;
//!
//! let policy = Policy::new(Duration::from_secs(10 * 60), Duration::from_secs(8 * 3600))?.with_max_sessions(3)?;
//! assert!(policy.document().contains("10 min"));
//! # Ok::<(), phi_session::InvalidPolicy>(())
//! ```

use core::fmt;
use core::fmt::Write as _;
use core::num::NonZeroU32;
use core::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// Shortest warning, from WCAG 2.2 success criterion 2.2.1: twenty seconds to extend by a simple action.
const MIN_WARN: Duration = Duration::from_secs(20);
/// Longest absolute time, from NIST SP 800-63B-4 section 2.1.3.
const MAX_ABSOLUTE: Duration = Duration::from_secs(30 * 24 * HOUR);

/// The predetermined times after which a session ends (45 CFR 164.312(a)(2)(iii)).
///
/// The rule names no number; [`document`](Self::document) writes down the choice for whoever has to justify it. The
/// default is 15 minutes of inactivity, a warning 120 seconds before, and 12 hours at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    idle: Duration,
    warn: Duration,
    absolute: Duration,
    max_sessions: Option<NonZeroU32>,
}

/// Why a [`Policy`] was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidPolicy {
    /// The idle time is under 40 seconds, which leaves no room for a warning.
    IdleTooShort,
    /// The absolute time is shorter than the idle time.
    AbsoluteBelowIdle,
    /// The absolute time is over 30 days.
    AbsoluteTooLong,
    /// The warning is under 20 seconds or longer than half of the idle time.
    Warning,
    /// No session at all would be allowed.
    NoSessions,
}

impl fmt::Display for InvalidPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IdleTooShort => "the idle time is under 40 seconds: give at least that",
            Self::AbsoluteBelowIdle => {
                "the absolute time is shorter than the idle time: raise it or lower the idle time"
            }
            Self::AbsoluteTooLong => "the absolute time is over 30 days: give at most that (NIST SP 800-63B-4)",
            Self::Warning => "the warning has to be between 20 seconds (WCAG 2.2.1) and half of the idle time",
            Self::NoSessions => "the session limit is zero: allow at least one, or set no limit",
        })
    }
}

impl core::error::Error for InvalidPolicy {}

impl Default for Policy {
    fn default() -> Self {
        Self::minutes(15, 12 * 60)
    }
}

impl Policy {
    /// Only for constants of this file, which keep the rules of [`new`](Self::new) (a test says so).
    const fn minutes(idle: u64, absolute: u64) -> Self {
        Self {
            idle: Duration::from_secs(idle * MINUTE),
            warn: Duration::from_secs(120),
            absolute: Duration::from_secs(absolute * MINUTE),
            max_sessions: None,
        }
    }

    /// A policy with these times; the warning comes 120 seconds before, or at half of a shorter idle time.
    ///
    /// # Errors
    /// [`InvalidPolicy`] when `idle` is under 40 seconds, or `absolute` under `idle` or over 30 days.
    pub fn new(idle: Duration, absolute: Duration) -> Result<Self, InvalidPolicy> {
        if idle < MIN_WARN * 2 {
            Err(InvalidPolicy::IdleTooShort)
        } else if absolute < idle {
            Err(InvalidPolicy::AbsoluteBelowIdle)
        } else if absolute > MAX_ABSOLUTE {
            Err(InvalidPolicy::AbsoluteTooLong)
        } else {
            Ok(Self { idle, warn: Duration::from_secs(120).min(idle / 2), absolute, max_sessions: None })
        }
    }

    /// Workstations that several people walk up to: 5 minutes of inactivity, 12 hours, one session per user.
    #[must_use]
    pub const fn shared_workstation() -> Self {
        Self { max_sessions: Some(NonZeroU32::MIN), ..Self::minutes(5, 12 * 60) }
    }

    /// The longest times that NIST SP 800-63B-4 section 2.2.3 recommends at AAL2: 1 hour, 24 hours.
    #[must_use]
    pub const fn nist_aal2() -> Self {
        Self::minutes(60, 24 * 60)
    }

    /// The longest times that NIST SP 800-63B-4 section 2.3.3 allows at AAL3: 15 minutes, 12 hours.
    #[must_use]
    pub const fn nist_aal3() -> Self {
        Self::minutes(15, 12 * 60)
    }

    /// Warns this long before the idle deadline.
    ///
    /// # Errors
    /// [`InvalidPolicy::Warning`] unless it is between 20 seconds and half of the idle time.
    pub fn with_warning(self, warn: Duration) -> Result<Self, InvalidPolicy> {
        if warn < MIN_WARN || warn > self.idle / 2 {
            return Err(InvalidPolicy::Warning);
        }
        Ok(Self { warn, ..self })
    }

    /// Allows each user this many live sessions; the oldest is ended when one more begins.
    ///
    /// # Errors
    /// [`InvalidPolicy::NoSessions`] for zero.
    pub fn with_max_sessions(self, count: u32) -> Result<Self, InvalidPolicy> {
        let count = NonZeroU32::new(count).ok_or(InvalidPolicy::NoSessions)?;
        Ok(Self { max_sessions: Some(count), ..self })
    }

    /// The time without user activity after which a session is dead.
    #[must_use]
    pub const fn idle(&self) -> Duration {
        self.idle
    }

    /// How long before the idle deadline the user is warned.
    #[must_use]
    pub const fn warning(&self) -> Duration {
        self.warn
    }

    /// The time after login at which a session is dead whatever happens.
    #[must_use]
    pub const fn absolute(&self) -> Duration {
        self.absolute
    }

    /// Live sessions per user; `None` is no limit.
    #[must_use]
    pub const fn max_sessions(&self) -> Option<u32> {
        match self.max_sessions {
            Some(count) => Some(count.get()),
            None => None,
        }
    }

    /// The coalescing window: activity is written only when it is this much newer than what is stored, so a session can
    /// end this much early, never late by one clock. A sixtieth of the idle time, at most 15 seconds.
    #[must_use]
    pub fn coalescing_window(&self) -> Duration {
        (self.idle / 60).min(Duration::from_secs(15))
    }

    /// The policy as Markdown for an auditor: limits, behaviour, and where it departs from NIST SP 800-63B-4.
    ///
    /// It answers OWASP ASVS 5.0 requirements 7.1.1 and 7.1.2.
    #[must_use]
    pub fn document(&self) -> String {
        let mut out = String::from("# Session policy\n\n| limit | value |\n|---|---|\n");
        let limit = self
            .max_sessions
            .map_or_else(|| "no limit".to_owned(), |count| format!("{count}; when one more begins, the oldest ends"));
        // Writing into a `String` cannot fail.
        let _ = writeln!(
            out,
            "| automatic logoff after inactivity (45 CFR 164.312(a)(2)(iii)) | {} |\n\
             | warning before it | {} |\n\
             | absolute lifetime | {} |\n\
             | concurrent sessions per user | {limit} |\n\
             | possible earliness of the logoff | less than {} |\n\
             | possible lateness of the logoff | none on one server; between servers, what their clocks differ by |\n",
            Span(self.idle),
            Span(self.warn),
            Span(self.absolute),
            Span(self.coalescing_window()),
        );
        out.push_str(
            "A session is dead at the instant of its deadline, not after it. Requests that no person caused (polling, \
             event streams) do not extend it. Signing in, a further factor and a change of role replace the secret; the \
             old one is dead at once. A session that ended stays ended; access is regained by authentication only. A \
             further factor does not move the absolute deadline.\n\n## Against NIST SP 800-63B-4\n\n",
        );
        for (level, idle, absolute, word) in
            [("AAL2", HOUR, 24 * HOUR, "SHOULD"), ("AAL3", 15 * MINUTE, 12 * HOUR, "SHALL")]
        {
            let (idle, absolute) = (Duration::from_secs(idle), Duration::from_secs(absolute));
            let _ = match (self.idle <= idle, self.absolute <= absolute) {
                (true, true) => writeln!(out, "- {level}: within the limits ({}, {}).", Span(idle), Span(absolute)),
                (idle_ok, absolute_ok) => {
                    let _ = write!(out, "- {level}: deviates, and needs a written justification:");
                    if !idle_ok {
                        let _ = write!(out, " inactivity {} is over {} (SHOULD);", Span(self.idle), Span(idle));
                    }
                    if !absolute_ok {
                        let _ = write!(out, " lifetime {} is over {} ({word});", Span(self.absolute), Span(absolute));
                    }
                    out.pop();
                    writeln!(out, ".")
                }
            };
        }
        out
    }
}

/// A duration in its largest whole unit.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        if self.0.subsec_nanos() != 0 {
            write!(f, "{:.3} s", self.0.as_secs_f64())
        } else if seconds >= HOUR && seconds.is_multiple_of(HOUR) {
            write!(f, "{} h", seconds / HOUR)
        } else if seconds >= MINUTE && seconds.is_multiple_of(MINUTE) {
            write!(f, "{} min", seconds / MINUTE)
        } else {
            write!(f, "{seconds} s")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_keep_the_rules_of_new() {
        for policy in [Policy::default(), Policy::shared_workstation(), Policy::nist_aal2(), Policy::nist_aal3()] {
            let checked = Policy::new(policy.idle, policy.absolute).unwrap().with_warning(policy.warn).unwrap();
            assert_eq!(Policy { max_sessions: policy.max_sessions, ..checked }, policy);
        }
    }

    #[test]
    fn asvs_7_1_1_policy_document_lists_limits_and_nist_deviations() {
        let text = Policy::default().document();
        for part in ["| 15 min |", "| 2 min |", "| 12 h |", "less than 15 s", "none on one server;", "AAL3: within"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let text = Policy::nist_aal2().document();
        assert!(text.contains("AAL2: within"), "{text}");
        assert!(text.contains("inactivity 1 h is over 15 min (SHOULD); lifetime 24 h is over 12 h (SHALL)."), "{text}");
    }

    #[test]
    fn asvs_7_1_2_policy_document_lists_limit_and_action() {
        let text = Policy::shared_workstation().document();
        assert!(text.contains("| 1; when one more begins, the oldest ends |"), "{text}");
        assert!(Policy::default().document().contains("no limit"));
    }

    #[test]
    fn impossible_policies_are_refused() {
        let s = Duration::from_secs;
        assert_eq!(Policy::new(s(39), s(100)), Err(InvalidPolicy::IdleTooShort));
        assert_eq!(Policy::new(s(60), s(59)), Err(InvalidPolicy::AbsoluteBelowIdle));
        assert_eq!(Policy::new(s(60), s(31 * 24 * HOUR)), Err(InvalidPolicy::AbsoluteTooLong));
        let policy = Policy::new(s(60), s(60)).unwrap();
        assert_eq!(policy.with_warning(s(19)), Err(InvalidPolicy::Warning));
        assert_eq!(policy.with_warning(s(31)), Err(InvalidPolicy::Warning));
        assert_eq!(policy.with_max_sessions(0), Err(InvalidPolicy::NoSessions));
        assert_eq!(policy.coalescing_window(), s(1));
    }
}
