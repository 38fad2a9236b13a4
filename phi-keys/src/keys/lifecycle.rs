//! The life of domain and data keys after they were made: rotation, retirement, destruction.

use core::future::Future;
use core::pin::Pin;
use core::time::Duration;
use std::error::Error as StdError;

use phi_types::{SubjectId, Timestamp};

use super::builder::LONGEST_LEASE;
use super::report::{KeyAct, KeyChange};
use super::{ATTEMPTS, Keys, envelope, root};
use crate::error::Error;
use crate::id::KeyId;
use crate::scope::{KeyUse, Scope};
use crate::store::{Change, Committed, KeyRow, KeyState, RowKind, Slot};

/// By how much the clocks of two processes may differ.
const SKEW: Duration = Duration::from_secs(300);
/// After this, whoever held a lease when a key changed its state holds none any more.
const WINDOW: Duration = LONGEST_LEASE.saturating_add(SKEW);

/// The future of [`References::count`].
pub type ReferencesFuture<'a> = Pin<Box<dyn Future<Output = Result<u64, Box<dyn StdError + Send + Sync>>> + Send + 'a>>;

/// Counts what still needs a key: sealed values whose header has its kid, index tags that it made. A closure will do.
///
/// ```
/// use phi_keys::{EphemeralKeyring, Error, Keys, MemoryKeyStore, Scope};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let keys = Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate()?).build().await?;
/// let notes = Scope::group("notes");
/// let old = keys.data_key(&notes).await?.kid();
/// let change = keys.rotate_data_key(&notes).await?;
/// assert_eq!(change.replaced.map(|key| key.kid()), Some(old));
/// assert_ne!(keys.data_key(&notes).await?.kid(), old);
///
/// // In real code: `SELECT count(*) FROM note WHERE substr(body, 2, 16) = ?`.
/// let retired = keys.retire(old, &|_kid| async { Ok(0) }).await;
/// assert!(matches!(retired, Err(Error::TooEarly { .. })));
/// # Ok(())
/// # }
/// ```
pub trait References: Send + Sync {
    /// How many there are now, committed and not.
    ///
    /// # Errors
    /// Whatever keeps them from being counted; its text must hold neither secrets nor PHI.
    fn count(&self, kid: KeyId) -> ReferencesFuture<'_>;
}

impl<F, T> References for F
where
    F: Fn(KeyId) -> T + Send + Sync,
    T: Future<Output = Result<u64, Box<dyn StdError + Send + Sync>>> + Send + 'static,
{
    fn count(&self, kid: KeyId) -> ReferencesFuture<'_> {
        Box::pin(self(kid))
    }
}

impl Keys {
    /// Makes a new active domain key of a use; the one before it opens only. New data keys and index tags are made under
    /// the new one, what is there stays under the old one: see [`rewrap_data_keys`](Self::rewrap_data_keys).
    ///
    /// The new key is used at once, while other processes learn of it when their leases end: until then they do not find what
    /// is tagged under it, and need a KMS to open what is wrapped under it.
    /// [`stage_domain_key`](Self::stage_domain_key) lets them know it first. A key that was staged and is overtaken here opens
    /// only, and is to be retired.
    ///
    /// # Errors
    /// [`Error::Config`] for [`KeyUse::Root`]; other [`Error`]s when a KMS or the store fails.
    pub async fn rotate_domain_key(&self, key_use: KeyUse) -> Result<KeyChange, Error> {
        if key_use == KeyUse::Root {
            return Err(Error::Config("the root key of a store is for ever: make a new store to change it"));
        }
        let slot = Slot::new(self.0.tenant.clone(), key_use, None);
        for _ in 0..ATTEMPTS {
            let mut census = self.census().await?;
            let here = || census.domains.iter().filter(|row| row.slot == slot);
            let before = |state| here().filter(move |row| row.state == state).cloned().collect::<Vec<_>>();
            let (active, staged) = (before(KeyState::Active), before(KeyState::Pending));
            let version = next_version(here())?;
            let now = self.now_after(&census.row);
            let backend = self.backend();
            let row = self.new_domain_row(&slot, version, KeyState::Active, now).await?;
            census.domains.push(row.clone());
            let next = census.generation.next(root::digest_of(backend, &census.domains))?;
            let mut change = Change::new().replace(census.row, self.0.root.generation_row(&next, now)?);
            for old in active.iter().chain(&staged) {
                change = change.replace(old.clone(), self.moved(old, KeyState::DecryptOnly, now)?);
            }
            let change = change.insert(row.clone());
            if self.commit(&change).await? == Committed::Done {
                self.0.domains.forget(key_use);
                return self.changed(KeyAct::Rotated, &row, active.last(), now);
            }
        }
        Err(Error::Contended)
    }

