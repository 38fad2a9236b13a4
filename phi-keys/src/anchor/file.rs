//! The anchor as a file: records one behind the other, each with its length and a checksum.

use core::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ring::digest;

use super::{AnchorError, AnchorFuture, StoreAnchor};

const MAGIC: [u8; 8] = *b"PHIANCH\n";
const VERSION: u8 = 1;
/// Magic and version.
const HEADER: [u8; 9] = [MAGIC[0], MAGIC[1], MAGIC[2], MAGIC[3], MAGIC[4], MAGIC[5], MAGIC[6], MAGIC[7], VERSION];
const LONGEST: usize = 1 << 20;
const CHECKSUM: usize = 8;
/// Length, its complement, and the checksum.
const AROUND: usize = 4 + 4 + CHECKSUM;

/// An anchor in a file of mode 0600. Any number of processes of one machine may share it.
///
/// A process that is killed while it appends leaves at most one incomplete record at the end, which nobody was told is
/// there; it is not read, and the next append removes it. Files are read and written where they are called, without a
/// thread of their own.
pub struct FileAnchor {
    path: PathBuf,
    tail: Mutex<Tail>,
}

/// How far the file was read by this process.
#[derive(Default)]
struct Tail {
    offset: u64,
    records: Vec<u64>,
}

impl FileAnchor {
    /// Makes an empty anchor; refuses to overwrite a file.
    ///
    /// # Errors
    /// [`AnchorError::Unavailable`] when the file is there already or cannot be made.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, AnchorError> {
        let path = path.into();
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(&HEADER)?;
        file.sync_all()?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        File::open(folder)?.sync_all()?;
        Self::open(path)
    }

    /// Opens an anchor that was [created](Self::create). One that is missing is an error and not an empty one: it may have
    /// been lost.
    ///
    /// # Errors
    /// [`AnchorError`] when it is missing, not a plain file, can be used by others, or is not an anchor.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, AnchorError> {
        let anchor = Self { path: path.into(), tail: Mutex::default() };
        anchor.scan(&mut anchor.file()?, &mut anchor.tail())?;
        Ok(anchor)
    }

    fn tail(&self) -> MutexGuard<'_, Tail> {
        // A scan that did not come to its end leaves what it had seen before.
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self) -> Result<File, AnchorError> {
        if !fs::symlink_metadata(&self.path)?.file_type().is_file() {
            return Err(AnchorError::NotAFile);
        }
        let file = OpenOptions::new().read(true).write(true).open(&self.path)?;
        match file.metadata()?.mode() & 0o7777 {
            mode if mode & 0o077 != 0 => Err(AnchorError::Permissions(mode)),
            _ => Ok(file),
        }
    }

    /// Finds the records that were added since the last time.
    fn scan(&self, file: &mut File, tail: &mut Tail) -> Result<(), AnchorError> {
        if file.metadata()?.len() < tail.offset {
            return Err(AnchorError::Damaged);
        }
        if tail.offset == 0 {
            let mut header = Vec::with_capacity(HEADER.len());
            file.seek(SeekFrom::Start(0))?;
            Read::by_ref(file).take(size(HEADER.len())).read_to_end(&mut header)?;
            if header.len() < HEADER.len() && HEADER.starts_with(&header) {
                // Killed while it was made.
                return Ok(());
            }
            match header.strip_prefix(&MAGIC) {
                Some([VERSION]) => tail.offset = size(HEADER.len()),
                Some([found]) => return Err(AnchorError::Newer { found: *found }),
                _ => return Err(AnchorError::Damaged),
            }
        }
        file.seek(SeekFrom::Start(tail.offset))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let mut rest = bytes.as_slice();
        while let Some((record, behind)) = frame(rest)? {
            tail.records.push(tail.offset);
            tail.offset += size(AROUND + record.len());
            rest = behind;
        }
        Ok(())
    }

    fn read_from(&self, from: u64) -> Result<Vec<Vec<u8>>, AnchorError> {
        let mut tail = self.tail();
        let mut file = self.file()?;
        self.scan(&mut file, &mut tail)?;
        let Some(start) = usize::try_from(from).ok().and_then(|from| tail.records.get(from)) else {
            return Ok(Vec::new());
        };
        file.seek(SeekFrom::Start(*start))?;
        let mut bytes = Vec::new();
        file.take(tail.offset - start).read_to_end(&mut bytes)?;
        let (mut rest, mut records) = (bytes.as_slice(), Vec::new());
        while let Some((record, behind)) = frame(rest)? {
            records.push(record.to_vec());
            rest = behind;
        }
        if rest.is_empty() { Ok(records) } else { Err(AnchorError::Damaged) }
    }

    fn add(&self, records: &[Vec<u8>]) -> Result<(), AnchorError> {
        let mut frames = Vec::new();
        for record in records {
            if record.len() > LONGEST {
                return Err(AnchorError::TooLong);
            }
            let length = u32::try_from(record.len()).map_err(|_| AnchorError::TooLong)?;
            frames.extend_from_slice(&length.to_be_bytes());
            frames.extend_from_slice(&(!length).to_be_bytes());
            frames.extend_from_slice(record);
            frames.extend_from_slice(&checksum(record));
        }
        let mut tail = self.tail();
        let mut file = self.file()?;
        file.lock()?;
        self.scan(&mut file, &mut tail)?;
        if tail.offset == 0 {
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            file.write_all(&HEADER)?;
            tail.offset = size(HEADER.len());
        }
        if file.metadata()?.len() != tail.offset {
            // What a killed process left.
            file.set_len(tail.offset)?;
            file.sync_all()?;
        }
        file.seek(SeekFrom::Start(tail.offset))?;
        file.write_all(&frames)?;
        file.sync_all()?;
        for record in records {
            let at = tail.offset;
            tail.records.push(at);
            tail.offset += size(AROUND + record.len());
        }
        Ok(())
    }
}

