//! The reading side without I/O: takes the bytes of a sealed file, gives plaintext.

use core::ops::Range;

use phi_keys::KeyId;
use phi_keys::derive::Label;
use zeroize::Zeroize as _;

use super::cobblestone::{self, CHUNK, Cipher, MAX_CHUNKS, SEALED_CHUNK, TAG};
use super::head::{FileHead, SUITE};
use super::lease::{Lease, Way};
use super::sealing::{BATCH, Slots};
use super::{FileError, length};
use crate::open::Witness;
use crate::{Context, ScopedOpener};

/// A key that was found to be the file's.
pub(super) struct FileKey {
    cipher: Cipher,
    pub(super) lease: Lease,
    witness: Witness,
}

impl FileKey {
    pub(super) fn new(opener: &ScopedOpener, head: &FileHead, context: &Context<'_>) -> Result<Self, FileError> {
        let kid = head.kid();
        let grant = opener.for_file(kid, context)?.ok_or(FileError::UnknownKey { kid })?;
        let input_key = grant.data.derive(Label::FILE, &[SUITE]).map_err(|_| FileError::LeaseEnded)?;
        let witness = opener.witness(context);
        let derived = Cipher::matching(
            grant.data.backend(),
            &input_key,
            &head.salt,
            [&head.header, &grant.aad],
            &head.commitment,
        );
        let Ok(cipher) = derived else {
            witness.refused();
            return Err(FileError::Refused);
        };
        witness.opened();
        Ok(Self::with_cipher(cipher, Lease::new(grant, Way::Opening), witness))
    }

    pub(super) const fn with_cipher(cipher: Cipher, lease: Lease, witness: Witness) -> Self {
        Self { cipher, lease, witness }
    }

    pub(super) fn kid(&self) -> KeyId {
        self.lease.kid()
    }

    /// As [`cobblestone::open_chunks`], under the lease.
    pub(super) fn open(&mut self, first: u64, sealed: &mut [u8]) -> (usize, Result<(), FileError>) {
        if let Err(error) = self.lease.check() {
            return (0, Err(error));
        }
        let (opened, result) = cobblestone::open_chunks(&self.cipher, first, sealed);
        if result.is_err() {
            sealed.get_mut(opened..).unwrap_or_default().zeroize();
            self.witness.refused();
        }
        (opened, result.map_err(|_| FileError::Refused))
    }
}

/// A window of opened chunks that moves over the file.
pub(super) struct Opening {
    pub(super) key: FileKey,
    slots: Slots,
    /// Whether a chunk was opened in the slots: many are then, of a file that is read in small pieces. One that is read in
    /// large pieces needs a slot for its end.
    is_windowed: bool,
    /// Opened bytes that nobody has taken, in the buffer.
    opened: Range<usize>,
    /// Sealed bytes behind them that make no chunk yet.
    sealed: Range<usize>,
    /// The number of the chunk that follows the window.
    next: u64,
    /// Where the reader stands in the plaintext.
    position: u64,
    /// Bytes of the next chunk before that place, after a seek.
    skip: usize,
    /// Bytes of the whole plaintext, once the last chunk was opened.
    end: Option<u64>,
    failed: Option<FileError>,
}

impl Opening {
    pub(super) fn new(key: FileKey) -> Self {
        Self {
            key,
            slots: Slots::none(),
            is_windowed: false,
            opened: 0..0,
            sealed: 0..0,
            next: 0,
            position: 0,
            skip: 0,
            end: None,
            failed: None,
        }
    }

    pub(super) const fn position(&self) -> u64 {
        self.position
    }

    pub(super) const fn end(&self) -> Option<u64> {
        self.end
    }

    /// Opened bytes, or why there are none; nothing at the authentic end, and `None` when sealed bytes are wanted.
    pub(super) fn ready(&self) -> Option<Result<&[u8], FileError>> {
        if !self.opened.is_empty() {
            return Some(Ok(self.slots.get(self.opened.clone()).unwrap_or_default()));
        }
        if let Some(failed) = &self.failed {
            return Some(Err(failed.repeated()));
        }
        self.end.is_some_and(|end| self.position >= end).then_some(Ok(&[]))
    }

    /// The reader took bytes of [`ready`](Self::ready).
    pub(super) fn taken(&mut self, bytes: usize) {
        let bytes = bytes.min(self.opened.len());
        self.opened.start += bytes;
        self.position += bytes as u64;
    }

    /// The room for sealed bytes, when nothing is [`ready`](Self::ready).
    pub(super) fn room(&mut self) -> &mut [u8] {
        self.move_to_front();
        // What is held is less than a chunk, or no more would be wanted.
        self.slots.grow(if self.is_windowed { BATCH } else { 1 }, self.sealed.end);
        self.slots.get_mut(self.sealed.end..).unwrap_or_default()
    }

    fn move_to_front(&mut self) {
        if self.sealed.start > 0 {
            self.slots.copy_within(self.sealed.clone(), 0);
            self.sealed = 0..self.sealed.len();
        }
    }

    /// Whether sealed bytes may be read straight into the buffer of who reads: nothing is held back here.
    pub(super) fn is_idle(&self) -> bool {
        self.ready().is_none() && self.sealed.is_empty() && self.skip == 0
    }

