//! The store root key: made once, pinned outside, and from then on what every row is checked with.

use phi_types::Timestamp;
use zeroize::Zeroizing;

use super::{ATTEMPTS, envelope};
use crate::backend::{Backend, MacKey};
use crate::derive::Label;
use crate::error::Error;
use crate::id::Fingerprint;
use crate::kms::KekSet;
use crate::scope::Scope;
use crate::store::{Change, Committed, KeyRow, KeyState, KeyStore, RowKind, Slot};
use crate::tlv::Writer;

/// The domain of the list that a scope's pseudonym is computed over.
const SCOPE_DOMAIN: &str = "phi/scope/v1";
/// What the digest of all domain keys begins with.
const DOMAINS_DOMAIN: &str = "phi/domains/v1";
/// What each link of the chain of all tombstones begins with.
const TOMBSTONES_DOMAIN: &str = "phi/tombstones/v1";

/// What is derived from the store root key. The root key itself is wiped as soon as this exists.
pub(super) struct Root {
    /// What computes for this key manager.
    pub(super) backend: Backend,
    pub(super) fingerprint: Fingerprint,
    pub(super) mac_key: MacKey,
    pub(super) anchor_key: MacKey,
    pseudonym_key: MacKey,
}

impl Root {
    fn new(backend: Backend, key: &Zeroizing<[u8; 32]>) -> Self {
        let mac_key = |label| MacKey::new(backend, backend.expand(key, label, &[]));
        Self {
            backend,
            fingerprint: backend.full_id(key).into(),
            mac_key: mac_key(Label::ROW_MAC),
            anchor_key: mac_key(Label::ANCHOR),
            pseudonym_key: mac_key(Label::PSEUDONYM),
        }
    }

    pub(super) fn pseudonym(&self, tenant: &str, scope: &Scope) -> Result<[u8; 32], Error> {
        let (kind, name) = scope.parts();
        let mut list = Writer::new(SCOPE_DOMAIN);
        list.field(1, tenant.as_bytes())?;
        list.field(2, &[kind])?;
        list.field(3, name.as_bytes())?;
        Ok(self.pseudonym_key.mac(&list.finish()))
    }

    /// The generation row with a value.
    pub(super) fn generation_row(&self, generation: &Generation, now: Timestamp) -> Result<KeyRow, Error> {
        let mut payload = generation.number.to_be_bytes().to_vec();
        payload.extend_from_slice(&generation.domains);
        payload.extend(generation.tombstones.iter().flatten());
        let mut row =
            KeyRow::new(RowKind::Generation, Slot::root(), 0, None, None, KeyState::Active, now, payload, [0; 32]);
        row.authenticate(&self.mac_key)?;
        Ok(row)
    }

