//! What was learned about the key, to notice when it is another one of the same name.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::error::VaultError;
use super::message::Key;

/// What was learned about the key so far.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<Facts>);

#[derive(Debug, Default)]
struct Facts {
    newest: u64,
    /// When each version was made, in Unix seconds.
    made: BTreeMap<u64, i64>,
}

impl Known {
    /// The newest version that was seen; 0 before anything was learned.
    pub(super) fn newest(&self) -> u64 {
        self.facts(|facts| facts.newest)
    }

    /// Takes note of a version that wrapped.
    pub(super) fn saw(&self, version: u64) {
        self.facts(|facts| facts.newest = facts.newest.max(version));
    }

    /// Takes note of what the server says. A lower version alone proves nothing, since replicas lag; a version that was made at
    /// another time is one of another key.
    pub(super) fn learn(&self, key: &Key) -> Result<(), VaultError> {
        if key.latest_version == 0 {
            return Err(VaultError::Malformed);
        }
        self.facts(|facts| {
            for (version, made) in &key.keys {
                let (Ok(version), Some(made)) = (version.parse(), made.as_i64()) else { continue };
                if *facts.made.entry(version).or_insert(made) != made {
                    return Err(VaultError::KeyReplaced);
                }
            }
            facts.newest = facts.newest.max(key.latest_version);
            Ok(())
        })
    }

    fn facts<T>(&self, with: impl FnOnce(&mut Facts) -> T) -> T {
        // Facts are only ever added, so a panic elsewhere cannot leave wrong ones.
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(latest: u64, made: &str) -> Key {
        let json = format!(
            r#"{{"derived":true,"type":"aes256-gcm96","latest_version":{latest},"min_decryption_version":1,"keys":{made}}}"#
        );
        serde_json::from_str(&json).unwrap()
    }

    #[test]
    fn another_key_is_told_from_a_replica_that_lags() {
        let known = Known::default();
        assert_eq!(known.newest(), 0);
        known.learn(&key(2, r#"{"1":100,"2":200}"#)).unwrap();
        known.learn(&key(1, r#"{"1":100}"#)).unwrap();
        known.learn(&key(3, r#"{"3":300}"#)).unwrap();
        assert_eq!(known.newest(), 3);
        known.saw(2);
        assert_eq!(known.newest(), 3);
        assert_eq!(known.learn(&key(1, r#"{"1":400}"#)), Err(VaultError::KeyReplaced));
        assert_eq!(known.learn(&key(0, "{}")), Err(VaultError::Malformed));
    }
}