    /// Makes a new active data key of a scope; the one before it opens only. Other processes seal with the old one until
    /// their lease ends.
    ///
    /// # Errors
    /// [`Error::Shredded`] after the subject was shredded; other [`Error`]s when the key cannot be had.
    pub async fn rotate_data_key(&self, scope: &Scope) -> Result<KeyChange, Error> {
        let slot = self.data_slot(scope)?;
        for _ in 0..ATTEMPTS {
            let (_, rows) = self.read_slot(scope, &slot).await?;
            let active = rows.iter().filter(|row| row.kind == RowKind::Data && row.state == KeyState::Active);
            let active = active.cloned().collect::<Vec<_>>();
            let version = rows.last().map_or(0, |row| row.version).checked_add(1).ok_or(Error::Contended)?;
            let now = self.now_in_store().await?;
            let row = self.new_data_row(&slot, version, now).await?;
            let mut change = Change::new().insert(row.clone());
            for old in &active {
                change = change.replace(old.clone(), self.moved(old, KeyState::DecryptOnly, now)?);
            }
            if self.commit(&change).await? == Committed::Done {
                self.0.data.cache.forget_active(scope);
                let changed = self.changed(KeyAct::Rotated, &row, active.last(), now)?;
                return Ok(match scope {
                    Scope::Subject(subject) => changed.about(subject),
                    Scope::Group(_) => changed,
                });
            }
        }
        Err(Error::Contended)
    }

    /// Ends the use of a key that opens only, when nothing refers to it: 65 minutes after it was rotated, which is the
    /// longest lease and what clocks may differ, and as much later as keys are used beyond their leases in outages
    /// ([`outage_grace`](crate::KeysBuilder::outage_grace)), so that whoever could still seal with it has done so. It stays in the
    /// store until it is destroyed.
    ///
    /// # Errors
    /// [`Error::State`] for a key in another state; [`Error::TooEarly`]; [`Error::Referenced`] while something is sealed
    /// under it, which is to be resealed first; [`Error::UnknownKey`]; other [`Error`]s when the store fails.
    pub async fn retire(&self, kid: KeyId, references: &dyn References) -> Result<KeyChange, Error> {
        self.end(kid, KeyState::DecryptOnly, KeyState::Retired, references).await
    }

    /// Destroys a retired key: its row stays, without the wrapped key. Repeating it is harmless. References are
    /// counted once more, as long after it was retired as that was after its rotation: a process that stood still with a value that
    /// it had sealed before may have written it since.
    ///
    /// # Errors
    /// [`Error::State`] for a key that is not retired; [`Error::TooEarly`]; [`Error::Referenced`], after which
    /// [`reinstate`](Self::reinstate) makes the values readable again; other [`Error`]s when the store or anchor fails.
    pub async fn destroy(&self, kid: KeyId, references: &dyn References) -> Result<KeyChange, Error> {
        self.end(kid, KeyState::Retired, KeyState::Destroyed, references).await
    }

    /// Lets a retired key open again what something was found to be sealed under.
    ///
    /// # Errors
    /// [`Error::State`] for a key that is not retired; [`Error::UnknownKey`]; other [`Error`]s when the store fails.
    pub async fn reinstate(&self, kid: KeyId) -> Result<KeyChange, Error> {
        for _ in 0..ATTEMPTS {
            let row = self.own_row(kid).await?;
            if row.state != KeyState::Retired {
                return Err(Error::State(row.state));
            }
            let now = self.now_in_store().await?;
            let next = self.moved(&row, KeyState::DecryptOnly, now)?;
            if self.commit(&Change::new().replace(row.clone(), next.clone())).await? == Committed::Done {
                self.0.domains.forget(row.slot.key_use);
                return self.changed(KeyAct::Reinstated, &next, None, now);
            }
        }
        Err(Error::Contended)
    }

    async fn end(
        &self,
        kid: KeyId,
        from: KeyState,
        to: KeyState,
        references: &dyn References,
    ) -> Result<KeyChange, Error> {
        for _ in 0..ATTEMPTS {
            let row = self.own_row(kid).await?;
            if row.state == KeyState::Destroyed && to == KeyState::Destroyed {
                // By somebody who was killed before the rest was done.
                return self.finish(&row, row.since.unwrap_or(row.created)).await;
            }
            if row.state != from {
                return Err(Error::State(row.state));
            }
            // A key passes into this state with a time; without one it would be the state of its making.
            let since = row.since.ok_or(Error::RowRejected(row.kind))?;
            let until = since.saturating_add(self.window());
            if self.now() < until {
                return Err(Error::TooEarly { until });
            }
            let now = self.now_in_store().await?;
            let found = references.count(kid).await.map_err(|error| Error::References(error.into()))?;
            let found = found.saturating_add(self.children(&row).await?);
            if found > 0 {
                return Err(Error::Referenced { found });
            }
            let mut next = self.moved(&row, to, now)?;
            if to == KeyState::Destroyed {
                next.wrapped.clear();
                next.authenticate(&self.0.root.mac_key)?;
            }
            if self.commit(&Change::new().replace(row, next.clone())).await? != Committed::Done {
                continue;
            }
            self.0.domains.forget(next.slot.key_use);
            return match to {
                KeyState::Destroyed => self.finish(&next, now).await,
                _ => self.changed(KeyAct::Retired, &next, None, now),
            };
        }
        Err(Error::Contended)
    }