    /// The authentic generation row of a root slot, and its value.
    pub(super) fn generation<'r>(&self, root: &'r [KeyRow]) -> Result<(&'r KeyRow, Generation), Error> {
        let rejected = Error::RowRejected(RowKind::Generation);
        let found = root.iter().find(|row| row.kind == RowKind::Generation && row.is_authentic(&self.mac_key));
        let row = found.ok_or_else(|| rejected.clone())?;
        let (number, rest) = row.wrapped.split_first_chunk().ok_or_else(|| rejected.clone())?;
        let (domains, rest) = rest.split_first_chunk().ok_or_else(|| rejected.clone())?;
        let tombstones = match rest {
            [] => None,
            chain => Some(chain.try_into().map_err(|_| rejected)?),
        };
        Ok((row, Generation { number: u64::from_be_bytes(*number), domains: *domains, tombstones }))
    }

    /// The end of the chain of tombstones: those without a position first, then by position. What is not authentic is
    /// none, and is missed if it took the place of one.
    pub(super) fn chain(&self, tombstones: &[KeyRow]) -> [u8; 32] {
        let is_one = |row: &&KeyRow| row.kind == RowKind::Tombstone && row.is_authentic(&self.mac_key);
        let mut rows = tombstones.iter().filter(is_one).collect::<Vec<_>>();
        rows.sort_unstable_by_key(|row| (row.position.unwrap_or(0), row.mac));
        rows.into_iter().fold([0; 32], |chain, row| link(self.backend, &chain, row))
    }

    /// The domain keys of all tenants, which are exactly those that the generation row vouches for: without this, a domain
    /// key row that somebody removed would silently be made anew.
    pub(super) async fn census(&self, store: &dyn KeyStore) -> Result<Census, Error> {
        for _ in 0..ATTEMPTS {
            let root = store.slot(&Slot::root()).await?;
            let domains = store.domain_rows().await?;
            let (row, generation) = self.generation(&root)?;
            if let Some(row) = domains.iter().find(|row| !row.is_authentic(&self.mac_key)) {
                return Err(Error::RowRejected(row.kind));
            }
            if digest_of(self.backend, &domains) == generation.domains {
                let generation = match generation.tombstones {
                    Some(_) => generation,
                    // Written before there was a chain; the next generation has one.
                    None => generation.chained(self.chain(&store.tombstones().await?)),
                };
                return Ok(Census { row: row.clone(), generation, domains });
            }
            // Another process may have made a domain key between the two readings; then there is a new generation.
            if store.slot(&Slot::root()).await?.contains(row) {
                return Err(Error::Incomplete);
            }
        }
        Err(Error::Contended)
    }
}

/// All domain keys at one generation.
pub(super) struct Census {
    /// The generation row.
    pub(super) row: KeyRow,
    pub(super) generation: Generation,
    pub(super) domains: Vec<KeyRow>,
}

/// What must not be rolled back.
pub(super) struct Generation {
    /// Grows with every shred and every new domain key.
    pub(super) number: u64,
    /// The digest of all domain keys' full ids.
    pub(super) domains: [u8; 32],
    /// The end of the chain of tombstones; absent where it was written before there was one.
    pub(super) tombstones: Option<[u8; 32]>,
}

impl Generation {
    /// The one that follows.
    pub(super) fn next(&self, domains: [u8; 32]) -> Result<Self, Error> {
        let number = self.number.checked_add(1).ok_or(Error::Contended)?;
        Ok(Self { number, domains, tombstones: self.tombstones })
    }

    /// The same with another end of the chain.
    pub(super) fn chained(self, tombstones: [u8; 32]) -> Self {
        Self { tombstones: Some(tombstones), ..self }
    }
}

/// The number of a generation row that this process has made.
pub(super) fn generation_of(row: &KeyRow) -> Option<u64> {
    let number = row.wrapped.first_chunk().filter(|_| row.kind == RowKind::Generation);
    number.map(|number| u64::from_be_bytes(*number))
}

/// The chain with one more tombstone.
pub(super) fn link(backend: Backend, chain: &[u8; 32], tombstone: &KeyRow) -> [u8; 32] {
    backend.sha256([TOMBSTONES_DOMAIN.as_bytes(), chain, &tombstone.mac])
}

/// SHA-256 over the full ids of domain key rows, in ascending order.
pub(super) fn digest_of(backend: Backend, domains: &[KeyRow]) -> [u8; 32] {
    let mut ids = domains.iter().filter_map(|row| row.full_id).collect::<Vec<_>>();
    ids.sort_unstable();
    let ids = ids.iter().map(|id| id.as_bytes().as_slice());
    backend.sha256(core::iter::once(DOMAINS_DOMAIN.as_bytes()).chain(ids))
}

/// Whether an empty store may be a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MayCreate {
    Yes,
    No,
}

