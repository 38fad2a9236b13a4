//! KEK rotation: the domain keys stay, their wrapped copies are made anew.

use std::sync::Arc;

use super::report::Rewrapped;
use super::{ATTEMPTS, Keys, envelope};
use crate::error::Error;
use crate::kms::Kms;
use crate::store::{Change, Committed, KeyRow, Slot};

impl Keys {
    /// Wraps every domain key of this tenant, and the store root key, under the newest version of every KEK of this key
    /// manager; copies under KEKs that were not given are dropped. Data keys and data are not touched.
    ///
    /// Each row is swapped on its own, so an interrupted rewrap is finished by the next one. This answers routine
    /// rotation and a change of KMS. It is no recovery from a compromised KEK: who kept an old copy keeps the key.
    ///
    /// # Errors
    /// [`Error`] when a KMS or the store fails; rows before the failure are rewrapped.
    pub async fn rewrap(&self) -> Result<Rewrapped, Error> {
        let mut versions = Vec::with_capacity(self.0.keks.len());
        for kek in &self.0.keks {
            versions.push((Arc::clone(kek), kek.status().await?.version));
        }
        let mut report = Rewrapped { rewrapped: 0, unchanged: 0, keks: describe(&versions) };
        let rows = self.0.root.census(&*self.0.store).await?.domains;
        for row in rows.into_iter().filter(|row| row.slot.tenant == self.0.tenant || row.slot == Slot::root()) {
            if Box::pin(self.rewrap_row(row, &versions)).await? {
                report.rewrapped += 1;
            } else {
                report.unchanged += 1;
            }
        }
        Ok(report)
    }

    /// True when the row was swapped, false when there was nothing to do.
    async fn rewrap_row(&self, mut row: KeyRow, versions: &[(Arc<dyn Kms>, Option<String>)]) -> Result<bool, Error> {
        for _ in 0..ATTEMPTS {
            self.authentic(&row)?;
            if is_current(&row, versions)? {
                return Ok(false);
            }
            let key = envelope::unwrap_domain(&self.0.keks, &row).await?;
            let mut next = row.clone();
            next.wrapped = envelope::wrap_domain(&self.0.keks, &row, &key).await?;
            // The new copies must open before the old ones are given up.
            envelope::unwrap_domain(&self.0.keks, &next).await?;
            next.authenticate(&self.0.root.mac_key)?;
            let change = Change::new().replace(row.clone(), next);
            if self.0.store.commit(&change).await? == Committed::Done {
                return Ok(true);
            }
            // Somebody else swapped it first; theirs may be as good.
            let stored = self.0.store.slot(&row.slot).await?;
            row = stored.into_iter().find(|other| other.same_place(&row)).ok_or(Error::UnknownKey)?;
        }
        Err(Error::Contended)
    }
}

/// Whether a row has exactly one copy under each KEK, each of the version that wraps now. A KEK that does not name its
/// version never counts as current.
fn is_current(row: &KeyRow, versions: &[(Arc<dyn Kms>, Option<String>)]) -> Result<bool, Error> {
    let copies = envelope::decode(row)?;
    Ok(copies.len() == versions.len()
        && versions.iter().all(|(kek, version)| {
            copies.iter().any(|copy| {
                copy.carrier.kek_id() == kek.kek_id() && version.as_deref() == Some(copy.carrier.kek_version())
            })
        }))
}

fn describe(versions: &[(Arc<dyn Kms>, Option<String>)]) -> Vec<String> {
    let text = |(kek, version): &(Arc<dyn Kms>, Option<String>)| match version {
        Some(version) => format!("{} version {version}", kek.kek_id()),
        None => kek.kek_id().to_owned(),
    };
    versions.iter().map(text).collect()
}
