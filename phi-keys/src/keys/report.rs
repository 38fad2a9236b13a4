//! What was done to keys, for the audit log.

use phi_types::{Action, Activity, Outcome, SubjectId, Timestamp};

use crate::id::{Fingerprint, FullId};
use crate::scope::KeyUse;
use crate::store::{Residue, RowKind, Slot};

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
    /// When the keys were deleted: by an earlier shred, where this one found nothing left to delete.
    pub at: Timestamp,
    /// Whether the store's own files hold nothing of the deleted rows any more.
    pub purged: bool,
    /// Where in the store's own files bytes of the deleted rows still are, or may be. Shredding again tries to empty what
    /// others were using.
    pub residues: Vec<Residue>,
    /// The place in its store, which a certificate names.
    pub(super) slot: Slot,
    pub(super) store: Fingerprint,
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
    /// Whether rows of keys were accepted as they are, though the anchor may have known newer ones.
    pub older_rows: bool,
}

impl Replayed {
    /// The entry for the audit log, if there is anything to log.
    #[must_use]
    pub fn activity(&self, at: Timestamp) -> Option<Activity> {
        (self.subjects > 0 || self.rebuilt || self.older_rows).then(|| {
            let kids = self.keys.iter().map(|id| id.kid().to_string()).collect::<Vec<_>>().join(" ");
            Activity::new("key.replay", Action::Delete, Outcome::Success, at)
                .with("subjects", self.subjects)
                .with("kids", kids)
                .with("rebuilt", self.rebuilt)
                .with("older_rows", self.older_rows)
        })
    }
}

/// What became of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyAct {
    /// It was made, opens, and waits to be put to use.
    Staged,
    /// It was staged, and seals from now on in the place of another.
    Activated,
    /// It was made, and seals from now on in the place of another.
    Rotated,
    /// It opens nothing any more, and is kept until it is destroyed.
    Retired,
    /// It was retired, and opens again.
    Reinstated,
    /// It is gone.
    Destroyed,
}

/// A domain or data key changed its state.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a change of keys belongs into the audit log"]
#[non_exhaustive]
pub struct KeyChange {
    /// What was done.
    pub act: KeyAct,
    /// The key.
    pub key: FullId,
    /// Whether it is a domain key or a data key.
    pub kind: RowKind,
    /// What it is for.
    pub key_use: KeyUse,
    /// Whose data it protects, where that was given.
    pub subject: Option<SubjectId>,
    /// The key that seals no more, after a rotation or an activation.
    pub replaced: Option<FullId>,
    /// When.
    pub at: Timestamp,
    /// After a destruction: where the store may still hold copies of the wrapped key.
    pub residues: Vec<Residue>,
}

impl KeyChange {
    /// The entry for the audit log.
    #[must_use]
    pub fn activity(&self, at: Timestamp) -> Activity {
        let (kind, action) = match self.act {
            KeyAct::Staged => ("key.stage", Action::Create),
            KeyAct::Activated => ("key.activate", Action::Update),
            KeyAct::Rotated => ("key.rotate", Action::Create),
            KeyAct::Retired => ("key.retire", Action::Update),
            KeyAct::Reinstated => ("key.reinstate", Action::Update),
            KeyAct::Destroyed => ("key.destroy", Action::Delete),
        };
        let activity = Activity::new(kind, action, Outcome::Success, at)
            .with("kid", self.key.kid().to_string())
            .with("row", self.kind.to_string())
            .with("key_use", self.key_use.to_string())
            .with("residues", self.residues.iter().map(|residue| residue.as_str()).collect::<Vec<_>>().join(" "));
        let activity = match &self.replaced {
            Some(replaced) => activity.with("replaced", replaced.kid().to_string()),
            None => activity,
        };
        match &self.subject {
            Some(subject) => activity.about(subject.clone()),
            None => activity,
        }
    }
}

/// Data keys were rewrapped under the active domain key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a rewrap belongs into the audit log"]
#[non_exhaustive]
pub struct DataRewrapped {
    /// Data keys that are wrapped anew.
    pub rewrapped: u64,
    /// Data keys that were under the active domain key already, or are gone.
    pub unchanged: u64,
}

impl DataRewrapped {
    /// The entry for the audit log.
    #[must_use]
    pub fn activity(&self, at: Timestamp) -> Activity {
        Activity::new("key.rewrap_data", Action::Update, Outcome::Success, at)
            .with("rewrapped", self.rewrapped)
            .with("unchanged", self.unchanged)
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
