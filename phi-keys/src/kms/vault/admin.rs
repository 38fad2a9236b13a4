//! What is done to the key itself.

use core::time::Duration;

use serde_json::json;

use super::VaultKms;
use super::error::VaultError;
use crate::kms::{KekAct, KekChange, KekState, KekTarget, KekVersion, KekVersions, Kms, KmsAdmin, KmsError, KmsFuture};

/// More versions than any key has; a server that claims more is not believed.
const MOST_VERSIONS: u64 = 1_000_000;

/// Transit disables versions from the oldest up to its `min_decryption_version`, and destroys at once by trimming. So
/// [`disable`](KmsAdmin::disable) takes the oldest enabled version, never the newest, [`enable`](KmsAdmin::enable) the one that
/// was disabled last, and destruction is left to Vault's own tools. Needs `update` on `transit/keys/phi/rotate` and
/// `transit/keys/phi/config`.
impl KmsAdmin for VaultKms {
    fn versions(&self) -> KmsFuture<'_, KekVersions> {
        Box::pin(async move {
            let key = self.0.read_key().await?;
            if key.latest_version > MOST_VERSIONS {
                return Err(VaultError::Malformed.into());
            }
            let versions = (key.oldest()..=key.latest_version)
                .map(|version| KekVersion::new(version.to_string(), key.state_of(version), None))
                .collect();
            Ok(KekVersions::new(self.kek_id(), versions))
        })
    }

    fn rotate(&self) -> KmsFuture<'_, KekChange> {
        Box::pin(async move {
            self.0.read_key().await?;
            self.0.session.post(self.0.key_path("rotate"), &json!({})).await?;
            let version = self.0.read_key().await?.latest_version.to_string();
            Ok(KekChange::new(self.kek_id(), KekAct::Rotate, Some(version), KekState::Enabled))
        })
    }

    fn disable<'a>(&'a self, target: &'a KekTarget) -> KmsFuture<'a, KekChange> {
        Box::pin(async move {
            let version = number(target, "disable a whole key")?;
            let key = self.0.read_key().await?;
            if version < key.oldest() || version > key.latest_version {
                return Err(KmsError::UnknownVersion);
            }
            if version == key.latest_version {
                return Err(KmsError::Unsupported("disable the newest version before the key is rotated"));
            }
            if version > key.min_decryption_version {
                return Err(KmsError::Unsupported("disable a version before all older ones"));
            }
            if version == key.min_decryption_version {
                self.set_minimum(version.saturating_add(1), key.min_encryption_version).await?;
            }
            Ok(KekChange::new(self.kek_id(), KekAct::Disable, Some(version.to_string()), KekState::Disabled))
        })
    }

    fn enable<'a>(&'a self, target: &'a KekTarget) -> KmsFuture<'a, KekChange> {
        Box::pin(async move {
            let version = number(target, "enable a whole key")?;
            let key = self.0.read_key().await?;
            if version < key.oldest() || version > key.latest_version {
                return Err(KmsError::UnknownVersion);
            }
            if version.saturating_add(1) < key.min_decryption_version {
                return Err(KmsError::Unsupported("enable a version before all newer ones"));
            }
            if version < key.min_decryption_version {
                self.set_minimum(version, key.min_encryption_version).await?;
            }
            Ok(KekChange::new(self.kek_id(), KekAct::Enable, Some(version.to_string()), KekState::Enabled))
        })
    }

    fn schedule_destruction<'a>(&'a self, _: &'a KekTarget, _: Duration) -> KmsFuture<'a, KekChange> {
        Box::pin(async { Err(KmsError::Unsupported("destroy a version after a while, only at once")) })
    }

    fn cancel_destruction<'a>(&'a self, _: &'a KekTarget) -> KmsFuture<'a, KekChange> {
        Box::pin(async { Err(KmsError::Unsupported("take a destruction back")) })
    }
}

impl VaultKms {
    async fn set_minimum(&self, decryption: u64, encryption: u64) -> Result<(), VaultError> {
        // A minimum for encryption, where one is set, may not be the lower of the two.
        let body = if encryption != 0 && encryption < decryption {
            json!({ "min_decryption_version": decryption, "min_encryption_version": decryption })
        } else {
            json!({ "min_decryption_version": decryption })
        };
        self.0.session.post(self.0.key_path("config"), &body).await.map(drop)
    }
}

fn number(target: &KekTarget, what: &'static str) -> Result<u64, KmsError> {
    let version = target.version().ok_or(KmsError::Unsupported(what))?;
    version.parse().map_err(|_| KmsError::UnknownVersion)
}
