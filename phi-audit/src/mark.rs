//! The high-water mark: the newest signed checkpoint, in a file outside the database.
//!
//! A restored database restores its checkpoints, too; only something that is not restored with it can tell.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::{Checkpoint, Error, VerifierKey};

/// A checkpoint is some hundred bytes; whatever is longer is not ours.
const MAX: u64 = 256 * 1024;

#[derive(Debug, Clone)]
pub(crate) struct Mark {
    path: PathBuf,
}

impl Mark {
    pub(crate) const fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The checkpoint in the file, if there is a file.
    pub(crate) async fn read(&self, key: &VerifierKey) -> Result<Option<Checkpoint>, Error> {
        let path = self.path.clone();
        let note = blocking(move || read(&path)).await?;
        note.map(|note| Checkpoint::open(&note, key).map_err(Error::Checkpoint)).transpose()
    }

    /// Replaces the file unless it holds a checkpoint that is as large, and returns one that is not this one. Durable when
    /// ready.
    pub(crate) async fn raise(&self, checkpoint: &Checkpoint, key: &VerifierKey) -> Result<Option<Checkpoint>, Error> {
        let (path, checkpoint, key) = (self.path.clone(), checkpoint.clone(), key.clone());
        blocking(move || {
            // Several processes may share one log and one mark; the lock makes look and replace one step.
            let lock = File::options().create(true).truncate(false).write(true).open(beside(&path, ".lock"))?;
            lock.lock()?;
            let stored = read(&path)?.and_then(|note| Checkpoint::open(&note, &key).ok());
            if let Some(stored) = stored.filter(|stored| stored.size() >= checkpoint.size()) {
                let same = (stored.size(), stored.root()) == (checkpoint.size(), checkpoint.root());
                return Ok(Some(stored).filter(|_| !same));
            }
            replace(&path, checkpoint.note()).map(|()| None)
        })
        .await
    }
}

fn read(path: &Path) -> io::Result<Option<String>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut note = String::new();
    file.take(MAX).read_to_string(&mut note)?;
    Ok(Some(note))
}

fn replace(path: &Path, note: &str) -> io::Result<()> {
    let fresh = beside(path, ".new");
    let mut file = File::create(&fresh)?;
    file.write_all(note.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    // The rename itself is durable only when its folder is.
    #[cfg(unix)]
    {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Files are read and flushed on the runtime's blocking threads; the handle is awaited here and owned by nobody else.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(Error::Mark),
        Err(stopped) => Err(Error::Mark(io::Error::other(stopped))),
    }
}
