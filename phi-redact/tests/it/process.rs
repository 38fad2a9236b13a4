//! What belongs to a whole process, the global subscriber and the panic hook, each in a process of its own.

use std::{
    fmt,
    process::{Command, Output},
};

use phi_redact::{InitError, Redact, RedactPolicy, init, install_panic_hook, is_installed};
use tracing::{debug, debug_span, info, trace};
use tracing_subscriber::{Layer as _, Registry, filter::LevelFilter, layer::SubscriberExt as _};

use crate::support::Notes;

/// Set for the new process: the tests whose names begin with `child` do nothing without it.
const CHILD: &str = "PHI_REDACT_TEST_CHILD";

fn in_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Runs one of the tests below in a new process.
fn child(name: &str) -> (String, String) {
    let test = format!("process::{name}");
    let Output { stdout, stderr, .. } = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &test, "--nocapture", "--test-threads=1"])
        .env_remove("RUST_BACKTRACE")
        .env("NO_COLOR", "1")
        .env(CHILD, "1")
        .output()
        .unwrap();
    (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn init_redacts_events_log_records_and_panics_and_refuses_a_second_subscriber() {
    let (out, err) = child("child_init");
    assert!(out.contains("first mrn [MRN] status=200 name=[undeclared]"), "{out}\n{err}");
    assert!(out.contains("still there ssn [SSN]"), "{out}\n{err}");
    #[cfg(feature = "log")]
    assert!(out.contains("from log ssn [SSN]") && !out.contains("body Ada"), "{out}\n{err}");
    assert!(err.contains("phi-redact/tests/it/process.rs:"), "{err}");
    assert!(err.contains("no chart for [SSN]"), "{err}");
    assert!(!format!("{out}{err}").contains("078-05-1120") && !out.contains("Ada"), "{out}\n{err}");
}

#[test]
fn child_init() {
    if !in_child() {
        return;
    }
    assert!(!is_installed());
    init(RedactPolicy::strict().safe(["status"])).unwrap();
    assert!(is_installed());
    tracing::info!(status = 200, name = "Ada", "first mrn 4711");
    let again = init(RedactPolicy::scanning()).unwrap_err();
    assert_eq!(again, InitError::AlreadySet);
    assert!(again.to_string().contains("Redact::new"));
    tracing::info!("still there ssn 078-05-1120");
    #[cfg(feature = "log")]
    {
        phi_redact::bridge_log().unwrap();
        log::info!("from log ssn 078-05-1120");
        log::info!(target: "axum::rejection", "body Ada");
        assert!(phi_redact::bridge_log().unwrap_err().to_string().contains("already"));
    }
    panic!("no chart for {}", "078-05-1120");
}

#[test]
fn the_panic_hook_prints_place_and_thread_and_no_value() {
    let (out, err) = child("child_panic");
    assert!(err.contains("thread 'worker of [EMAIL]' panicked at"), "{out}\n{err}");
    assert!(
        err.contains("called `Result::unwrap()` on an `Err` value: \"Key (email)=[VALUE] already exists\""),
        "{err}"
    );
    assert!(err.contains("a value that is no text"), "{err}");
    assert!(!err.contains("ada@example.com"), "{err}");
}

fn refused() -> Result<(), &'static str> {
    Err("Key (email)=(ada@example.com) already exists")
}

#[test]
fn child_panic() {
    if !in_child() {
        return;
    }
    install_panic_hook();
    install_panic_hook();
    let work = || refused().unwrap();
    let thread = std::thread::Builder::new().name("worker of ada@example.com".into()).spawn(work).unwrap();
    assert!(thread.join().is_err());
    assert!(std::thread::spawn(|| std::panic::panic_any(7)).join().is_err());
}

/// Logs while it is being formatted.
struct Noisy;

const SECRET: &str = "078-05-1120";

impl fmt::Debug for Noisy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        trace!("nested trace");
        info!(k = SECRET, "nested info {SECRET}");
        write!(f, "noisy {SECRET}")
    }
}

/// A scoped subscriber does not see events from within events, the global one does.
#[test]
fn a_value_that_logs_while_it_is_formatted_keeps_both_events_clean_and_the_filters_in_step() {
    let (out, err) = child("child_noisy");
    assert!(out.contains("1 passed"), "{out}\n{err}");
}

#[test]
fn child_noisy() {
    if !in_child() {
        return;
    }
    let (info_only, all) = (Notes::default(), Notes::default());
    let stack = Registry::default()
        .with(info_only.clone().with_filter(LevelFilter::INFO))
        .with(all.clone().with_filter(LevelFilter::TRACE));
    Redact::new(stack, RedactPolicy::scanning()).install().unwrap();
    debug!(x = ?Noisy, "outer debug");
    info!(x = ?Noisy, "outer info");
    debug_span!("span", x = ?Noisy).in_scope(|| info!("inside"));

    let nested = ["TRACE in None: message=nested trace", "INFO in None: message=nested info [SSN] k=\"[SSN]\""];
    let outer_debug = "DEBUG in None: message=outer debug x=noisy [SSN]";
    let outer_info = "INFO in None: message=outer info x=noisy [SSN]";
    let span = ["span span in None: x=noisy [SSN]", "INFO in Some(\"span\"): message=inside"];
    // Each value is formatted once, not once per layer, and each layer gets what its filter lets through.
    let [trace, info] = nested;
    assert_eq!(all.take(), [trace, info, outer_debug, trace, info, outer_info, trace, info, span[0], span[1]]);
    assert_eq!(info_only.take(), [info, info, outer_info, info, "INFO in None: message=inside"]);
}
