//! The store root key: made once, pinned outside, and from then on what every row is checked with.

use std::sync::Arc;

use phi_types::Timestamp;
use zeroize::Zeroizing;

use super::{ATTEMPTS, envelope};
use crate::derive::{self, Label};
use crate::error::Error;
use crate::id::Fingerprint;
use crate::kms::Kms;
use crate::random;
use crate::scope::{KeyUse, Scope};
use crate::store::{Inserted, KeyRow, KeyState, KeyStore, RowKind, Slot};
use crate::tlv::Writer;

/// The domain of the list that a scope's pseudonym is computed over.
const SCOPE_DOMAIN: &str = "phi/scope/v1";

/// What is derived from the store root key. The root key itself is wiped as soon as this exists.
pub(super) struct Root {
    pub(super) fingerprint: Fingerprint,
    pub(super) mac_key: Zeroizing<[u8; 32]>,
    pseudonym_key: Zeroizing<[u8; 32]>,
}

impl Root {
    fn new(key: &Zeroizing<[u8; 32]>) -> Self {
        Self {
            fingerprint: derive::full_id(key).into(),
            mac_key: derive::expand(key, Label::ROW_MAC, &[]),
            pseudonym_key: derive::expand(key, Label::PSEUDONYM, &[]),
        }
    }

    pub(super) fn pseudonym(&self, tenant: &str, scope: &Scope) -> Result<[u8; 32], Error> {
        let (kind, name) = scope.parts();
        let mut list = Writer::new(SCOPE_DOMAIN);
        list.field(1, tenant.as_bytes())?;
        list.field(2, &[kind])?;
        list.field(3, name.as_bytes())?;
        Ok(derive::mac(&self.pseudonym_key, &list.finish()))
    }

    /// The generation row with a value.
    pub(super) fn generation_row(&self, generation: u64, now: Timestamp) -> Result<KeyRow, Error> {
        let payload = generation.to_be_bytes().to_vec();
        let mut row =
            KeyRow::new(RowKind::Generation, Slot::root(), 0, None, None, KeyState::Active, now, payload, [0; 32]);
        row.authenticate(&self.mac_key)?;
        Ok(row)
    }

    /// The authentic generation row of a root slot, and its value.
    pub(super) fn generation<'r>(&self, rows: &'r [KeyRow]) -> Result<(&'r KeyRow, u64), Error> {
        let rejected = Error::RowRejected(RowKind::Generation);
        let found = rows.iter().find(|row| row.kind == RowKind::Generation && row.is_authentic(&self.mac_key));
        let row = found.ok_or_else(|| rejected.clone())?;
        let bytes = row.wrapped.as_slice().try_into().map_err(|_| rejected)?;
        Ok((row, u64::from_be_bytes(bytes)))
    }
}

/// Opens the root key of a store, or makes it for an empty one.
pub(super) async fn open(
    store: &dyn KeyStore,
    keks: &[Arc<dyn Kms>],
    configured: Option<Fingerprint>,
    now: Timestamp,
) -> Result<(Root, u64), Error> {
    let pinned = pinned(keks, configured)?;
    for _ in 0..ATTEMPTS {
        let rows = store.slot(&Slot::root()).await?;
        let Some(row) = rows.iter().find(|row| row.kind == RowKind::Domain) else {
            if pinned.is_some() {
                return Err(Error::RootMissing);
            }
            if let Some(root) = create(store, keks, now).await? {
                pin(keks, root.fingerprint)?;
                return Ok((root, 0));
            }
            continue;
        };
        let key = envelope::unwrap_domain(keks, row).await?;
        let root = Root::new(&key);
        // The pin decides before anything that the root key authenticates is believed.
        match pinned {
            Some(pinned) if !pinned.matches(&root.fingerprint) => return Err(Error::RootMismatch),
            // A keyring that has never pinned a store pins the first one whose root key it opens itself: the process that
            // made the store may have died before it could.
            None if !keks.iter().any(|kek| kek.root_pin().is_some()) => return Err(Error::RootNotPinned),
            _ => {}
        }
        if !row.is_authentic(&root.mac_key) || !row.state.opens() {
            return Err(Error::RowRejected(RowKind::Domain));
        }
        let (_, generation) = root.generation(&rows)?;
        pin(keks, root.fingerprint)?;
        return Ok((root, generation));
    }
    Err(Error::Contended)
}

/// The pinned fingerprint, in which every place that pins one agrees.
fn pinned(keks: &[Arc<dyn Kms>], configured: Option<Fingerprint>) -> Result<Option<Fingerprint>, Error> {
    let mut pinned = configured;
    for pin in keks.iter().filter_map(|kek| kek.root_pin()) {
        match (pin.pinned()?, pinned) {
            (Some(one), Some(other)) if !one.matches(&other) => return Err(Error::RootMismatch),
            (Some(one), _) => pinned = Some(one),
            (None, _) => {}
        }
    }
    Ok(pinned)
}

fn pin(keks: &[Arc<dyn Kms>], fingerprint: Fingerprint) -> Result<(), Error> {
    keks.iter().filter_map(|kek| kek.root_pin()).try_for_each(|pin| pin.pin(fingerprint)).map_err(Error::Kms)
}

/// Makes root key and generation row together. `None` when somebody else was first.
async fn create(store: &dyn KeyStore, keks: &[Arc<dyn Kms>], now: Timestamp) -> Result<Option<Root>, Error> {
    let key = random::key()?;
    let root = Root::new(&key);
    let mut row = new_domain_row(Slot::root(), 1, &key, now);
    row.wrapped = envelope::wrap_domain(keks, &row, &key).await?;
    row.authenticate(&root.mac_key)?;
    match store.insert(&[row, root.generation_row(0, now)?]).await? {
        Inserted::Done => Ok(Some(root)),
        Inserted::Exists | Inserted::Shredded => Ok(None),
    }
}

/// A domain key row that still lacks the wrapped key and the MAC.
pub(super) fn new_domain_row(slot: Slot, version: u32, key: &[u8; 32], now: Timestamp) -> KeyRow {
    debug_assert!(slot.scope.is_none() || slot.key_use != KeyUse::Root, "domain keys have no scope");
    let full_id = Some(derive::full_id(key));
    KeyRow::new(RowKind::Domain, slot, version, full_id, None, KeyState::Active, now, Vec::new(), [0; 32])
}
