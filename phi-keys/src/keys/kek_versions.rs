//! Which versions of KEKs are still needed.

use std::collections::BTreeMap;

use super::{Keys, envelope};
use crate::error::Error;
use crate::store::KeyState;

/// One version of a KEK, and how many domain keys it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KekUse {
    /// The KEK.
    pub kek_id: String,
    /// The version, in the KMS's own words; empty where the KMS named none.
    pub version: String,
    /// Domain keys of all tenants, and the store root key, that have a copy under it.
    pub keys: u64,
}

impl Keys {
    /// Under which versions of which KEKs the domain keys of all tenants and the store root key have copies, by name. What is not
    /// listed is not needed by the rows of this store as they are now; backups of the key tables may need it still.
    ///
    /// # Errors
    /// [`Error`] when the store fails or was altered.
    pub async fn kek_versions(&self) -> Result<Vec<KekUse>, Error> {
        let mut uses = BTreeMap::<(String, String), u64>::new();
        // Destroyed ones have no copies.
        for row in self.census().await?.domains.into_iter().filter(|row| row.state != KeyState::Destroyed) {
            for copy in envelope::decode(&row)? {
                let name = (copy.carrier.kek_id().to_owned(), copy.carrier.kek_version().to_owned());
                *uses.entry(name).or_default() += 1;
            }
        }
        Ok(uses.into_iter().map(|((kek_id, version), keys)| KekUse { kek_id, version, keys }).collect())
    }
}

#[cfg(feature = "local")]
mod local {
    use super::{Error, Keys};
    use crate::keys::ATTEMPTS;
    use crate::kms::{KekAct, KekChange, KekState, KmsError, RootPin as _};
    use crate::local::LocalKeyring;
    use crate::store::{Change, Committed};

    impl Keys {
        /// Takes an old version of a local KEK out of its keyring for ever, after [`rotate`](LocalKeyring::rotate) and a
        /// [`rewrap`](Self::rewrap) of every tenant. Backups of the key tables that need that version cannot be opened after it;
        /// backups of the keyring still hold it.
        ///
        /// A domain key that another process is making meanwhile under the old version is not lost: that process then fails to
        /// write it, and makes it anew under the newest one.
        ///
        /// # Errors
        /// [`Error::KekInUse`] while a domain key of any tenant has a copy under the version; [`Error::RootMismatch`] when the
        /// keyring belongs to another store; [`Error::Kms`] with the [`KeyringError`](crate::KeyringError) when the version is
        /// the newest one or unknown, or the file cannot be replaced; other [`Error`]s when the store fails.
        pub async fn retire_kek_version(&self, keyring: &LocalKeyring, version: u32) -> Result<KekChange, Error> {
            let pinned = keyring.pinned()?;
            if !pinned.is_some_and(|pinned| pinned.matches(&self.fingerprint())) {
                return Err(Error::RootMismatch);
            }
            keyring.may_remove(version).map_err(KmsError::from)?;
            self.next_generation().await?;
            let name = version.to_string();
            let uses = self.kek_versions().await?;
            if let Some(used) = uses.iter().find(|used| used.kek_id == keyring.id() && used.version == name) {
                return Err(Error::KekInUse { keys: used.keys });
            }
            keyring.remove(version).map_err(KmsError::from)?;
            Ok(KekChange::new(keyring.id(), KekAct::Retire, Some(name), KekState::Destroyed))
        }

        /// From here on no domain key can be written that was wrapped before: who makes one replaces the generation that it saw
        /// first.
        async fn next_generation(&self) -> Result<(), Error> {
            for _ in 0..ATTEMPTS {
                let census = self.census().await?;
                let next = census.generation.next(census.generation.domains)?;
                let row = self.0.root.generation_row(&next, self.now_after(&census.row))?;
                if self.commit(&Change::new().replace(census.row, row)).await? == Committed::Done {
                    return Ok(());
                }
            }
            Err(Error::Contended)
        }
    }
}
