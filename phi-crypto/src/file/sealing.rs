//! The writing side without I/O: takes plaintext, gives the bytes of a sealed file.

use core::ops::{Deref, DerefMut, Range};
use std::io::IoSliceMut;
use std::process;

use phi_keys::backend::NotApproved;
use phi_keys::derive::Label;

use super::FileError;
use super::cobblestone::{CHUNK, Cipher, MAX_CHUNKS, SEALED_CHUNK, TAG};
use super::head::{FileHead, SUITE};
use super::lease::{Grant, Lease, Way};

/// Chunks that are sealed between two questions to lease and process id. With more, which would be 128 KiB, the buffer of
/// every file would be mapped and returned by the system's allocator.
pub(super) const BATCH: usize = 7;
/// Plaintext bytes of a batch.
const ROOM: usize = BATCH * CHUNK;

/// A buffer of slots of one sealed chunk each, of which what was used is wiped when it is dropped.
pub(super) struct Slots {
    bytes: Vec<u8>,
    used: usize,
}

impl Slots {
    pub(super) const fn none() -> Self {
        Self { bytes: Vec::new(), used: 0 }
    }

    pub(super) fn of(chunks: usize) -> Self {
        Self { bytes: vec![0; chunks * SEALED_CHUNK], used: 0 }
    }

    /// Has at least so many slots from now on. Of what they hold the first bytes stay, which must be sealed ones: where the
    /// allocator moves them, it does not wipe.
    pub(super) fn grow(&mut self, chunks: usize, sealed: usize) {
        let length = chunks * SEALED_CHUNK;
        if self.bytes.len() < length {
            wipe(self.bytes.get_mut(sealed..self.used).unwrap_or_default());
            self.bytes.resize(length, 0);
            self.used = sealed;
        }
    }

    /// Plaintext is or was before this place.
    pub(super) fn used(&mut self, end: usize) {
        self.used = self.used.max(end);
    }
}

impl Deref for Slots {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Slots {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        wipe(self.bytes.get_mut(..self.used).unwrap_or_default());
    }
}

/// As sure as `zeroize`, which wipes byte by byte: a batch would take longer than they take to seal.
fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    zeroize::optimization_barrier(bytes);
}

pub(super) struct Sealing {
    cipher: Cipher,
    pub(super) lease: Lease,
    process: u32,
    /// The number of the chunk in the first slot.
    next: u64,
    slots: Slots,
    /// Plaintext bytes in the slots, from the first on.
    filled: usize,
    /// Sealed bytes at the beginning of the buffer that the sink has not taken.
    ready: Range<usize>,
    /// Bytes of the last chunk, once it was sealed.
    finished: Option<usize>,
    abandoned: bool,
}

impl Sealing {
    pub(super) fn begin(grant: Grant) -> Result<Self, FileError> {
        let Grant { data, aad, .. } = &grant;
        let backend = data.backend();
        // Refused before anything is written: the chunks of a file count their nonces.
        backend.admit(NotApproved::FileSealing)?;
        let mut salt = [0; 24];
        backend.fill(&mut salt).map_err(|_| FileError::NoRandomness)?;
        let input_key = data.derive(Label::FILE, &[SUITE]).map_err(|_| FileError::LeaseEnded)?;
        let mut head = FileHead::new(data.kid(), salt);
        let (cipher, commitment) = Cipher::derive(backend, &input_key, &salt, [&head.header, aad])?;
        head.commitment = commitment;

        let mut slots = Slots::of(BATCH);
        for (to, from) in slots.iter_mut().zip(head.to_bytes()) {
            *to = from;
        }
        let lease = Lease::new(grant, Way::Sealing);
        Ok(Self {
            cipher,
            lease,
            process: process::id(),
            next: 0,
            slots,
            filled: 0,
            ready: 0..FileHead::LEN,
            finished: None,
            abandoned: false,
        })
    }

    /// What the sink has to take before anything else can happen.
    pub(super) fn ready(&self) -> &[u8] {
        // Both ends are within the buffer, of which they were taken.
        self.slots.get(self.ready.clone()).unwrap_or_default()
    }

    /// The sink took bytes of [`ready`](Self::ready).
    pub(super) fn taken(&mut self, bytes: usize) {
        self.ready.start = self.ready.end.min(self.ready.start.saturating_add(bytes));
        if self.ready.is_empty() && self.filled > 0 {
            // An unfinished chunk lies behind the sealed ones.
            let from = self.ready.end;
            self.slots.copy_within(from..from + self.filled, 0);
        }
        if self.ready.is_empty() {
            self.ready = 0..0;
        }
    }

    pub(super) const fn is_full(&self) -> bool {
        self.filled >= ROOM
    }

    /// Takes as much plaintext as there is room for. Everything that was ready must have been taken.
    pub(super) fn put(&mut self, mut plaintext: &[u8]) -> usize {
        let before = self.filled;
        while !plaintext.is_empty() && !self.is_full() {
            let (slot, within) = (self.filled / CHUNK, self.filled % CHUNK);
            let (now, later) = plaintext.split_at(plaintext.len().min(CHUNK - within));
            let start = slot * SEALED_CHUNK + within;
            let Some(room) = self.slots.get_mut(start..start + now.len()) else { break };
            room.copy_from_slice(now);
            self.slots.used(start + now.len());
            self.filled += now.len();
            plaintext = later;
        }
        self.filled - before
    }

