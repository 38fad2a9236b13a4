//! Rotating, disabling and destroying versions of a key of Google's.

use core::time::Duration;

use google_cloud_gax::paginator::ItemPaginator as _;
use google_cloud_kms_v1::model::crypto_key_version::CryptoKeyVersionState;
use google_cloud_kms_v1::model::{CryptoKeyVersion, UpdateCryptoKeyVersionRequest};

use super::error::failure;
use super::kms::{GcpKms, destruction, state, timestamp};
use super::open;
use crate::kms::{KekAct, KekChange, KekState, KekTarget, KekVersion, KekVersions, KmsAdmin, KmsError, KmsFuture};

/// What Google took for keys that were made without a choice, before it was 30 days.
const SHORTEST_DEFAULT: Duration = Duration::from_secs(86_400);

impl GcpKms {
    async fn list(&self) -> Result<KekVersions, KmsError> {
        let call = open::once(self.client.list_crypto_key_versions(), self.timeout).set_parent(self.key.as_str());
        let mut items = call.by_item();
        let mut versions = Vec::new();
        while let Some(item) = items.next().await {
            let version = item.map_err(|error| failure(&error, "list versions").error)?;
            versions.push((self.number(&version)?, version));
        }
        versions.sort_by_key(|(number, _)| *number);
        let shown = versions.into_iter().map(|(number, version)| {
            let created = version.create_time.map(|at| timestamp(at.seconds(), at.nanos()));
            KekVersion::new(number.to_string(), state(&version.state), created)
        });
        Ok(KekVersions::new(&self.kek_id, shown.collect()))
    }

    async fn add(&self) -> Result<KekChange, KmsError> {
        // Refuses a key of another purpose before a version is added to it.
        self.describe().await?;
        let call = open::once(self.client.create_crypto_key_version(), self.timeout).set_parent(self.key.as_str());
        let call = call.set_crypto_key_version(CryptoKeyVersion::new());
        let version = match call.send().await {
            Ok(version) => version,
            Err(error) => return Err(self.explained(failure(&error, "create a version"), None).await),
        };
        let number = self.number(&version)?.to_string();
        if version.state != CryptoKeyVersionState::Enabled {
            const MEND: &str = "a version was made that cannot be used yet: make it the primary one when it is enabled";
            return Err(KmsError::NotReady(MEND));
        }
        let call = open::once(self.client.update_crypto_key_primary_version(), self.timeout);
        match call.set_name(self.key.as_str()).set_crypto_key_version_id(&number).send().await {
            Ok(_) => Ok(KekChange::new(&self.kek_id, KekAct::Rotate, Some(number), KekState::Enabled)),
            Err(error) => Err(self.explained(failure(&error, "choose the primary version"), Some(&number)).await),
        }
    }

    async fn switch(&self, target: &KekTarget, act: KekAct) -> Result<KekChange, KmsError> {
        let number = single(target)?;
        let wanted = match act {
            KekAct::Enable => CryptoKeyVersionState::Enabled,
            _ => CryptoKeyVersionState::Disabled,
        };
        let version = CryptoKeyVersion::new().set_name(self.key.version(number)?).set_state(wanted);
        let mut request = UpdateCryptoKeyVersionRequest::new().set_crypto_key_version(version);
        request.update_mask.get_or_insert_default().paths.push("state".to_owned());
        let call = self.client.update_crypto_key_version().with_request(request);
        self.changed(act, number, open::once(call, self.timeout).send().await).await
    }

    async fn destroy(&self, target: &KekTarget, window: Duration) -> Result<KekChange, KmsError> {
        let number = single(target)?;
        let name = self.key.version(number)?;
        let key = self.describe().await?;
        // How long Google waits is a property of the key, fixed when it was made.
        let waits = key.destroy_scheduled_duration.and_then(|waits| u64::try_from(waits.seconds()).ok());
        if window > waits.map_or(SHORTEST_DEFAULT, Duration::from_secs) {
            return Err(KmsError::Misconfigured(
                "choose a window of at most the key's own scheduled duration of destruction",
            ));
        }
        let call = open::once(self.client.destroy_crypto_key_version(), self.timeout).set_name(name);
        self.changed(KekAct::ScheduleDestruction, number, call.send().await).await
    }

    async fn keep(&self, target: &KekTarget) -> Result<KekChange, KmsError> {
        let number = single(target)?;
        let call = open::once(self.client.restore_crypto_key_version(), self.timeout);
        let answer = call.set_name(self.key.version(number)?).send().await;
        self.changed(KekAct::CancelDestruction, number, answer).await
    }

    /// The version as it is now, or why it was not changed.
    async fn changed(
        &self,
        act: KekAct,
        number: &str,
        answer: google_cloud_kms_v1::Result<CryptoKeyVersion>,
    ) -> Result<KekChange, KmsError> {
        let version = match answer {
            Ok(version) => version,
            Err(error) => {
                let error = self.explained(failure(&error, "change a version"), Some(number)).await;
                return Err(if matches!(error, KmsError::NotFound) { KmsError::UnknownVersion } else { error });
            }
        };
        if self.key.number_in(&version.name) != Some(number) {
            return Err(KmsError::Corrupt);
        }
        let change = KekChange::new(&self.kek_id, act, Some(number.to_owned()), state(&version.state));
        Ok(match destruction(&version) {
            Some(at) => change.with_destruction(at),
            None => change,
        })
    }

    fn number(&self, version: &CryptoKeyVersion) -> Result<u64, KmsError> {
        self.key.number_in(&version.name).and_then(|number| number.parse().ok()).ok_or(KmsError::Corrupt)
    }
}

/// Google knows no acts upon a whole key.
fn single(target: &KekTarget) -> Result<&str, KmsError> {
    target.version().ok_or(KmsError::Unsupported("change a whole key, only its versions one by one"))
}

/// Needs a key of its own purpose and knows versions only: a whole key cannot be switched off or destroyed at once. A version is
/// destroyed after the duration that the key was made with, 30 days unless chosen, and can be restored until then; it is disabled
/// then.
impl KmsAdmin for GcpKms {
    fn versions(&self) -> KmsFuture<'_, KekVersions> {
        Box::pin(self.list())
    }

    fn rotate(&self) -> KmsFuture<'_, KekChange> {
        Box::pin(self.add())
    }

    fn disable<'a>(&'a self, target: &'a KekTarget) -> KmsFuture<'a, KekChange> {
        Box::pin(self.switch(target, KekAct::Disable))
    }

    fn enable<'a>(&'a self, target: &'a KekTarget) -> KmsFuture<'a, KekChange> {
        Box::pin(self.switch(target, KekAct::Enable))
    }

    fn schedule_destruction<'a>(&'a self, target: &'a KekTarget, window: Duration) -> KmsFuture<'a, KekChange> {
        Box::pin(self.destroy(target, window))
    }

    fn cancel_destruction<'a>(&'a self, target: &'a KekTarget) -> KmsFuture<'a, KekChange> {
        Box::pin(self.keep(target))
    }
}
