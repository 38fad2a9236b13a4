//! The beginning of a sealed file.

use core::fmt;
use std::io::{self, Read};

use phi_keys::KeyId;

use super::FileError;
use super::cobblestone::{COMMITMENT, SALT};

const MAGIC: &[u8; 4] = b"PHIF";
const VERSION: u8 = 1;
/// Cobblestone-256. Frozen.
pub(super) const SUITE: u8 = 1;
/// Bytes of the part that enters the derivation of the key.
pub(super) const HEADER: usize = 24;

/// The first 80 bytes of a sealed file, of which nothing is verified yet.
#[derive(Clone)]
pub struct FileHead {
    pub(super) header: [u8; HEADER],
    pub(super) salt: [u8; SALT],
    pub(super) commitment: [u8; COMMITMENT],
}

impl FileHead {
    /// Bytes before the first chunk.
    pub const LEN: usize = HEADER + SALT + COMMITMENT;

    pub(super) fn new(kid: KeyId, salt: [u8; SALT]) -> Self {
        let mut header = [0; HEADER];
        let parts: [&[u8]; 4] = [MAGIC, &[VERSION, SUITE], &[0, 0], kid.as_bytes()];
        for (to, from) in header.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *from;
        }
        Self { header, salt, commitment: [0; COMMITMENT] }
    }

    /// Takes the beginning of a file apart; what follows the first 80 bytes is not looked at.
    ///
    /// # Errors
    /// [`FileError::NotSealed`] when the bytes do not begin as a sealed file does, [`FileError::Unsupported`] when a later
    /// version wrote them, [`FileError::Truncated`] when there are fewer than 80.
    pub fn parse(bytes: &[u8]) -> Result<Self, FileError> {
        let behind = bytes.strip_prefix(MAGIC).ok_or(FileError::NotSealed)?;
        let known = [VERSION, SUITE, 0, 0];
        // Compared as far as there are bytes, so that a cut file of ours is not taken for one of a later version.
        if behind.iter().zip(known).any(|(found, known)| *found != known) {
            return Err(FileError::Unsupported);
        }
        let (header, behind) = bytes.split_first_chunk().ok_or(FileError::Truncated)?;
        let (salt, behind) = behind.split_first_chunk().ok_or(FileError::Truncated)?;
        let (commitment, _) = behind.split_first_chunk().ok_or(FileError::Truncated)?;
        Ok(Self { header: *header, salt: *salt, commitment: *commitment })
    }

    /// Reads the beginning of a file.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), and [`FileError::Io`] when the source fails.
    pub fn read(source: &mut impl Read) -> Result<Self, FileError> {
        let mut bytes = [0; Self::LEN];
        let mut filled = 0;
        while let Some(room) = bytes.get_mut(filled..).filter(|room| !room.is_empty()) {
            match source.read(room) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Self::parse(bytes.get(..filled).unwrap_or_default())
    }

    /// The name of the key that opens the file.
    #[must_use]
    pub fn kid(&self) -> KeyId {
        let [.., a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = self.header;
        KeyId::from_bytes([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p])
    }

    pub(super) fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let parts = [&self.header[..], &self.salt, &self.commitment];
        for (to, from) in bytes.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *from;
        }
        bytes
    }
}

impl fmt::Debug for FileHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileHead({})", self.kid())
    }
}
