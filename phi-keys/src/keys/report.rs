//! What was done to keys, for the audit log.

use phi_types::{Action, Activity, Outcome, SubjectId, Timestamp};

use crate::id::FullId;
use crate::store::Residue;

/// A subject was shredded. Unreadable live since then; irrecoverable only once no copy of the key tables from before is
/// left in a backup, replica or write-ahead log.
#[derive(Debug, Clone)]
#[must_use = "a shred belongs into the audit log"]
#[non_exhaustive]
pub struct Shredded {
    /// Whose keys are gone.
    pub subject: SubjectId,
    /// The keys that are gone, including those of an earlier attempt.
    pub keys: Vec<FullId>,
    /// The store's generation afterwards: a store of a lower generation has forgotten this shred.
    pub generation: u64,
    /// Whether the subject had been shredded before, so that nothing new was destroyed.
    pub repeated: bool,
    /// When the keys were deleted.
    pub at: Timestamp,
    /// Whether the store's own files hold nothing of the deleted rows any more.
    pub purged: bool,
    /// Where in the store's own files bytes of the deleted rows still are, or may be. Shredding again tries to empty what
    /// others were using.
    pub residues: Vec<Residue>,
}

impl Shredded {
    /// The entry for the audit log.
    #[must_use]
    pub fn activity(&self, at: Timestamp) -> Activity {
        let kids = self.keys.iter().map(|id| id.kid().to_string()).collect::<Vec<_>>().join(" ");
        Activity::new("key.shred", Action::Delete, Outcome::Success, at)
            .about(self.subject.clone())
            .with("keys", u64::try_from(self.keys.len()).unwrap_or(u64::MAX))
            .with("kids", kids)
            .with("generation", self.generation)
            .with("repeated", self.repeated)
            .with("purged", self.purged)
            .with("residues", self.residues.iter().map(|residue| residue.as_str()).collect::<Vec<_>>().join(" "))
    }
}

/// What was done before the first key was served, because the store had forgotten what its anchor knew.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Replayed {
    /// Scopes that were shredded again.
    pub subjects: u64,
    /// Their keys.
    pub keys: Vec<FullId>,
    /// Whether the store was older than it had been, or tombstones were missing from it, and it was opened nevertheless.
    pub rebuilt: bool,
}

impl Replayed {
    /// The entry for the audit log, if there is anything to log.
    #[must_use]
    pub fn activity(&self, at: Timestamp) -> Option<Activity> {
        (self.subjects > 0 || self.rebuilt).then(|| {
            let kids = self.keys.iter().map(|id| id.kid().to_string()).collect::<Vec<_>>().join(" ");
            Activity::new("key.replay", Action::Delete, Outcome::Success, at)
                .with("subjects", self.subjects)
                .with("kids", kids)
                .with("rebuilt", self.rebuilt)
        })
    }
}

/// Domain keys were rewrapped under the newest versions of their KEKs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a rewrap belongs into the audit log"]
#[non_exhaustive]
pub struct Rewrapped {
    /// Domain keys that have new wrapped copies.
    pub rewrapped: u64,
    /// Domain keys that were under the newest versions already.
    pub unchanged: u64,
    /// Copies that were moved to a new version inside their KMS, so that nothing left it.
    pub server_side: u64,
    /// The KEKs and versions under which every domain key now is, such as `local:clinic version 2`.
    pub keks: Vec<String>,
}

impl Rewrapped {
    /// The entry for the audit log.
    #[must_use]
    pub fn activity(&self, at: Timestamp) -> Activity {
        Activity::new("key.rewrap", Action::Update, Outcome::Success, at)
            .with("rewrapped", self.rewrapped)
            .with("unchanged", self.unchanged)
            .with("server_side", self.server_side)
            .with("keks", self.keks.join(", "))
    }
}

/// Copies that were missing were made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "new copies of keys belong into the audit log"]
#[non_exhaustive]
pub struct Completed {
    /// Domain keys that have more copies than before.
    pub completed: u64,
    /// Domain keys that had every copy already.
    pub unchanged: u64,
    /// Domain keys that still lack a copy, because a KMS did not answer: try again later.
    pub incomplete: u64,
}

impl Completed {
    /// The entry for the audit log.
    #[must_use]
    pub fn activity(&self, at: Timestamp) -> Activity {
        Activity::new("key.complete", Action::Update, Outcome::Success, at)
            .with("completed", self.completed)
            .with("unchanged", self.unchanged)
            .with("incomplete", self.incomplete)
    }
}
