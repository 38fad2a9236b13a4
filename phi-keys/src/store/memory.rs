//! The key store in memory.

use core::fmt;
use core::num::NonZeroU32;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Change, Committed, KeyRow, KeyStore, Residue, RowKind, Slot, StoreFuture};
use crate::id::KeyId;
use crate::scope::KeyUse;

/// Keeps key rows in memory, for tests and for processes that keep nothing.
#[derive(Default)]
pub struct MemoryKeyStore(Mutex<Tables>);

#[derive(Default)]
struct Tables {
    /// In ascending order of kind and version.
    slots: HashMap<Slot, Vec<KeyRow>>,
    kids: HashMap<KeyId, Slot>,
}

impl MemoryKeyStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        // Nothing panics under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeyStore for MemoryKeyStore {
    fn prepare(&self) -> StoreFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn commit<'a>(&'a self, change: &'a Change) -> StoreFuture<'a, Committed> {
        Box::pin(async move {
            let mut tables = self.tables();
            let outcome = tables.check(change);
            if outcome == Committed::Done {
                tables.apply(change);
            }
            Ok(outcome)
        })
    }

    fn slot<'a>(&'a self, slot: &'a Slot) -> StoreFuture<'a, Vec<KeyRow>> {
        Box::pin(async move { Ok(self.tables().rows(slot).to_vec()) })
    }

    fn scopes<'a>(&'a self, tenant: &'a str, key_use: KeyUse, scopes: &'a [[u8; 32]]) -> StoreFuture<'a, Vec<KeyRow>> {
        Box::pin(async move {
            let tables = self.tables();
            let mut slot = Slot::new(tenant, key_use, None);
            let mut rows = Vec::with_capacity(scopes.len());
            for scope in scopes {
                slot.scope = Some(*scope);
                rows.extend_from_slice(tables.rows(&slot));
            }
            Ok(rows)
        })
    }

    fn by_kid(&self, kid: KeyId) -> StoreFuture<'_, Option<KeyRow>> {
        Box::pin(async move {
            let tables = self.tables();
            let rows = tables.kids.get(&kid).map_or(&[][..], |slot| tables.rows(slot));
            Ok(rows.iter().find(|row| kid_of(row) == Some(kid)).cloned())
        })
    }

    fn domain_rows(&self) -> StoreFuture<'_, Vec<KeyRow>> {
        Box::pin(async move {
            let tables = self.tables();
            Ok(tables.all(RowKind::Domain).cloned().collect())
        })
    }

    fn tombstones(&self) -> StoreFuture<'_, Vec<KeyRow>> {
        Box::pin(async move { Ok(self.tables().all(RowKind::Tombstone).cloned().collect()) })
    }

    fn data_rows<'a>(
        &'a self,
        tenant: &'a str,
        after: Option<&'a KeyRow>,
        limit: NonZeroU32,
    ) -> StoreFuture<'a, Vec<KeyRow>> {
        Box::pin(async move {
            let tables = self.tables();
            let follows = |row: &&KeyRow| after.is_none_or(|after| order(row) > order(after));
            let rows = tables.all(RowKind::Data).filter(|row| row.slot.tenant == tenant).filter(follows);
            let mut rows = rows.collect::<Vec<_>>();
            rows.sort_by_key(|row| order(row));
            Ok(rows.into_iter().take(usize::try_from(limit.get()).unwrap_or(usize::MAX)).cloned().collect())
        })
    }

    fn purge(&self) -> StoreFuture<'_, Vec<Residue>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

/// The order in which data key rows of a tenant are listed.
fn order(row: &KeyRow) -> (u8, &[u8], u32) {
    (row.slot.key_use.code(), row.slot.scope_bytes(), row.version)
}

fn kid_of(row: &KeyRow) -> Option<KeyId> {
    row.full_id.filter(|_| row.kind.has_key()).map(|id| id.kid())
}

impl Tables {
    fn all(&self, kind: RowKind) -> impl Iterator<Item = &KeyRow> {
        self.slots.values().flatten().filter(move |row| row.kind == kind)
    }

    fn rows(&self, slot: &Slot) -> &[KeyRow] {
        self.slots.get(slot).map_or(&[], Vec::as_slice)
    }

    fn check(&self, change: &Change) -> Committed {
        for (current, next) in &change.replace {
            let same = |row: &KeyRow| row.same_place(next) && row.mac == current.mac;
            if !self.rows(&next.slot).iter().any(same) {
                return Committed::Stale;
            }
        }
        for (at, new) in change.insert.iter().enumerate() {
            let rows = self.rows(&new.slot);
            let earlier = || change.insert.iter().take(at);
            let shreds = |row: &KeyRow| row.kind == RowKind::Tombstone && row.slot == new.slot;
            if new.kind == RowKind::Data && rows.iter().chain(earlier()).any(shreds) {
                return Committed::Shredded;
            }
            let kid = kid_of(new);
            let taken = |row: &KeyRow| row.same_place(new) || kid.is_some() && kid_of(row) == kid;
            let known = kid.is_some_and(|kid| self.kids.contains_key(&kid));
            if known || rows.iter().chain(earlier()).any(taken) {
                return Committed::Exists;
            }
        }
        if let Some(tombstone) = &change.tombstone {
            let inserted = change.insert.iter().filter(|row| row.slot == tombstone.slot);
            let deleted = self.rows(&tombstone.slot).iter().chain(inserted).filter(|row| row.kind == RowKind::Data);
            if !tombstone.names(deleted.filter_map(|row| row.full_id.as_ref()).map(|id| id.as_bytes().as_slice())) {
                return Committed::Stale;
            }
        }
        Committed::Done
    }

    /// Does what was checked.
    fn apply(&mut self, change: &Change) {
        for (_, next) in &change.replace {
            let rows = self.slots.entry(next.slot.clone()).or_default();
            rows.iter_mut().filter(|row| row.same_place(next)).for_each(|row| *row = next.clone());
        }
        change.insert.iter().for_each(|row| self.insert(row));
        if let Some(tombstone) = &change.tombstone {
            if !self.rows(&tombstone.slot).iter().any(|row| row.same_place(tombstone)) {
                self.insert(tombstone);
            }
            let rows = self.slots.entry(tombstone.slot.clone()).or_default();
            for row in rows.extract_if(.., |row| row.kind == RowKind::Data) {
                kid_of(&row).map(|kid| self.kids.remove(&kid));
            }
        }
    }

    fn insert(&mut self, row: &KeyRow) {
        let rows = self.slots.entry(row.slot.clone()).or_default();
        rows.push(row.clone());
        rows.sort_by_key(|row| (row.kind.code(), row.version));
        kid_of(row).map(|kid| self.kids.insert(kid, row.slot.clone()));
    }
}

impl fmt::Debug for MemoryKeyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryKeyStore({} slots)", self.tables().slots.len())
    }
}
