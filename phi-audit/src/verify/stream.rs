//! Pages of a store as one sequence.

use std::collections::VecDeque;

use crate::tree::TileId;
use crate::{AuditStore, Checkpoint, EntryRow, Error, Hash, VerifierKey};

const PAGE: u32 = 1_024;

/// Entries in order of their index.
pub(super) struct Entries<'a> {
    store: &'a dyn AuditStore,
    page: VecDeque<EntryRow>,
    next: u64,
    ended: bool,
}

impl<'a> Entries<'a> {
    pub(super) const fn new(store: &'a dyn AuditStore) -> Self {
        Self { store, page: VecDeque::new(), next: 0, ended: false }
    }

    pub(super) async fn peek(&mut self) -> Result<Option<&EntryRow>, Error> {
        if self.page.is_empty() && !self.ended {
            self.page = self.store.entries(self.next, PAGE).await?.into();
            match self.page.back() {
                Some(last) => self.next = last.index.saturating_add(1),
                None => self.ended = true,
            }
        }
        Ok(self.page.front())
    }

    /// The entry at this index, if there is one.
    pub(super) async fn at(&mut self, index: u64) -> Result<Option<EntryRow>, Error> {
        while self.peek().await?.is_some_and(|row| row.index < index) {
            self.page.pop_front();
        }
        if self.peek().await?.is_some_and(|row| row.index == index) { Ok(self.page.pop_front()) } else { Ok(None) }
    }
}

/// The stored leaf hashes.
pub(super) struct Leaves<'a> {
    store: &'a dyn AuditStore,
    tile: Option<u64>,
    hashes: Vec<u8>,
}

impl<'a> Leaves<'a> {
    pub(super) const fn new(store: &'a dyn AuditStore) -> Self {
        Self { store, tile: None, hashes: Vec::new() }
    }

    pub(super) async fn at(&mut self, index: u64) -> Result<Option<Hash>, Error> {
        let tile = index / 256;
        if self.tile != Some(tile) {
            let tiles = self.store.tiles(&[TileId::new(0, tile)]).await?;
            self.hashes = tiles.into_iter().next().map(|tile| tile.hashes().to_vec()).unwrap_or_default();
            self.tile = Some(tile);
        }
        // The remainder is below 256.
        let place = usize::try_from(index % 256).unwrap_or(usize::MAX);
        Ok(self.hashes.as_chunks::<32>().0.get(place).map(|hash| Hash::from_bytes(*hash)))
    }
}

/// Checkpoints in order of their size.
pub(super) struct Checkpoints<'a> {
    store: &'a dyn AuditStore,
    key: &'a VerifierKey,
    page: VecDeque<(u64, String)>,
    last: Option<u64>,
    ended: bool,
}

impl<'a> Checkpoints<'a> {
    pub(super) const fn new(store: &'a dyn AuditStore, key: &'a VerifierKey) -> Self {
        Self { store, key, page: VecDeque::new(), last: None, ended: false }
    }

    /// The next checkpoint of at most `size` entries: the verified one, or the size under which an invalid one is kept.
    pub(super) async fn next_up_to(&mut self, size: u64) -> Result<Option<Result<Checkpoint, u64>>, Error> {
        if self.page.is_empty() && !self.ended {
            self.page = self.store.checkpoints(self.last, PAGE).await?.into();
            match self.page.back() {
                Some((last, _)) => self.last = Some(*last),
                None => self.ended = true,
            }
        }
        if self.page.front().is_none_or(|(next, _)| *next > size) {
            return Ok(None);
        }
        Ok(self.page.pop_front().map(|(size, note)| match Checkpoint::open(&note, self.key) {
            Ok(checkpoint) if checkpoint.size() == size => Ok(checkpoint),
            _ => Err(size),
        }))
    }
}
