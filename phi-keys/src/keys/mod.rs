//! The key manager: finds, makes, caches, rewraps and shreds keys.

mod anchored;
mod builder;
mod cache;
mod certificate;
mod complete;
mod data;
mod domain;
mod envelope;
mod flight;
#[cfg(feature = "test-util")]
mod forged;
mod handle;
mod held;
mod kek_versions;
mod lifecycle;
mod limits;
mod maintain;
mod many;
#[cfg(all(test, loom))]
mod model;
mod name;
#[cfg(feature = "postgres")]
mod notify;
mod refusals;
mod replay;
mod report;
mod revoke;
mod rewrap;
mod rewrap_data;
mod root;
mod rows;
mod said;
mod shred;
mod stage;
mod sync;

use core::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

pub use builder::KeysBuilder;
pub use certificate::{Certificate, CertificateError};
use handle::Found;
pub use handle::{DataKey, DomainKey};
pub use kek_versions::KekUse;
pub use lifecycle::{References, ReferencesFuture};
pub use maintain::{Forgotten, HeldVersion, KekCheck};
#[cfg(feature = "postgres")]
pub use notify::PostgresRevocations;
pub use report::{Completed, DataRewrapped, KeyAct, KeyChange, Replayed, Rewrapped, Shredded};
pub use revoke::{Revocation, RevocationChannel, RevocationNotice, Revoked};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use shred::PendingShred;

use crate::backend::Backend;
use crate::derive::Label;
use crate::error::Error;
use crate::id::{Fingerprint, KeyId};
use crate::kms::KekSet;
use crate::scope::{KeyUse, Scope};
use crate::signer::Ed25519Signer;
use crate::store::{KeyRow, KeyStore, Slot};

/// The keys of one tenant in one key store. Cheap to clone; clones share one cache.
///
/// ```
/// use phi_keys::{EphemeralKeyring, Keys, MemoryKeyStore, Scope};
/// use phi_types::SubjectId;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let keys = Keys::builder(MemoryKeyStore::new())
///     .kek(EphemeralKeyring::generate()?)
///     .tenant("clinic")
///     .build()
///     .await?;
///
/// let patient = SubjectId::new("22d6efc6")?;
/// let key = keys.data_key(&Scope::subject(&patient)).await?;
/// assert_eq!(keys.data_key_by_id(key.kid(), &Scope::subject(&patient)).await?.kid(), key.kid());
///
/// keys.shred(&patient).await?;
/// assert!(!key.is_live());
/// assert!(keys.data_key(&Scope::subject(&patient)).await.is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Keys(Arc<Inner>);

struct Inner {
    store: Arc<dyn KeyStore>,
    keks: KekSet,
    tenant: String,
    root: root::Root,
    domains: domain::Domains,
    data: data::Data,
    anchored: Option<anchored::Anchored>,
    replayed: Replayed,
    channel: Option<Arc<dyn RevocationChannel>>,
}

impl Keys {
    /// Starts a key manager over a key store.
    pub fn builder(store: impl KeyStore) -> KeysBuilder {
        KeysBuilder::new(Arc::new(store))
    }

    /// The tenant whose keys these are.
    #[must_use]
    pub fn tenant(&self) -> &str {
        &self.0.tenant
    }

