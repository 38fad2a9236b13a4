//! How key rows are read and replaced: authentic, in the slot that was asked for, and no older than the anchor knows.

use core::future::Future;
use core::num::NonZeroU32;

use super::root::Census;
use super::{Keys, root};
use crate::error::Error;
use crate::id::KeyId;
use crate::store::{Change, Committed, KeyRow, RowKind, Slot};

/// How many data key rows are read at once, and replaced in one transaction.
pub(super) const PAGE: NonZeroU32 = NonZeroU32::MIN.saturating_add(500 - 1);
/// How often is read what seems to be older than it was: each time it would have to be replaced anew meanwhile.
const READINGS: usize = 4;

impl Keys {
    /// Every row of a slot.
    pub(super) async fn rows(&self, slot: &Slot) -> Result<Vec<KeyRow>, Error> {
        let read = || async {
            let rows = self.0.store.slot(slot).await?;
            self.authentic_in(slot, &rows)?;
            Ok(rows)
        };
        self.settled(read).await
    }

    /// Every row of a slot that was not shredded.
    pub(super) async fn live_rows(&self, slot: &Slot) -> Result<Vec<KeyRow>, Error> {
        let read = || async {
            let rows = self.0.store.slot(slot).await?;
            self.authentic_and_there(slot, &rows)?;
            Ok(rows)
        };
        self.settled(read).await
    }

    /// The key of this kid, whoever it belongs to.
    pub(super) async fn row_of(&self, kid: KeyId) -> Result<Option<KeyRow>, Error> {
        let read = || async {
            let row = self.0.store.by_kid(kid).await?;
            row.iter().try_for_each(|row| self.authentic(row))?;
            Ok(row)
        };
        self.settled(read).await
    }

    /// The row at the same place, as it is stored now.
    pub(super) async fn read_again(&self, row: &KeyRow) -> Result<KeyRow, Error> {
        self.rows(&row.slot).await?.into_iter().find(|other| other.same_place(row)).ok_or(Error::UnknownKey)
    }

    /// The data key rows of this tenant that follow one of them, or the first ones; empty behind the last one.
    pub(super) async fn page(&self, after: Option<&KeyRow>) -> Result<Vec<KeyRow>, Error> {
        let read = || async {
            let rows = self.0.store.data_rows(&self.0.tenant, after, PAGE).await?;
            rows.iter().try_for_each(|row| self.authentic(row))?;
            Ok(rows)
        };
        self.settled(read).await
    }

    /// The domain keys of all tenants.
    pub(super) async fn census(&self) -> Result<Census, Error> {
        let read = || async {
            let census = self.0.root.census(&*self.0.store).await?;
            if let Some(anchored) = &self.0.anchored {
                let (found, expected) = (census.generation.number, anchored.mark());
                if found < expected {
                    return Err(Error::RolledBack { found, expected });
                }
                census.domains.iter().try_for_each(|row| anchored.check(row))?;
            }
            Ok(census)
        };
        self.settled(read).await
    }

    /// Does all of a change or nothing, and notes it outside the store. What is to be replaced must be the newest that anybody
    /// knows, or an old copy that was put back would become the newest by it.
    ///
    /// An anchor that takes nothing lets no row of a key be replaced. When it fails only after the commit, this process knows
    /// the rows, and notes them as soon as the anchor takes something again.
    pub(super) async fn commit(&self, change: &Change) -> Result<Committed, Error> {
        let Some(anchored) = &self.0.anchored else { return Ok(self.0.store.commit(change).await?) };
        let current = || change.replace.iter().map(|(current, _)| current);
        if current().any(|row| row.kind.has_key()) {
            match anchored.may_replace(current()).await {
                // It is read again, and refused if it is still there.
                Err(Error::RowOutdated { .. }) => return Ok(Committed::Stale),
                may => may?,
            }
        }
        let committed = self.0.store.commit(change).await?;
        if committed == Committed::Done {
            let next = || change.replace.iter().map(|(_, next)| next);
            anchored.committed(next().find_map(root::generation_of), next()).await;
        }
        Ok(committed)
    }

    /// Refuses a row without the root key's MAC, and one that the anchor knows to be older than the one in its place was.
    fn authentic(&self, row: &KeyRow) -> Result<(), Error> {
        if !row.is_authentic(&self.0.root.mac_key) {
            return Err(Error::RowRejected(row.kind));
        }
        self.0.anchored.as_ref().map_or(Ok(()), |anchored| anchored.check(row))
    }

    /// Refuses such rows, and rows of another slot than the one that was asked for: who can change the store's tables can also
    /// change how they are searched.
    fn authentic_in(&self, slot: &Slot, rows: &[KeyRow]) -> Result<(), Error> {
        rows.iter().try_for_each(|row| {
            self.authentic(row)?;
            if row.slot == *slot { Ok(()) } else { Err(Error::RowRejected(row.kind)) }
        })
    }

    /// Refuses rows of a slot that are not as they should be, and the slot when it was shredded, by its rows or by the anchor:
    /// whoever can write the store can put back an old row; the anchor is out of their reach.
    pub(super) fn authentic_and_there(&self, slot: &Slot, rows: &[KeyRow]) -> Result<(), Error> {
        if self.0.anchored.as_ref().is_some_and(|anchored| anchored.has_shredded(slot)) {
            return Err(Error::Shredded);
        }
        self.authentic_in(slot, rows)?;
        if rows.iter().any(|row| row.kind == RowKind::Tombstone) { Err(Error::Shredded) } else { Ok(()) }
    }

    /// Reads until nothing that was read is older than the anchor knows. What was replaced while it was read is not when it is
    /// read again; an old copy that was put back is.
    async fn settled<T, F>(&self, read: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        if let Some(anchored) = &self.0.anchored {
            anchored.refresh(&self.0.data.gate).await?;
        }
        let mut found = read().await;
        for _ in 1..READINGS {
            if !matches!(found, Err(Error::RowOutdated { .. } | Error::RolledBack { .. })) {
                break;
            }
            found = read().await;
        }
        found
    }
}
