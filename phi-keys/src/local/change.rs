//! What changes the file. Every change is made to what the file holds then, under a lock, and replaces it whole.

use std::sync::{Arc, PoisonError};

use super::disk::Locked;
use super::file::{Content, Lock};
use super::{KeyringError, LocalKeyring, Unlock, disk};
use crate::kms::Kek;

impl LocalKeyring {
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
            content.keks.push(Kek::generate(self.0.backend, version)?);
            Ok(version)
        })
    }

    /// Protects the file with another passphrase or key file, for which the old one is given up. The KEKs and the pin stay,
    /// and so does the backend, whatever [`Unlock::on`] says.
    ///
    /// Other processes that have the keyring open go on unwrapping with what they have read, and get
    /// [`KeyringError::Relocked`] when they wrap, rotate or ask for the status: restart them with the new one. Who has a copy of
    /// the file from before still opens that with the old one; when it may be known to others, [`rotate`](Self::rotate) as well.
    ///
    /// # Errors
    /// [`KeyringError::WeakPassphrase`] for a short passphrase, other [`KeyringError`]s when the file cannot be read or
    /// replaced; the old protection then stays.
    pub fn relock(&self, unlock: impl Into<Unlock>) -> Result<(), KeyringError> {
        let new = Lock::new(&unlock.into().on(self.0.backend))?;
        let (locked, content) = self.locked()?;
        {
            // Held meanwhile, so that a thread that reads the new file waits for the key to it.
            let mut lock = self.0.lock.write().unwrap_or_else(PoisonError::into_inner);
            locked.replace(&new.seal(&content)?)?;
            *lock = Arc::new(new);
        }
        self.set(content);
        Ok(())
    }

    /// Takes a version out of the file for ever. The caller has made sure that nothing is wrapped under it.
    pub(crate) fn remove(&self, version: u32) -> Result<(), KeyringError> {
        self.update(|content| {
            if content.newest() == version {
                return Err(KeyringError::NewestVersion);
            }
            let before = content.keks.len();
            content.keks.retain(|kek| kek.version != version);
            if content.keks.len() == before { Err(KeyringError::NoSuchVersion) } else { Ok(()) }
        })
    }

    /// Refuses a version that the file, as it is now, does not hold or wraps under.
    pub(crate) fn may_remove(&self, version: u32) -> Result<(), KeyringError> {
        self.reload()?;
        let state = self.state();
        match state.keks.iter().any(|kek| kek.version == version) {
            true if state.newest() == version => Err(KeyringError::NewestVersion),
            true => Ok(()),
            false => Err(KeyringError::NoSuchVersion),
        }
    }

    /// Changes what is in the file now, which another process may have changed since it was opened.
    pub(super) fn update<T>(
        &self,
        change: impl FnOnce(&mut Content) -> Result<T, KeyringError>,
    ) -> Result<T, KeyringError> {
        let (locked, mut content) = self.locked()?;
        let changed = change(&mut content)?;
        locked.replace(&self.lock().seal(&content)?)?;
        self.set(content);
        Ok(changed)
    }

    /// What is in the file, kept from being changed by others.
    fn locked(&self) -> Result<(Locked, Content), KeyringError> {
        let locked = disk::lock(&self.0.path)?;
        let content = self.unseal(&locked.content)?;
        Ok((locked, content))
    }
}
