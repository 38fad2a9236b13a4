//! Folders, ports and passwords for servers that live as long as one test run.

use std::fs::{self, File};
use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::shell::Result;

const PREFIX: &str = "phi-test-";

/// A new folder directly under the temp root, readable by nobody else; removed when dropped unless [`keep`](Self::keep) is called.
#[derive(Debug)]
pub(crate) struct Folder(Option<PathBuf>);

impl Folder {
    pub(crate) fn new(part: &str) -> Result<Self> {
        let path = temp_root().join(format!("{PREFIX}{part}-{}", secret()?.get(..12).unwrap_or_default()));
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(|error| format!("cannot make {}: {error}", path.display()))?;
        Ok(Self(Some(path)))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.as_deref().unwrap_or(Path::new(""))
    }

    /// Leaves the removal to somebody else.
    pub(crate) fn keep(mut self) -> PathBuf {
        self.0.take().unwrap_or_default()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = fs::remove_dir_all(path);
        }
    }
}

/// Refuses to watch over, and so to remove, any folder that [`Folder::new`] did not make.
pub(crate) fn check(folder: &Path) -> Result {
    let ours = folder.parent() == Some(temp_root().as_path())
        && folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX));
    if ours { Ok(()) } else { Err(format!("{} is not a folder of a test run", folder.display()).into()) }
}

/// `/tmp` where a private temp folder would keep an unprivileged server out.
fn temp_root() -> PathBuf {
    if Path::new("/tmp").is_dir() { PathBuf::from("/tmp") } else { std::env::temp_dir() }
}

/// A port of 127.0.0.1 that was free a moment ago.
pub(crate) fn port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// 128 random bits in hexadecimal.
pub(crate) fn secret() -> Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Starts a server up to three times: another process may take the port between the question and the start.
pub(crate) fn with_port<T>(mut start: impl FnMut(u16) -> Result<T>) -> Result<T> {
    let mut last = start(port()?);
    for _ in 0..2 {
        if last.is_ok() {
            break;
        }
        last = start(port()?);
    }
    last
}

/// Whether this process may change users and install packages.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;

    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}
