//! What values and layers do that is not a plain event: log while being formatted, change their mind, fail, filter.

use std::{
    fmt,
    sync::atomic::{AtomicUsize, Ordering},
};

use phi_redact::{Phi, Redact, RedactPolicy, counts, is_installed};
use tracing::{
    Subscriber, debug, field, info, info_span,
    subscriber::{NoSubscriber, with_default},
    trace,
};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::LevelFilter,
    layer::{Context, SubscriberExt as _},
};

use crate::support::Notes;

const SECRET: &str = "078-05-1120";

fn wrapped(policy: RedactPolicy, work: impl FnOnce()) -> Vec<String> {
    let notes = Notes::default();
    with_default(Redact::new(Registry::default().with(notes.clone()), policy), work);
    notes.take()
}

/// Clean when asked first, a secret when asked again.
struct Second(AtomicUsize);

impl fmt::Debug for Second {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.fetch_add(1, Ordering::SeqCst) == 0 { "clean" } else { SECRET })
    }
}

#[test]
fn a_value_is_formatted_once_and_shown_as_it_was_scanned() {
    let seen = wrapped(RedactPolicy::scanning(), || info!(x = ?Second(AtomicUsize::new(0))));
    assert_eq!(seen, ["INFO in None: x=clean"]);
}

struct Failing;

impl fmt::Debug for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SECRET)?;
        Err(fmt::Error)
    }
}

struct Panicking;

impl fmt::Debug for Panicking {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("no debug form")
    }
}

#[test]
fn values_that_fail_or_panic_leak_nothing_and_break_nothing() {
    let seen = wrapped(RedactPolicy::scanning(), || {
        info!(x = ?Failing);
        let panicked = std::panic::catch_unwind(|| info!(x = ?Panicking));
        assert!(panicked.is_err());
        info!(k = SECRET, "after");
    });
    assert_eq!(seen, ["INFO in None: x=[SSN][formatting failed]", "INFO in None: message=after k=\"[SSN]\""]);
}

#[test]
fn a_phi_value_survives_and_an_undeclared_one_is_not_even_formatted() {
    let name = Phi::new("Ada Lovelace");
    let log = || info!(a = ?name, b = %name, c = ?Some(name), "opened {name} {name:?}");
    let scanned = wrapped(RedactPolicy::scanning(), log);
    assert_eq!(scanned, ["INFO in None: message=opened [PHI] [PHI] a=[PHI] b=[PHI] c=Some([PHI])"]);
    let strict = wrapped(RedactPolicy::strict().safe(["a"]), || {
        log();
        info!(x = ?Panicking);
    });
    assert_eq!(
        strict,
        [
            "INFO in None: message=opened [PHI] [PHI] a=[PHI] b=[undeclared] c=[undeclared]",
            "INFO in None: x=[undeclared]"
        ]
    );
}

#[test]
fn later_records_follow_the_policy_of_their_span() {
    let log = || {
        let span = info_span!(target: "a::b", "span", bed = field::Empty, ward = field::Empty, mrn = field::Empty);
        span.record("bed", "12A");
        span.record("ward", "west");
        span.record("mrn", 7_u64);
        span.record("unknown", "ignored");
        tracing::record_all!(span, mrn = ?"x", bed = 3);
    };
    let strict = wrapped(RedactPolicy::strict().safe_in("a", ["bed"]), log);
    assert_eq!(
        strict,
        [
            "span span in None:",
            "record span: bed=\"12A\"",
            "record span: ward=[undeclared]",
            "record span: mrn=[undeclared]",
            "record span: mrn=[undeclared] bed=3"
        ]
    );
    let scanned = wrapped(RedactPolicy::scanning().safe(["mrn"]), log);
    assert_eq!(scanned[3], "record span: mrn=[MRN]");
}

#[test]
fn layers_decide_by_clean_values() {
    struct Gate;
    impl<S: Subscriber> Layer<S> for Gate {
        fn event_enabled(&self, event: &tracing::Event<'_>, _: Context<'_, S>) -> bool {
            let text = format!("{event:?}");
            assert!(!text.contains(SECRET), "a layer was asked about a raw value: {text}");
            !text.contains("drop me")
        }
    }
    let notes = Notes::default();
    let stack = Registry::default().with(notes.clone()).with(Gate);
    with_default(Redact::new(stack, RedactPolicy::scanning()), || {
        info!(k = SECRET, "drop me");
        info!(k = SECRET, "keep me");
    });
    assert_eq!(notes.take(), ["INFO in None: message=keep me k=\"[SSN]\""]);
}

