//! What stands between a caller and a KMS that is busy, slow or down.

use core::error::Error as _;
use core::num::NonZeroU32;
use core::time::Duration;
use std::sync::Arc;

use phi_keys::{
    CircuitBreaker, CircuitOpen, EphemeralKeyring, Jitter, KekState, KekTarget, Kms, KmsAdmin, KmsError, Observed,
    RateLimit, Retry, RetryPolicy, TimedOut, Timeout, WrapContext,
};

use crate::faults::{Fault, Faulty, Hours, Log};

/// Waits are as long as they can be.
#[derive(Debug)]
struct Longest;

impl Jitter for Longest {
    fn up_to(&self, limit: Duration) -> Duration {
        limit
    }
}

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn retry(kms: &Arc<Faulty>, hours: &Hours, policy: RetryPolicy) -> Retry {
    Retry::new(Arc::clone(kms), policy, hours.clone()).with_jitter(Longest)
}

#[tokio::test]
async fn a_kms_that_hangs_is_given_up_in_time() {
    let (kms, hours) = (Faulty::named("kek"), Hours::new());
    let timed = Timeout::new(Arc::clone(&kms), ms(2_000), hours.clone());
    assert!(timed.status().await.is_ok());
    assert!(hours.slept().is_empty(), "what answers at once is not waited for");

    kms.script([Some(Fault::Hang)]);
    let error = timed.status().await.unwrap_err();
    assert!(error.is_transient());
    assert!(error.source().unwrap().is::<TimedOut>());
    assert_eq!(hours.slept(), [ms(2_000)]);
}

#[tokio::test]
async fn what_may_succeed_is_tried_again_and_nothing_else() {
    let (kms, hours) = (Faulty::named("kek"), Hours::new());
    let retry = retry(&kms, &hours, RetryPolicy::attempts(4));
    kms.script([Some(Fault::Down), Some(Fault::Damaged), Some(Fault::Throttled(None))]);
    assert!(retry.status().await.is_ok());
    assert_eq!(hours.slept(), [ms(100), ms(200), ms(400)]);

    kms.script([Some(Fault::Down); 5]);
    assert!(matches!(retry.status().await, Err(KmsError::Unavailable(_))));
    assert_eq!(hours.slept().len(), 3, "four attempts, three waits");

    kms.script([]);
    for fault in [Fault::Denied, Fault::Disabled] {
        kms.script([Some(fault)]);
        let before = kms.calls();
        assert!(retry.status().await.unwrap_err().is_terminal());
        assert_eq!((kms.calls() - before, hours.slept().len()), (1, 0), "{fault:?}");
    }
}

#[tokio::test]
async fn a_retry_waits_as_long_as_it_is_asked_to_or_does_not_retry() {
    let (kms, hours) = (Faulty::named("kek"), Hours::new());
    let retry = retry(&kms, &hours, RetryPolicy::default());
    kms.script([Some(Fault::Throttled(Some(ms(3_000))))]);
    assert!(retry.status().await.is_ok());
    assert_eq!(hours.slept(), [ms(3_100)], "what was asked for, and the random part");

    kms.script([Some(Fault::Throttled(Some(ms(60_000))))]);
    let error = retry.status().await.unwrap_err();
    assert_eq!(error.retry_after(), Some(ms(60_000)));
    assert!(hours.slept().is_empty());
    let longest = RetryPolicy::default().longest;
    kms.script([Some(Fault::Throttled(Some(longest)))]);
    assert!(retry.status().await.is_ok());
    assert_eq!(hours.slept(), [longest + ms(100)], "the longest that may be asked for");
}

#[tokio::test]
async fn no_wait_is_longer_than_the_longest_and_every_wait_is_random() {
    let (kms, hours) = (Faulty::named("kek"), Hours::new());
    let mut policy = RetryPolicy::attempts(30);
    (policy.longest, policy.budget) = (ms(500), 1_000);
    let random = Retry::new(Arc::clone(&kms), policy, hours.clone());
    kms.set(Some(Fault::Down));
    assert!(random.status().await.is_err());
    let slept = hours.slept();
    assert_eq!(slept.len(), 29);
    assert!(slept.iter().all(|wait| *wait <= ms(500)));
    assert!(slept.windows(2).any(|pair| pair[0] != pair[1]));
}

