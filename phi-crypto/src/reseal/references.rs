//! Which keys are still needed.

use std::collections::BTreeMap;

use phi_keys::KeyId;

/// How many values refer to each key, counted by the database at their fixed place.
///
/// These are sealed values alone. A tag does not name the key that it was made with, so an earlier *index* domain key has no
/// references here while rows may still be found by it: end it only after a job over every column of its tags, begun after
/// the longest lease since the rotation, is finished with nothing [left](super::Progress::left), contended or unreadable.
///
/// With an index on the expression, such as `CREATE INDEX … ON patients (substr(name, 2, 16))`, it is counted without
/// reading the values.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct References {
    /// Values by the key that opens them.
    pub by_key: BTreeMap<KeyId, u64>,
    /// Values that are no sealed values.
    pub not_sealed: u64,
}

impl References {
    /// How many values a key still opens.
    #[must_use]
    pub fn remaining(&self, kid: KeyId) -> u64 {
        self.by_key.get(&kid).copied().unwrap_or(0)
    }
}
