//! Domain keys: a handful for each tenant, each unwrapped by a KMS once per process.

use std::sync::{Arc, PoisonError, RwLock};

#[cfg(feature = "local")]
use phi_types::Timestamp;
use zeroize::Zeroizing;

use super::flight::Flights;
use super::handle::{Cell, Gate, Handle};
use super::{ATTEMPTS, Inner, Keys, envelope, root};
use crate::error::Error;
use crate::id::FullId;
use crate::random;
use crate::scope::KeyUse;
use crate::store::{Change, Committed, KeyRow, KeyState, RowKind, Slot};

pub(super) struct Domains {
    gate: Arc<Gate>,
    held: RwLock<Vec<Held>>,
    flights: Flights<KeyUse, Result<Refused, Error>>,
}

/// The domain keys of a use that could not be had, each with its reason: one of them must not stand in the way of another.
type Refused = Arc<[Missing]>;

struct Missing {
    full_id: FullId,
    is_active: bool,
    error: Error,
}

/// A domain key in memory, with the MAC of the row that it came from.
struct Held {
    key_use: KeyUse,
    is_active: bool,
    row_mac: [u8; 32],
    cell: Arc<Cell>,
}

/// The MAC of a new row, and its key.
type Made = ([u8; 32], Zeroizing<[u8; 32]>);

impl Domains {
    pub(super) fn new(gate: Arc<Gate>) -> Self {
        Self { gate, held: RwLock::default(), flights: Flights::new() }
    }

    #[cfg(feature = "local")]
    pub(super) fn now(&self) -> Timestamp {
        self.gate.clock.now()
    }

    fn find(&self, key_use: KeyUse, want: Option<FullId>) -> Option<Handle> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let wanted = |entry: &&Held| {
            entry.key_use == key_use
                && want.map_or(entry.is_active, |id| entry.cell.full_id == id)
                && entry.cell.in_time()
        };
        held.iter()
            .find(wanted)
            .map(|entry| Handle { cell: Arc::clone(&entry.cell), generation: self.gate.generation() })
    }

    /// The key of an unchanged row, whose lease may have ended: it needs no KMS to be leased again.
    fn unchanged(&self, row: &KeyRow) -> Option<Arc<Cell>> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.iter().find(|entry| entry.row_mac == row.mac).map(|entry| Arc::clone(&entry.cell))
    }

    /// Takes the place of everything held for this use.
    fn hold(&self, key_use: KeyUse, fresh: Vec<Held>) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        held.retain(|entry| entry.key_use != key_use);
        held.extend(fresh);
    }
}

impl Keys {
    /// The domain key of a full id, or the active one.
    pub(super) async fn domain(&self, key_use: KeyUse, want: Option<FullId>) -> Result<Handle, Error> {
        let domains = &self.0.domains;
        // Twice when another task's flight read for another want; more when a KMS answers slower than a lease lasts.
        for _ in 0..4 {
            if let Some(handle) = domains.find(key_use, want) {
                return Ok(handle);
            }
            let refused = domains.flights.run(key_use, Box::pin(self.refresh(key_use, want))).await?;
            let wanted = |missing: &&Missing| want.map_or(missing.is_active, |id| missing.full_id == id);
            if let Some(missing) = refused.iter().find(wanted) {
                return Err(missing.error.clone());
            }
        }
        domains.find(key_use, want).ok_or(if want.is_some() { Error::UnknownKey } else { Error::Contended })
    }

    /// Reads every domain key of a use and leases those that open anything.
    async fn refresh(&self, key_use: KeyUse, want: Option<FullId>) -> Result<Refused, Error> {
        let Inner { store, keks, tenant, domains, .. } = &*self.0;
        if domains.find(key_use, want).is_some() {
            // Another flight landed between the look into the cache and this one.
            return Ok(Arc::default());
        }
        let slot = Slot::new(tenant.clone(), key_use, None);
        let mut made = None;
        for _ in 0..ATTEMPTS {
            let lease = domains.gate.begin();
            let rows = store.slot(&slot).await?;
            self.authentic_in(&slot, &rows)?;
            let rows = rows.into_iter().filter(|row| row.kind == RowKind::Domain).collect::<Vec<_>>();
            let active = rows.iter().rev().find(|row| row.state == KeyState::Active).map(|row| row.version);
            let Some(active) = active else {
                let version = rows.last().map_or(0, |row| row.version).checked_add(1).ok_or(Error::Contended)?;
                made = self.create_domain(slot.clone(), version).await?;
                continue;
            };
            let (mut fresh, mut refused) = (Vec::with_capacity(rows.len()), Vec::new());
            for row in rows.iter().filter(|row| row.state.opens()) {
                let full_id = row.full_id.ok_or(Error::RowRejected(row.kind))?;
                let is_active = row.version == active;
                let key = match (domains.unchanged(row), &made) {
                    _ if self.is_gone(row) => Err(Error::State(KeyState::Destroyed)),
                    (Some(cell), _) => Ok(cell.key.clone()),
                    // The row that this process has just written, whose copies were seen to open.
                    (None, Some((mac, key))) if *mac == row.mac => Ok(Zeroizing::clone(key)),
                    (None, _) => envelope::unwrap_domain(keks, row).await,
                };
                match key {
                    Ok(key) => {
                        let cell = Cell::new(key, full_id, &domains.gate, lease);
                        fresh.push(Held { key_use, is_active, row_mac: row.mac, cell });
                    }
                    Err(error) => refused.push(Missing { full_id, is_active, error }),
                }
            }
            domains.hold(key_use, fresh);
            return Ok(refused.into());
        }
        Err(Error::Contended)
    }

    /// Makes a domain key unless somebody else does so first; the caller then reads whichever is there. Returns the MAC of
    /// the row and the key, if they were written.
    async fn create_domain(&self, slot: Slot, version: u32) -> Result<Option<Made>, Error> {
        let Inner { store, keks, root, domains, .. } = &*self.0;
        let mut census = root.census(&**store).await?;
        if census.domains.iter().any(|row| row.slot == slot && row.version >= version) {
            return Ok(None);
        }
        let now = domains.gate.clock.now();
        let key = random::key()?;
        let mut row = root::new_domain_row(slot, version, &key, now);
        row.wrapped = envelope::wrap_domain(keks, &row, &key).await?;
        row.authenticate(&root.mac_key)?;
        census.domains.push(row.clone());
        let next = census.generation.next(root::digest_of(&census.domains))?;
        let made = (row.mac, key);
        let change = Change::new().replace(census.row, root.generation_row(&next, now)?).insert(row);
        if store.commit(&change).await? != Committed::Done {
            return Ok(None);
        }
        self.note_generation(next.number).await?;
        Ok(Some(made))
    }
}