    /// Notes outside the store that a key was destroyed, and removes what is left of its row elsewhere.
    async fn finish(&self, row: &KeyRow, at: Timestamp) -> Result<KeyChange, Error> {
        let mut changed = self.changed(KeyAct::Destroyed, row, None, at)?;
        if let Some(anchored) = &self.0.anchored {
            anchored.destroyed(changed.key, self.generation().await?).await?;
        }
        changed.residues = self.0.store.purge().await?;
        Ok(changed)
    }

    /// The data keys that are wrapped under a domain key, of whatever state but destroyed.
    async fn children(&self, row: &KeyRow) -> Result<u64, Error> {
        let (mut count, mut after) = (0, None);
        if row.kind != RowKind::Domain || row.slot.key_use != KeyUse::Data {
            return Ok(0);
        }
        loop {
            let page = self.page(after.as_ref()).await?;
            let Some(last) = page.last() else { return Ok(count) };
            let is_child = |child: &&KeyRow| child.parent == row.full_id && child.state != KeyState::Destroyed;
            count += u64::try_from(page.iter().filter(is_child).count()).unwrap_or(u64::MAX);
            after = Some(last.clone());
        }
    }

    /// The authentic row of a key of this tenant.
    async fn own_row(&self, kid: KeyId) -> Result<KeyRow, Error> {
        let row = self.row_of(kid).await?.ok_or(Error::UnknownKey)?;
        if row.slot.tenant != self.0.tenant {
            return Err(Error::WrongScope);
        }
        if row.full_id.is_some_and(|id| id.kid() == kid) { Ok(row) } else { Err(Error::RowRejected(row.kind)) }
    }

    /// An authentic row with a new domain key, which every KEK that the policy wants has been seen to open.
    pub(super) async fn new_domain_row(
        &self,
        slot: &Slot,
        version: u32,
        state: KeyState,
        now: Timestamp,
    ) -> Result<KeyRow, Error> {
        let backend = self.backend();
        let key = backend.key()?;
        let mut row = root::new_domain_row(backend, slot.clone(), version, &key, now);
        row.state = state;
        row.wrapped = Box::pin(envelope::wrap_domain(backend, &self.0.keks, &row, &key)).await?;
        row.authenticate(&self.0.root.mac_key)?;
        Ok(row)
    }

    /// The row in another state from now on.
    pub(super) fn moved(&self, row: &KeyRow, state: KeyState, now: Timestamp) -> Result<KeyRow, Error> {
        let mut next = row.successor();
        // By a clock that is behind, a key would seem to have been in this state for long already.
        let since = now.max(row.created).max(row.since.unwrap_or(now));
        (next.state, next.since) = (state, Some(since));
        next.authenticate(&self.0.root.mac_key)?;
        Ok(next)
    }

    pub(super) fn changed(
        &self,
        act: KeyAct,
        row: &KeyRow,
        replaced: Option<&KeyRow>,
        at: Timestamp,
    ) -> Result<KeyChange, Error> {
        Ok(KeyChange {
            act,
            key: row.full_id.ok_or(Error::RowRejected(row.kind))?,
            kind: row.kind,
            key_use: row.slot.key_use,
            subject: None,
            replaced: replaced.and_then(|row| row.full_id),
            at,
            residues: Vec::new(),
        })
    }

    /// After this, whoever held a lease when a key changed its state holds none any more, and uses no key beyond its lease.
    pub(super) fn window(&self) -> Duration {
        WINDOW.saturating_add(self.0.data.cache.grace())
    }

    /// The time, which is not before the last change of the store's generation: a clock that is behind does not open a window
    /// before its time.
    pub(super) fn now_after(&self, generation: &KeyRow) -> Timestamp {
        self.now().max(generation.created)
    }

    async fn now_in_store(&self) -> Result<Timestamp, Error> {
        let root = self.0.store.slot(&Slot::root()).await?;
        Ok(self.now_after(self.0.root.generation(&root)?.0))
    }

    pub(super) fn now(&self) -> Timestamp {
        self.0.data.gate.clock.now()
    }
}

/// The version that follows those of a slot.
pub(super) fn next_version<'r>(rows: impl Iterator<Item = &'r KeyRow>) -> Result<u32, Error> {
    rows.map(|row| row.version).max().unwrap_or(0).checked_add(1).ok_or(Error::Contended)
}

impl KeyChange {
    fn about(mut self, subject: &SubjectId) -> Self {
        self.subject = Some(subject.clone());
        self
    }
}
