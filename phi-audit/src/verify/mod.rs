//! Checking a whole log, with nothing but the verifier key.

mod entries;
mod explain;
mod findings;
mod run;
mod stream;

pub use findings::{Finding, Freshness, Problem, Report};
pub(crate) use run::verify;

use crate::{AuditStore, Checkpoint, Error, VerifierKey};

/// How many findings about entries, and about the whole log, a report holds; the first is what matters.
pub(crate) const MAX_FINDINGS: usize = 100;

/// What to ask of a log beyond consistency.
#[derive(Default)]
pub(crate) struct Options<'a> {
    pub(crate) at_least: Option<Checkpoint>,
    pub(crate) progress: Option<&'a mut (dyn FnMut(u64, u64) + Send)>,
}

/// Reads the whole log in a store and checks every entry, leaf, tile, derived column and checkpoint against the pinned
/// key.
///
/// With `at_least`, the log must also contain everything that this checkpoint covers: without it, an old copy of a
/// log is as consistent as the log. `progress` is called with the number of entries read and the number in total.
///
/// # Errors
/// The store's failure. What is wrong with the log is in the report.
pub async fn verify_store(
    store: &dyn AuditStore,
    key: &VerifierKey,
    at_least: Option<Checkpoint>,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<Report, Error> {
    verify(store, key, &mut Options { at_least, progress: Some(progress) }).await
}
