//! What of a KMS's administration a keyring file can do.

use core::time::Duration;

use super::LocalKeyring;
use crate::kms::{KekAct, KekChange, KekState, KekTarget, KekVersion, KekVersions, Kms, KmsAdmin, KmsError, KmsFuture};

/// A keyring file lists and adds versions. It has no states: who holds file and passphrase holds every version, so that
/// switching one off would promise what it cannot keep.
impl KmsAdmin for LocalKeyring {
    fn versions(&self) -> KmsFuture<'_, KekVersions> {
        Box::pin(async move {
            self.reload()?;
            let state = self.state();
            let versions =
                state.keks.iter().map(|kek| KekVersion::new(kek.version.to_string(), KekState::Enabled, None));
            Ok(KekVersions::new(self.kek_id(), versions.collect()))
        })
    }

    fn rotate(&self) -> KmsFuture<'_, KekChange> {
        Box::pin(async move {
            let version = Self::rotate(self)?;
            Ok(KekChange::new(self.kek_id(), KekAct::Rotate, Some(version.to_string()), KekState::Enabled))
        })
    }

    fn disable<'a>(&'a self, _: &'a KekTarget) -> KmsFuture<'a, KekChange> {
        unsupported("disable versions")
    }

    fn enable<'a>(&'a self, _: &'a KekTarget) -> KmsFuture<'a, KekChange> {
        unsupported("enable versions")
    }

    fn schedule_destruction<'a>(&'a self, _: &'a KekTarget, _: Duration) -> KmsFuture<'a, KekChange> {
        unsupported("schedule a destruction")
    }

    fn cancel_destruction<'a>(&'a self, _: &'a KekTarget) -> KmsFuture<'a, KekChange> {
        unsupported("cancel a destruction")
    }
}

fn unsupported<'a>(what: &'static str) -> KmsFuture<'a, KekChange> {
    Box::pin(async move { Err(KmsError::Unsupported(what)) })
}
