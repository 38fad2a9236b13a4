//! Opening a file through `Read` and `Seek`.

use core::fmt;
use std::io::{self, Read, Seek, SeekFrom};

use phi_keys::{DataKey, KeyId};
use phi_types::Phi;
use zeroize::Zeroizing;

use super::cobblestone::SEALED_CHUNK;
use super::length::{self, HEAD};
use super::opening::{FileKey, Opening};
use super::sealing::BATCH;
use super::{FileError, FileHead, Renewal, ciphertext_range, range};
use crate::{Context, ScopedOpener};

/// Opens a sealed file while it is read, from a source that may be able to seek.
///
/// Every byte that comes out is authentic, and so is the end: reading to the end, or behind it, succeeds only when the last
/// chunk was opened. After a refusal it goes on refusing. It takes about 112 KiB of memory whatever the length of the file,
/// and 16 KiB where it is read into buffers of 64 KiB.
///
/// **Lease.** The lease of the key is asked before each batch of chunks. When it has ended, reading answers
/// [`FileError::LeaseEnded`] and nothing is lost: go on after [`renew`](Self::renew), or let it
/// [renew itself](Self::renew_with).
///
/// ```
/// # use phi_keys::{EphemeralKeyring, Keys, MemoryKeyStore};
/// # use phi_crypto::{Context, Opener, Sealer};
/// # use phi_keys::Scope;
/// use std::io::{Cursor, Read as _, Seek as _, SeekFrom, Write as _};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let keys = Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate()?).build().await?;
/// # let scope = Scope::group("scans");
/// # let place = Context::new("Scan", "image").record_id("7431");
/// # let mut file = Sealer::builder(keys.clone()).build().for_scope(&scope).await?.file(Vec::new(), &place)?;
/// # file.write_all(&[7; 50_000])?;
/// # let stored = file.finish()?;
/// # let opener = Opener::builder(keys).build().for_scope(&scope).await?;
/// let mut file = opener.file(Cursor::new(stored), &place)?;
/// assert_eq!(file.authentic_len()?, 50_000);
/// file.seek(SeekFrom::End(-3))?;
/// let mut end = Vec::new();
/// file.read_to_end(&mut end)?;
/// assert_eq!(end, [7; 3]);
/// assert_eq!(file.open_range(20_000, 5)?.expose(), &[7; 5]);
/// # Ok(()) }
/// ```
pub struct FileOpener<R> {
    opening: Opening,
    source: R,
    /// Where the file begins in the source, once that was asked.
    begin: Option<u64>,
    /// Bytes that were read from the source since.
    consumed: u64,
    progress: Option<Box<dyn FnMut(u64) + Send>>,
}

impl ScopedOpener {
    /// Opens a sealed file (format F2) that begins where the source stands and goes to the source's end. Reads the first 80
    /// bytes. The source wants no buffer of its own.
    ///
    /// # Errors
    /// [`FileError`]: precise where the file was never sealed, is cut within its head, or its key is not held;
    /// [`FileError::Refused`], without detail, where key or context are not the file's.
    pub fn file<R: Read>(&self, mut source: R, context: &Context<'_>) -> Result<FileOpener<R>, FileError> {
        let head = FileHead::read(&mut source)?;
        let opening = Opening::new(FileKey::new(self, &head, context)?);
        Ok(FileOpener::with(opening, source))
    }
}

impl<R> FileOpener<R> {
    /// Over a source that stands behind the head.
    pub(super) const fn with(opening: Opening, source: R) -> Self {
        Self { opening, source, begin: None, consumed: HEAD, progress: None }
    }

    /// Calls back with the place in the plaintext up to which the file was opened, after each batch of chunks.
    pub fn on_progress(&mut self, progress: impl FnMut(u64) + Send + 'static) {
        self.progress = Some(Box::new(progress));
    }