    /// Opens the full chunks of `sealed` in place, when [idle](Self::is_idle), and says how many bytes at its beginning are
    /// plaintext; what makes no full chunk is held back. Of a chunk that is refused nothing is left in the buffer.
    pub(super) fn open_directly(&mut self, sealed: &mut [u8]) -> Result<usize, FileError> {
        let chunks = sealed.len() / SEALED_CHUNK;
        let held = chunks * SEALED_CHUNK;
        if chunks == 0 || self.next.saturating_add(chunks as u64) >= MAX_CHUNKS {
            self.hold(sealed, 0);
            return self.open(false).map(|()| 0);
        }
        match self.key.open(self.next, sealed.get_mut(..held).unwrap_or_default()) {
            (_, Err(passing @ (FileError::LeaseEnded | FileError::Keys(_) | FileError::KeyRotated))) => {
                self.hold(sealed, 0);
                Err(passing)
            }
            (opened, result) => {
                self.hold(sealed, held);
                self.failed = result.err();
                self.next += chunks as u64;
                self.position += opened as u64;
                Ok(opened)
            }
        }
    }

    /// Keeps sealed bytes from `start` on for later.
    fn hold(&mut self, sealed: &[u8], start: usize) {
        let rest = sealed.get(start..).unwrap_or_default();
        self.slots.grow(rest.len().div_ceil(SEALED_CHUNK), 0);
        // There are as many slots as it takes.
        self.slots.get_mut(..rest.len()).unwrap_or_default().copy_from_slice(rest);
        (self.opened, self.sealed) = (0..0, 0..rest.len());
    }

    /// Whether chunks wait for a lease, so that no further bytes are wanted.
    pub(super) fn is_waiting(&self) -> bool {
        self.sealed.len() >= SEALED_CHUNK
    }

    /// Opens the chunks that wait.
    pub(super) fn retry(&mut self) -> Result<(), FileError> {
        self.open(false)
    }

    /// Sealed bytes were put into the room; none, when the file has ended. An error is one that may pass, such as the end
    /// of a lease; what is wrong with the file shows in [`ready`](Self::ready).
    pub(super) fn filled(&mut self, bytes: usize) -> Result<(), FileError> {
        self.sealed.end = self.slots.len().min(self.sealed.end.saturating_add(bytes));
        self.open(bytes == 0)
    }

    /// Opens what makes full chunks, or the last chunk when the file has ended.
    fn open(&mut self, ended: bool) -> Result<(), FileError> {
        self.move_to_front();
        let held = self.sealed.len();
        let chunks = held / SEALED_CHUNK;
        let size = if chunks > 0 { chunks * SEALED_CHUNK } else { held };
        if chunks == 0 && !ended {
            return Ok(());
        }
        if size < TAG {
            self.failed = Some(FileError::Truncated);
            return Ok(());
        }
        self.slots.used(size);
        let (opened, result) = self.key.open(self.next, self.slots.get_mut(..size).unwrap_or_default());
        match result {
            Ok(()) if self.next.saturating_add(chunks as u64) >= MAX_CHUNKS => self.failed = Some(FileError::TooLarge),
            Ok(()) if chunks == 0 => self.end = Some(self.next * CHUNK as u64 + opened as u64),
            Ok(()) => {}
            // Sealed bytes are as they were: the lease is asked before any is touched.
            Err(passing @ (FileError::LeaseEnded | FileError::Keys(_) | FileError::KeyRotated)) => return Err(passing),
            Err(refused) => self.failed = Some(refused),
        }
        self.sealed = size..held;
        self.is_windowed |= chunks > 0;
        self.next += chunks as u64;
        self.opened = self.skip.min(opened)..opened;
        self.skip = 0;
        Ok(())
    }

    /// Where to go on reading sealed bytes, behind the head, to stand at `position` of the plaintext; `None` when the window
    /// holds that place or the end is not behind it, so that nothing is to be read.
    ///
    /// Call it with a position within the file, or once the end is known.
    pub(super) fn go_to(&mut self, position: u64) -> Option<u64> {
        let forth = position.checked_sub(self.position).and_then(|forth| usize::try_from(forth).ok());
        if let Some(forth) = forth.filter(|forth| *forth < self.opened.len()) {
            self.taken(forth);
            return None;
        }
        (self.opened, self.sealed, self.position) = (0..0, 0..0, position);
        if self.end.is_some_and(|end| position >= end) {
            return None;
        }
        self.next = position / CHUNK as u64;
        self.skip = usize::try_from(position % CHUNK as u64).unwrap_or(0);
        Some(self.next.saturating_mul(SEALED_CHUNK as u64))
    }

    /// Opens the last chunk, given as it is sealed, of a file with so many sealed bytes behind its head.
    pub(super) fn open_end(&mut self, sealed_length: u64, last: &mut [u8]) -> Result<u64, FileError> {
        let (number, end) = length::end(sealed_length).ok_or(FileError::Truncated)?;
        let (_, result) = self.key.open(number, last);
        last.zeroize();
        result?;
        self.end = Some(end);
        Ok(end)
    }
}
