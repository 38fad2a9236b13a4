//! Data keys under another domain key.

use super::report::DataRewrapped;
use super::{ATTEMPTS, Keys, envelope};
use crate::error::Error;
use crate::id::FullId;
use crate::overlap::{both, give_way};
use crate::scope::KeyUse;
use crate::store::{Change, Committed, KeyRow, KeyState, RowKind};

/// Keys that are wrapped anew without giving way.
const STRETCH: usize = 8;

/// A page of rows, and what takes their place.
struct Batch {
    change: Change,
    /// The rows that are replaced.
    moved: Vec<KeyRow>,
    unchanged: u64,
    last: KeyRow,
}

impl Keys {
    /// Brings every data key of this tenant under the active domain key, in batches of one transaction each. The data keys
    /// stay, so no data is touched. This answers a routine rotation; after a domain key was compromised the data keys are
    /// to be rotated as well and the data resealed.
    ///
    /// While the store writes one batch, the next one is made ready.
    ///
    /// # Errors
    /// [`Error`] when a key cannot be unwrapped or the store fails; batches before the failure are rewrapped.
    pub async fn rewrap_data_keys(&self) -> Result<DataRewrapped, Error> {
        let mut report = DataRewrapped { rewrapped: 0, unchanged: 0 };
        let parent = self.domain(KeyUse::Data, None).await?.cell.full_id;
        let mut ready = self.make_ready(self.page(None).await?, parent).await?;
        while let Some(batch) = ready {
            // Read before the batch is written: then one connection is enough.
            let page = self.page(Some(&batch.last)).await?;
            let (written, next) = both(self.write(batch, parent, &mut report), self.make_ready(page, parent)).await;
            written?;
            ready = next?;
        }
        Ok(report)
    }

    /// Wraps the keys of a page; `None` for an empty one.
    async fn make_ready(&self, page: Vec<KeyRow>, parent: FullId) -> Result<Option<Batch>, Error> {
        let Some(last) = page.last().cloned() else { return Ok(None) };
        let mut batch = Batch { change: Change::new(), moved: Vec::with_capacity(page.len()), unchanged: 0, last };
        for (at, row) in page.into_iter().enumerate() {
            if at % STRETCH == STRETCH - 1 {
                give_way().await;
            }
            match self.under(&row, parent).await? {
                Some(next) => {
                    batch.moved.push(row.clone());
                    batch.change = batch.change.replace(row, next);
                }
                None => batch.unchanged += 1,
            }
        }
        Ok(Some(batch))
    }

    async fn write(&self, batch: Batch, parent: FullId, report: &mut DataRewrapped) -> Result<(), Error> {
        let Batch { change, moved, unchanged, .. } = batch;
        report.unchanged += unchanged;
        if moved.is_empty() {
            return Ok(());
        }
        if self.commit(&change).await? == Committed::Done {
            report.rewrapped += u64::try_from(moved.len()).unwrap_or(u64::MAX);
            return Ok(());
        }
        // Somebody changed one of them; the others are not to wait for it.
        for row in moved {
            if self.rewrap_data_row(row, parent).await? { report.rewrapped += 1 } else { report.unchanged += 1 }
        }
        Ok(())
    }

    async fn rewrap_data_row(&self, mut row: KeyRow, parent: FullId) -> Result<bool, Error> {
        for _ in 0..ATTEMPTS {
            let Some(next) = self.under(&row, parent).await? else { return Ok(false) };
            if self.commit(&Change::new().replace(row.clone(), next)).await? == Committed::Done {
                return Ok(true);
            }
            row = match self.read_again(&row).await {
                // Shredded meanwhile.
                Err(Error::UnknownKey) => return Ok(false),
                again => again?,
            };
        }
        Err(Error::Contended)
    }

    /// The row with its key wrapped under another domain key, unless it is or has none.
    async fn under(&self, row: &KeyRow, parent: FullId) -> Result<Option<KeyRow>, Error> {
        let rejected = Error::RowRejected(row.kind);
        if row.kind != RowKind::Data || row.slot.tenant != self.0.tenant || row.slot.key_use != KeyUse::Data {
            return Err(rejected);
        }
        if row.parent == Some(parent) || row.state == KeyState::Destroyed || self.is_gone(row) {
            return Ok(None);
        }
        let old = self.domain(KeyUse::Data, Some(row.parent.ok_or(rejected)?)).await?;
        let new = self.domain(KeyUse::Data, Some(parent)).await?;
        let key = envelope::unwrap(self.backend(), &old.cell.key, row, &row.wrapped)?;
        let mut next = row.successor();
        next.parent = Some(parent);
        next.wrapped = envelope::wrap(self.backend(), &new.cell.key, &next, &key)?;
        next.authenticate(&self.0.root.mac_key)?;
        Ok(Some(next))
    }
}
