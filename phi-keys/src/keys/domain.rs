//! Domain keys: a handful for each tenant, each unwrapped by a KMS once per process.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::flight::Flights;
use super::handle::{Found, Gate, Handle};
use super::held::{Held, HeldKeys};
use super::limits::Limits;
use super::refusals::Refusals;
use super::{ATTEMPTS, Inner, Keys, envelope, root};
use crate::error::Error;
use crate::id::FullId;
use crate::scope::KeyUse;
use crate::store::{Change, Committed, KeyState, RowKind, Slot};

pub(super) struct Domains {
    pub(super) gate: Arc<Gate>,
    pub(super) held: HeldKeys,
    /// What a KMS has refused a moment ago.
    pub(super) refused: Refusals<(KeyUse, Option<FullId>)>,
    flights: Flights<KeyUse, Result<Refused, Error>>,
}

/// The domain keys of a use that could not be had, each with its reason: one of them must not stand in the way of another.
type Refused = Arc<[Missing]>;

struct Missing {
    full_id: FullId,
    is_active: bool,
    error: Error,
}

impl Missing {
    fn is_wanted(&self, want: Option<FullId>) -> bool {
        want.map_or(self.is_active, |full_id| self.full_id == full_id)
    }
}

/// The MAC of a new row, and its key.
type Made = ([u8; 32], Zeroizing<[u8; 32]>);

impl Domains {
    pub(super) fn new(gate: Arc<Gate>, limits: Limits) -> Self {
        let held = HeldKeys::new(Arc::clone(&gate), limits);
        Self { held, refused: Refusals::new(Arc::clone(&gate), limits.refusal), gate, flights: Flights::new() }
    }

    /// Lets the next request read the store again. Leases that were given last until their time comes.
    pub(super) fn forget(&self, key_use: KeyUse) {
        self.held.hold(key_use, Vec::new(), self.gate.generation());
    }
}

impl Keys {
    /// The domain key of a full id, or the active one.
    pub(super) async fn domain(&self, key_use: KeyUse, want: Option<FullId>) -> Result<Handle, Error> {
        let domains = &self.0.domains;
        // Twice when another task's flight read for another want; more when a KMS answers slower than a lease lasts.
        for _ in 0..4 {
            let ahead = match domains.held.find(key_use, want) {
                Some(Found::Live(handle)) => return Ok(handle),
                Some(Found::Ahead(handle, renewal)) => Some((handle, renewal)),
                None => None,
            };
            domains.refused.check(&(key_use, want))?;
            let fetch = async {
                // Another flight may have landed between the look into the cache and this one.
                let landed = ahead.is_none() && domains.held.find(key_use, want).is_some();
                if landed { Ok(Arc::default()) } else { self.refresh(key_use, want).await }
            };
            // Who renews ahead keeps nobody waiting, not even those who want another key of the same use.
            let refused = match &ahead {
                Some(_) => Box::pin(fetch).await,
                None => domains.flights.run(key_use, Box::pin(fetch)).await,
            };
            let missing = match refused {
                Ok(refused) => {
                    refused.iter().find(|missing| missing.is_wanted(want)).map(|missing| missing.error.clone())
                }
                Err(error) => Some(error),
            };
            match (missing, ahead) {
                // The lease lasts for a while yet. An outage seldom shows here, since the key is then leased or found anew.
                (Some(error), Some((handle, _))) if error.may_pass() => return Ok(handle),
                (Some(error), _) => return Err(error),
                (None, _) => {}
            }
        }
        let found = domains.held.find(key_use, want).map(Found::into_handle);
        found.ok_or(if want.is_some() { Error::UnknownKey } else { Error::Contended })
    }

    /// Leases the domain keys of a use anew, or stretches the leases that there are when the store does not answer.
    async fn refresh(&self, key_use: KeyUse, want: Option<FullId>) -> Result<Refused, Error> {
        let domains = &self.0.domains;
        match self.read_domains(key_use).await {
            Err(error) if error.is_outage() => {
                domains.held.stretch(key_use);
                if domains.held.find(key_use, want).is_some() { Ok(Arc::default()) } else { Err(error) }
            }
            read => read,
        }
    }

