//! What was done to entries that do not fit the tree.

use std::collections::{BTreeMap, BTreeSet};

use super::stream::Leaves;
use super::{Finding, MAX_FINDINGS, Problem};
use crate::{AuditStore, Error, Hash};

/// An entry whose hash is not the stored leaf hash.
#[derive(Debug)]
pub(super) struct Mismatch {
    pub(super) index: u64,
    /// The hash of the entry, when there is one.
    pub(super) entry: Option<Hash>,
    /// The stored hash, when there is one.
    pub(super) stored: Option<Hash>,
}

/// Tells edited, moved, copied and removed entries apart: where else in the tree is what stands here, and where else
/// stands what belongs here?
pub(super) async fn explain(store: &dyn AuditStore, wrong: &[Mismatch], size: u64) -> Result<Vec<Finding>, Error> {
    if wrong.is_empty() {
        return Ok(Vec::new());
    }
    let present: BTreeSet<Hash> = wrong.iter().filter_map(|mismatch| mismatch.entry).collect();
    let absent: BTreeSet<u64> = wrong.iter().map(|mismatch| mismatch.index).collect();
    let mut places = BTreeMap::new();
    let mut leaves = Leaves::new(store);
    for index in 0..size {
        if let Some(leaf) = leaves.at(index).await?.filter(|leaf| present.contains(leaf)) {
            places.entry(leaf).or_insert(index);
        }
    }
    let findings = wrong.iter().take(MAX_FINDINGS).map(|mismatch| {
        let original_is_elsewhere = mismatch.stored.is_some_and(|stored| present.contains(&stored));
        let belongs = mismatch.entry.and_then(|entry| places.get(&entry)).copied();
        let problem = match (mismatch.entry, mismatch.stored, belongs) {
            (None, ..) => Problem::Missing,
            (Some(_), None, _) => Problem::Tile { level: 0, tile: mismatch.index / 256 },
            (.., Some(belongs)) if original_is_elsewhere => Problem::Reordered { belongs },
            // Another entry has moved here, and the one that was signed here is nowhere.
            (.., Some(belongs)) if absent.contains(&belongs) => Problem::Missing,
            (.., Some(_)) => Problem::Duplicate,
            (.., None) => Problem::Edited,
        };
        Finding { index: Some(mismatch.index), problem }
    });
    Ok(findings.collect())
}
