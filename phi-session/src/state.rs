//! The state machine: pure functions of a stored session, an instant and a policy.
//!
//! Deadlines are exclusive: at the deadline the session is dead. Terminal states absorb. Time before what the row has
//! seen extends nothing. Nothing here waits, reads a clock or touches a store.
//!
//! ```
//! use core::time::Duration;
//! use phi_session::state::{Presence, Verdict, begin, evaluate, extend};
//! use phi_session::{Policy, Stored};
//! # use phi_session::{PublicId, Row, Stamp, TokenHash};
//! # use phi_types::{Actor, Timestamp};
//! # let (policy, t0) = (Policy::default(), Timestamp::from_unix_seconds(1_767_225_600));
//! # let (absolute_deadline, idle_deadline) = begin(t0, &policy);
//! # let row = Row { public_id: PublicId::from_bytes([1; 16]), token_hash: TokenHash::from_bytes([2; 32]),
//! #     user: Actor::human("dr.osei").unwrap(), tenant: None, role: None, created: t0, absolute_deadline,
//! #     auth: Vec::new(), grant: None, version: 1, mac: [0; 32] };
//! # let stored = Stored { row: row.into(), stamp: Stamp { last_activity: t0, idle_deadline, mac: [0; 32] }, ended: None };
//! let minutes = |n: u64| t0.saturating_add(Duration::from_secs(n * 60));
//!
//! assert!(matches!(evaluate(&stored, minutes(14), &policy), Verdict::Active(_)));
//! assert!(matches!(evaluate(&stored, minutes(15), &policy), Verdict::Expired { .. }));
//! assert!(extend(&stored, minutes(10), Presence::User, &policy).is_some());
//! assert!(extend(&stored, minutes(10), Presence::Passive, &policy).is_none());
//! ```

use core::time::Duration;

use phi_types::Timestamp;

use crate::{EndReason, Policy, Stored};

/// How far a row may lie in the future before its clock or ours is taken to be wrong.
pub const MAX_SKEW: Duration = Duration::from_secs(60);

/// Whether a person caused a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Presence {
    /// A person did: it extends the session.
    User,
    /// A program did, such as polling or an event stream: it needs a live session and never extends it.
    Passive,
}

/// What is left of a live session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Remaining {
    /// Until the idle deadline.
    pub idle: Duration,
    /// Until the absolute deadline.
    pub absolute: Duration,
    /// The earlier of both deadlines: the first instant at which the session is dead.
    pub deadline: Timestamp,
    /// Whether the user is to be warned now.
    pub warn: bool,
}

/// What a stored session is worth at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It lives.
    Active(Remaining),
    /// It died of time, at `at`, and nobody has noticed yet.
    #[non_exhaustive]
    Expired {
        /// [`EndReason::ExpiredIdle`] or [`EndReason::ExpiredAbsolute`], whichever deadline came first.
        reason: EndReason,
        /// That deadline.
        at: Timestamp,
    },
    /// It was ended.
    Ended(EndReason),
    /// It was used more than [`MAX_SKEW`] in the future: a clock is wrong, so nothing about time can be trusted.
    ClockFault,
}

/// The absolute and the idle deadline of a session that begins at `now`.
#[must_use]
pub fn begin(now: Timestamp, policy: &Policy) -> (Timestamp, Timestamp) {
    let absolute = now.saturating_add(policy.absolute());
    (absolute, now.saturating_add(policy.idle()).min(absolute))
}

/// The instant that counts: never before what the session has already seen.
fn effective(stored: &Stored, now: Timestamp) -> Timestamp {
    now.max(stored.stamp.last_activity).max(stored.row.created)
}

/// Judges a stored session at `now`. A policy that became stricter since the row was written counts at once; one that
/// became laxer does not.
#[must_use]
pub fn evaluate(stored: &Stored, now: Timestamp, policy: &Policy) -> Verdict {
    let Stored { row, stamp, ended } = stored;
    if let Some(tombstone) = ended {
        return Verdict::Ended(tombstone.reason);
    }
    let seen = stamp.last_activity.max(row.created);
    if seen > now.saturating_add(MAX_SKEW) {
        return Verdict::ClockFault;
    }
    let now = effective(stored, now);
    let idle = stamp.idle_deadline.min(stamp.last_activity.saturating_add(policy.idle()));
    let absolute = row.absolute_deadline.min(row.created.saturating_add(policy.absolute()));
    let deadline = idle.min(absolute);
    if now >= deadline {
        let reason = if absolute <= idle { EndReason::ExpiredAbsolute } else { EndReason::ExpiredIdle };
        return Verdict::Expired { reason, at: deadline };
    }
    let left = deadline.saturating_since(now);
    Verdict::Active(Remaining {
        idle: idle.saturating_since(now),
        absolute: absolute.saturating_since(now),
        deadline,
        warn: left <= policy.warning(),
    })
}

