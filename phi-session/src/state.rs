//! The state machine: pure functions of a stored session, an instant and a policy.
//!
//! Deadlines are exclusive: at the deadline the session is dead. Terminal states absorb. Time that steps back extends
//! nothing. Nothing here waits, reads a clock or touches a store.
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
