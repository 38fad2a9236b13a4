//! Rotating, disabling and destroying a key of AWS.

use core::time::Duration;

use aws_sdk_kms::types::{IncludeKeyMaterial, KeyMaterialState};

use super::kms::{AwsKms, timestamp};
use crate::kms::{KekAct, KekChange, KekState, KekTarget, KekVersion, KekVersions, KmsAdmin, KmsError, KmsFuture};

const DAY: u64 = 86_400;
/// More versions than any key has: one that rotates every 90 days gets to this after 2,400 years.
const MOST_VERSIONS: usize = 10_000;

impl AwsKms {
    async fn list(&self) -> Result<KekVersions, KmsError> {
        let mut versions = Vec::new();
        let mut marker: Option<String> = None;
        loop {
            let call = self.client.list_key_rotations().key_id(&self.arn);
            let call = call.include_key_material(IncludeKeyMaterial::AllKeyMaterial).set_marker(marker.clone());
            let answer = match call.send().await {
                Ok(answer) => answer,
                Err(error) => return Err(self.explained(error, "list rotations").await),
            };
            versions.extend(answer.rotations().iter().map(|rotation| {
                let state = match rotation.key_material_state() {
                    None | Some(KeyMaterialState::Current | KeyMaterialState::NonCurrent) => KekState::Enabled,
                    Some(_) => KekState::Unusable,
                };
                let created = rotation.rotation_date().map(timestamp);
                KekVersion::new(rotation.key_material_id().unwrap_or_default(), state, created)
            }));
            let next = answer.next_marker().map(str::to_owned);
            if !answer.truncated() || next.is_none() {
                break;
            }
            // A server that never comes to an end is not followed there.
            if next == marker || versions.len() > MOST_VERSIONS {
                return Err(KmsError::Corrupt);
            }
            marker = next;
        }
        // The first material has no date of rotation and comes first.
        versions.sort_by_key(|version| version.created);
        Ok(KekVersions::new(&self.kek_id, versions))
    }

    async fn add(&self) -> Result<KekChange, KmsError> {
        match self.client.rotate_key_on_demand().key_id(&self.arn).send().await {
            // The rotation has begun; which material it brings shows in `status` once it is done.
            Ok(_) => Ok(KekChange::new(&self.kek_id, KekAct::Rotate, None, KekState::Enabled)),
            Err(error) => Err(self.explained(error, "rotate on demand").await),
        }
    }

    async fn switch(&self, target: &KekTarget, on: bool) -> Result<KekChange, KmsError> {
        whole(target)?;
        let (act, state) = if on { (KekAct::Enable, KekState::Enabled) } else { (KekAct::Disable, KekState::Disabled) };
        let error = if on {
            match self.client.enable_key().key_id(&self.arn).send().await {
                Ok(_) => None,
                Err(error) => Some(self.explained(error, "enable a key").await),
            }
        } else {
            match self.client.disable_key().key_id(&self.arn).send().await {
                Ok(_) => None,
                Err(error) => Some(self.explained(error, "disable a key").await),
            }
        };
        error.map_or_else(|| Ok(KekChange::new(&self.kek_id, act, None, state)), Err)
    }

    async fn destroy(&self, target: &KekTarget, window: Duration) -> Result<KekChange, KmsError> {
        whole(target)?;
        let call = self.client.schedule_key_deletion().key_id(&self.arn).pending_window_in_days(days(window)?);
        let answer = match call.send().await {
            Ok(answer) => answer,
            Err(error) => return Err(self.explained(error, "schedule a deletion").await),
        };
        let change = KekChange::new(&self.kek_id, KekAct::ScheduleDestruction, None, KekState::PendingDestruction);
        Ok(match answer.deletion_date() {
            Some(date) => change.with_destruction(timestamp(date)),
            None => change,
        })
    }

    async fn keep(&self, target: &KekTarget) -> Result<KekChange, KmsError> {
        whole(target)?;
        match self.client.cancel_key_deletion().key_id(&self.arn).send().await {
            Ok(_) => Ok(KekChange::new(&self.kek_id, KekAct::CancelDestruction, None, KekState::Disabled)),
            Err(error) => Err(self.explained(error, "cancel a deletion").await),
        }
    }
}

/// AWS knows no acts upon a single version.
fn whole(target: &KekTarget) -> Result<(), KmsError> {
    match target {
        KekTarget::Kek => Ok(()),
        KekTarget::Version(_) => Err(KmsError::Unsupported("change a single version of a key")),
    }
}

/// AWS waits 7 to 30 whole days.
fn days(window: Duration) -> Result<i32, KmsError> {
    let whole = window.as_secs().saturating_add(u64::from(window.subsec_nanos() > 0));
    match whole.div_ceil(DAY).max(7) {
        days @ ..=30 => i32::try_from(days).map_err(KmsError::failed),
        _ => Err(KmsError::Misconfigured("choose a window of at most 30 days")),
    }
}

impl KmsAdmin for AwsKms {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_rounded_up_to_whole_days_and_bounded() {
        let day = Duration::from_secs(DAY);
        let nano = Duration::from_nanos(1);
        let table = [(Duration::ZERO, 7), (day, 7), (day * 7, 7), (day * 7 + nano, 8), (day * 30, 30)];
        for (window, expected) in table {
            assert_eq!(days(window).ok(), Some(expected), "{window:?}");
        }
        for window in [day * 30 + nano, day * 365, Duration::MAX - day] {
            assert_eq!(days(window).map_err(|error| error.kind()), Err("misconfigured"), "{window:?}");
        }
    }
}
