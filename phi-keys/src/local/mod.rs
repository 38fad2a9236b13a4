//! The local keyring: versioned KEKs in one protected file.

mod admin;
mod change;
mod disk;
mod error;
mod file;
mod unlock;

use core::cmp::Reverse;
use core::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

pub use error::KeyringError;
pub use unlock::Unlock;

use crate::backend::Backend;
use crate::id::Fingerprint;
use crate::kms::{
    Capabilities, Carrier, ContextBinding, Kek, KekState, KekStatus, Kms, KmsError, KmsFuture, RootPin, WrapContext,
    Wrapped,
};
use file::{Content, Lock};

/// Versioned KEKs in one file of mode 0600, protected by a passphrase or a key file. Cheap to clone; clones share one
/// state, so an application keeps a clone to rotate with.
///
/// The file also pins the root key of the key store that it is first used with, out of reach of who can write the
/// database. It is all that stands between a copy of the database and its content: back it up, apart from the database.
///
/// ```
/// use phi_keys::{Keys, LocalKeyring, MemoryKeyStore, Unlock};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let (keyring_path, key_path) = (folder.path().join("clinic.keyring"), folder.path().join("clinic.key"));
/// let keyring = LocalKeyring::create(&keyring_path, Unlock::create_key_file(&key_path)?)?;
/// let keys = Keys::builder(MemoryKeyStore::new()).kek(keyring.clone()).build().await?;
///
/// keyring.rotate()?;
/// let report = keys.rewrap().await?;
/// assert_eq!(report.rewrapped, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct LocalKeyring(Arc<Inner>);

struct Inner {
    path: PathBuf,
    kek_id: String,
    backend: Backend,
    lock: RwLock<Arc<Lock>>,
    state: RwLock<Content>,
}

impl LocalKeyring {
    /// Makes a keyring file with one KEK. Never overwrites a file. With a passphrase this takes some tenths of a second of
    /// one core and 64 MiB.
    ///
    /// # Errors
    /// [`KeyringError::AlreadyExists`] when there is a file, [`KeyringError::WeakPassphrase`] for a short passphrase, other
    /// [`KeyringError`]s when the file cannot be written.
    pub fn create(path: impl Into<PathBuf>, unlock: impl Into<Unlock>) -> Result<Self, KeyringError> {
        let path = path.into();
        let lock = Lock::new(&unlock.into())?;
        let kek_id = format!("local:{:016x}", u64::from_be_bytes(lock.backend.bytes()?));
        let content = Content { kek_id, pin: None, keks: vec![Kek::generate(lock.backend, 1)?] };
        disk::create(&path, &lock.seal(&content)?)?;
        Ok(Self::assemble(path, lock, content))
    }

    /// Opens a keyring file after checking that it is a plain file of this user that nobody else may use. With a passphrase
    /// this takes some tenths of a second of one core and 64 MiB.
    ///
    /// # Errors
    /// A [`KeyringError`] for each thing that can be wrong with a file or a passphrase.
    pub fn open(path: impl Into<PathBuf>, unlock: impl Into<Unlock>) -> Result<Self, KeyringError> {
        let path = path.into();
        let bytes = disk::read(&path)?;
        let lock = Lock::open(&unlock.into(), &bytes)?;
        let content = lock.unseal(&bytes)?;
        Ok(Self::assemble(path, lock, content))
    }

    fn assemble(path: PathBuf, lock: Lock, content: Content) -> Self {
        let (kek_id, backend) = (content.kek_id.clone(), lock.backend);
        Self(Arc::new(Inner { path, kek_id, backend, lock: RwLock::new(Arc::new(lock)), state: RwLock::new(content) }))
    }