    /// What computes for this key manager, and for whoever seals and opens with its keys.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.0.root.backend
    }

    /// The commitment of the store root key. Note it where the database's writers cannot reach, unless the keyring pins
    /// it already.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.0.root.fingerprint
    }

    /// What had to be brought back into the store from its [anchor](crate::KeysBuilder::anchor) before it was opened. It
    /// belongs into the audit log.
    #[must_use]
    pub fn replayed(&self) -> &Replayed {
        &self.0.replayed
    }

    /// The generation of the store now: it grows with every shred and every new domain key.
    ///
    /// # Errors
    /// [`Error`] when the store fails, or its generation row is not authentic.
    pub async fn generation(&self) -> Result<u64, Error> {
        Ok(self.0.root.generation(&self.0.store.slot(&Slot::root()).await?)?.1.number)
    }

    /// The active data key of a scope, for sealing. It is made when there is none; of several that make it at once, one
    /// wins and the others get the winner's.
    ///
    /// # Errors
    /// [`Error::Shredded`] after the subject was shredded; other [`Error`]s when the key cannot be had.
    pub async fn data_key(&self, scope: &Scope) -> Result<DataKey, Error> {
        match self.0.data.cache.active(scope) {
            Some(Found::Live(handle)) => Ok(DataKey(handle)),
            Some(Found::Ahead(handle, renewal)) => Box::pin(self.renew_lease(scope, None, handle, renewal)).await,
            None => Box::pin(self.fetch(scope, None)).await,
        }
    }

    /// The data key of a kid, for opening what it sealed.
    ///
    /// # Errors
    /// [`Error::WrongScope`] when the key belongs to another tenant, use or scope; [`Error::Shredded`] after the subject
    /// was shredded; [`Error::UnknownKey`] when there is none; other [`Error`]s when it cannot be had.
    pub async fn data_key_by_id(&self, kid: KeyId, scope: &Scope) -> Result<DataKey, Error> {
        match self.0.data.cache.by_kid(kid, scope)? {
            Some(Found::Live(handle)) => Ok(DataKey(handle)),
            Some(Found::Ahead(handle, renewal)) => Box::pin(self.renew_lease(scope, Some(kid), handle, renewal)).await,
            None => Box::pin(self.fetch(scope, Some(kid))).await,
        }
    }

    /// The active domain key of a use. It is made when there is none.
    ///
    /// # Errors
    /// [`Error::Config`] for [`KeyUse::Root`], which is never handed out; other [`Error`]s when the key cannot be had.
    pub async fn domain_key(&self, key_use: KeyUse) -> Result<DomainKey, Error> {
        if key_use == KeyUse::Root {
            return Err(Error::Config("the root key authenticates the key store and is never handed out"));
        }
        self.domain(key_use, None).await.map(DomainKey)
    }

    /// The active domain key of a use, then the others that open and can be had: what was derived from one before it may
    /// still be looked for, and another process may have put a [staged](Self::stage_domain_key) one to use already. Answered
    /// from memory while the leases last.
    ///
    /// # Errors
    /// As [`domain_key`](Self::domain_key).
    pub async fn domain_keys(&self, key_use: KeyUse) -> Result<Vec<DomainKey>, Error> {
        let active = self.domain_key(key_use).await?;
        let mut keys = vec![active];
        for full_id in self.0.domains.held.full_ids(key_use) {
            if keys.iter().all(|key| key.full_id() != full_id) {
                keys.push(DomainKey(self.domain(key_use, Some(full_id)).await?));
            }
        }
        Ok(keys)
    }

    /// The Ed25519 signing key of a name, such as `audit`: its seed is derived from the audit domain key and the name.
    ///
    /// # Errors
    /// [`Error`] when the audit domain key cannot be had.
    pub async fn signer(&self, name: &str) -> Result<Ed25519Signer, Error> {
        let key = self.domain(KeyUse::Audit, None).await?;
        let backend = self.backend();
        Ok(Ed25519Signer::from_seed(backend, &backend.expand(&key.cell.key, Label::ED25519, name.as_bytes())))
    }

    /// The key under which session tokens are stored, derived from the session domain key.
    ///
    /// # Errors
    /// [`Error`] when the session domain key cannot be had.
    pub async fn session_key(&self) -> Result<Zeroizing<[u8; 32]>, Error> {
        let key = self.domain(KeyUse::Session, None).await?;
        Ok(self.backend().expand(&key.cell.key, Label::SESSION, &[]))
    }

    /// The KEKs under which domain keys are wrapped, to ask for their status.
    #[must_use]
    pub fn keks(&self) -> &KekSet {
        &self.0.keks
    }

    /// Data keys in the cache.
    #[must_use]
    pub fn cached(&self) -> usize {
        self.0.data.cache.len()
    }

    /// Notes outside the store how far it has come.
    async fn note_generation(&self, number: u64) -> Result<(), Error> {
        match &self.0.anchored {
            Some(anchored) => anchored.reached(number).await,
            None => Ok(()),
        }
    }

    /// Whether the anchor says that a key was shredded or destroyed, whatever the store says.
    fn is_gone(&self, row: &KeyRow) -> bool {
        let anchored = self.0.anchored.as_ref();
        anchored.zip(row.full_id.as_ref()).is_some_and(|(anchored, id)| anchored.is_gone(id))
    }

    /// How a key row names a scope.
    fn pseudonym(&self, scope: &Scope) -> Result<[u8; 32], Error> {
        self.0.root.pseudonym(&self.0.tenant, scope)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("tenant", &self.0.tenant)
            .field("store", &self.0.store)
            .field("keks", &self.0.keks)
            .field("cache", &self.0.data.cache)
            .finish_non_exhaustive()
    }
}

/// How often a lost race is run again before giving up.
const ATTEMPTS: usize = 16;