#[tokio::test]
async fn retries_have_a_budget_that_successes_earn() {
    let (kms, hours) = (Faulty::named("kek"), Hours::new());
    let mut policy = RetryPolicy::attempts(2);
    policy.budget = 3;
    let retry = retry(&kms, &hours, policy);
    kms.set(Some(Fault::Down));
    for _ in 0..10 {
        assert!(retry.status().await.is_err());
    }
    assert_eq!(kms.calls(), 13, "ten calls and three retries");

    kms.set(None);
    for _ in 0..10 {
        assert!(retry.status().await.is_ok());
    }
    kms.script([Some(Fault::Down), None, Some(Fault::Down)]);
    assert!(retry.status().await.is_ok(), "ten successes earned a retry");
    assert!(retry.status().await.is_err(), "and no second one");
}

#[tokio::test]
async fn successes_beyond_a_full_budget_earn_nothing() {
    let (kms, hours) = (Faulty::named("kek"), Hours::new());
    let mut policy = RetryPolicy::attempts(2);
    policy.budget = 1;
    let retry = retry(&kms, &hours, policy);
    for _ in 0..50 {
        assert!(retry.status().await.is_ok());
    }
    kms.script([Some(Fault::Down), None]);
    assert!(retry.status().await.is_ok(), "the one retry, which was a success itself");
    for _ in 0..8 {
        assert!(retry.status().await.is_ok());
    }
    kms.script([Some(Fault::Down)]);
    assert!(retry.status().await.is_err(), "nine successes are one too few");
    assert!(retry.status().await.is_ok());
    kms.script([Some(Fault::Down)]);
    assert!(retry.status().await.is_ok(), "the tenth");
}

#[tokio::test]
async fn a_circuit_opens_rests_and_lets_one_call_decide() {
    let (kms, hours) = (Faulty::named("kek"), Hours::new());
    let log = Arc::new(Log::default());
    let observer = Arc::clone(&log);
    let breaker = CircuitBreaker::new(Arc::clone(&kms), 3, ms(10_000), hours.clock.clone()).with_observer(observer);
    kms.set(Some(Fault::Denied));
    for _ in 0..10 {
        assert!(matches!(breaker.status().await, Err(KmsError::AccessDenied(_))), "a refusal is an answer");
    }
    kms.set(Some(Fault::Down));
    for _ in 0..3 {
        assert!(breaker.status().await.is_err());
    }
    assert_eq!(log.take(), ["kek rests 10s"]);
    let calls = kms.calls();
    let refused = breaker.status().await.unwrap_err();
    assert!(refused.is_transient() && refused.source().unwrap().is::<CircuitOpen>());
    assert_eq!(kms.calls(), calls, "the KMS is left alone");

    hours.clock.advance(ms(10_000));
    assert!(breaker.status().await.is_err(), "the trial fails");
    assert_eq!(kms.calls(), calls + 1);
    assert!(breaker.status().await.is_err());
    assert_eq!(kms.calls(), calls + 1, "and the circuit is open again");

    hours.clock.advance(ms(10_000));
    kms.set(Some(Fault::Hang));
    {
        let mut trial = Box::pin(breaker.status());
        let mut task = core::task::Context::from_waker(core::task::Waker::noop());
        assert!(trial.as_mut().poll(&mut task).is_pending());
        assert!(breaker.status().await.is_err(), "only one trial at a time");
    }
    kms.set(None);
    assert!(breaker.status().await.is_ok(), "a trial that was given up does not block the next");
    kms.script([Some(Fault::Down), Some(Fault::Down)]);
    assert!(breaker.status().await.is_err());
    assert!(breaker.status().await.is_err());
    assert!(breaker.status().await.is_ok(), "after a success failures are counted anew");
}

#[tokio::test]
async fn an_open_circuit_is_not_tried_again() {
    let (kms, hours) = (Faulty::named("kek"), Hours::new());
    let breaker = CircuitBreaker::new(Arc::clone(&kms), 1, ms(10_000), hours.clock.clone());
    let retry = Retry::new(breaker, RetryPolicy::attempts(5), hours.clone());
    kms.set(Some(Fault::Down));
    assert!(retry.status().await.is_err());
    assert_eq!((kms.calls(), hours.slept().len()), (1, 1));
    assert!(retry.status().await.is_err());
    assert_eq!((kms.calls(), hours.slept().len()), (1, 0));
}