    /// The version of the KEK that wraps now.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.state().newest()
    }

    /// The name of the KEK, the same for ever.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.kek_id
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Reads what other processes changed.
    fn reload(&self) -> Result<(), KeyringError> {
        let content = self.unseal(&disk::read(&self.0.path)?)?;
        self.set(content);
        Ok(())
    }

    fn unseal(&self, bytes: &[u8]) -> Result<Content, KeyringError> {
        let mut lock = self.lock();
        let content = loop {
            match lock.unseal(bytes) {
                // Another thread may just have put a new lock on the file that was read.
                Err(KeyringError::Relocked) if !Arc::ptr_eq(&lock, &self.lock()) => lock = self.lock(),
                unsealed => break unsealed?,
            }
        };
        if content.kek_id == self.0.kek_id { Ok(content) } else { Err(KeyringError::Damaged) }
    }

    /// Takes what was read, unless another thread has read something newer meanwhile. Each change makes this greater: a rotation
    /// the version, a pin the pin, and a retirement leaves fewer versions.
    fn set(&self, content: Content) {
        let age = |content: &Content| (content.newest(), content.pin.is_some(), Reverse(content.keks.len()));
        let mut state = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
        if age(&content) >= age(&state) {
            *state = content;
        }
    }

    fn lock(&self) -> Arc<Lock> {
        // It is replaced whole, so a panic elsewhere cannot leave half of it.
        Arc::clone(&self.0.lock.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn state(&self) -> RwLockReadGuard<'_, Content> {
        // The state is replaced whole, so a panic elsewhere cannot leave half of it.
        self.0.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_unwrap(&self, wrapped: &Wrapped, context: &WrapContext) -> Result<Carrier, KmsError> {
        let state = self.state();
        let named = |kek: &&Kek| kek.version.to_string() == wrapped.kek_version();
        state.keks.iter().find(named).ok_or(KmsError::UnknownVersion)?.unwrap(self.0.backend, wrapped, context)
    }
}

impl Kms for LocalKeyring {
    fn kek_id(&self) -> &str {
        &self.0.kek_id
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(ContextBinding::Native).with_named_version().with_admin().with_backend(self.0.backend)
    }

    fn wrap_dek<'a>(&'a self, carrier: &'a Carrier, context: &'a WrapContext) -> KmsFuture<'a, Wrapped> {
        Box::pin(async move {
            // Another process may have rotated, and retired the version that this one has read. The file is small and wraps
            // are few; reading it here blocks for microseconds.
            self.reload()?;
            let state = self.state();
            let newest = state.keks.last().ok_or(KmsError::UnknownVersion)?;
            newest.wrap(self.0.backend, &self.0.kek_id, carrier, context)
        })
    }

    fn unwrap_dek<'a>(&'a self, wrapped: &'a Wrapped, context: &'a WrapContext) -> KmsFuture<'a, Carrier> {
        Box::pin(async move {
            if wrapped.kek_id() != self.0.kek_id {
                return Err(KmsError::OtherKek);
            }
            match self.try_unwrap(wrapped, context) {
                Err(KmsError::UnknownVersion) => {
                    // Another process may have rotated.
                    self.reload()?;
                    self.try_unwrap(wrapped, context)
                }
                result => result,
            }
        })
    }

    fn status(&self) -> KmsFuture<'_, KekStatus> {
        Box::pin(async move {
            self.reload()?;
            Ok(KekStatus::new(KekState::Enabled, Some(self.version().to_string())))
        })
    }

    fn version_state<'a>(&'a self, version: &'a str) -> KmsFuture<'a, Option<KekState>> {
        Box::pin(async move {
            self.reload()?;
            let is_there = self.state().keks.iter().any(|kek| kek.version.to_string() == version);
            Ok(Some(if is_there { KekState::Enabled } else { KekState::Destroyed }))
        })
    }

    fn root_pin(&self) -> Option<&dyn RootPin> {
        Some(self)
    }
}

impl RootPin for LocalKeyring {
    fn pinned(&self) -> Result<Option<Fingerprint>, KmsError> {
        if self.state().pin.is_none() {
            // Another process may have pinned a store since this one read the file.
            self.reload()?;
        }
        Ok(self.state().pin)
    }

    fn pin(&self, fingerprint: Fingerprint) -> Result<(), KmsError> {
        if self.state().pin == Some(fingerprint) {
            return Ok(());
        }
        let pin = |content: &mut Content| match content.pin.get_or_insert(fingerprint) {
            pinned if *pinned == fingerprint => Ok(()),
            _ => Err(KeyringError::OtherStore),
        };
        Ok(self.update(pin)?)
    }
}

impl fmt::Debug for LocalKeyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalKeyring({} version {})", self.0.kek_id, self.version())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_before_a_version_was_retired_does_not_bring_it_back() {
        let folder = tempfile::tempdir().unwrap();
        let (path, key_path) = (folder.path().join("keyring"), folder.path().join("key"));
        let keyring = LocalKeyring::create(&path, Unlock::create_key_file(key_path).unwrap()).unwrap();
        keyring.rotate().unwrap();
        let late = keyring.unseal(&disk::read(&path).unwrap()).unwrap();
        keyring.remove(1).unwrap();
        keyring.set(late);
        assert_eq!(keyring.state().keks.iter().map(|kek| kek.version).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn what_was_read_before_a_rotation_does_not_undo_it() {
        let folder = tempfile::tempdir().unwrap();
        let (path, key_path) = (folder.path().join("keyring"), folder.path().join("key"));
        let keyring = LocalKeyring::create(&path, Unlock::create_key_file(key_path).unwrap()).unwrap();
        let read = || keyring.unseal(&disk::read(&path).unwrap()).unwrap();
        // Another thread reads the file, is held up, and goes on after the rotation and after the pin.
        let (unrotated, fingerprint) = (read(), Fingerprint::from_bytes([7; 32]));
        assert_eq!(keyring.rotate().unwrap(), 2);
        let unpinned = read();
        keyring.pin(fingerprint).unwrap();
        for late in [unrotated, unpinned] {
            keyring.set(late);
            assert_eq!((keyring.version(), keyring.state().pin), (2, Some(fingerprint)));
        }
    }
}
