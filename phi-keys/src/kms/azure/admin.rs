//! Rotating, disabling and destroying a key of Azure's.

use core::future::poll_fn;
use core::time::Duration;

use azure_security_keyvault_keys::models::{
    DeletionRecoveryLevel, Key, KeyAttributes, KeyClientUpdateKeyPropertiesOptions, UpdateKeyPropertiesParameters,
};

use futures_core::Stream as _;

use super::error::{Failure, failure};
use super::kms::{AzureKms, content, state, timestamp};
use super::name;
use crate::kms::{KekAct, KekChange, KekState, KekTarget, KekVersion, KekVersions, KmsAdmin, KmsError, KmsFuture};

const DAY: u64 = 86_400;

impl AzureKms {
    async fn list(&self) -> Result<KekVersions, KmsError> {
        let pager = self.client.list_key_properties_versions(self.key.as_str(), None);
        let mut pages = Box::pin(pager.map_err(|error| failure(&error).error)?.into_pages());
        let mut versions = Vec::new();
        loop {
            // The end of the pages is no answer, so it is told apart inside the time limit.
            let next = async { poll_fn(|task| pages.as_mut().poll_next(task)).await.transpose() };
            let Some(page) = self.in_time(next).await.map_err(|failure| failure.error)? else { break };
            for version in page.into_model().map_err(|_| KmsError::Corrupt)?.value {
                let name = version.kid.as_deref().and_then(|kid| self.key.version_in(kid)).ok_or(KmsError::Corrupt)?;
                let attributes = version.attributes.as_ref();
                let created = attributes.and_then(|attributes| attributes.created).map(timestamp);
                versions.push(KekVersion::new(name, state(attributes), created));
            }
        }
        // The service promises no order; those of one second stay as it gives them.
        versions.sort_by_key(|version| version.created);
        Ok(KekVersions::new(&self.kek_id, versions))
    }

    async fn add(&self) -> Result<KekChange, KmsError> {
        let answer = self.answer(self.client.rotate_key(self.key.as_str(), None)).await;
        self.changed(KekAct::Rotate, answer).await
    }

    async fn switch(&self, target: &KekTarget, enabled: bool) -> Result<KekChange, KmsError> {
        let version =
            target.version().ok_or(KmsError::Unsupported("change a whole key, only its versions one by one"))?;
        if !name::is_version(version) {
            return Err(KmsError::UnknownVersion);
        }
        let (mut attributes, mut sent) = (KeyAttributes::default(), UpdateKeyPropertiesParameters::default());
        attributes.enabled = Some(enabled);
        sent.key_attributes = Some(attributes);
        let options = KeyClientUpdateKeyPropertiesOptions {
            key_version: Some(version.to_owned()),
            ..KeyClientUpdateKeyPropertiesOptions::default()
        };
        let call = self.client.update_key_properties(self.key.as_str(), content(sent)?, Some(options));
        let act = if enabled { KekAct::Enable } else { KekAct::Disable };
        let answer = match self.answer(call).await {
            Err(failure) => return Err(self.explained(failure, Some(version)).await),
            answer => answer,
        };
        let change = self.changed(act, answer).await?;
        if change.version.as_deref() == Some(version) { Ok(change) } else { Err(KmsError::Corrupt) }
    }

    async fn destroy(&self, target: &KekTarget, window: Duration) -> Result<KekChange, KmsError> {
        whole(target)?;
        let key = match self.describe().await {
            Ok(key) => key,
            Err(failure) => return Err(self.explained(failure, None).await),
        };
        let attributes = key.attributes.unwrap_or_default();
        // How long a deleted key can be recovered is a property of the vault.
        let keeps = match attributes.recovery_level {
            None | Some(DeletionRecoveryLevel::Purgeable | DeletionRecoveryLevel::UnknownValue(_)) => {
                return Err(KmsError::Unsupported("destroy a key after a while in a vault without soft deletion"));
            }
            Some(_) => attributes.recoverable_days.and_then(|days| u64::try_from(days).ok()).unwrap_or_default(),
        };
        if window > Duration::from_secs(keeps.saturating_mul(DAY)) {
            return Err(KmsError::Misconfigured("choose a window of at most the vault's own days of recovery"));
        }
        let deleted = match self.answer(self.client.delete_key(self.key.as_str(), None)).await {
            Ok(deleted) => deleted,
            Err(failure) => return Err(self.explained(failure, None).await),
        };
        let change = KekChange::new(&self.kek_id, KekAct::ScheduleDestruction, None, KekState::PendingDestruction);
        Ok(match deleted.scheduled_purge_date {
            Some(at) => change.with_destruction(timestamp(at)),
            None => change,
        })
    }

    async fn keep(&self, target: &KekTarget) -> Result<KekChange, KmsError> {
        whole(target)?;
        match self.answer(self.client.recover_deleted_key(self.key.as_str(), None)).await {
            Ok(key) => {
                let state = state(key.attributes.as_ref());
                Ok(KekChange::new(&self.kek_id, KekAct::CancelDestruction, None, state))
            }
            Err(failure) => Err(self.explained(failure, None).await),
        }
    }

    /// The version that was made or changed, as it is now.
    async fn changed(&self, act: KekAct, answer: Result<Key, Failure>) -> Result<KekChange, KmsError> {
        match answer {
            Ok(key) => {
                let version = self.version_of(&key)?;
                Ok(KekChange::new(&self.kek_id, act, Some(version), state(key.attributes.as_ref())))
            }
            Err(failure) => Err(self.explained(failure, None).await),
        }
    }
}

/// Azure deletes whole keys only.
fn whole(target: &KekTarget) -> Result<(), KmsError> {
    match target {
        KekTarget::Kek => Ok(()),
        KekTarget::Version(_) => Err(KmsError::Unsupported("destroy a single version, only the whole key")),
    }
}

/// A version is enabled and disabled alone, a key is destroyed as a whole: deleted, which ends its use at once, and purged after the
/// vault's days of recovery, until which it can be recovered.
impl KmsAdmin for AzureKms {
    fn versions(&self) -> KmsFuture<'_, KekVersions> {
        Box::pin(self.list())
    }

    fn rotate(&self) -> KmsFuture<'_, KekChange> {
        Box::pin(self.add())
    }

    fn disable<'a>(&'a self, target: &'a KekTarget) -> KmsFuture<'a, KekChange> {
        Box::pin(self.switch(target, false))
    }

    fn enable<'a>(&'a self, target: &'a KekTarget) -> KmsFuture<'a, KekChange> {
        Box::pin(self.switch(target, true))
    }

    fn schedule_destruction<'a>(&'a self, target: &'a KekTarget, window: Duration) -> KmsFuture<'a, KekChange> {
        Box::pin(self.destroy(target, window))
    }

    fn cancel_destruction<'a>(&'a self, target: &'a KekTarget) -> KmsFuture<'a, KekChange> {
        Box::pin(self.keep(target))
    }
}