/// Opens the root key of a store, or makes it for an empty one.
pub(super) async fn open(
    backend: Backend,
    store: &dyn KeyStore,
    keks: &KekSet,
    configured: Option<Fingerprint>,
    may_create: MayCreate,
    now: Timestamp,
) -> Result<(Root, u64), Error> {
    let pinned = pinned(keks, configured)?;
    for _ in 0..ATTEMPTS {
        let rows = store.slot(&Slot::root()).await?;
        let Some(row) = rows.iter().find(|row| row.kind == RowKind::Domain) else {
            if pinned.is_some() || may_create == MayCreate::No {
                return Err(Error::RootMissing);
            }
            if let Some(root) = create(backend, store, keks, now).await? {
                pin(keks, root.fingerprint)?;
                return Ok((root, 0));
            }
            continue;
        };
        let key = match pinned {
            Some(_) => envelope::unwrap_domain(backend, keks, row).await?,
            None => unwrap_unpinned(backend, keks, row).await?,
        };
        let root = Root::new(backend, &key);
        // The pin decides before anything that the root key authenticates is believed.
        if pinned.is_some_and(|pinned| !pinned.matches(&root.fingerprint)) {
            return Err(Error::RootMismatch);
        }
        if !row.is_authentic(&root.mac_key) || !row.state.opens() {
            return Err(Error::RowRejected(RowKind::Domain));
        }
        let census = root.census(store).await?;
        pin(keks, root.fingerprint)?;
        return Ok((root, census.generation.number));
    }
    Err(Error::Contended)
}

/// Unwraps a root key that is pinned nowhere. A keyring that has never pinned a store pins the first one whose root key it
/// opens itself: the process that made the store may have died before it could. A KEK that pins nothing does not count,
/// because wrapping under it may take no more than a public key.
async fn unwrap_unpinned(backend: Backend, keks: &KekSet, row: &KeyRow) -> Result<Zeroizing<[u8; 32]>, Error> {
    let pinning = keks.only(|kek| kek.root_pin().is_some());
    match envelope::unwrap_domain(backend, &pinning, row).await {
        Err(Error::NoKek) => Err(Error::RootNotPinned),
        unwrapped => unwrapped,
    }
}

/// The pinned fingerprint, in which every place that pins one agrees.
fn pinned(keks: &KekSet, configured: Option<Fingerprint>) -> Result<Option<Fingerprint>, Error> {
    let mut pinned = configured;
    for pin in keks.all().filter_map(|kek| kek.root_pin()) {
        match (pin.pinned()?, pinned) {
            (Some(one), Some(other)) if !one.matches(&other) => return Err(Error::RootMismatch),
            (Some(one), _) => pinned = Some(one),
            (None, _) => {}
        }
    }
    Ok(pinned)
}

fn pin(keks: &KekSet, fingerprint: Fingerprint) -> Result<(), Error> {
    keks.all().filter_map(|kek| kek.root_pin()).try_for_each(|pin| pin.pin(fingerprint)).map_err(Error::Kms)
}

/// Makes root key and generation row together. `None` when somebody else was first.
async fn create(backend: Backend, store: &dyn KeyStore, keks: &KekSet, now: Timestamp) -> Result<Option<Root>, Error> {
    let key = backend.key()?;
    let root = Root::new(backend, &key);
    let mut row = new_domain_row(backend, Slot::root(), 1, &key, now);
    row.wrapped = envelope::wrap_domain(backend, keks, &row, &key).await?;
    row.authenticate(&root.mac_key)?;
    let domains = digest_of(backend, core::slice::from_ref(&row));
    let generation = Generation { number: 0, domains, tombstones: Some([0; 32]) };
    let change = Change::new().insert(row).insert(root.generation_row(&generation, now)?);
    Ok((store.commit(&change).await? == Committed::Done).then_some(root))
}

/// A domain key row that still lacks the wrapped key and the MAC.
pub(super) fn new_domain_row(backend: Backend, slot: Slot, version: u32, key: &[u8; 32], now: Timestamp) -> KeyRow {
    let full_id = Some(backend.full_id(key));
    KeyRow::new(RowKind::Domain, slot, version, full_id, None, KeyState::Active, now, Vec::new(), [0; 32])
}
