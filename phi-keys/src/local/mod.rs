//! The local keyring: versioned KEKs in one protected file.

mod admin;
mod disk;
mod error;
mod file;
mod unlock;

use core::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

pub use error::KeyringError;
pub use unlock::Unlock;

use crate::id::Fingerprint;
use crate::kms::{
    Capabilities, Carrier, ContextBinding, Kek, KekState, KekStatus, Kms, KmsError, KmsFuture, RootPin, WrapContext,
    Wrapped,
};
use crate::random;
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
    lock: Lock,
    kek_id: String,
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
        let kek_id = format!("local:{:016x}", u64::from_be_bytes(random::bytes()?));
        let content = Content { kek_id: kek_id.clone(), pin: None, keks: vec![Kek::generate(1)?] };
        disk::create(&path, &lock.seal(&content)?)?;
        Ok(Self(Arc::new(Inner { path, lock, kek_id, state: RwLock::new(content) })))
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
        let kek_id = content.kek_id.clone();
        Ok(Self(Arc::new(Inner { path, lock, kek_id, state: RwLock::new(content) })))
    }

    /// Adds a version of the KEK, under which everything is wrapped from now on, and returns its number. The old versions
    /// stay, for what is wrapped under them; [`Keys::rewrap`](crate::Keys::rewrap) moves that to the new one.
    ///
    /// The file is replaced atomically under a lock, so two processes that rotate at once add two versions.
    ///
    /// # Errors
    /// [`KeyringError`] when the file cannot be read or replaced; the keyring is then as it was.
    pub fn rotate(&self) -> Result<u32, KeyringError> {
        self.update(|content| {
            let version = content.newest().checked_add(1).ok_or(KeyringError::Full)?;
            content.keks.push(Kek::generate(version)?);
            Ok(version)
        })
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

    /// Changes what is in the file now, which another process may have changed since it was opened.
    fn update<T>(&self, change: impl FnOnce(&mut Content) -> Result<T, KeyringError>) -> Result<T, KeyringError> {
        let locked = disk::lock(&self.0.path)?;
        let mut content = self.unseal(&locked.content)?;
        let changed = change(&mut content)?;
        locked.replace(&self.0.lock.seal(&content)?)?;
        self.set(content);
        Ok(changed)
    }

    /// Reads what other processes changed.
    fn reload(&self) -> Result<(), KeyringError> {
        let content = self.unseal(&disk::read(&self.0.path)?)?;
        self.set(content);
        Ok(())
    }

    fn unseal(&self, bytes: &[u8]) -> Result<Content, KeyringError> {
        let content = self.0.lock.unseal(bytes)?;
        if content.kek_id == self.0.kek_id { Ok(content) } else { Err(KeyringError::Damaged) }
    }

    /// Takes what was read, unless another thread has read something newer meanwhile: versions are only added, and a pin
    /// stays.
    fn set(&self, content: Content) {
        let mut state = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
        if (content.newest(), content.pin.is_some()) >= (state.newest(), state.pin.is_some()) {
            *state = content;
        }
    }

    fn state(&self) -> RwLockReadGuard<'_, Content> {
        // The state is replaced whole, so a panic elsewhere cannot leave half of it.
        self.0.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_unwrap(&self, wrapped: &Wrapped, context: &WrapContext) -> Result<Carrier, KmsError> {
        let state = self.state();
        let named = |kek: &&Kek| kek.version.to_string() == wrapped.kek_version();
        state.keks.iter().find(named).ok_or(KmsError::UnknownVersion)?.unwrap(wrapped, context)
    }
}

impl Kms for LocalKeyring {
    fn kek_id(&self) -> &str {
        &self.0.kek_id
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(ContextBinding::Native).with_named_version().with_admin()
    }

    fn wrap_dek<'a>(&'a self, carrier: &'a Carrier, context: &'a WrapContext) -> KmsFuture<'a, Wrapped> {
        Box::pin(async move {
            let state = self.state();
            let newest = state.keks.last().ok_or(KmsError::UnknownVersion)?;
            newest.wrap(&self.0.kek_id, carrier, context)
        })
    }

    fn unwrap_dek<'a>(&'a self, wrapped: &'a Wrapped, context: &'a WrapContext) -> KmsFuture<'a, Carrier> {
        Box::pin(async move {
            if wrapped.kek_id() != self.0.kek_id {
                return Err(KmsError::OtherKek);
            }
            match self.try_unwrap(wrapped, context) {
                Err(KmsError::UnknownVersion) => {
                    // Another process may have rotated. The file is small; reading it here blocks for microseconds.
                    self.reload().map_err(KmsError::failed)?;
                    self.try_unwrap(wrapped, context)
                }
                result => result,
            }
        })
    }

    fn status(&self) -> KmsFuture<'_, KekStatus> {
        Box::pin(async move {
            self.reload().map_err(KmsError::failed)?;
            Ok(KekStatus::new(KekState::Enabled, Some(self.version().to_string())))
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
            self.reload().map_err(KmsError::failed)?;
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
        self.update(pin).map_err(KmsError::failed)
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
