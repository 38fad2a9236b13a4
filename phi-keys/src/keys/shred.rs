//! Shredding: what a subject's keys sealed becomes unreadable.

use phi_types::SubjectId;

use super::report::Shredded;
use super::{ATTEMPTS, Keys};
use crate::error::Error;
use crate::id::FullId;
use crate::scope::Scope;
use crate::store::{KeyRow, KeyState, RowKind, Slot};

/// Keeps readers away from a scope while it is being shredded.
struct Block {
    keys: Keys,
    scope: Scope,
}

impl Block {
    fn new(keys: &Keys, scope: Scope) -> Self {
        keys.0.data.cache.block(&scope);
        Self { keys: keys.clone(), scope }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.keys.0.data.cache.unblock(&self.scope);
    }
}

/// What a shred writes.
struct Plan {
    tombstone: KeyRow,
    generation: KeyRow,
    next_generation: KeyRow,
    keys: Vec<FullId>,
    number: u64,
    repeated: bool,
}

impl Keys {
    /// Destroys every key of a subject, in one transaction: a tombstone is written, the key rows are deleted and their
    /// bytes overwritten. Leases of this process end at once, those of other processes when their time comes. Repeating
    /// it is harmless.
    ///
    /// Tags of blind indexes outlive the key; use `shred_in` (feature `sqlite`) to clear them in the same transaction.
    ///
    /// # Errors
    /// [`Error`] when the store fails; the subject's keys may then be gone or not, and shredding again finds out.
    pub async fn shred(&self, subject: &SubjectId) -> Result<Shredded, Error> {
        let scope = super::subject_scope(subject);
        let slot = self.data_slot(&scope)?;
        let _block = Block::new(self, scope);
        for _ in 0..ATTEMPTS {
            let rows = self.0.store.slot(&slot).await?;
            let root = self.0.store.slot(&Slot::root()).await?;
            let plan = self.plan(&slot, &rows, &root)?;
            if self.0.store.shred(&plan.tombstone, &plan.generation, &plan.next_generation).await? {
                let purged = self.0.store.purge().await?;
                return Ok(plan.report(subject, purged));
            }
        }
        Err(Error::Contended)
    }

    /// What to write, given the rows of the subject and of the root slot.
    fn plan(&self, slot: &Slot, rows: &[KeyRow], root: &[KeyRow]) -> Result<Plan, Error> {
        let now = self.0.data.gate.clock.now();
        let (generation, number) = self.0.root.generation(root)?;
        let number = number.checked_add(1).ok_or(Error::Contended)?;
        // Key rows are not checked: a forged row must not be able to stop a shred.
        let mut keys =
            rows.iter().filter(|row| row.kind == RowKind::Data).filter_map(|row| row.full_id).collect::<Vec<_>>();
        let earlier = rows.iter().find(|row| row.kind == RowKind::Tombstone);
        if let Some(earlier) = earlier {
            self.authentic(earlier)?;
            keys.extend(earlier.wrapped.as_chunks().0.iter().map(|id| FullId::from_bytes(*id)));
        }
        keys.sort_unstable();
        keys.dedup();
        let ids = keys.iter().flat_map(|id| *id.as_bytes()).collect();
        let state = KeyState::Destroyed;
        let mut tombstone = KeyRow::new(RowKind::Tombstone, slot.clone(), 0, None, None, state, now, ids, [0; 32]);
        tombstone.authenticate(&self.0.root.mac_key)?;
        let next_generation = self.0.root.generation_row(number, now)?;
        Ok(Plan {
            tombstone,
            generation: generation.clone(),
            next_generation,
            keys,
            number,
            repeated: earlier.is_some(),
        })
    }
}

impl Plan {
    fn report(self, subject: &SubjectId, purged: bool) -> Shredded {
        let Self { keys, number, repeated, .. } = self;
        Shredded { subject: subject.clone(), keys, generation: number, repeated, purged }
    }
}
