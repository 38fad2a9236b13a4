//! Copies of domain keys that could not be made while a KMS was down.

use super::report::Completed;
use super::{ATTEMPTS, Keys, envelope};
use crate::error::Error;
use crate::store::{Committed, KeyRow};

impl Keys {
    /// Makes the copies of this tenant's domain keys and of the store root key that
    /// [`KekPolicy::PrimaryWithFailover`](crate::KekPolicy::PrimaryWithFailover) left out, or that a KEK which was added
    /// since does not hold. No copy is dropped or made anew. Run it after an outage, or from time to time; it does nothing
    /// when nothing is missing.
    ///
    /// # Errors
    /// [`Error`] when a key cannot be unwrapped, a KMS fails for good or the store fails; rows before the failure are
    /// complete. A KMS that is still down is no error but counted.
    pub async fn complete(&self) -> Result<Completed, Error> {
        let mut report = Completed { completed: 0, unchanged: 0, incomplete: 0 };
        for row in self.domain_rows().await? {
            let (added, missing) = Box::pin(self.complete_row(row)).await?;
            report.completed += u64::from(added > 0);
            report.incomplete += u64::from(missing > 0);
            report.unchanged += u64::from(added == 0 && missing == 0);
        }
        Ok(report)
    }

    /// How many copies were added, and how many are still missing.
    pub(super) async fn complete_row(&self, mut row: KeyRow) -> Result<(usize, usize), Error> {
        for _ in 0..ATTEMPTS {
            let mut copies = envelope::decode(&row)?;
            let before = copies.len();
            let held = |kek_id: &str| copies.iter().any(|copy| copy.carrier.kek_id() == kek_id);
            let wanted = self.0.keks.wanted().filter(|kek| !held(kek.kek_id())).collect::<Vec<_>>();
            if wanted.is_empty() {
                return Ok((0, 0));
            }
            let key = envelope::unwrap_domain(self.backend(), &self.0.keks, &row).await?;
            for kek in &wanted {
                match envelope::add_copy(self.backend(), &***kek, &row, &key).await {
                    Ok(copy) => copies.push(copy),
                    Err(Error::Kms(error)) if self.0.keks.goes_on(&error) => self.0.keks.missing(&***kek, &error),
                    Err(error) => return Err(error),
                }
            }
            let added = copies.len() - before;
            let missing = wanted.len() - added;
            if added == 0 || self.swap_copies(&row, &copies).await? == Committed::Done {
                return Ok((added, missing));
            }
            row = self.read_again(&row).await?;
        }
        Err(Error::Contended)
    }
}
