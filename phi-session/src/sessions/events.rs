//! What is reported to the audit log, and how often.

use core::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use phi_types::{Action, Activity, Actor, Outcome};

use super::Sessions;
use crate::store::REPORT_GRACE;
use crate::{EndReason, Row, SessionError, Stored};

/// Microseconds between two reports of one kind of refusal: whoever guesses tokens does not get to fill the log.
const INTERVAL: i64 = 60_000_000;
const NEVER: i64 = i64::MIN;

/// Counts refusals and lets one report a minute pass, which carries the count.
#[derive(Debug)]
pub(super) struct Tally {
    kind: &'static str,
    count: AtomicU64,
    last: AtomicI64,
}

impl Tally {
    pub(super) const fn new(kind: &'static str) -> Self {
        Self { kind, count: AtomicU64::new(0), last: AtomicI64::new(NEVER) }
    }

    /// Counts one; gives the count to report, when a report is due.
    fn hit(&self, now: i64) -> Option<u64> {
        self.count.fetch_add(1, Ordering::Relaxed);
        let last = self.last.load(Ordering::Relaxed);
        let due = last == NEVER || now.saturating_sub(last) >= INTERVAL;
        let mine = due && self.last.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if mine { self.take() } else { None }
    }

    fn take(&self) -> Option<u64> {
        Some(self.count.swap(0, Ordering::Relaxed)).filter(|count| *count > 0)
    }
}

impl Sessions {
    /// An activity of this session's user, now.
    pub(super) fn activity(&self, kind: &'static str, row: &Row) -> Activity {
        Activity::new(kind, Action::Execute, Outcome::Success, self.0.clock.now())
            .by(row.user.clone())
            .in_session(row.public_id.to_string())
    }

    pub(super) async fn record(&self, activity: Activity) -> Result<(), SessionError> {
        self.0.recorder.record(activity).await.map_err(SessionError::Record)
    }

    /// Reports the end of a session and confirms the report to the store, so that a sweep does not repeat it.
    pub(super) async fn report_end(&self, ended: &Stored, by: Option<&Actor>) -> Result<(), SessionError> {
        let Stored { row, stamp, ended: Some(tombstone) } = ended else { return Ok(()) };
        if !self.vouches_for(ended) {
            // A user, role or deadline that a forger wrote into the row must not enter the log as a fact about a user.
            self.tally(&self.0.forged).await?;
            self.0.store.reported(row.public_id).await?;
            return Ok(());
        }
        let mut activity = self.activity(tombstone.reason.kind(), row).with("created", row.created);
        if matches!(tombstone.reason, EndReason::ExpiredIdle | EndReason::ExpiredAbsolute) {
            activity = activity.with("deadline", stamp.idle_deadline.min(row.absolute_deadline));
        }
        if self.now() >= tombstone.at.saturating_add(REPORT_GRACE) {
            // A report that was lost is repeated with another time than that of the end.
            activity = activity.with("ended", tombstone.at);
        }
        if let Some(by) = by {
            activity = activity.with("user", row.user.to_string()).by(by.clone());
        } else if let Some(by) = &tombstone.by {
            activity = activity.with("by", by.clone());
        }
        self.record(activity).await?;
        self.0.store.reported(row.public_id).await?;
        Ok(())
    }

    /// Counts a refusal, and records the count when a report is due.
    pub(super) async fn tally(&self, tally: &Tally) -> Result<(), SessionError> {
        match tally.hit(self.now().as_unix_micros()) {
            Some(count) => self.record_tally(tally, count).await,
            None => Ok(()),
        }
    }

    /// Records what was counted since the last report.
    pub(super) async fn flush_tallies(&self) -> Result<(), SessionError> {
        for tally in [&self.0.unknown, &self.0.forged, &self.0.skewed] {
            if let Some(count) = tally.take() {
                self.record_tally(tally, count).await?;
            }
        }
        Ok(())
    }

    async fn record_tally(&self, tally: &Tally, count: u64) -> Result<(), SessionError> {
        let activity = Activity::new(tally.kind, Action::Execute, Outcome::Refused, self.0.clock.now());
        let recorded = self.record(activity.with("count", count)).await;
        if recorded.is_err() {
            tally.count.fetch_add(count, Ordering::Relaxed);
        }
        recorded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_report_a_minute_carries_the_count() {
        let tally = Tally::new("session.unknown_token");
        assert_eq!(tally.hit(5), Some(1));
        assert_eq!((tally.hit(6), tally.hit(INTERVAL + 4)), (None, None));
        assert_eq!(tally.hit(INTERVAL + 5), Some(3));
        assert_eq!((tally.hit(INTERVAL + 6), tally.take(), tally.take()), (None, Some(1), None));
    }
}
