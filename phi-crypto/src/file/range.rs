//! Opening a range of a file whose bytes the caller fetches.

use core::fmt;
use core::ops::Range;

use phi_keys::{DataKey, KeyId};
use phi_types::Phi;
use zeroize::Zeroizing;

use super::cobblestone::{CHUNK, SEALED_CHUNK};
use super::opening::FileKey;
use super::{FileError, FileHead, Renewal};
use crate::{Context, ScopedOpener};

/// Opens ranges of one file out of sealed bytes that the caller fetched, from an object store for instance.
///
/// ```
/// # use phi_keys::{EphemeralKeyring, Keys, MemoryKeyStore};
/// use phi_crypto::file::{FileHead, ciphertext_range};
/// # use phi_crypto::{Context, Opener, Sealer};
/// # use phi_keys::Scope;
/// # use std::io::Write as _;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let keys = Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate()?).build().await?;
/// # let scope = Scope::group("scans");
/// # let place = Context::new("Scan", "image").record_id("7431");
/// # let mut file = Sealer::builder(keys.clone()).build().for_scope(&scope).await?.file(Vec::new(), &place)?;
/// # file.write_all(&[7; 50_000])?;
/// # let stored = file.finish()?;
/// # let opener = Opener::builder(keys).build();
/// # let fetch = |range: std::ops::Range<u64>| stored[range.start as usize..stored.len().min(range.end as usize)].to_vec();
/// let head = FileHead::parse(&fetch(0..80))?;
/// let opener = opener.for_kids(&scope, [head.kid()]).await?;
/// let mut ranges = opener.file_ranges(&head, &place)?;
///
/// let wanted = 40_000..40_010;
/// let bytes = ranges.open(wanted.clone(), fetch(ciphertext_range(wanted)))?;
/// assert_eq!(bytes.expose(), &[7; 10]);
/// # Ok(()) }
/// ```
pub struct RangeOpener(FileKey);

impl ScopedOpener {
    /// Opens ranges of the file that begins with `head`.
    ///
    /// # Errors
    /// [`FileError::Refused`] when the file does not belong in this context, and the precise errors of
    /// [`file`](Self::file).
    pub fn file_ranges(&self, head: &FileHead, context: &Context<'_>) -> Result<RangeOpener, FileError> {
        Ok(RangeOpener(FileKey::new(self, head, context)?))
    }
}

impl RangeOpener {
    /// Opens a range of the plaintext, given the bytes of the file at [`ciphertext_range`](super::ciphertext_range) of
    /// it, or as many of them as there are before the file's end. The answer is shorter than the range when the file ends
    /// before it; that end is then authentic.
    ///
    /// # Errors
    /// [`FileError::Truncated`] when the bytes end before the range and are no end of a file, [`FileError::Refused`] when
    /// the cipher refuses one of the chunks, [`FileError::LeaseEnded`].
    pub fn open(&mut self, range: Range<u64>, sealed: Vec<u8>) -> Result<Phi<Vec<u8>>, FileError> {
        open(&mut self.0, range, sealed)
    }

    /// Asks for a new lease on the key of the file, for [`renew`](Self::renew).
    #[must_use]
    pub fn renewal(&self) -> Renewal {
        self.0.lease.renewal()
    }

    /// Goes on with a new lease.
    ///
    /// # Errors
    /// [`FileError::KeyRotated`] when it is one on another key.
    pub fn renew(&mut self, key: DataKey) -> Result<(), FileError> {
        self.0.lease.renew(key)
    }

    /// The name of the key, which the file carries.
    #[must_use]
    pub fn kid(&self) -> KeyId {
        self.0.kid()
    }
}

impl fmt::Debug for RangeOpener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RangeOpener({})", self.kid())
    }
}

/// See [`RangeOpener::open`].
pub(super) fn open(key: &mut FileKey, range: Range<u64>, sealed: Vec<u8>) -> Result<Phi<Vec<u8>>, FileError> {
    let mut bytes = Zeroizing::new(sealed);
    let ends = !bytes.len().is_multiple_of(SEALED_CHUNK);
    let (opened, result) = key.open(range.start / CHUNK as u64, &mut bytes);
    result?;
    bytes.truncate(opened);
    let skip = usize::try_from(range.start % CHUNK as u64).unwrap_or(usize::MAX).min(opened);
    bytes.drain(..skip);
    let wanted = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
    if bytes.len() < wanted && !ends {
        return Err(FileError::Truncated);
    }
    bytes.truncate(wanted);
    Ok(Phi::new(core::mem::take(&mut *bytes)))
}
