use core::fmt;
use core::time::Duration;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use phi_types::Clock;

use super::layer;
use crate::kms::observer::Watch;
use crate::kms::{Kms, KmsCall, KmsError, KmsEvent, KmsFuture, KmsObserver};

/// Leaves a KMS alone after it failed so many times in a row: for a while every call fails at once with
/// [`KmsError::Unavailable`] and [`CircuitOpen`] as its source. Then one call is let through; when it succeeds all are.
///
/// Only [transient](KmsError::is_transient) errors count. A refusal is an answer. A KMS that asks to be left alone for longer
/// is, up to ten times as long; and put a [`Timeout`](super::Timeout) beneath, because a call that is given up has not failed.
///
/// ```
/// use core::time::Duration;
/// use phi_keys::{CircuitBreaker, EphemeralKeyring, Kms};
/// use phi_types::SystemClock;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let kms = CircuitBreaker::new(EphemeralKeyring::generate()?, 5, Duration::from_secs(30), SystemClock::new());
/// assert!(kms.status().await.is_ok());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct CircuitBreaker {
    inner: Arc<dyn Kms>,
    failures: u32,
    rest: Duration,
    clock: Arc<dyn Clock>,
    watch: Watch,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Calls go through; so many failed in a row.
    Closed(u32),
    /// No call goes through until then, in monotonic time.
    Open(Duration),
    /// One call is under way, which decides.
    Trial,
}

impl CircuitBreaker {
    /// A KMS that is left alone for `rest` after `failures` failures in a row, at least one.
    pub fn new(inner: impl Kms, failures: u32, rest: Duration, clock: impl Clock) -> Self {
        let clock = Arc::new(clock);
        let state = Mutex::new(State::Closed(0));
        Self { inner: Arc::new(inner), failures: failures.max(1), rest, clock, watch: Watch::default(), state }
    }

    /// Who is told when the KMS is left alone.
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn KmsObserver>) -> Self {
        self.watch = Watch(Some(observer));
        self
    }

    async fn through<'a, T: Send>(
        &'a self,
        _: KmsCall,
        run: impl Fn() -> KmsFuture<'a, T> + Send + Sync,
    ) -> Result<T, KmsError> {
        let trial = self.admit()?;
        let result = run().await;
        // From here on the result decides, not the drop of a trial that was given up.
        let was_trial = trial.map(Trial::decide).is_some();
        match &result {
            Err(error) if error.is_transient() => self.failed(was_trial, error.retry_after()),
            _ => self.answered(was_trial),
        }
        result
    }

    /// Lets a call through, as a trial or not, or refuses it.
    fn admit(&self) -> Result<Option<Trial<'_>>, KmsError> {
        let mut state = self.state();
        match *state {
            State::Closed(_) => Ok(None),
            State::Open(until) if self.clock.monotonic() >= until => {
                *state = State::Trial;
                Ok(Some(Trial { breaker: self, decided: false }))
            }
            State::Open(_) | State::Trial => Err(KmsError::unavailable(CircuitOpen)),
        }
    }

    fn failed(&self, was_trial: bool, asked: Option<Duration>) {
        let mut state = self.state();
        let count = match *state {
            State::Closed(count) => count.saturating_add(1),
            State::Trial if was_trial => self.failures,
            // It began before the circuit opened.
            State::Open(_) | State::Trial => return,
        };
        if count < self.failures {
            *state = State::Closed(count);
            return;
        }
        let rest = asked.map_or(self.rest, |asked| asked.clamp(self.rest, self.rest.saturating_mul(LONGEST)));
        *state = State::Open(self.clock.monotonic().saturating_add(rest));
        drop(state);
        self.watch.tell(&KmsEvent::CircuitOpened { kek_id: self.inner.kek_id(), rest });
    }

    fn answered(&self, was_trial: bool) {
        let mut state = self.state();
        match *state {
            State::Closed(_) => *state = State::Closed(0),
            State::Trial if was_trial => *state = State::Closed(0),
            // An answer to a call from before says nothing about now.
            State::Open(_) | State::Trial => {}
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

layer!(CircuitBreaker);

/// How many times as long as usual a KMS is left alone if it asks for that: what it asks is a header that anything between may
/// have written.
const LONGEST: u32 = 10;

/// The call that decides. When it is given up, the next one decides.
struct Trial<'a> {
    breaker: &'a CircuitBreaker,
    decided: bool,
}

impl Trial<'_> {
    fn decide(mut self) {
        self.decided = true;
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        if !self.decided {
            *self.breaker.state() = State::Open(self.breaker.clock.monotonic());
        }
    }
}

/// The KMS was not asked: it failed so often that it is left alone for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CircuitOpen;

impl CircuitOpen {
    /// Whether this is why a KMS is unavailable.
    pub(super) fn is_source_of(error: &KmsError) -> bool {
        error.source().is_some_and(|source| source.is::<Self>())
    }
}

impl fmt::Display for CircuitOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the KMS failed again and again and is left alone for a while: look at the errors before")
    }
}

impl Error for CircuitOpen {}

#[cfg(test)]
mod tests {
    use phi_types::ManualClock;

    use super::*;
    use crate::EphemeralKeyring;

    #[test]
    fn a_call_from_before_decides_nothing_while_one_is_tried() {
        let clock = ManualClock::at_unix_seconds(0);
        let rest = Duration::from_secs(10);
        let breaker = CircuitBreaker::new(EphemeralKeyring::generate().unwrap(), 1, rest, clock.clone());
        breaker.failed(false, None);
        clock.advance(rest);
        let trial = breaker.admit().unwrap().unwrap();
        for has_failed in [false, true] {
            if has_failed {
                breaker.failed(false, None)
            } else {
                breaker.answered(false)
            }
            assert!(matches!(*breaker.state(), State::Trial));
            assert!(breaker.admit().is_err());
        }
        trial.decide();
        breaker.answered(true);
        assert!(breaker.admit().unwrap().is_none());
    }
}