    /// Renews the lease by itself from now on: `renew` drives the given future to its end, on the thread that reads.
    pub fn renew_with(&mut self, renew: impl FnMut(Renewal) -> Result<DataKey, phi_keys::Error> + Send + 'static) {
        self.opening.key.lease.renew_with(Box::new(renew));
    }

    /// Asks for a new lease on the key of the file, for [`renew`](Self::renew).
    pub fn renewal(&self) -> Renewal {
        self.opening.key.lease.renewal()
    }

    /// Goes on with a new lease.
    ///
    /// # Errors
    /// [`FileError::KeyRotated`] when it is one on another key.
    pub fn renew(&mut self, key: DataKey) -> Result<(), FileError> {
        self.opening.key.lease.renew(key)
    }

    /// The name of the key, which the file carries.
    pub fn kid(&self) -> KeyId {
        self.opening.key.kid()
    }

    /// The source, wherever it stands.
    pub fn into_inner(self) -> R {
        self.source
    }
}

impl<R: Read> FileOpener<R> {
    /// Reads and opens in the caller's buffer where that has room for chunks with their tags, which saves a copy.
    fn read_directly(&mut self, out: &mut [u8]) -> Result<Option<usize>, FileError> {
        let size = out.len().min(BATCH * SEALED_CHUNK) / SEALED_CHUNK * SEALED_CHUNK;
        if size == 0 || !self.opening.is_idle() {
            return Ok(None);
        }
        let room = out.get_mut(..size).unwrap_or_default();
        let read = match self.source.read(room) {
            Ok(read @ 1..) => read,
            // The end has its own way, and so has what is to be read again.
            Ok(0) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        self.consumed += read as u64;
        let opened = self.opening.open_directly(room.get_mut(..read).unwrap_or_default())?;
        if let Some(progress) = self.progress.as_mut().filter(|_| opened > 0) {
            progress(self.opening.position());
        }
        Ok((opened > 0).then_some(opened))
    }

    /// Afterwards something is ready.
    fn fetch(&mut self) -> Result<(), FileError> {
        while self.opening.ready().is_none() {
            if self.opening.is_waiting() {
                self.opening.retry()?;
            } else {
                match self.source.read(self.opening.room()) {
                    Ok(read) => {
                        self.consumed += read as u64;
                        self.opening.filled(read)?;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(error.into()),
                }
            }
            if let (Some(progress), Some(Ok(opened))) = (&mut self.progress, self.opening.ready()) {
                progress(self.opening.position() + opened.len() as u64);
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for FileOpener<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        if let Some(opened) = self.read_directly(out)? {
            return Ok(opened);
        }
        self.fetch()?;
        let Some(ready) = self.opening.ready() else { return Ok(0) };
        let ready = ready?;
        let size = ready.len().min(out.len());
        for (to, from) in [(out.get_mut(..size), ready.get(..size))].into_iter().filter_map(|(to, from)| to.zip(from)) {
            to.copy_from_slice(from);
        }
        self.opening.taken(size);
        Ok(size)
    }
}

impl<R: Read + Seek> FileOpener<R> {
    /// Bytes of the plaintext, authentic because the last chunk was opened for it.
    ///
    /// # Errors
    /// [`FileError::Truncated`] or [`FileError::Refused`] when the file has no authentic end, and [`FileError::Io`].
    pub fn authentic_len(&mut self) -> Result<u64, FileError> {
        let begin = self.begin()?;
        let length = self.find_end();
        self.source.seek(SeekFrom::Start(begin + self.consumed))?;
        length
    }

    /// Opens a range of the plaintext, without moving. The answer is shorter when the file ends before the range does, and
    /// that end is authentic. Takes as much memory as the range is long.
    ///
    /// # Errors
    /// [`FileError`]; of a refused range nothing comes out.
    pub fn open_range(&mut self, offset: u64, length: u64) -> Result<Phi<Vec<u8>>, FileError> {
        let begin = self.begin()?;
        let opened = self.read_range(begin, offset..offset.saturating_add(length));
        self.source.seek(SeekFrom::Start(begin + self.consumed))?;
        opened
    }

    fn read_range(&mut self, begin: u64, range: core::ops::Range<u64>) -> Result<Phi<Vec<u8>>, FileError> {
        let sealed = self.source.seek(SeekFrom::End(0))?.saturating_sub(begin);
        let wanted = ciphertext_range(range.clone());
        if range.is_empty() || wanted.start >= sealed {
            self.find_end()?;
            return Ok(Phi::new(Vec::new()));
        }
        let size = usize::try_from(wanted.end.min(sealed) - wanted.start);
        let size = size.map_err(|_| FileError::Io(io::ErrorKind::OutOfMemory.into()))?;
        self.source.seek(SeekFrom::Start(begin + wanted.start))?;
        let bytes = read_exactly(&mut self.source, size)?;
        range::open(&mut self.opening.key, range, bytes)
    }

    fn begin(&mut self) -> Result<u64, FileError> {
        let begin = match self.begin {
            Some(begin) => begin,
            None => self.source.stream_position()?.saturating_sub(self.consumed),
        };
        self.begin = Some(begin);
        Ok(begin)
    }

    /// Opens the last chunk, unless that was done. The source stands anywhere afterwards.
    fn find_end(&mut self) -> Result<u64, FileError> {
        if let Some(end) = self.opening.end() {
            return Ok(end);
        }
        let begin = self.begin()? + HEAD;
        let sealed = self.source.seek(SeekFrom::End(0))?.checked_sub(begin).ok_or(FileError::Truncated)?;
        let last = sealed % SEALED_CHUNK as u64;
        self.source.seek(SeekFrom::Start(begin + sealed - last))?;
        let size = usize::try_from(last).unwrap_or(0);
        let mut last = Zeroizing::new(read_exactly(&mut self.source, size)?);
        self.opening.open_end(sealed, &mut last)
    }

    /// The place that is meant. Where it is counted from the end, or not within the file, the last chunk is opened.
    fn find(&mut self, begin: u64, to: SeekFrom) -> Result<u64, FileError> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(by) => self.opening.position().checked_add_signed(by),
            SeekFrom::End(by) => self.find_end()?.checked_add_signed(by),
        };
        let position = position.ok_or_else(|| FileError::Io(io::ErrorKind::InvalidInput.into()))?;
        let sealed = self.source.seek(SeekFrom::End(0))?.saturating_sub(begin + HEAD);
        if !length::is_within(position, sealed) {
            self.find_end()?;
        }
        Ok(position)
    }

    /// Moves to a place within the file, or behind its known end.
    fn stand_at(&mut self, position: u64) -> Result<(), FileError> {
        let begin = self.begin()?;
        if let Some(sealed) = self.opening.go_to(position) {
            self.consumed = HEAD + sealed;
        }
        self.source.seek(SeekFrom::Start(begin + self.consumed))?;
        Ok(())
    }
}

/// Reads so many bytes, of a file that was said to have them.
fn read_exactly(source: &mut impl Read, size: usize) -> Result<Vec<u8>, FileError> {
    let mut bytes = vec![0; size];
    source.read_exact(&mut bytes).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => FileError::Truncated,
        _ => FileError::Io(error),
    })?;
    Ok(bytes)
}

impl<R: Read + Seek> Seek for FileOpener<R> {
    /// Moves within the plaintext. A place that is counted from the end, or that lies behind the end, is found by opening
    /// the last chunk.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let begin = self.begin()?;
        let position = self.find(begin, to).and_then(|position| self.stand_at(position).map(|()| position));
        if position.is_err() {
            // Reading goes on where it was.
            self.source.seek(SeekFrom::Start(begin + self.consumed))?;
        }
        Ok(position?)
    }

    fn stream_position(&mut self) -> io::Result<u64> {
        Ok(self.opening.position())
    }
}

impl<R> fmt::Debug for FileOpener<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileOpener({}, at {})", self.kid(), self.opening.position())
    }
}
