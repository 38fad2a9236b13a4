//! The data folder and the files in it, all of them for their owner only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::{hex, random};

/// Where the clinic keeps what it keeps.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    root: PathBuf,
}

/// What protects the keyring: never a built-in value.
pub(crate) enum Lock {
    /// Typed by an operator or handed over by a secret manager, from the environment variable `CLINIC_PASSPHRASE`.
    Passphrase(Zeroizing<String>),
    /// Drawn at the first start and kept beside the data folder, so that a copy of the folder alone opens nothing.
    KeyFile(Zeroizing<[u8; 32]>),
}

impl Folder {
    /// Makes the folder when it is missing.
    pub(crate) fn prepare(root: &Path) -> Result<Self, Failure> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(root);
        made.map_err(Failure::file("the data folder"))?;
        Ok(Self { root: root.to_path_buf() })
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

    fn key_file(&self) -> PathBuf {
        // Appended, not `with_extension`: the folder's name may hold a dot.
        let mut name = self.root.components().as_path().as_os_str().to_os_string();
        name.push(".key");
        name.into()
    }

    /// The passphrase of the environment, or else the key file, drawn when the keyring is new too.
    pub(crate) fn lock(&self) -> Result<Lock, Failure> {
        if let Ok(passphrase) = std::env::var("CLINIC_PASSPHRASE")
            && !passphrase.is_empty()
        {
            return Ok(Lock::Passphrase(Zeroizing::new(passphrase)));
        }
        let path = self.key_file();
        match File::open(&path) {
            Ok(file) => read_key(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.keyring().exists() => {
                Err(Failure::KeyFileMissing)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = Zeroizing::new(random::bytes::<32>()?);
                let text = Zeroizing::new(hex::encode(&*key) + "\n");
                let mut file = private().create_new(true).open(&path).map_err(Failure::file("the key file"))?;
                file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(Failure::file("the key file"))?;
                Ok(Lock::KeyFile(key))
            }
            Err(error) => Err(Failure::file("the key file")(error)),
        }
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

fn read_key(file: File) -> Result<Lock, Failure> {
    refuse_exposed(&file, "the key file")?;
    let mut text = Zeroizing::new(String::with_capacity(128));
    file.take(128).read_to_string(&mut text).map_err(Failure::file("the key file"))?;
    let key = hex::decode::<32>(text.trim()).ok_or(Failure::KeyFileMalformed)?;
    Ok(Lock::KeyFile(Zeroizing::new(key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_file_is_beside_the_folder_and_drawn_once() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::prepare(&dir.path().join("data.v1/")).unwrap();
        let Lock::KeyFile(first) = folder.lock().unwrap() else { panic!("no passphrase is set") };
        let Lock::KeyFile(again) = folder.lock().unwrap() else { panic!("no passphrase is set") };
        assert_eq!(first, again);
        let key_file = dir.path().join("data.v1.key");
        assert_eq!(fs::metadata(&key_file).unwrap().permissions().mode() & 0o777, 0o600);

        fs::set_permissions(&key_file, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(folder.lock(), Err(Failure::Exposed { .. })));
        fs::set_permissions(&key_file, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&key_file, "short").unwrap();
        assert!(matches!(folder.lock(), Err(Failure::KeyFileMalformed)));
        fs::remove_file(&key_file).unwrap();
        fs::write(folder.keyring(), "exists").unwrap();
        assert!(matches!(folder.lock(), Err(Failure::KeyFileMissing)));
    }
}