/// The last activity and the idle deadline that a request at `now` writes; `None` when it writes nothing, because the
/// session is not live, nobody caused the request, or what is stored is less than the coalescing window old.
///
/// Both results are never earlier than what is stored, and the idle deadline never exceeds the absolute one.
#[must_use]
pub fn extend(stored: &Stored, now: Timestamp, presence: Presence, policy: &Policy) -> Option<(Timestamp, Timestamp)> {
    if presence != Presence::User || !matches!(evaluate(stored, now, policy), Verdict::Active(_)) {
        return None;
    }
    let now = effective(stored, now);
    let gained = now.saturating_since(stored.stamp.last_activity);
    if gained.is_zero() || gained < policy.coalescing_window() {
        return None;
    }
    let idle = now.saturating_add(policy.idle()).min(stored.row.absolute_deadline).max(stored.stamp.idle_deadline);
    Some((now, idle))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use phi_types::Actor;
    use proptest::prelude::*;

    use super::*;
    use crate::{PublicId, Row, Stamp, TokenHash, Tombstone};

    const MICRO: Duration = Duration::from_micros(1);

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_unix_micros(1_767_225_600_000_000 + micros)
    }

    fn session(created: Timestamp, last_activity: Timestamp, policy: &Policy) -> Stored {
        let (absolute_deadline, _) = begin(created, policy);
        let idle_deadline = last_activity.saturating_add(policy.idle()).min(absolute_deadline);
        Stored {
            row: Arc::new(Row {
                public_id: PublicId::from_bytes([1; 16]),
                token_hash: TokenHash::from_bytes([2; 32]),
                user: Actor::human("dr.osei").unwrap(),
                tenant: None,
                role: None,
                created,
                absolute_deadline,
                auth: Vec::new(),
                grant: None,
                version: 1,
                mac: [0; 32],
            }),
            stamp: Stamp { last_activity, idle_deadline, mac: [0; 32] },
            ended: None,
        }
    }

    fn lives(stored: &Stored, now: Timestamp, policy: &Policy) -> bool {
        matches!(evaluate(stored, now, policy), Verdict::Active(_))
    }

    #[test]
    fn at_the_deadline_it_is_dead() {
        let policy = Policy::default();
        let stored = session(at(0), at(0), &policy);
        let idle = at(0).saturating_add(policy.idle());
        assert!(lives(&stored, idle.saturating_sub(MICRO), &policy));
        let expired = Verdict::Expired { reason: EndReason::ExpiredIdle, at: idle };
        assert_eq!(evaluate(&stored, idle, &policy), expired);
        let absolute = at(0).saturating_add(policy.absolute());
        let stored = session(at(0), absolute.saturating_sub(MICRO * 2), &policy);
        assert!(lives(&stored, absolute.saturating_sub(MICRO), &policy));
        let expired = Verdict::Expired { reason: EndReason::ExpiredAbsolute, at: absolute };
        assert_eq!(evaluate(&stored, absolute, &policy), expired);
    }

    #[test]
    fn a_clock_behind_the_row_gains_nothing_and_far_behind_is_a_fault() {
        let policy = Policy::default();
        let stored = session(at(0), at(30_000_000), &policy);
        for now in [at(30_000_000), at(29_999_999), at(-30_000_000)] {
            let Verdict::Active(left) = evaluate(&stored, now, &policy) else { panic!("{now}") };
            assert_eq!((left.idle, left.warn), (policy.idle(), false));
            assert_eq!(extend(&stored, now, Presence::User, &policy), None);
        }
        assert_eq!(evaluate(&stored, at(-30_000_001), &policy), Verdict::ClockFault);
    }

    proptest! {
        #[test]
        fn what_was_dead_stays_dead_and_what_is_extended_only_grows(
            last in 0_i64..50_000_000_000,
            now in 0_i64..50_000_000_000,
            later in 0_i64..50_000_000_000,
        ) {
            let policy = Policy::default();
            let mut stored = session(at(0), at(last), &policy);
            if !lives(&stored, at(now), &policy) && evaluate(&stored, at(now), &policy) != Verdict::ClockFault {
                prop_assert!(!lives(&stored, at(now.max(later)), &policy));
            }
            match extend(&stored, at(now), Presence::User, &policy) {
                Some((activity, idle)) => {
                    prop_assert!(lives(&stored, at(now), &policy));
                    prop_assert!(activity >= at(last).saturating_add(policy.coalescing_window()));
                    prop_assert!(activity <= at(now) && idle >= stored.stamp.idle_deadline);
                    prop_assert!(idle <= stored.row.absolute_deadline);
                }
                None => prop_assert!(
                    !lives(&stored, at(now), &policy)
                        || at(now).saturating_since(at(last)) < policy.coalescing_window()
                ),
            }
            prop_assert_eq!(extend(&stored, at(now), Presence::Passive, &policy), None);
            stored.ended = Some(Tombstone::new(EndReason::Logout, at(now)));
            for now in [at(now), at(later), at(last), Timestamp::MIN, Timestamp::MAX] {
                prop_assert_eq!(evaluate(&stored, now, &policy), Verdict::Ended(EndReason::Logout));
                prop_assert_eq!(extend(&stored, now, Presence::User, &policy), None);
            }
        }
    }
}
