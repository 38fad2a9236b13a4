//! Folders that appear whole or not at all.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use ring::digest;
use ring::rand::{SecureRandom as _, SystemRandom};

use super::BackupError;
use crate::file::FileError;

/// Begins every name of something unfinished, which no backup takes along.
pub(super) const UNFINISHED: &str = ".phi-backup-";

pub(super) fn random_id() -> Result<[u8; 16], BackupError> {
    let mut id = [0; 16];
    SystemRandom::new().fill(&mut id).map_err(|_| BackupError::File(FileError::NoRandomness))?;
    Ok(id)
}

/// A new folder beside its final place, readable by its owner alone. Removed when dropped, unless it was committed.
pub(super) struct Staging {
    path: PathBuf,
    target: PathBuf,
}

impl Staging {
    pub(super) fn new(target: &Path) -> Result<Self, BackupError> {
        let step = BackupError::io("making a new folder");
        if fs::symlink_metadata(target).is_ok() {
            return Err(BackupError::Exists);
        }
        let parent = parent(target);
        let mark: String = random_id()?.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = parent.join(format!("{UNFINISHED}{mark}"));
        private(&mut fs::DirBuilder::new()).create(&path).map_err(&step)?;
        Ok(Self { path, target: target.to_owned() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Moves the folder into its place, durably.
    pub(super) fn commit(self) -> Result<(), BackupError> {
        let step = BackupError::io("moving the new folder into its place");
        sync_folder(&self.path).map_err(&step)?;
        // A rename would replace an empty folder that came meanwhile, and fails for anything else.
        if fs::symlink_metadata(&self.target).is_ok() {
            return Err(BackupError::Exists);
        }
        fs::rename(&self.path, &self.target).map_err(&step)?;
        sync_folder(parent(&self.target)).map_err(&step)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Gone after a commit. What cannot be removed is called unfinished by its name.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// For the owner alone.
pub(super) fn private(builder: &mut fs::DirBuilder) -> &mut fs::DirBuilder {
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(builder, 0o700);
    builder
}

/// A new file for the owner alone.
pub(super) fn create_private(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Makes the names in a folder durable, where the system knows how to.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}

/// Hashes what goes through it.
pub(super) struct Hashing<T> {
    pub(super) inner: T,
    hash: digest::Context,
    pub(super) bytes: u64,
}

impl<T> Hashing<T> {
    pub(super) fn new(inner: T) -> Self {
        Self { inner, hash: digest::Context::new(&digest::SHA256), bytes: 0 }
    }

    pub(super) fn finish(self) -> (T, u64, [u8; 32]) {
        (self.inner, self.bytes, array(self.hash))
    }

    fn saw(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
    }
}

/// The digest as bytes.
pub(super) fn array(hash: digest::Context) -> [u8; 32] {
    let mut out = [0; 32];
    // Both are 32 bytes.
    out.copy_from_slice(hash.finish().as_ref());
    out
}

impl<W: io::Write> io::Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.inner.write(bytes)?;
        self.saw(bytes.get(..taken).unwrap_or_default());
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<R: io::Read> io::Read for Hashing<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(out)?;
        self.saw(out.get(..read).unwrap_or_default());
        Ok(read)
    }
}
