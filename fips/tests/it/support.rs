//! Keys on both backends over one store.

use std::sync::Arc;

use phi_crypto::{Context, Opener, ScopedOpener, ScopedSealer, Sealer};
use phi_keys::backend::Backend;
use phi_keys::{Keys, LocalKeyring, MemoryKeyStore, Scope, Unlock};
use tempfile::TempDir;

pub fn fips() -> Backend {
    Backend::fips().expect("what was linked is not the FIPS build")
}

/// A key store and a keyring that programs on either backend open.
pub struct Clinic {
    pub folder: TempDir,
    store: Arc<MemoryKeyStore>,
}

impl Clinic {
    /// The keyring is made by one of the backends.
    pub fn new(backend: Backend) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let unlock = Unlock::create_key_file_on(backend, folder.path().join("key")).unwrap();
        LocalKeyring::create(folder.path().join("keyring"), unlock).unwrap();
        Self { folder, store: Arc::new(MemoryKeyStore::new()) }
    }

    pub fn keyring(&self, backend: Backend) -> LocalKeyring {
        let unlock = Unlock::key_file(self.folder.path().join("key")).on(backend);
        LocalKeyring::open(self.folder.path().join("keyring"), unlock).unwrap()
    }

    pub async fn keys(&self, backend: Backend) -> Keys {
        let keys = Keys::builder(Arc::clone(&self.store)).kek(self.keyring(backend)).backend(backend);
        keys.tenant("clinic").build().await.unwrap()
    }
}

pub fn ward() -> Scope {
    Scope::group("ward 7")
}

pub fn bed() -> Context<'static> {
    Context::new("Bed", "occupant").record_id(1_u64)
}

pub async fn sealer(keys: &Keys) -> ScopedSealer {
    Sealer::builder(keys.clone()).build().for_scope(&ward()).await.unwrap()
}

pub async fn opener(keys: &Keys) -> ScopedOpener {
    Opener::builder(keys.clone()).build().for_scope(&ward()).await.unwrap()
}
