use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many answers are remembered.
const SAMPLES: usize = 64;
/// How many are needed to say what is usual.
const ENOUGH: usize = 16;
/// How long a KEK that failed is asked after the others.
const REST: Duration = Duration::from_secs(30);

/// How a KEK has been doing.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<Record>);

#[derive(Debug, Default)]
struct Record {
    latencies: VecDeque<Duration>,
    /// The last failure since the last answer, in monotonic time.
    failed: Option<Duration>,
}

impl Health {
    /// An answer took so long.
    pub(super) fn answered(&self, latency: Duration) {
        let mut record = self.record();
        record.failed = None;
        record.push(latency);
    }

    /// An answer was not waited for any longer: it would have taken at least so long.
    pub(super) fn overtaken(&self, latency: Duration) {
        self.record().push(latency);
    }

    /// There was no answer.
    pub(super) fn failed(&self, now: Duration) {
        self.record().failed = Some(now);
    }

    /// Whether others should be asked first.
    pub(super) fn is_resting(&self, now: Duration) -> bool {
        self.record().failed.is_some_and(|failed| now.saturating_sub(failed) < REST)
    }

    /// What 95 of 100 recent answers did not exceed, once there are enough.
    pub(super) fn p95(&self) -> Option<Duration> {
        let mut latencies = self.record().latencies.iter().copied().collect::<Vec<_>>();
        if latencies.len() < ENOUGH {
            return None;
        }
        latencies.sort_unstable();
        latencies.get((latencies.len() * 95).div_ceil(100).saturating_sub(1)).copied()
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        // Nothing panics under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    fn push(&mut self, latency: Duration) {
        if self.latencies.len() == SAMPLES {
            self.latencies.pop_front();
        }
        self.latencies.push_back(latency);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn what_is_usual_is_said_after_sixteen_answers_and_forgets_old_ones() {
        let health = Health::default();
        for latency in 1..=15 {
            health.answered(ms(latency));
        }
        assert_eq!(health.p95(), None);
        health.answered(ms(16));
        assert_eq!(health.p95(), Some(ms(16)));
        for latency in 1..=100 {
            health.answered(ms(latency));
        }
        // Of 37 to 100, the 61st.
        assert_eq!(health.p95(), Some(ms(97)));
        for _ in 0..64 {
            health.overtaken(ms(5));
        }
        assert_eq!(health.p95(), Some(ms(5)));
    }

    #[test]
    fn a_failure_is_forgotten_after_an_answer_or_thirty_seconds() {
        let health = Health::default();
        health.failed(ms(1_000));
        assert!(health.is_resting(ms(30_999)));
        assert!(!health.is_resting(ms(31_000)));
        health.failed(ms(40_000));
        health.answered(ms(1));
        assert!(!health.is_resting(ms(40_001)));
    }
}
