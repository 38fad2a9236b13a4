//! Setting up redacted logs in one call.

use core::fmt;

use tracing_core::dispatcher;

use crate::{Redact, RedactPolicy, subscriber::Installed};

/// Logs events of level INFO and above to standard output through the usual formatter, redacted, and installs the
/// [panic hook](crate::install_panic_hook). For other levels, formats and layers build the subscriber and use
/// [`Redact::install`].
///
/// ```
/// phi_redact::init(phi_redact::RedactPolicy::strict().safe(["status"]))?;
/// assert!(phi_redact::init(phi_redact::RedactPolicy::strict()).is_err());
/// # Ok::<(), phi_redact::InitError>(())
/// ```
///
/// # Errors
/// [`InitError::AlreadySet`] if the process has a subscriber; nothing is changed then.
pub fn init(policy: RedactPolicy) -> Result<(), InitError> {
    Redact::new(tracing_subscriber::fmt().finish(), policy).install()
}

/// Whether what this thread logs now goes through a [`Redact`]: a check for start-up and for tests, because another
/// subscriber that is set for a scope replaces it silently.
///
/// ```
/// assert!(!phi_redact::is_installed());
/// ```
#[must_use]
pub fn is_installed() -> bool {
    dispatcher::get_default(|dispatch| dispatch.is::<Installed>())
}

/// Why redacted logs could not be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InitError {
    /// The process has a global subscriber, and it can be set only once.
    AlreadySet,
}

impl fmt::Display for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadySet => f.write_str(
                "a global tracing subscriber is set already: remove that call, or wrap its subscriber in `Redact::new`",
            ),
        }
    }
}

impl core::error::Error for InitError {}
