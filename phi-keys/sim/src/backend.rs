//! What a simulator must know of one service.

use core::fmt;

use crate::call::Call;
use crate::control::FaultKind;
use crate::reply::Reply;

/// Which operation a call is, for counters and faults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    /// The short name of the key it is about.
    pub(crate) key: Option<String>,
}

impl Operation {
    pub(crate) const fn new(name: &'static str) -> Self {
        Self { name, key: None }
    }

    pub(crate) fn on(name: &'static str, key: &str) -> Self {
        Self { name, key: Some(key.to_owned()) }
    }
}

pub(crate) trait Backend: fmt::Debug + Send + Sync + 'static {
    /// Names the operation without doing it.
    fn operation(&self, call: &Call) -> Operation;

    /// Does it.
    fn answer(&self, call: &Call) -> Reply;

    /// The service's own answer for a fault that refuses the call; `None` for faults that need the true answer.
    fn refuse(&self, call: &Call, kind: FaultKind) -> Option<Reply>;

    /// Spoils a true answer.
    fn spoil(&self, kind: FaultKind, reply: Reply) -> Reply;

    fn change_version(&self, key: &str, version: &str, change: &str) -> Result<(), String>;

    fn switch(&self, name: &str, on: bool) -> Result<(), String>;
}