    /// The room for plaintext, for a reader that fills it, which then says so by [`filled`](Self::filled).
    pub(super) fn room(&mut self) -> [IoSliceMut<'_>; BATCH] {
        let whole = self.slots.len();
        self.slots.used(whole);
        room(&mut self.slots, self.filled)
    }

    pub(super) const fn filled(&mut self, bytes: usize) {
        self.filled = if bytes > ROOM - self.filled { ROOM } else { self.filled + bytes };
    }

    /// Seals the full chunks.
    pub(super) fn seal_full(&mut self) -> Result<(), FileError> {
        let full = self.filled / CHUNK;
        if full > 0 {
            self.admit()?;
            self.next = seal(&self.cipher, self.next, &mut self.slots, full)?;
            self.filled %= CHUNK;
            self.ready = 0..full * SEALED_CHUNK;
        }
        Ok(())
    }

    /// Seals the last chunk, after every full one was sealed and taken.
    pub(super) fn seal_last(&mut self) -> Result<(), FileError> {
        if self.finished.is_none() {
            self.admit()?;
            debug_assert!(self.filled < CHUNK, "full chunks are sealed before the last one");
            let sealed = seal_last(&self.cipher, self.next, &mut self.slots, self.filled)?;
            (self.finished, self.filled) = (Some(self.filled), 0);
            self.ready = 0..sealed;
        }
        Ok(())
    }

    #[cfg(feature = "tokio")]
    pub(super) const fn is_finished(&self) -> bool {
        self.finished.is_some()
    }

    /// Plaintext bytes that were taken.
    pub(super) const fn position(&self) -> u64 {
        let last = match self.finished {
            Some(last) => last,
            None => self.filled,
        };
        self.next * CHUNK as u64 + last as u64
    }

    /// Asked before anything is sealed.
    fn admit(&mut self) -> Result<(), FileError> {
        if self.abandoned {
            return Err(FileError::Abandoned);
        }
        if self.process != process::id() {
            return Err(FileError::Forked);
        }
        self.lease.check()
    }

    /// What several threads need to go on with the file, which cannot be finished until it is [resumed](Self::resume).
    pub(super) fn shared(&mut self) -> (&Cipher, Admission<'_>) {
        self.abandoned = true;
        let carried = self.slots.get(..self.filled).unwrap_or_default();
        let admission = Admission { lease: &mut self.lease, process: self.process, next: &mut self.next, carried };
        (&self.cipher, admission)
    }

    /// Takes back the unfinished chunk that the threads left.
    pub(super) fn resume(&mut self, rest: &[u8]) {
        (self.abandoned, self.filled) = (false, 0);
        self.put(rest);
    }
}

/// What threads ask, one at a time, before they seal a batch.
pub(super) struct Admission<'a> {
    lease: &'a mut Lease,
    process: u32,
    next: &'a mut u64,
    /// Plaintext that was taken before the threads began.
    pub(super) carried: &'a [u8],
}

impl Admission<'_> {
    /// Gives away the numbers of as many chunks, of which the first is the answer.
    pub(super) fn admit(&mut self, chunks: usize) -> Result<u64, FileError> {
        if self.process != process::id() {
            return Err(FileError::Forked);
        }
        self.lease.check()?;
        let first = *self.next;
        *self.next = first.saturating_add(chunks as u64);
        Ok(first)
    }
}

/// The slots behind `filled` bytes of plaintext.
pub(super) fn room(slots: &mut [u8], filled: usize) -> [IoSliceMut<'_>; BATCH] {
    let (first, within) = (filled / CHUNK, filled % CHUNK);
    let mut free = slots.chunks_exact_mut(SEALED_CHUNK).skip(first);
    core::array::from_fn(|place| {
        let slot = free.next().and_then(|slot| slot.get_mut(if place == 0 { within } else { 0 }..CHUNK));
        IoSliceMut::new(slot.unwrap_or_default())
    })
}

/// Seals the first `full` slots, and says which number comes next.
pub(super) fn seal(cipher: &Cipher, first: u64, slots: &mut [u8], full: usize) -> Result<u64, FileError> {
    let next = first.saturating_add(full as u64);
    // One number is left for the last chunk.
    if next >= MAX_CHUNKS {
        return Err(FileError::TooLarge);
    }
    for (slot, number) in slots.chunks_exact_mut(SEALED_CHUNK).zip(first..next) {
        let (chunk, tag) = slot.split_at_mut(CHUNK);
        tag.copy_from_slice(&cipher.seal(number, chunk).map_err(|_| FileError::TooLarge)?);
    }
    Ok(next)
}

/// Seals the first `size` bytes as the last chunk, and says where its tag ends.
pub(super) fn seal_last(cipher: &Cipher, number: u64, slots: &mut [u8], size: usize) -> Result<usize, FileError> {
    let end = size + TAG;
    let slot = slots.get_mut(..end).ok_or(FileError::TooLarge)?;
    let (chunk, tag) = slot.split_at_mut(size);
    tag.copy_from_slice(&cipher.seal(number, chunk).map_err(|_| FileError::TooLarge)?);
    Ok(end)
}