#[tokio::test]
async fn calls_beyond_the_rate_wait_for_their_turn_or_are_refused() {
    let (kms, hours) = (Faulty::named("kek"), Hours::new());
    let (rate, burst) = (NonZeroU32::new(10).unwrap(), NonZeroU32::new(3).unwrap());
    let limited = RateLimit::new(Arc::clone(&kms), rate, burst, hours.clock.clone(), hours.clone());
    for _ in 0..6 {
        limited.status().await.unwrap();
    }
    assert_eq!(hours.slept(), [ms(100); 3], "three at once, then one each 100 ms");

    let strict =
        RateLimit::new(Arc::clone(&kms), rate, burst, hours.clock.clone(), hours.clone()).with_patience(Duration::ZERO);
    for _ in 0..3 {
        strict.status().await.unwrap();
    }
    let calls = kms.calls();
    let refused = strict.status().await.unwrap_err();
    assert_eq!(refused.retry_after(), Some(ms(100)));
    assert_eq!(kms.calls(), calls, "the KMS is not asked");
    hours.clock.advance(ms(100));
    strict.status().await.unwrap();
}

#[tokio::test]
async fn an_observer_hears_of_every_call_and_sees_no_blob() {
    let (kms, hours) = (Faulty::named("kek"), Hours::new());
    let log = Arc::new(Log::default());
    let observer = Arc::clone(&log);
    let watched = Observed::new(Arc::clone(&kms), observer, hours.clock.clone());
    let context = WrapContext::from_digest([7; 32]);
    let (carrier, wrapped) = watched.generate(&context).await.unwrap();
    let again = watched.wrap_dek(&carrier, &context).await.unwrap();
    watched.unwrap_dek(&again, &context).await.unwrap();
    let _ = watched.rewrap(&wrapped, &context).await.unwrap();
    kms.script([Some(Fault::Denied)]);
    assert!(watched.status().await.is_err());
    let lines =
        ["kek generate done", "kek wrap done", "kek unwrap done", "kek rewrap done", "kek status access_denied"];
    assert_eq!(log.take(), lines);
}

#[cfg(feature = "test-util")]
#[tokio::test]
async fn a_kms_within_all_layers_conforms() {
    let hours = Hours::new();
    let kms = Observed::new(Faulty::named("kek"), Arc::new(Log::default()), hours.clock.clone());
    let kms = Timeout::new(kms, ms(2_000), hours.clone());
    let (rate, burst) = (NonZeroU32::new(1_000).unwrap(), NonZeroU32::new(2).unwrap());
    let kms = RateLimit::new(kms, rate, burst, hours.clock.clone(), hours.clone());
    let kms = CircuitBreaker::new(kms, 3, ms(1_000), hours.clock.clone());
    let kms = Retry::new(kms, RetryPolicy::default(), hours.clone());
    // The KMS beneath rewraps by itself and does not say so, which the suite notices through all layers.
    let violations = phi_keys::conformance::kms_violations(&kms).await;
    let rules = violations.iter().map(phi_keys::conformance::Violation::rule).collect::<Vec<_>>();
    assert_eq!(rules, ["a rewrap says truly where it happened"]);
}

#[cfg(feature = "tracing")]
#[tokio::test]
async fn a_traced_kms_logs_its_calls_and_nothing_of_their_content() {
    let (log, _guard) = crate::logged::Log::start();
    let (kms, hours) = (Faulty::named("kek"), Hours::new());
    let kms = Observed::new(Arc::clone(&kms), Arc::new(phi_keys::TracingObserver::new()), hours.clock.clone());
    let context = WrapContext::from_digest([0x5a; 32]);
    let (carrier, wrapped) = kms.generate(&context).await.unwrap();
    let faulty = Faulty::named("other");
    faulty.set(Some(Fault::Down));
    let other = Observed::new(faulty, Arc::new(phi_keys::TracingObserver::new()), hours.clock.clone());
    other.unwrap_dek(&wrapped, &context).await.unwrap_err();
    let text = log.text();
    let lines = text.lines().filter(|line| line.contains("phi_keys::kms")).collect::<Vec<_>>();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(
        lines[0].contains("DEBUG") && lines[0].contains("call=\"generate\"") && lines[0].contains("kek=\""),
        "{text}"
    );
    assert!(lines[1].contains("WARN") && lines[1].contains("error=\"unavailable\""), "{text}");
    // Not even the text of an error.
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    for secret in ["503", &hex(carrier.expose()), &hex(&[0x5a; 32]), &hex(wrapped.blob()), "90, 90"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}

#[tokio::test]
async fn the_state_of_a_version_is_asked_for_through_every_layer() {
    let hours = Hours::new();
    let kek = EphemeralKeyring::named("kek", hours.clock.clone()).unwrap();
    let _ = (kek.rotate().await.unwrap(), kek.disable(&KekTarget::Version("1".to_owned())).await.unwrap());
    let log = Arc::new(Log::default());
    let kms = Observed::new(kek, log.clone(), hours.clock.clone());
    let (rate, burst) = (NonZeroU32::new(1_000).unwrap(), NonZeroU32::new(2).unwrap());
    let kms = RateLimit::new(kms, rate, burst, hours.clock.clone(), hours.clone());
    let kms = CircuitBreaker::new(Timeout::new(kms, ms(2_000), hours.clone()), 3, ms(1_000), hours.clock.clone());
    let kms = Arc::new(Retry::new(kms, RetryPolicy::default(), hours.clone()));
    for (version, state) in [("1", KekState::Disabled), ("2", KekState::Enabled), ("3", KekState::Destroyed)] {
        assert_eq!(kms.version_state(version).await.unwrap(), Some(state));
    }
    assert_eq!(log.take().len(), 3);
}

/// Never wakes.
#[derive(Debug)]
struct Asleep;

impl phi_keys::Sleeper for Asleep {
    fn sleep(&self, _: Duration) -> core::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(core::future::pending())
    }
}

