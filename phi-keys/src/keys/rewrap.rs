//! KEK rotation: the domain keys stay, their wrapped copies are made anew.

use std::sync::Arc;

use super::envelope::{self, DomainCopy};
use super::report::Rewrapped;
use super::{ATTEMPTS, Keys};
use crate::error::Error;
use crate::kms::Kms;
use crate::store::{Change, Committed, KeyRow, KeyState, Slot};

/// A KEK, and the version of it that wraps now.
type Current = (Arc<dyn Kms>, Option<String>);

impl Keys {
    /// Brings every domain key of this tenant, and the store root key, under the newest version of every KEK that the
    /// policy wraps under; copies under other KEKs are dropped. Where the KMS can, a copy is moved inside it. Data keys and
    /// data are not touched. Every KEK must answer, whatever the policy allows for new keys.
    ///
    /// Each row is swapped on its own, after every one of its new copies was seen to open; so an interrupted rewrap is
    /// finished by the next one. This answers routine rotation and a change of KMS. It is no recovery from a compromised
    /// KEK: who kept an old copy keeps the key.
    ///
    /// # Errors
    /// [`Error`] when a KMS or the store fails; rows before the failure are rewrapped.
    pub async fn rewrap(&self) -> Result<Rewrapped, Error> {
        let mut current = Vec::new();
        for kek in self.0.keks.wanted() {
            current.push((Arc::clone(kek), kek.status().await?.version));
        }
        let mut report = Rewrapped { rewrapped: 0, unchanged: 0, server_side: 0, keks: describe(&current) };
        for row in self.domain_rows().await? {
            match Box::pin(self.rewrap_row(row, &current)).await? {
                Some(server_side) => {
                    report.rewrapped += 1;
                    report.server_side += server_side;
                }
                None => report.unchanged += 1,
            }
        }
        Ok(report)
    }

    /// The domain key rows that this key manager answers for: its tenant's, and the root key's. Destroyed ones have no key.
    pub(super) async fn domain_rows(&self) -> Result<Vec<KeyRow>, Error> {
        let mut rows = self.census().await?.domains;
        rows.retain(|row| row.slot.tenant == self.0.tenant || row.slot == Slot::root());
        rows.retain(|row| row.state != KeyState::Destroyed);
        Ok(rows)
    }

    /// How many copies were moved inside their KMS when the row was swapped, `None` when there was nothing to do.
    async fn rewrap_row(&self, mut row: KeyRow, current: &[Current]) -> Result<Option<u64>, Error> {
        for _ in 0..ATTEMPTS {
            let copies = envelope::decode(&row)?;
            if is_current(&copies, current) {
                return Ok(None);
            }
            let (mut next, mut server_side) = (Vec::with_capacity(current.len()), 0);
            for (kek, version) in current {
                let (copy, inside) = self.renew(&row, &copies, &**kek, version.as_deref()).await?;
                // Every copy must open before the old ones are given up.
                envelope::open_copy(self.backend(), &**kek, &row, &copy).await?;
                server_side += u64::from(inside);
                next.push(copy);
            }
            if self.swap_copies(&row, &next).await? == Committed::Done {
                return Ok(Some(server_side));
            }
            // Somebody else swapped it first; theirs may be as good.
            row = self.read_again(&row).await?;
        }
        Err(Error::Contended)
    }

    /// The copy under one KEK: as it is, moved, or made anew; and whether it was moved inside the KMS.
    async fn renew(
        &self,
        row: &KeyRow,
        copies: &[DomainCopy],
        kek: &dyn Kms,
        version: Option<&str>,
    ) -> Result<(DomainCopy, bool), Error> {
        if let Some(copy) = copies.iter().find(|copy| copy.carrier.kek_id() == kek.kek_id()) {
            if version == Some(copy.carrier.kek_version()) {
                return Ok((copy.clone(), false));
            }
            match envelope::rewrap_copy(self.backend(), kek, row, copy).await {
                Ok(Some(moved)) => return Ok(moved),
                Ok(None) => {}
                // Whether this copy may be made anew from another one is what the set was told about terminal errors.
                Err(error) if error.is_terminal() && self.0.keks.goes_on(&error) => {}
                Err(error) => return Err(Error::Kms(error)),
            }
        }
        let key = envelope::unwrap_domain(self.backend(), &self.0.keks, row).await?;
        Ok((envelope::add_copy(self.backend(), kek, row, &key).await?, false))
    }

    /// Puts other copies of the same key into a row.
    pub(super) async fn swap_copies(&self, row: &KeyRow, copies: &[DomainCopy]) -> Result<Committed, Error> {
        let mut next = row.successor();
        next.wrapped = envelope::encode(copies)?;
        next.authenticate(&self.0.root.mac_key)?;
        self.commit(&Change::new().replace(row.clone(), next)).await
    }
}

/// Whether there is exactly one copy under each KEK, each of the version that wraps now. A KEK that does not name its
/// version never counts as current.
fn is_current(copies: &[DomainCopy], current: &[Current]) -> bool {
    copies.len() == current.len()
        && current.iter().all(|(kek, version)| {
            copies.iter().any(|copy| {
                copy.carrier.kek_id() == kek.kek_id() && version.as_deref() == Some(copy.carrier.kek_version())
            })
        })
}

fn describe(current: &[Current]) -> Vec<String> {
    let text = |(kek, version): &Current| match version {
        Some(version) => format!("{} version {version}", kek.kek_id()),
        None => kek.kek_id().to_owned(),
    };
    current.iter().map(text).collect()
}
