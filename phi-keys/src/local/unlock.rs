//! What a keyring file is protected with.

use core::fmt;
use std::path::{Path, PathBuf};

use argon2::{Algorithm, Argon2, Params, Version};
use base64ct::{Base64, Encoding};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::disk;
use super::error::KeyringError;
use crate::backend::{Backend, NotApproved};
use crate::derive::Label;

/// What a key file begins with.
const KEY_FILE: &str = "phi-key-file-1:";
const SHORTEST_PASSPHRASE: usize = 12;

/// What a keyring file is protected with. There is no default and no unprotected keyring.
///
/// ```
/// use phi_keys::Unlock;
///
/// let unlock = Unlock::passphrase("correct horse battery staple");
/// assert_eq!(format!("{unlock:?}"), "Unlock(passphrase)");
/// ```
pub struct Unlock {
    kind: Kind,
    backend: Backend,
}

enum Kind {
    Passphrase(SecretString),
    KeyFile(PathBuf),
}

impl Unlock {
    /// A passphrase, stretched with Argon2id (RFC 9106): 64 MiB and three passes. At least 12 bytes for a new keyring.
    pub fn passphrase(passphrase: impl Into<SecretString>) -> Self {
        Self { kind: Kind::Passphrase(passphrase.into()), backend: Backend::ring() }
    }

    /// A file of this user, of mode 0600 or 0400, that holds a random key. Keep it apart from the keyring and from its
    /// backups: both together are all that is needed.
    ///
    /// A secret that an orchestrator mounts is often a link, or readable by others, and then refused: have it mounted as a
    /// plain file of this user, or copy it to one in memory before the process starts.
    pub fn key_file(path: impl Into<PathBuf>) -> Self {
        Self { kind: Kind::KeyFile(path.into()), backend: Backend::ring() }
    }

    /// The same for a keyring on another backend than *ring*: what opens the file and what wraps with its KEKs. A validated
    /// module takes no passphrase, because Argon2id is not approved; use a key file.
    ///
    /// ```
    /// use phi_keys::Unlock;
    /// use phi_keys::backend::Backend;
    ///
    /// // With the feature `fips`: `Backend::fips()?`.
    /// let unlock = Unlock::key_file("/run/keys/clinic.key").on(Backend::ring());
    /// # let _ = unlock;
    /// ```
    #[must_use]
    pub fn on(mut self, backend: Backend) -> Self {
        self.backend = backend;
        self
    }

    pub(super) const fn backend(&self) -> Backend {
        self.backend
    }

    /// Makes a key file with a fresh random key. Never overwrites a file.
    ///
    /// # Errors
    /// [`KeyringError`] when the file exists or cannot be written.
    pub fn create_key_file(path: impl Into<PathBuf>) -> Result<Self, KeyringError> {
        Self::create_key_file_on(Backend::ring(), path)
    }

    /// As [`create_key_file`](Self::create_key_file), with a key of a backend's randomness, for a keyring
    /// [on](Self::on) it.
    ///
    /// # Errors
    /// [`KeyringError`] when the file exists or cannot be written.
    pub fn create_key_file_on(backend: Backend, path: impl Into<PathBuf>) -> Result<Self, KeyringError> {
        let path = path.into();
        let key = backend.key()?;
        let encoded = Zeroizing::new(Base64::encode_string(key.as_slice()));
        // In one piece, so that no unwiped copy is left by a growing text.
        let text = Zeroizing::new([KEY_FILE, &encoded, "\n"].concat());
        disk::create(&path, text.as_bytes())?;
        Ok(Self::key_file(path).on(backend))
    }

    /// How a new keyring is protected.
    pub(super) fn new_protection(&self) -> Result<Protection, KeyringError> {
        self.admit()?;
        match &self.kind {
            Kind::Passphrase(passphrase) if passphrase.expose_secret().len() < SHORTEST_PASSPHRASE => {
                Err(KeyringError::WeakPassphrase)
            }
            Kind::Passphrase(_) => Ok(Protection::Passphrase(Cost::DEFAULT)),
            Kind::KeyFile(_) => Ok(Protection::KeyFile),
        }
    }

    /// The key that unlocks a keyring of this protection and salt.
    pub(super) fn key(&self, protection: Protection, salt: &[u8; 16]) -> Result<Zeroizing<[u8; 32]>, KeyringError> {
        self.admit()?;
        match (&self.kind, protection) {
            (Kind::Passphrase(passphrase), Protection::Passphrase(cost)) => {
                cost.stretch(passphrase.expose_secret().as_bytes(), salt)
            }
            (Kind::KeyFile(path), Protection::KeyFile) => {
                let key = read_key_file(path).map_err(|error| KeyringError::KeyFile(Box::new(error)))?;
                Ok(self.backend.expand(&key, Label::KEYRING_UNLOCK, salt))
            }
            (Kind::KeyFile(_), Protection::Passphrase(_)) => Err(KeyringError::NeedsPassphrase),
            (Kind::Passphrase(_), Protection::KeyFile) => Err(KeyringError::NeedsKeyFile),
        }
    }

    fn admit(&self) -> Result<(), KeyringError> {
        match &self.kind {
            Kind::Passphrase(_) => Ok(self.backend.admit(NotApproved::Passphrase)?),
            Kind::KeyFile(_) => Ok(()),
        }
    }
}

fn read_key_file(path: &Path) -> Result<Zeroizing<[u8; 32]>, KeyringError> {
    let content = disk::read(path)?;
    let text = core::str::from_utf8(&content).map_err(|_| KeyringError::Damaged)?;
    let encoded = text.trim_end_matches(['\r', '\n']).strip_prefix(KEY_FILE).ok_or(KeyringError::Damaged)?;
    let mut key = Zeroizing::new([0; 32]);
    match Base64::decode(encoded, key.as_mut_slice()) {
        Ok(decoded) if decoded.len() == 32 => Ok(key),
        _ => Err(KeyringError::Damaged),
    }
}

impl From<SecretString> for Unlock {
    fn from(passphrase: SecretString) -> Self {
        Self::passphrase(passphrase)
    }
}

impl fmt::Debug for Unlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Passphrase(_) => "Unlock(passphrase)",
            Kind::KeyFile(_) => "Unlock(key file)",
        })
    }
}

/// How a keyring file is protected, as its header says.
#[derive(Clone, Copy)]
pub(super) enum Protection {
    Passphrase(Cost),
    KeyFile,
}

/// The parameters of Argon2id.
#[derive(Clone, Copy)]
pub(super) struct Cost {
    pub(super) memory_kib: u32,
    pub(super) passes: u32,
    pub(super) lanes: u32,
}

impl Cost {
    /// The memory and passes of RFC 9106's second recommendation, in one lane because this implementation has one thread.
    const DEFAULT: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 1 };

    /// Bounds from below against a header that was weakened, from above against one that would exhaust the machine.
    pub(super) fn is_in_bounds(self) -> bool {
        (19 * 1024..=1024 * 1024).contains(&self.memory_kib)
            && (2..=16).contains(&self.passes)
            && (1..=16).contains(&self.lanes)
    }

    fn stretch(self, passphrase: &[u8], salt: &[u8; 16]) -> Result<Zeroizing<[u8; 32]>, KeyringError> {
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(32));
        let params = params.map_err(|_| KeyringError::Parameters)?;
        let mut key = Zeroizing::new([0; 32]);
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon2.hash_password_into(passphrase, salt, key.as_mut_slice()).map_err(|_| KeyringError::Parameters)?;
        Ok(key)
    }
}
