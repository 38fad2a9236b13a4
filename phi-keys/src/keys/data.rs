//! Data keys: one active for each scope, unwrapped without the KMS.

use std::sync::Arc;

use phi_types::Timestamp;

use super::cache::{Cache, Entry, Kept, Origin};
use super::flight::Flights;
use super::handle::{Cell, DataKey, Found, Gate, Handle, Lease, Renewal};
use super::limits::Limits;
use super::{ATTEMPTS, Keys, envelope};
use crate::error::Error;
use crate::id::KeyId;
use crate::scope::{KeyUse, Scope};
use crate::store::{Change, KeyRow, KeyState, RowKind, Slot};

pub(super) struct Data {
    pub(super) gate: Arc<Gate>,
    pub(super) cache: Cache,
    flights: Flights<(Scope, Option<KeyId>), Result<Handle, Error>>,
}

impl Data {
    pub(super) fn new(gate: Arc<Gate>, limits: Limits) -> Self {
        Self { cache: Cache::new(Arc::clone(&gate), limits), gate, flights: Flights::new() }
    }

    pub(super) fn find(&self, scope: &Scope, kid: Option<KeyId>) -> Result<Option<Found>, Error> {
        match kid {
            Some(kid) => self.cache.by_kid(kid, scope),
            None => Ok(self.cache.active(scope)),
        }
    }
}

impl Keys {
    /// The key of a kid, or the active one, which is not in the cache.
    pub(super) async fn fetch(&self, scope: &Scope, kid: Option<KeyId>) -> Result<DataKey, Error> {
        let fetch = async {
            match self.0.data.find(scope, kid)? {
                Some(found) => Ok(found.into_handle()),
                None => self.read(scope, kid).await,
            }
        };
        self.0.data.flights.run((scope.clone(), kid), fetch).await.map(DataKey)
    }

    /// The key of a handle that is about to end, with a new lease. Only the caller waits for it; the others use what is
    /// there.
    pub(super) async fn renew_lease(
        &self,
        scope: &Scope,
        kid: Option<KeyId>,
        held: Handle,
        _renewal: Renewal,
    ) -> Result<DataKey, Error> {
        match self.read(scope, kid).await {
            // The lease lasts for a while yet.
            Err(error) if error.may_pass() => Ok(DataKey(held)),
            renewed => renewed.map(DataKey),
        }
    }

    /// Reads a key from the store, or acts on why that is not possible.
    async fn read(&self, scope: &Scope, kid: Option<KeyId>) -> Result<Handle, Error> {
        let data = &self.0.data;
        let read = match kid {
            Some(kid) => self.read_by_kid(kid, scope).await,
            None => self.read_active(scope).await,
        };
        match &read {
            Err(error) if error.is_outage() => data.cache.stretch(scope, kid).map_or(read, Ok),
            Err(Error::Shredded | Error::RowRejected(_) | Error::RowOutdated { .. } | Error::KeyRejected(_)) => {
                // Nothing that this scope's rows said before holds any longer.
                data.cache.forget(scope);
                read
            }
            _ => read,
        }
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
                // Whose key it is must be authentic as well, or a forged row could turn one error into another.
                return Err(if self.row_of(kid).await?.is_some() { Error::WrongScope } else { Error::UnknownKey });
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
                    Some(found) => found.into_handle(),
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
    pub(super) async fn read_slot(&self, scope: &Scope, slot: &Slot) -> Result<(Lease, Vec<KeyRow>), Error> {
        // In this order: a shred that blocks the scope later makes the lease stale, and one that has let go of it before has
        // written its tombstone before the rows are read.
        let lease = self.0.data.gate.begin();
        self.0.data.cache.admit(scope)?;
        Ok((lease, self.live_rows(slot).await?))
    }

    pub(super) async fn unwrap_data(&self, scope: &Scope, row: &KeyRow, lease: Lease) -> Result<Kept, Error> {
        let (Some(full_id), Some(parent)) = (row.full_id, row.parent) else {
            return Err(Error::RowRejected(row.kind));
        };
        if self.is_gone(row) {
            return Err(Error::State(KeyState::Destroyed));
        }
        let parent = match self.domain(KeyUse::Data, Some(parent)).await {
            Err(Error::UnknownKey) => {
                // Its row is gone, or stands in another place: what is missing is said before what cannot be found without it.
                self.census().await?;
                return Err(Error::UnknownKey);
            }
            found => found?,
        };
        let key = envelope::unwrap(self.backend(), &parent.cell.key, row, &row.wrapped)?;
        let cell = Cell::below(&parent.cell, scope, key, full_id, &self.0.data.gate, lease);
        let origin = Origin {
            scope: scope.clone(),
            pseudonym: row.slot.scope.ok_or(Error::RowRejected(row.kind))?,
            parent: parent.cell.full_id,
        };
        self.0.data.cache.insert(Entry::new(origin, cell, row.state == KeyState::Active))
    }

    /// Makes a data key unless somebody else does so first; the caller then reads whichever is there.
    async fn create_data(&self, slot: &Slot, version: u32) -> Result<(), Error> {
        let row = self.new_data_row(slot, version, self.0.data.gate.clock.now()).await?;
        // Exists and Shredded are both seen by the reading that follows.
        self.commit(&Change::new().insert(row)).await?;
        Ok(())
    }

    /// A row with a new active data key.
    pub(super) async fn new_data_row(&self, slot: &Slot, version: u32, now: Timestamp) -> Result<KeyRow, Error> {
        let parent = self.domain(KeyUse::Data, None).await?;
        let backend = self.backend();
        let key = backend.key()?;
        let (full_id, parent_id) = (Some(backend.full_id(&key)), Some(parent.cell.full_id));
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
        row.wrapped = envelope::wrap(backend, &parent.cell.key, &row, &key)?;
        row.authenticate(&self.0.root.mac_key)?;
        Ok(row)
    }
}
