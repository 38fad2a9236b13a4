//! The test's hand on a running simulator: faults, counters, time, versions and switches.

mod fault;
mod routes;

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

pub use fault::{Fault, FaultKind};
pub(crate) use routes::router;

use crate::backend::{Backend, Operation};
use crate::env::Env;

/// Controls one simulator from the process that runs it; the same things are offered over HTTP under `/_sim/`.
///
/// Clones control the same simulator.
#[derive(Clone)]
pub struct Control {
    log: Arc<Mutex<Log>>,
    env: Env,
    backend: Arc<dyn Backend>,
}

#[derive(Debug, Default)]
struct Log {
    faults: Vec<Fault>,
    calls: BTreeMap<&'static str, u64>,
}

/// What a call has to suffer: a delay, then perhaps something worse.
#[derive(Debug, Default)]
pub(crate) struct Suffering {
    pub(crate) latency: Duration,
    pub(crate) kind: Option<FaultKind>,
}

impl Control {
    pub(crate) fn new(env: Env, backend: Arc<dyn Backend>) -> Self {
        Self { log: Arc::default(), env, backend }
    }

    /// Makes the next calls that match `fault` fail in its way. Faults are used up in the order of injection.
    pub fn inject(&self, fault: Fault) {
        self.log().faults.push(fault);
    }

    /// Takes all remaining faults back.
    pub fn clear_faults(&self) {
        self.log().faults.clear();
    }

    /// The faults that are not used up.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        self.log().faults.clone()
    }

    /// How often each operation was called since the start or the last [`reset_calls`](Self::reset_calls), whatever
    /// the answer was.
    #[must_use]
    pub fn calls(&self) -> BTreeMap<String, u64> {
        self.log().calls.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    /// How often the operation `name` was called; the names are in the README.
    #[must_use]
    pub fn calls_of(&self, name: &str) -> u64 {
        self.log().calls.get(name).copied().unwrap_or_default()
    }

    /// Sets all counters to zero.
    pub fn reset_calls(&self) {
        self.log().calls.clear();
    }

    /// Moves the simulator's own time forward: tokens run out, keys expire, scheduled destruction happens.
    pub fn advance(&self, by: Duration) {
        self.env.advance(by);
    }

    /// Changes the state of one version of a key, as an administrator elsewhere would.
    ///
    /// `key` is the key's short name, for a namespace of Vault `namespace/name`; `version` is what the service calls the
    /// version; `change` is `disable`, `enable` or `destroy`.
    ///
    /// # Errors
    /// A sentence saying what does not exist, or what the service has no such notion of.
    pub fn change_version(&self, key: &str, version: &str, change: &str) -> Result<(), String> {
        self.backend.change_version(key, version, change)
    }

    /// Turns a switch of the service on or off; the README lists them (`sealed`, `standby`, `require_token`, …).
    ///
    /// # Errors
    /// A sentence, if the service has no such switch.
    pub fn switch(&self, name: &str, on: bool) -> Result<(), String> {
        self.backend.switch(name, on)
    }

    /// Counts a call and says what it must suffer.
    pub(crate) fn meet(&self, operation: &Operation) -> Suffering {
        let mut log = self.log();
        *log.calls.entry(operation.name).or_default() += 1;
        let mut suffering = Suffering::default();
        for fault in &mut log.faults {
            if let FaultKind::Latency { ms } = fault.kind {
                if fault.strikes(operation) {
                    suffering.latency = suffering.latency.saturating_add(Duration::from_millis(ms));
                }
            } else if suffering.kind.is_none() && fault.strikes(operation) {
                suffering.kind = Some(fault.kind);
            }
        }
        log.faults.retain(|fault| fault.times > 0);
        suffering
    }

    /// A panic elsewhere cannot leave counters half-written, so a poisoned lock is still good.
    fn log(&self) -> std::sync::MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("log", &self.log).finish_non_exhaustive()
    }
}
