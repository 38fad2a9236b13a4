//! How often something was redacted in this process: for dashboards and alarms, never what.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::Class;

static FOUND: [AtomicU64; Class::ALL.len()] = [const { AtomicU64::new(0) }; Class::ALL.len()];
static DECLARED: AtomicU64 = AtomicU64::new(0);
static UNDECLARED: AtomicU64 = AtomicU64::new(0);
static DENIED: AtomicU64 = AtomicU64::new(0);

/// A reading of the process-wide counters. They only grow, and they hold no value that was redacted.
///
/// A class that is found in a field declared safe says that the declaration is wrong: alarm on it.
///
/// ```
/// use phi_redact::{Class, counts};
///
/// let before = counts().of(Class::Ssn);
/// phi_redact::redact_str("ssn 078-05-1120");
/// assert!(counts().of(Class::Ssn) > before);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    found: [u64; Class::ALL.len()],
    declared: u64,
    undeclared: u64,
    denied: u64,
}

impl Counts {
    /// Values of this class that the content engine replaced.
    #[must_use]
    pub fn of(&self, class: Class) -> u64 {
        self.found.get(class as usize).copied().unwrap_or_default()
    }

    /// Values of fields declared as PHI.
    #[must_use]
    pub const fn declared(&self) -> u64 {
        self.declared
    }

    /// Values of fields that the policy does not declare, replaced in strict mode.
    #[must_use]
    pub const fn undeclared(&self) -> u64 {
        self.undeclared
    }

    /// Events of denied targets that reached the wrapper and were dropped there. Most never do: their callsites are
    /// switched off.
    #[must_use]
    pub const fn denied(&self) -> u64 {
        self.denied
    }
}

/// Reads the counters of this process.
#[must_use]
pub fn counts() -> Counts {
    Counts {
        found: core::array::from_fn(|i| FOUND.get(i).map_or(0, read)),
        declared: read(&DECLARED),
        undeclared: read(&UNDECLARED),
        denied: read(&DENIED),
    }
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

pub(crate) fn found(class: Class) {
    if let Some(counter) = FOUND.get(class as usize) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(feature = "tracing")]
pub(crate) fn declared() {
    DECLARED.fetch_add(1, Ordering::Relaxed);
}

#[cfg(feature = "tracing")]
pub(crate) fn undeclared() {
    UNDECLARED.fetch_add(1, Ordering::Relaxed);
}

#[cfg(feature = "tracing")]
pub(crate) fn denied() {
    DENIED.fetch_add(1, Ordering::Relaxed);
}
