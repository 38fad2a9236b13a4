//! Panic messages, which go to standard error past every log.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io::Write as _,
    panic::{self, PanicHookInfo},
    sync::Once,
    thread,
};

use crate::scan::redact_str;

/// Replaces the process's panic hook by one that prints the same lines with the message redacted. The hook that was
/// there is not called, because it would print the message as it is. Further calls do nothing.
///
/// `called Result::unwrap() on an Err value: ParseError { … }` is how input reaches standard error. The place of the
/// panic and, with `RUST_BACKTRACE`, the backtrace stay: they hold no values.
///
/// ```no_run
/// phi_redact::install_panic_hook();
/// panic!("no chart for 078-05-1120"); // prints: no chart for [SSN]
/// ```
pub fn install_panic_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| panic::set_hook(Box::new(report)));
}

fn report(info: &PanicHookInfo<'_>) {
    let payload = info.payload();
    let message = payload
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is no text");
    let thread = thread::current();
    let name = redact_str(thread.name().unwrap_or("<unnamed>")).into_owned();
    let place = info.location().map_or_else(|| String::from("unknown place"), ToString::to_string);
    let backtrace = Backtrace::capture();
    let trace = if backtrace.status() == BacktraceStatus::Captured { format!("\n{backtrace}") } else { String::new() };
    let text = format!("\nthread '{name}' panicked at {place}:\n{}{trace}\n", redact_str(message));
    // One write, so that the lines of two threads do not mix; a closed standard error is nothing to panic about.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
