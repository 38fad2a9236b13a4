//! Small secret files: read only when nobody else can, written whole or not at all.

#[cfg(unix)]
use std::fs::Metadata;
use std::fs::{self, File, OpenOptions};
#[cfg(unix)]
use std::io::ErrorKind;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::error::KeyringError;
use crate::random;

/// No keyring or key file is longer.
const LONGEST: u64 = 256 * 1024;

/// A secret file that is open, and locked against other processes that change it.
pub(super) struct Locked {
    path: PathBuf,
    _file: File,
    pub(super) content: Zeroizing<Vec<u8>>,
}

/// Reads a file that only its owner, who this process is, may read or write.
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
    content(&mut open(path)?)
}

/// Reads a file and keeps other processes from changing it through this module until the result is dropped.
pub(super) fn lock(path: &Path) -> Result<Locked, KeyringError> {
    loop {
        let mut file = open(path)?;
        file.lock()?;
        // Whoever held the lock before may have put a new file in this one's place.
        if is_still(path, &file)? {
            let content = content(&mut file)?;
            return Ok(Locked { path: path.to_owned(), _file: file, content });
        }
    }
}

impl Locked {
    /// Puts a new file in the place of this one. After a crash either the old or the new one is there, whole.
    pub(super) fn replace(self, content: &[u8]) -> Result<(), KeyringError> {
        let temporary = Temporary::write(&self.path, content)?;
        fs::rename(&temporary.0, &self.path)?;
        sync_folder(&self.path)
    }
}

/// Makes a new file; refuses to overwrite.
pub(super) fn create(path: &Path, content: &[u8]) -> Result<(), KeyringError> {
    let temporary = Temporary::write(path, content)?;
    // A link, unlike a rename, fails when the name is taken.
    fs::hard_link(&temporary.0, path)?;
    drop(temporary);
    sync_folder(path)
}

/// A file beside the one that is to be written. Removed when dropped.
struct Temporary(PathBuf);

impl Temporary {
    fn write(beside: &Path, content: &[u8]) -> Result<Self, KeyringError> {
        let suffix = u64::from_be_bytes(random::bytes()?);
        let mut name = beside.file_name().ok_or(KeyringError::NotAFile)?.to_owned();
        name.push(format!(".{suffix:016x}.tmp"));
        let temporary = Self(beside.with_file_name(name));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        owner_only(&mut options)?;
        let mut file = options.open(&temporary.0)?;
        file.write_all(content)?;
        file.sync_all()?;
        Ok(temporary)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After a rename there is nothing to remove. What stays behind when this fails, or the process is killed before it,
        // is as protected as the file that it was to become.
        let _ = fs::remove_file(&self.0);
    }
}

fn content(file: &mut File) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
    let length = file.metadata()?.len();
    if length > LONGEST {
        return Err(KeyringError::NotAKeyring);
    }
    // Room for everything at once, so that no unwiped copy is left by a growing vector.
    let mut content = Zeroizing::new(Vec::with_capacity(usize::try_from(length).unwrap_or(0).saturating_add(1)));
    file.take(LONGEST).read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(unix)]
fn owner_only(options: &mut OpenOptions) -> Result<(), KeyringError> {
    use std::os::unix::fs::OpenOptionsExt;

    options.mode(0o600);
    Ok(())
}

/// Opens a file after checking, on the name and then on what was opened, that it is a plain file of this user that nobody
/// else may use.
#[cfg(unix)]
fn open(path: &Path) -> Result<File, KeyringError> {
    use std::os::unix::fs::MetadataExt;

    let (file, opened) = loop {
        let named = fs::symlink_metadata(path)?;
        if !named.file_type().is_file() {
            return Err(KeyringError::NotAFile);
        }
        // Before it is opened: of somebody else's file, that is what is wrong, and not that it cannot be opened.
        owned(&named)?;
        let file = OpenOptions::new().read(true).open(path).map_err(|error| match error.kind() {
            // The folder let its name be looked up, so it is the file itself.
            ErrorKind::PermissionDenied => KeyringError::Unreadable,
            _ => error.into(),
        })?;
        let opened = file.metadata()?;
        // Otherwise the name was given to another file in between: a link, or what another process wrote.
        if (named.dev(), named.ino()) == (opened.dev(), opened.ino()) {
            break (file, opened);
        }
    };
    owned(&opened)?;
    match opened.mode() & 0o7777 {
        mode if mode & 0o077 != 0 => Err(KeyringError::Permissions(mode)),
        _ => Ok(file),
    }
}

#[cfg(unix)]
fn owned(file: &Metadata) -> Result<(), KeyringError> {
    use std::os::unix::fs::MetadataExt;

    if file.uid() == rustix::process::geteuid().as_raw() { Ok(()) } else { Err(KeyringError::Owner) }
}

#[cfg(unix)]
fn is_still(path: &Path, file: &File) -> Result<bool, KeyringError> {
    use std::os::unix::fs::MetadataExt;

    let (named, opened) = (fs::symlink_metadata(path)?, file.metadata()?);
    Ok((named.dev(), named.ino()) == (opened.dev(), opened.ino()))
}

/// Makes a name durable.
#[cfg(unix)]
fn sync_folder(path: &Path) -> Result<(), KeyringError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    Ok(File::open(folder)?.sync_all()?)
}

#[cfg(not(unix))]
fn owner_only(_: &mut OpenOptions) -> Result<(), KeyringError> {
    Err(KeyringError::Platform)
}

#[cfg(not(unix))]
fn open(_: &Path) -> Result<File, KeyringError> {
    Err(KeyringError::Platform)
}

#[cfg(not(unix))]
fn is_still(_: &Path, _: &File) -> Result<bool, KeyringError> {
    Err(KeyringError::Platform)
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> Result<(), KeyringError> {
    Err(KeyringError::Platform)
}