/// A record, and what is behind it.
type Frame<'b> = (&'b [u8], &'b [u8]);

/// The first record; `None` when nothing or only the beginning of one is left. What was written whole and was altered since is
/// damage, wherever it is: were it taken for the beginning of a record, the next append would remove all that follows it.
fn frame(bytes: &[u8]) -> Result<Option<Frame<'_>>, AnchorError> {
    let Some((length, rest)) = bytes.split_first_chunk() else { return Ok(None) };
    let Some((complement, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length);
    if *complement != (!length).to_be_bytes() {
        return torn(complement, &(!length).to_be_bytes(), rest);
    }
    let length = usize::try_from(length).map_err(|_| AnchorError::Damaged)?;
    if length == 0 || length > LONGEST {
        return Err(AnchorError::Damaged);
    }
    let Some((record, rest)) = rest.split_at_checked(length) else { return Ok(None) };
    let Some((found, rest)) = rest.split_first_chunk::<CHECKSUM>() else { return Ok(None) };
    if *found == checksum(record) { Ok(Some((record, rest))) } else { torn(found, &checksum(record), rest) }
}

/// Nothing, when zeros took the place of what was still to be written, as after a power failure; else damage.
fn torn<'b>(found: &[u8], right: &[u8], behind: &[u8]) -> Result<Option<Frame<'b>>, AnchorError> {
    let written = found.iter().zip(right).take_while(|(found, right)| found == right).count();
    let is_missing = found.iter().skip(written).chain(behind).all(|byte| *byte == 0);
    if is_missing { Ok(None) } else { Err(AnchorError::Damaged) }
}

/// The first bytes of SHA-256: it tells damage from what was written, and protects nothing.
fn checksum(record: &[u8]) -> [u8; CHECKSUM] {
    let digest = digest::digest(&digest::SHA256, record);
    digest.as_ref().first_chunk().copied().unwrap_or_default()
}

/// As an offset in a file.
fn size(length: usize) -> u64 {
    // No usize has more than 64 bits here.
    u64::try_from(length).unwrap_or(u64::MAX)
}

impl StoreAnchor for FileAnchor {
    fn read(&self, from: u64) -> AnchorFuture<'_, Vec<Vec<u8>>> {
        Box::pin(async move { self.read_from(from) })
    }

    fn append<'a>(&'a self, records: &'a [Vec<u8>]) -> AnchorFuture<'a, ()> {
        Box::pin(async move { if records.is_empty() { Ok(()) } else { self.add(records) } })
    }
}

impl From<io::Error> for AnchorError {
    fn from(error: io::Error) -> Self {
        // The path is left out: it may hold a name.
        Self::unavailable(error.kind().to_string())
    }
}

impl fmt::Debug for FileAnchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileAnchor")
    }
}
