//! A domain key that everybody knows before anybody uses it.

use super::lifecycle::next_version;
use super::report::{KeyAct, KeyChange};
use super::{ATTEMPTS, Keys, envelope, root};
use crate::error::Error;
use crate::scope::KeyUse;
use crate::store::{Change, Committed, KeyRow, KeyState, Slot};

const ROOT: Error = Error::Config("the root key of a store is for ever: make a new store to change it");
const NOTHING: Error = Error::Config(
    "no domain key of this use is staged: stage one with `stage_domain_key`, and activate it 65 minutes later",
);

impl Keys {
    /// Makes the domain key that is to follow the active one, without using it: from the next lease on every process holds it
    /// and opens with it, while all of them go on sealing with the one before. [`activate_domain_key`] puts it to use.
    ///
    /// So a rotation needs no KMS at the moment when it takes place, a search finds what is tagged under the new index key
    /// whichever process wrote it, and a KMS that cannot give the new key back to somebody shows while nothing depends on it.
    /// Staging again makes no second key; it makes the copies that a KMS which was down has left out.
    ///
    /// ```
    /// use core::time::Duration;
    /// use phi_keys::{EphemeralKeyring, Error, KeyUse, Keys, MemoryKeyStore};
    /// use phi_types::ManualClock;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let clock = ManualClock::at_unix_seconds(1_767_225_600);
    /// let keys = Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate()?).clock(clock.clone()).build().await?;
    /// let old = keys.domain_key(KeyUse::Index).await?.full_id();
    /// let staged = keys.stage_domain_key(KeyUse::Index).await?;
    /// assert!(matches!(keys.activate_domain_key(KeyUse::Index).await, Err(Error::TooEarly { .. })));
    /// assert_eq!(keys.domain_key(KeyUse::Index).await?.full_id(), old);
    ///
    /// clock.advance(Duration::from_secs(65 * 60));
    /// let change = keys.activate_domain_key(KeyUse::Index).await?;
    /// assert_eq!((change.key, change.replaced), (staged.key, Some(old)));
    /// assert_eq!(keys.domain_key(KeyUse::Index).await?.full_id(), staged.key);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] for [`KeyUse::Root`]; other [`Error`]s when a KMS or the store fails.
    ///
    /// [`activate_domain_key`]: Self::activate_domain_key
    pub async fn stage_domain_key(&self, key_use: KeyUse) -> Result<KeyChange, Error> {
        if key_use == KeyUse::Root {
            return Err(ROOT);
        }
        // There is one to follow.
        self.domain(key_use, None).await?;
        let slot = Slot::new(self.0.tenant.clone(), key_use, None);
        for _ in 0..ATTEMPTS {
            let mut census = self.census().await?;
            if let Some(row) = staged(&census.domains, &slot) {
                let change = self.changed(KeyAct::Staged, row, None, row.created)?;
                Box::pin(self.complete_row(row.clone())).await?;
                return Ok(change);
            }
            let version = next_version(census.domains.iter().filter(|row| row.slot == slot))?;
            let now = self.now_after(&census.row);
            let row = self.new_domain_row(&slot, version, KeyState::Pending, now).await?;
            census.domains.push(row.clone());
            let next = census.generation.next(root::digest_of(self.backend(), &census.domains))?;
            let change = Change::new().replace(census.row, self.0.root.generation_row(&next, now)?).insert(row.clone());
            if self.commit(&change).await? == Committed::Done {
                self.0.domains.forget(key_use);
                return self.changed(KeyAct::Staged, &row, None, now);
            }
        }
        Err(Error::Contended)
    }

    /// Puts the domain key to use that [`stage_domain_key`](Self::stage_domain_key) made, and the one before it opens only:
    /// 65 minutes later, or later by an [`outage_grace`](crate::KeysBuilder::outage_grace), so that every process has read it; and only
    /// after every KEK under which the policy wants a copy was asked for it and gave it back.
    ///
    /// # Errors
    /// [`Error::Config`] when none is staged; [`Error::TooEarly`]; [`Error::CopiesMissing`] when it lacks copies that were
    /// left out while a KMS was down; [`Error::Kms`] when a KMS does not give it back; other [`Error`]s when the store fails.
    /// Nothing was changed then.
    pub async fn activate_domain_key(&self, key_use: KeyUse) -> Result<KeyChange, Error> {
        let slot = Slot::new(self.0.tenant.clone(), key_use, None);
        for _ in 0..ATTEMPTS {
            let census = self.census().await?;
            let row = staged(&census.domains, &slot).ok_or(NOTHING)?;
            let until = row.created.saturating_add(self.window());
            if self.now() < until {
                return Err(Error::TooEarly { until });
            }
            let now = self.now_after(&census.row);
            Box::pin(self.opens_everywhere(row)).await?;
            let next = self.moved(row, KeyState::Active, now)?;
            let mut change = Change::new().replace(row.clone(), next.clone());
            let active = census.domains.iter().filter(|row| row.slot == slot && row.state == KeyState::Active);
            let active = active.collect::<Vec<_>>();
            for old in &active {
                change = change.replace((*old).clone(), self.moved(old, KeyState::DecryptOnly, now)?);
            }
            if self.commit(&change).await? == Committed::Done {
                self.0.domains.forget(key_use);
                return self.changed(KeyAct::Activated, &next, active.last().copied(), now);
            }
        }
        Err(Error::Contended)
    }

    /// Whether each KEK that the policy wants gives the key back, by itself.
    async fn opens_everywhere(&self, row: &KeyRow) -> Result<(), Error> {
        let (copies, mut missing) = (envelope::decode(row)?, 0);
        for kek in self.0.keks.wanted() {
            match copies.iter().find(|copy| copy.carrier.kek_id() == kek.kek_id()) {
                Some(copy) => drop(envelope::open_copy(self.backend(), &**kek, row, copy).await?),
                None => missing += 1,
            }
        }
        if missing == 0 { Ok(()) } else { Err(Error::CopiesMissing { missing }) }
    }
}

/// The domain key of a slot that waits to be used.
fn staged<'r>(domains: &'r [KeyRow], slot: &Slot) -> Option<&'r KeyRow> {
    domains.iter().find(|row| row.slot == *slot && row.state == KeyState::Pending)
}