#[test]
fn per_layer_and_field_filters_work_behind_the_wrapper_as_without_it() {
    let run = |redact: bool| {
        let (info_only, filtered) = (Notes::default(), Notes::default());
        let stack = Registry::default()
            .with(info_only.clone().with_filter(LevelFilter::INFO))
            .with(filtered.clone().with_filter(EnvFilter::new("warn,[request{user=bob}]=debug,[request{n=7}]=trace")));
        let work = || {
            debug!("nobody");
            info_span!("request", user = "bob", n = 1).in_scope(|| debug!("bob"));
            info_span!("request", user = "eve", n = 7).in_scope(|| trace!("seven"));
            info_span!("request", user = "eve", n = 8).in_scope(|| debug!("nobody"));
        };
        if redact {
            with_default(Redact::new(stack, RedactPolicy::scanning()), work);
        } else {
            with_default(stack, work);
        }
        (info_only.take(), filtered.take())
    };
    let (info_only, filtered) = run(true);
    assert_eq!((&info_only, &filtered), (&run(false).0, &run(false).1));
    assert!(format!("{filtered:?}").contains("seven") && !format!("{filtered:?}").contains("nobody"));
}

#[test]
fn targets_that_print_bodies_are_silent() {
    let denied = || counts().denied();
    let before = denied();
    let log = || {
        tracing::event!(target: "axum::rejection", tracing::Level::TRACE, body = "Ada", "rejecting request");
        tracing::trace!(target: "aws_smithy_runtime::client::http::body", "body: Ada");
        tracing::warn!(target: "aws_smithy_runtime::client", "retrying");
        info!(target: "dump::deep", "Ada");
        info!(target: "axum", "kept");
        let record = |target| log::Record::builder().args(format_args!("Ada")).target(target).build();
        tracing_log::format_trace(&record("dump")).unwrap();
    };
    let seen = wrapped(RedactPolicy::strict().deny_target("dump"), log);
    assert_eq!(seen, ["WARN in None: message=retrying", "INFO in None: message=kept"]);
    assert!(wrapped(RedactPolicy::scanning().insecure_allow_target("axum::rejection"), log).len() == 5);
    assert_eq!(denied(), before, "denied callsites are switched off before they format anything");
}

#[test]
fn sql_that_a_library_logs_loses_its_literals_and_keeps_its_counts() {
    let seen = wrapped(RedactPolicy::strict(), || {
        info!(target: "sqlx::query", summary = "UPDATE p SET name='Ada', …", db.statement = "\n\nUPDATE p SET name='Ada' WHERE id=$1\n",
            rows_affected = 1_u64, rows_returned = 0_u64, elapsed = ?std::time::Duration::from_millis(2), elapsed_secs = 0.002);
        info!(target: "clinic", summary = "Ada", rows_affected = 1_u64);
    });
    assert_eq!(
        seen,
        [
            "INFO in None: summary=\"UPDATE p SET name=?, …\" db.statement=\"\\n\\nUPDATE p SET name=? WHERE id=$1\\n\" \
             rows_affected=1 rows_returned=0 elapsed=2ms elapsed_secs=0.002",
            "INFO in None: summary=[undeclared] rows_affected=[undeclared]"
        ]
    );
}

#[test]
fn numbers_are_redacted_by_the_name_of_their_field() {
    let seen = wrapped(RedactPolicy::scanning().safe(["ssn", "mrn"]), || {
        info!(ssn = 78_051_120_u64, mrn = 7, work_phone = 3_138_675_309_u64, admit_date = 20_251_118, n = 78_051_120);
    });
    assert_eq!(seen, ["INFO in None: ssn=[SSN] mrn=[MRN] work_phone=[PHONE] admit_date=[DATE] n=78051120"]);
}

#[test]
fn inner_layers_are_found_through_the_wrapper_and_so_is_the_wrapper() {
    let redact = Redact::new(Registry::default().with(Notes::default()), RedactPolicy::strict());
    let dispatch = tracing::Dispatch::new(redact);
    assert!(dispatch.downcast_ref::<Registry>().is_some() && dispatch.downcast_ref::<Notes>().is_some());
    assert!(dispatch.downcast_ref::<NoSubscriber>().is_none());
    assert!(!is_installed());
    tracing::dispatcher::with_default(&dispatch, || {
        assert!(is_installed());
        with_default(Registry::default(), || assert!(!is_installed()));
    });
}

#[test]
fn many_threads_share_one_wrapper() {
    let notes = Notes::default();
    let dispatch =
        tracing::Dispatch::new(Redact::new(Registry::default().with(notes.clone()), RedactPolicy::scanning()));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let dispatch = &dispatch;
            scope.spawn(move || {
                tracing::dispatcher::with_default(dispatch, || {
                    for i in 0..500 {
                        info_span!("s", k = SECRET, thread).in_scope(|| info!(k = ?SECRET, i, "m {SECRET}"));
                    }
                });
            });
        }
    });
    let seen = notes.take();
    assert_eq!(seen.len(), 4 * 2 * 500);
    assert!(seen.iter().all(|line| !line.contains(SECRET)));
}
