//! Data keys: one active for each scope, unwrapped without the KMS.

use core::num::NonZeroUsize;
use std::sync::Arc;

use super::cache::{Cache, Kept};
use super::flight::Flights;
use super::handle::{Cell, DataKey, Gate, Handle, Lease};
use super::{ATTEMPTS, Keys, envelope};
use crate::derive;
use crate::error::Error;
use crate::id::KeyId;
use crate::random;
use crate::scope::{KeyUse, Scope};
use crate::store::{Change, KeyRow, KeyState, RowKind, Slot};

pub(super) struct Data {
    pub(super) gate: Arc<Gate>,
    pub(super) cache: Cache,
    flights: Flights<(Scope, Option<KeyId>), Result<Handle, Error>>,
}

impl Data {
    pub(super) fn new(gate: Arc<Gate>, capacity: NonZeroUsize) -> Self {
        Self { cache: Cache::new(Arc::clone(&gate), capacity), gate, flights: Flights::new() }
    }
}

impl Keys {
    pub(super) async fn fetch_active(&self, scope: &Scope) -> Result<DataKey, Error> {
        let fetch = async {
            match self.0.data.cache.active(scope) {
                Some(handle) => Ok(handle),
                None => self.read_active(scope).await,
            }
        };
        self.0.data.flights.run((scope.clone(), None), fetch).await.map(DataKey)
    }

    pub(super) async fn fetch_by_kid(&self, kid: KeyId, scope: &Scope) -> Result<DataKey, Error> {
        let fetch = async {
            match self.0.data.cache.by_kid(kid, scope)? {
                Some(handle) => Ok(handle),
                None => self.read_by_kid(kid, scope).await,
            }
        };
        self.0.data.flights.run((scope.clone(), Some(kid)), fetch).await.map(DataKey)
    }

    async fn read_active(&self, scope: &Scope) -> Result<Handle, Error> {
        let slot = self.data_slot(scope)?;
        for _ in 0..ATTEMPTS {
            let (lease, rows) = self.read_slot(scope, &slot).await?;
            let active = rows.iter().rev().find(|row| row.kind == RowKind::Data && row.state == KeyState::Active);
            match active {
                Some(row) => {
                    if let Kept::Yes(handle) = self.unwrap_data(scope, row, lease).await? {
                        return Ok(handle);
                    }
                }
                None => {
                    let version = rows.last().map_or(0, |row| row.version).checked_add(1).ok_or(Error::Contended)?;
                    self.create_data(&slot, version).await?;
                }
            }
        }
        Err(Error::Contended)
    }

    async fn read_by_kid(&self, kid: KeyId, scope: &Scope) -> Result<Handle, Error> {
        let slot = self.data_slot(scope)?;
        for _ in 0..ATTEMPTS {
            let (lease, rows) = self.read_slot(scope, &slot).await?;
            let Some(row) = rows.iter().find(|row| row.full_id.is_some_and(|id| id.kid() == kid)) else {
                return Err(match self.0.store.by_kid(kid).await? {
                    // Whose key it is must be authentic as well, or a forged row could turn one error into another.
                    Some(row) => self.authentic(&row).err().unwrap_or(Error::WrongScope),
                    None => Error::UnknownKey,
                });
            };
            if !row.state.opens() {
                return Err(Error::State(row.state));
            }
            if let Kept::Yes(handle) = self.unwrap_data(scope, row, lease).await? {
                return Ok(handle);
            }
        }
        Err(Error::Contended)
    }

    /// Every data key of a scope that may still open, oldest first; none is made. Reads the store each time.
    ///
    /// # Errors
    /// [`Error::Shredded`] after the subject was shredded; other [`Error`]s when a key cannot be had.
    pub async fn data_keys(&self, scope: &Scope) -> Result<Vec<DataKey>, Error> {
        let slot = self.data_slot(scope)?;
        'again: for _ in 0..ATTEMPTS {
            let (lease, rows) = self.read_slot(scope, &slot).await?;
            let mut keys = Vec::with_capacity(rows.len());
            for row in rows.iter().filter(|row| row.kind == RowKind::Data && row.state.opens()) {
                let kid = row.full_id.ok_or(Error::RowRejected(row.kind))?.kid();
                let handle = match self.0.data.cache.by_kid(kid, scope)? {
                    Some(handle) => handle,
                    None => match self.unwrap_data(scope, row, lease).await? {
                        Kept::Yes(handle) => handle,
                        Kept::Stale => continue 'again,
                    },
                };
                keys.push(DataKey(handle));
            }
            return Ok(keys);
        }
        Err(Error::Contended)
    }

    pub(super) fn data_slot(&self, scope: &Scope) -> Result<Slot, Error> {
        Ok(Slot::new(self.0.tenant.clone(), KeyUse::Data, Some(self.pseudonym(scope)?)))
    }

    /// Every row of a scope, authentic and not shredded.
    async fn read_slot(&self, scope: &Scope, slot: &Slot) -> Result<(Lease, Vec<KeyRow>), Error> {
        self.0.data.cache.admit(scope)?;
        let lease = self.0.data.gate.begin();
        if let Some(anchored) = &self.0.anchored {
            anchored.refresh(&self.0.data.gate).await?;
        }
        let rows = self.0.store.slot(slot).await?;
        self.authentic_in(slot, &rows)?;
        Self::refuse_shredded(&rows)?;
        // Whoever can write the store can put back an old row; the anchor is out of their reach.
        if self.0.anchored.as_ref().is_some_and(|anchored| anchored.has_shredded(slot)) {
            return Err(Error::Shredded);
        }
        Ok((lease, rows))
    }

    async fn unwrap_data(&self, scope: &Scope, row: &KeyRow, lease: Lease) -> Result<Kept, Error> {
        let (Some(full_id), Some(parent)) = (row.full_id, row.parent) else {
            return Err(Error::RowRejected(row.kind));
        };
        if self.is_gone(row) {
            return Err(Error::State(KeyState::Destroyed));
        }
        let parent = self.domain(KeyUse::Data, Some(parent)).await?;
        let key = envelope::unwrap(&parent.cell.key, row, &row.wrapped)?;
        let cell = Cell::new(key, full_id, &self.0.data.gate, lease);
        self.0.data.cache.insert(scope, cell, row.state == KeyState::Active, lease.generation)
    }

    /// Makes a data key unless somebody else does so first; the caller then reads whichever is there.
    async fn create_data(&self, slot: &Slot, version: u32) -> Result<(), Error> {
        let parent = self.domain(KeyUse::Data, None).await?;
        let key = random::key()?;
        let now = self.0.data.gate.clock.now();
        let (full_id, parent_id) = (Some(derive::full_id(&key)), Some(parent.cell.full_id));
        let mut row = KeyRow::new(
            RowKind::Data,
            slot.clone(),
            version,
            full_id,
            parent_id,
            KeyState::Active,
            now,
            Vec::new(),
            [0; 32],
        );
        row.wrapped = envelope::wrap(&parent.cell.key, &row, &key)?;
        row.authenticate(&self.0.root.mac_key)?;
        // Exists and Shredded are both seen by the reading that follows.
        self.0.store.commit(&Change::new().insert(row)).await?;
        Ok(())
    }
}
