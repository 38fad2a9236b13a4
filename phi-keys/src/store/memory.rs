//! The key store in memory.

use core::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Inserted, KeyRow, KeyStore, RowKind, Slot, StoreFuture};
use crate::id::KeyId;

/// Keeps key rows in memory, for tests and for processes that keep nothing. Every operation walks all rows.
#[derive(Default)]
pub struct MemoryKeyStore(Mutex<Vec<KeyRow>>);

impl MemoryKeyStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn rows(&self) -> MutexGuard<'_, Vec<KeyRow>> {
        // No method panics while it holds the lock, and each changes the rows in one step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeyStore for MemoryKeyStore {
    fn prepare(&self) -> StoreFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn insert<'a>(&'a self, rows: &'a [KeyRow]) -> StoreFuture<'a, Inserted> {
        Box::pin(async move {
            let mut stored = self.rows();
            for row in rows {
                let kid = row.full_id.filter(|_| row.kind.has_key()).map(|id| id.kid());
                let taken =
                    |other: &KeyRow| other.same_place(row) || kid.is_some() && other.full_id.map(|id| id.kid()) == kid;
                if row.kind == RowKind::Data
                    && stored.iter().any(|other| other.kind == RowKind::Tombstone && other.slot == row.slot)
                {
                    return Ok(Inserted::Shredded);
                }
                if stored.iter().any(taken) {
                    return Ok(Inserted::Exists);
                }
            }
            stored.extend_from_slice(rows);
            Ok(Inserted::Done)
        })
    }

    fn replace<'a>(&'a self, current: &'a KeyRow, next: &'a KeyRow) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let mut rows = self.rows();
            let place = rows.iter_mut().find(|row| row.same_place(next) && row.mac == current.mac);
            Ok(place.map(|row| *row = next.clone()).is_some())
        })
    }

    fn slot<'a>(&'a self, slot: &'a Slot) -> StoreFuture<'a, Vec<KeyRow>> {
        Box::pin(async move {
            let mut found = self.rows().iter().filter(|row| row.slot == *slot).cloned().collect::<Vec<_>>();
            found.sort_by_key(|row| (row.kind.code(), row.version));
            Ok(found)
        })
    }

    fn by_kid(&self, kid: KeyId) -> StoreFuture<'_, Option<KeyRow>> {
        Box::pin(async move {
            let names = |row: &&KeyRow| row.kind.has_key() && row.full_id.is_some_and(|id| id.kid() == kid);
            Ok(self.rows().iter().find(names).cloned())
        })
    }

    fn domain_rows(&self) -> StoreFuture<'_, Vec<KeyRow>> {
        Box::pin(async move { Ok(self.rows().iter().filter(|row| row.kind == RowKind::Domain).cloned().collect()) })
    }

    fn shred<'a>(
        &'a self,
        tombstone: &'a KeyRow,
        generation: &'a KeyRow,
        next_generation: &'a KeyRow,
    ) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let mut rows = self.rows();
            let Some(counter) =
                rows.iter_mut().find(|row| row.same_place(next_generation) && row.mac == generation.mac)
            else {
                return Ok(false);
            };
            *counter = next_generation.clone();
            if !rows.iter().any(|row| row.same_place(tombstone)) {
                rows.push(tombstone.clone());
            }
            rows.retain(|row| row.kind != RowKind::Data || row.slot != tombstone.slot);
            Ok(true)
        })
    }

    fn purge(&self) -> StoreFuture<'_, bool> {
        Box::pin(async { Ok(true) })
    }
}

impl fmt::Debug for MemoryKeyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryKeyStore({} rows)", self.rows().len())
    }
}