/// How long the caller is told to wait, where it is not let in; `None` where it waits.
fn refused(limited: &RateLimit) -> Option<Duration> {
    match limited.status().poll_once() {
        core::task::Poll::Ready(answer) => answer.unwrap_err().retry_after(),
        core::task::Poll::Pending => None,
    }
}

#[test]
fn callers_that_give_up_do_not_use_up_the_rate() {
    let (kms, hours) = (Faulty::named("kek"), Hours::new());
    let (rate, burst) = (NonZeroU32::new(10).unwrap(), NonZeroU32::new(1).unwrap());
    let limited = RateLimit::new(Arc::clone(&kms), rate, burst, hours.clock.clone(), Asleep).with_patience(ms(500));
    assert!(limited.status().poll_once().is_ready());
    for _ in 0..100 {
        let _ = limited.status().poll_once();
    }
    hours.clock.advance(ms(100));
    assert!(limited.status().poll_once().is_ready());
    assert_eq!(kms.calls(), 2);

    // Turns that were given back are taken once each, the first one first.
    let mut waiting = (0..5).map(|_| limited.status()).collect::<Vec<_>>();
    let mut task = core::task::Context::from_waker(core::task::Waker::noop());
    assert!(waiting.iter_mut().all(|call| call.as_mut().poll(&mut task).is_pending()), "turns at 100 to 500 ms");
    assert_eq!(refused(&limited), Some(ms(600)));
    drop(waiting.remove(2));
    drop(waiting.remove(0));
    assert!(limited.status().poll_once().is_pending(), "it takes and gives back the turn at 100 ms");
    let mut again = (0..2).map(|_| limited.status()).collect::<Vec<_>>();
    assert!(again.iter_mut().all(|call| call.as_mut().poll(&mut task).is_pending()), "the turns at 100 and 300 ms");
    assert_eq!(refused(&limited), Some(ms(600)), "and no further one");
    drop((waiting, again));
    hours.clock.advance(ms(10_000));
    assert!(limited.status().poll_once().is_ready());
    assert!(limited.status().poll_once().is_pending(), "turns that passed unused are no burst");
}

trait PollOnce: Future + Sized {
    fn poll_once(self) -> core::task::Poll<Self::Output> {
        core::pin::pin!(self).poll(&mut core::task::Context::from_waker(core::task::Waker::noop()))
    }
}

impl<F: Future> PollOnce for F {}

#[tokio::test]
async fn a_kms_that_asks_to_be_left_alone_for_ever_is_not() {
    let (kms, hours) = (Faulty::named("kek"), Hours::new());
    let breaker = CircuitBreaker::new(Arc::clone(&kms), 1, ms(1_000), hours.clock.clone());
    for (asked, rest) in [(Duration::MAX, 10_000), (ms(3_000), 3_000), (ms(1), 1_000)] {
        kms.script([Some(Fault::Throttled(Some(asked)))]);
        assert!(breaker.status().await.is_err());
        hours.clock.advance(ms(rest - 1));
        assert!(breaker.status().await.is_err(), "{asked:?}");
        hours.clock.advance(ms(1));
        assert!(breaker.status().await.is_ok(), "{asked:?}");
    }
}

#[tokio::test]
async fn an_observer_hears_of_calls_that_are_given_up() {
    let (kms, hours) = (Faulty::named("kek"), Hours::new());
    let log = Arc::new(Log::default());
    let observer = Arc::clone(&log);
    let watched = Observed::new(Arc::clone(&kms), observer, hours.clock.clone());
    let timed = Timeout::new(watched, ms(2_000), hours.clone());
    kms.script([Some(Fault::Hang)]);
    assert!(timed.status().await.is_err());
    assert_eq!(log.take(), ["kek status given up after 2s"]);
}
