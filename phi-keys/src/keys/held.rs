//! The domain keys that this process holds: a handful, each asked of a KMS once in a long while.

use core::fmt;
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use zeroize::Zeroizing;

use super::envelope;
use super::handle::{Cell, Found, Gate, Lease, Moment};
use super::limits::Limits;
use super::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use crate::derive::KEY_LEN;
use crate::error::Error;
use crate::id::FullId;
use crate::kms::Holder;
use crate::scope::KeyUse;
use crate::store::KeyRow;

pub(super) struct HeldKeys {
    gate: Arc<Gate>,
    limits: Limits,
    held: RwLock<Vec<Held>>,
}

/// A domain key in memory.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) key_use: KeyUse,
    pub(super) is_active: bool,
    /// The MAC of the row that it came from.
    pub(super) row_mac: [u8; 32],
    /// What holds its copies.
    pub(super) holders: Vec<Holder>,
    pub(super) cell: Arc<Cell>,
    /// When a KMS was asked for it.
    pub(super) asked: Moment,
}

/// A domain key whose row has not changed since a KMS gave it.
pub(super) struct Known {
    pub(super) key: Zeroizing<[u8; KEY_LEN]>,
    pub(super) asked: Moment,
    /// Whether a KMS should be asked again before its age is over.
    pub(super) is_aging: bool,
}

impl HeldKeys {
    pub(super) fn new(gate: Arc<Gate>, limits: Limits) -> Self {
        Self { gate, limits, held: RwLock::new(Vec::new()) }
    }

    /// The domain key of a full id, or the active one.
    pub(super) fn find(&self, key_use: KeyUse, want: Option<FullId>) -> Option<Found> {
        let wanted = |held: &&Held| {
            held.key_use == key_use && want.map_or(held.is_active, |full_id| held.cell.full_id == full_id)
        };
        self.read().iter().filter(wanted).find_map(|held| held.cell.hand_out(&self.gate))
    }

    /// The key of an unchanged row, whose lease may have ended: within its age it needs no KMS to be leased again.
    pub(super) fn known(&self, row: &KeyRow) -> Option<Known> {
        let now = self.gate.now();
        let held = self.read();
        let held = held.iter().find(|held| held.row_mac == row.mac)?;
        let over = held.asked.plus(self.limits.age);
        // With the next lease its age would be over before it is time to renew that one.
        let is_aging = over.has_come(now.plus(self.gate.lease));
        (!over.has_come(now)).then(|| Known { key: held.cell.key.clone(), asked: held.asked, is_aging })
    }

    /// The key of a row, with a lease that ends with its age at the latest.
    pub(super) fn lease(
        &self,
        row: &KeyRow,
        key: Zeroizing<[u8; KEY_LEN]>,
        full_id: FullId,
        lease: Lease,
        asked: Moment,
    ) -> Result<Held, Error> {
        let cell = Cell::new(key, full_id, &self.gate, lease.until(asked.plus(self.limits.age)));
        let holders = envelope::holders(row)?;
        Ok(Held { key_use: row.slot.key_use, is_active: false, row_mac: row.mac, holders, cell, asked })
    }

    /// The key of a row that cannot be unwrapped again, within the grace for outages.
    pub(super) fn stretched(&self, row: &KeyRow) -> Option<Held> {
        let held = self.read();
        let held = held.iter().find(|held| held.row_mac == row.mac)?;
        held.cell.stretched(self.limits.grace).map(|cell| Held { cell, ..held.clone() })
    }

    /// Takes the place of everything held for this use. False when something was revoked since the rows were read, which
    /// must then be read again.
    pub(super) fn hold(&self, key_use: KeyUse, fresh: Vec<Held>, generation: u64) -> bool {
        let mut held = self.write();
        if generation != self.gate.generation() {
            return false;
        }
        held.retain(|held| held.key_use != key_use);
        held.extend(fresh);
        true
    }

    /// Stretches the leases of keys that cannot be read or unwrapped again, within the grace for outages.
    pub(super) fn stretch(&self, key_use: KeyUse) {
        for held in self.write().iter_mut().filter(|held| held.key_use == key_use) {
            if let Some(stretched) = held.cell.stretched(self.limits.grace) {
                held.cell = stretched;
            }
        }
    }

    /// Forgets keys and ends every lease on domain keys. The full ids of the keys that are gone.
    pub(super) fn revoke(&self, mut which: impl FnMut(&Held) -> bool) -> Vec<FullId> {
        let mut held = self.write();
        self.gate.end_all();
        held.extract_if(.., |held| which(held)).map(|held| held.cell.full_id).collect()
    }

    /// The domain keys of a use, whether their leases last or not.
    pub(super) fn full_ids(&self, key_use: KeyUse) -> Vec<FullId> {
        self.read().iter().filter(|held| held.key_use == key_use).map(|held| held.cell.full_id).collect()
    }

    /// The versions of a KEK that hold a key of this process, each once; none where the KMS named none.
    pub(super) fn versions_of(&self, kek_id: &str) -> BTreeSet<String> {
        let held = self.read();
        let holders = held
            .iter()
            .flat_map(|held| &held.holders)
            .filter(|holder| holder.kek_id == kek_id && !holder.version.is_empty());
        holders.map(|holder| holder.version.clone()).collect()
    }

    /// Whether there is such a key.
    pub(super) fn any(&self, which: impl Fn(&Held) -> bool) -> bool {
        self.read().iter().any(which)
    }

    /// Forgets keys whose age is over.
    pub(super) fn reap(&self) -> usize {
        let now = self.gate.now();
        let (age, grace) = (self.limits.age, self.limits.grace);
        self.write().extract_if(.., |held| held.asked.plus(age).plus(grace).has_come(now)).count()
    }

    // Nothing panics under this lock.
    fn read(&self) -> RwLockReadGuard<'_, Vec<Held>> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<Held>> {
        self.held.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for HeldKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HeldKeys({})", self.read().len())
    }
}
