//! Where a key store's newest state is remembered outside it: the [`StoreAnchor`] trait and its implementation as a file.
//!
//! A database that is restored from a backup knows nothing of what was shredded since. An anchor does: it keeps a record of
//! every shred, of every key that was destroyed, of how often the row of each key was replaced, and of how far the store's
//! generation had come. A [`Keys`](crate::Keys) that is built with it shreds again what the store forgot, before it hands out any
//! key, and refuses a store that is older than the anchor says, or an old row that somebody put back into a new store.
//!
//! It grows by 130 to 300 bytes for each shred and for each key that is rotated, retired or destroyed, and by 32 bytes for each
//! data key that is rewrapped with many others: 3.2 MB for those of 100,000 patients. A process keeps about as much in memory.
//!
//! ```
//! # #[cfg(not(unix))]
//! # fn main() {}
//! # #[cfg(unix)]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use phi_keys::{EphemeralKeyring, FileAnchor, Keys, MemoryKeyStore};
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("clinic.anchor");
//! // Once, on a disk that is not backed up and restored together with the database.
//! let anchor = FileAnchor::create(path)?;
//! let keys = Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate()?).anchor(anchor).build().await?;
//! assert_eq!(keys.replayed().subjects, 0);
//! # Ok(())
//! # }
//! ```

#[cfg(unix)]
mod file;

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use std::error::Error;
use std::sync::Arc;

#[cfg(unix)]
pub use file::FileAnchor;

/// The future of a [`StoreAnchor`] method.
pub type AnchorFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, AnchorError>> + Send + 'a>>;

/// Keeps records outside the key store, in the order in which they came. A record is authenticated by the store root key,
/// so an anchor need not be secret nor trusted with what a record says; it is trusted not to lose one that it took.
///
/// No key is leased while a method runs, so one that waits for a service bounds its time and then says
/// [`AnchorError::Unavailable`].
///
/// Implementations run `conformance::store_anchor` and `conformance::rollback` (feature `test-util`).
pub trait StoreAnchor: fmt::Debug + Send + Sync + 'static {
    /// The records from number `from` on, where the first has number 0; none when there are not as many.
    ///
    /// # Errors
    /// [`AnchorError`].
    fn read(&self, from: u64) -> AnchorFuture<'_, Vec<Vec<u8>>>;

    /// Adds records of at most 1 MiB behind those that are there, durably. When it fails some may have been added. Several
    /// processes may append at once: none of their records is lost, and those of one call stay in their order.
    ///
    /// # Errors
    /// [`AnchorError`]; [`TooLong`](AnchorError::TooLong) for a record of more than 1 MiB, which is not added.
    fn append<'a>(&'a self, records: &'a [Vec<u8>]) -> AnchorFuture<'a, ()>;
}

impl<A: StoreAnchor + ?Sized> StoreAnchor for Arc<A> {
    fn read(&self, from: u64) -> AnchorFuture<'_, Vec<Vec<u8>>> {
        (**self).read(from)
    }

    fn append<'a>(&'a self, records: &'a [Vec<u8>]) -> AnchorFuture<'a, ()> {
        (**self).append(records)
    }
}

/// An anchor did not do what it was asked.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum AnchorError {
    /// It did not answer. Trying again may help.
    Unavailable(Arc<dyn Error + Send + Sync>),
    /// What it holds is not what was appended.
    Damaged,
    /// It is of a newer version of this crate.
    Newer {
        /// The version that was found.
        found: u8,
    },
    /// The file can be read or written by others: its mode.
    Permissions(u32),
    /// The path names something that is not a plain file.
    NotAFile,
    /// A record is longer than 1 MiB.
    TooLong,
}

impl AnchorError {
    /// An [`Unavailable`](Self::Unavailable) with its reason, whose text must hold neither secrets nor PHI.
    pub fn unavailable(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unavailable(reason.into().into())
    }
}

impl fmt::Display for AnchorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(_) => {
                f.write_str("the anchor does not answer: check that its file or service can be reached")
            }
            Self::Damaged => {
                f.write_str("the anchor does not hold what was written to it: put back a copy of it that is whole")
            }
            Self::Newer { found } => {
                write!(f, "the anchor has version {found}: use the later version of this crate that made it")
            }
            Self::Permissions(mode) => {
                write!(f, "the anchor file has mode {mode:o}, so others can use it: run chmod 600 on it")
            }
            Self::NotAFile => {
                f.write_str("the anchor is not a plain file: give the path of the file itself, not of a link")
            }
            Self::TooLong => f.write_str("a record is longer than an anchor takes: a scope has too many keys"),
        }
    }
}

impl Error for AnchorError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unavailable(reason) => Some(&**reason),
            _ => None,
        }
    }
}
