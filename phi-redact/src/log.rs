//! Records of the `log` crate.

use core::fmt;

use tracing_core::LevelFilter;
use tracing_log::{AsLog as _, LogTracer};

/// Sends the records of the `log` crate to the current `tracing` subscriber, so that [`Redact`](crate::Redact) cleans
/// them too. Call it after [`init`](crate::init): the level is taken from what is set then.
///
/// ```
/// phi_redact::init(phi_redact::RedactPolicy::strict())?;
/// phi_redact::bridge_log()?;
/// log::info!("ssn 078-05-1120"); // ssn [SSN]
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`LogTaken`] if another logger is set.
pub fn bridge_log() -> Result<(), LogTaken> {
    LogTracer::builder().with_max_level(LevelFilter::current().as_log()).init().map_err(|_| LogTaken(()))
}

/// Another logger is set for the `log` crate, and it can be set only once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogTaken(());

impl fmt::Display for LogTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a logger is set for the `log` crate already: remove it, so that its records can be redacted")
    }
}

impl core::error::Error for LogTaken {}