    /// Reads every domain key of a use and leases those that open anything.
    async fn read_domains(&self, key_use: KeyUse) -> Result<Refused, Error> {
        let Inner { keks, tenant, domains, .. } = &*self.0;
        let slot = Slot::new(tenant.clone(), key_use, None);
        let mut made = None;
        for _ in 0..ATTEMPTS {
            let lease = domains.gate.begin();
            let rows =
                self.rows(&slot).await?.into_iter().filter(|row| row.kind == RowKind::Domain).collect::<Vec<_>>();
            let active = rows.iter().rev().find(|row| row.state == KeyState::Active).map(|row| row.version);
            let Some(active) = active else {
                let version = rows.last().map_or(0, |row| row.version).checked_add(1).ok_or(Error::Contended)?;
                made = match self.create_domain(slot.clone(), version).await {
                    Err(error) => {
                        if matches!(&error, Error::Kms(error) if error.is_terminal()) {
                            domains.refused.remember(&(key_use, None), &error);
                        }
                        return Err(error);
                    }
                    made => made?,
                };
                continue;
            };
            let (mut fresh, mut refused) = (Vec::with_capacity(rows.len()), Vec::new());
            for row in &rows {
                let full_id = row.full_id.ok_or(Error::RowRejected(row.kind))?;
                let is_active = row.version == active;
                let known = domains.held.known(row);
                let asked = domains.gate.now();
                let key = match (&known, &made) {
                    _ if !row.state.opens() => Err(Error::State(row.state)),
                    _ if self.is_gone(row) => Err(Error::State(KeyState::Destroyed)),
                    (Some(known), _) if !known.is_aging => Ok((known.key.clone(), known.asked)),
                    // The row that this process has just written, whose copies were seen to open. It is the only one of its slot,
                    // since one is made where none is active; should it not be, another row is not taken for it.
                    (None, Some((mac, key))) if *mac == row.mac => Ok((Zeroizing::clone(key), asked)),
                    _ => envelope::unwrap_domain(self.backend(), keks, row).await.map(|key| (key, asked)),
                };
                let held = match (key, known) {
                    (Ok((key, asked)), _) => domains.held.lease(row, key, full_id, lease, asked)?,
                    // Its age is not over yet, and the outage may be before it is.
                    (Err(error), Some(known)) if error.is_outage() => {
                        domains.held.lease(row, known.key, full_id, lease, known.asked)?
                    }
                    (Err(error), _) => match domains.held.stretched(row).filter(|_| error.is_outage()) {
                        Some(held) => held,
                        None => {
                            refused.push(Missing { full_id, is_active, error });
                            continue;
                        }
                    },
                };
                fresh.push(Held { is_active, ..held });
            }
            // Who takes a KEK away means what is in memory as well.
            let denied = |missing: &&Missing| matches!(&missing.error, Error::Kms(error) if error.is_denial());
            let denied = refused.iter().filter(denied).map(|missing| missing.full_id).collect::<Vec<_>>();
            let lost = domains.held.any(|held| denied.contains(&held.cell.full_id));
            if domains.held.hold(key_use, fresh, lease.generation) {
                if lost {
                    self.forget_below(&denied);
                }
                self.remember_refusals(key_use, &refused);
                return Ok(refused.into());
            }
        }
        Err(Error::Contended)
    }

    /// Lets nobody ask a KMS again for what it has just refused.
    fn remember_refusals(&self, key_use: KeyUse, refused: &[Missing]) {
        for missing in
            refused.iter().filter(|missing| matches!(&missing.error, Error::Kms(error) if error.is_terminal()))
        {
            let wants = [Some(Some(missing.full_id)), missing.is_active.then_some(None)];
            for want in wants.into_iter().flatten() {
                self.0.domains.refused.remember(&(key_use, want), &missing.error);
            }
        }
    }

    /// Makes a domain key unless somebody else does so first; the caller then reads whichever is there. Returns the MAC of
    /// the row and the key, if they were written.
    async fn create_domain(&self, slot: Slot, version: u32) -> Result<Option<Made>, Error> {
        let Inner { keks, root, .. } = &*self.0;
        let mut census = self.census().await?;
        if census.domains.iter().any(|row| row.slot == slot && row.version >= version) {
            return Ok(None);
        }
        let now = self.now_after(&census.row);
        let key = root.backend.key()?;
        let mut row = root::new_domain_row(root.backend, slot, version, &key, now);
        row.wrapped = envelope::wrap_domain(root.backend, keks, &row, &key).await?;
        row.authenticate(&root.mac_key)?;
        census.domains.push(row.clone());
        let next = census.generation.next(root::digest_of(root.backend, &census.domains))?;
        let made = (row.mac, key);
        let change = Change::new().replace(census.row, root.generation_row(&next, now)?).insert(row);
        if self.commit(&change).await? != Committed::Done {
            return Ok(None);
        }
        Ok(Some(made))
    }
}
