//! The data folder and the files in it, all of them for their owner only.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use phi_keys::{FileAnchor, LocalKeyring, Unlock};
use secrecy::SecretString;

use crate::failure::{Doing, Failure};

/// Where the clinic keeps what it keeps.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    root: PathBuf,
}

/// What opens the keyring: never a built-in value.
#[derive(Debug, Clone)]
pub(crate) enum Lock {
    /// Typed by an operator or handed over by a secret manager, in the environment variable `CLINIC_PASSPHRASE`.
    Passphrase(SecretString),
    /// Drawn at the first start and kept beside the data folder, so that a copy of the folder alone opens nothing.
    KeyFile(PathBuf),
}

impl Folder {
    /// Makes the folder when it is missing.
    pub(crate) fn prepare(root: &Path) -> Result<Self, Failure> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(root);
        let folder = made.and_then(|()| root.canonicalize());
        // A file of this name "exists already", which says little to who meant a folder.
        let folder = folder.map_err(|error| if root.is_file() { ErrorKind::NotADirectory.into() } else { error });
        Ok(Self { root: folder.map_err(Failure::file("the data folder"))? })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.root.join("clinic.db")
    }

    pub(crate) fn keyring(&self) -> PathBuf {
        self.root.join("clinic.keyring")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("clinic.log")
    }

    /// The audit log's high-water mark, outside the database that it watches over.
    pub(crate) fn high_water_mark(&self) -> PathBuf {
        self.root.join("audit.mark")
    }

    /// What the key store must not forget, outside the database.
    pub(crate) fn key_anchor(&self) -> PathBuf {
        self.root.join("keys.anchor")
    }

    fn key_file(&self) -> PathBuf {
        // Appended, not `with_extension`: the folder's name may hold a dot.
        let mut name = self.root.clone().into_os_string();
        name.push(".key");
        name.into()
    }

    /// The passphrase of the environment, or else the key file.
    pub(crate) fn lock(&self) -> Lock {
        match std::env::var("CLINIC_PASSPHRASE") {
            Ok(passphrase) if !passphrase.is_empty() => Lock::Passphrase(passphrase.into()),
            _ => Lock::KeyFile(self.key_file()),
        }
    }

    /// Opens the keyring; makes it, and the key file, for a folder that holds no data yet.
    pub(crate) fn open_keyring(&self, lock: &Lock) -> Result<LocalKeyring, Failure> {
        let path = self.keyring();
        if path.exists() {
            if matches!(lock, Lock::KeyFile(key) if !key.exists()) {
                return Err(Failure::KeyFileMissing);
            }
            return LocalKeyring::open(path, lock.unlock()).doing("opening the keyring");
        }
        if self.holds_data() {
            return Err(Failure::KeyringMissing);
        }
        let unlock = match lock {
            Lock::KeyFile(key) if !key.exists() => Unlock::create_key_file(key).doing("making the key file")?,
            _ => lock.unlock(),
        };
        LocalKeyring::create(path, unlock).doing("making the keyring")
    }

    /// Opens the anchor of the key store; makes it for a folder that holds no data yet.
    pub(crate) fn open_anchor(&self) -> Result<FileAnchor, Failure> {
        let path = self.key_anchor();
        if path.exists() {
            return FileAnchor::open(path).doing("opening the anchor of the key store");
        }
        if self.holds_data() {
            return Err(Failure::AnchorMissing);
        }
        FileAnchor::create(path).doing("making the anchor of the key store")
    }

    fn holds_data(&self) -> bool {
        fs::metadata(self.database()).is_ok_and(|database| database.len() > 0)
    }

    /// Makes sure that the file exists and that only its owner can read it. SQLite gives its journals the same mode.
    pub(crate) fn claim(path: &Path, what: &'static str) -> Result<(), Failure> {
        let file = private().create(true).truncate(false).open(path).map_err(Failure::file(what))?;
        refuse_exposed(&file, what)
    }

    /// Opens the log for appending.
    pub(crate) fn open_log(&self) -> Result<File, Failure> {
        Self::claim(&self.log(), "the log file")?;
        OpenOptions::new().append(true).open(self.log()).map_err(Failure::file("the log file"))
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

fn refuse_exposed(file: &File, what: &'static str) -> Result<(), Failure> {
    let mode = file.metadata().map_err(Failure::file(what))?.permissions().mode();
    if mode & 0o077 == 0 { Ok(()) } else { Err(Failure::Exposed { what }) }
}

impl Lock {
    fn unlock(&self) -> Unlock {
        match self {
            Self::Passphrase(passphrase) => Unlock::passphrase(passphrase.clone()),
            Self::KeyFile(path) => Unlock::key_file(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_file_is_beside_the_folder_and_a_lost_keyring_or_anchor_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::prepare(&dir.path().join("data.v1/")).unwrap();
        let lock = folder.lock();
        folder.open_keyring(&lock).unwrap();
        for secret in [dir.path().join("data.v1.key"), folder.keyring()] {
            assert_eq!(fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
        }
        folder.open_keyring(&lock).unwrap();

        folder.open_anchor().unwrap();
        folder.open_anchor().unwrap();

        fs::write(folder.database(), "not empty").unwrap();
        fs::remove_file(folder.keyring()).unwrap();
        fs::remove_file(folder.key_anchor()).unwrap();
        assert!(matches!(folder.open_keyring(&lock), Err(Failure::KeyringMissing)));
        assert!(matches!(folder.open_anchor(), Err(Failure::AnchorMissing)));
        fs::remove_file(folder.database()).unwrap();
        folder.open_keyring(&lock).unwrap();
        folder.open_anchor().unwrap();
    }
}
