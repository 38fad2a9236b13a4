//! Tiles of 256 hashes, laid out as in C2SP tlog-tiles, and the builder that grows them.

use std::collections::{BTreeMap, BTreeSet};

use super::compute::NodeReader;
use super::{MissingNode, root};
use crate::Hash;

/// Levels of the tree in one level of tiles.
const HEIGHT: u32 = 8;
/// Hashes in a full tile.
const WIDTH: u64 = 1 << HEIGHT;
const HASH: usize = 32;

/// The place of a tile: `level` 0 holds leaf hashes, each level above the roots of 256 hashes below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TileId {
    level: u8,
    index: u64,
}

impl TileId {
    /// The tile at this level, counted from the left.
    #[must_use]
    pub const fn new(level: u8, index: u64) -> Self {
        Self { level, index }
    }

    /// 0 for tiles of leaf hashes.
    #[must_use]
    pub const fn level(self) -> u8 {
        self.level
    }

    /// The number of tiles to the left on the same level.
    #[must_use]
    pub const fn index(self) -> u64 {
        self.index
    }

    /// The tile out of which a node can be computed.
    pub(crate) fn holding(level: u32, index: u64) -> Self {
        // Levels of a tree over u64 leaves are below 64.
        let tile_level = u8::try_from(level / HEIGHT).unwrap_or(u8::MAX);
        Self { level: tile_level, index: (index << (level % HEIGHT)) / WIDTH }
    }
}

/// A tile and its hashes, 32 bytes each, from the left; only the rightmost tile of a level has fewer than 256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    id: TileId,
    hashes: Vec<u8>,
}

impl Tile {
    /// A tile out of concatenated hashes.
    #[must_use]
    pub const fn new(id: TileId, hashes: Vec<u8>) -> Self {
        Self { id, hashes }
    }

    /// Where it belongs.
    #[must_use]
    pub const fn id(&self) -> TileId {
        self.id
    }

    /// The concatenated hashes.
    #[must_use]
    pub fn hashes(&self) -> &[u8] {
        &self.hashes
    }
}

/// A set of tiles in memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tiles(BTreeMap<TileId, Vec<u8>>);

impl Tiles {
    pub(crate) fn new(tiles: Vec<Tile>) -> Self {
        Self(tiles.into_iter().map(|tile| (tile.id, tile.hashes)).collect())
    }
}

impl NodeReader for Tiles {
    fn node(&mut self, level: u32, index: u64) -> Result<Hash, MissingNode> {
        let tile = TileId::holding(level, index);
        let missing = MissingNode { tile };
        let count = 1_usize << (level % HEIGHT);
        // Below WIDTH by the remainder, so both conversions hold on every platform.
        let first = usize::try_from((index << (level % HEIGHT)) % WIDTH).map_err(|_| missing)?;
        let hashes = self.0.get(&tile).ok_or(missing)?;
        let bytes = hashes.get(first * HASH..(first + count) * HASH).ok_or(missing)?;
        fold(bytes).ok_or(missing)
    }
}

/// The root over a power of two of concatenated hashes.
fn fold(hashes: &[u8]) -> Option<Hash> {
    let (chunks, rest) = hashes.as_chunks::<HASH>();
    if !rest.is_empty() || !chunks.len().is_power_of_two() {
        return None;
    }
    let mut row: Vec<Hash> = chunks.iter().map(|chunk| Hash::from_bytes(*chunk)).collect();
    while row.len() > 1 {
        row = row.as_chunks::<2>().0.iter().map(|[left, right]| Hash::node(left, right)).collect();
    }
    row.first().copied()
}

/// The partly filled tiles of a tree of `size` leaves: all that appending to it needs, and what its root is made of.
pub(crate) fn edge(size: u64) -> Vec<TileId> {
    (0_u8..=7)
        .map(|level| (level, size >> (HEIGHT * u32::from(level))))
        .take_while(|(_, hashes)| *hashes > 0)
        .filter(|(_, hashes)| hashes % WIDTH != 0)
        .map(|(level, hashes)| TileId::new(level, hashes / WIDTH))
        .collect()
}

/// Appends leaves to a tree of which it holds only the right edge.
#[derive(Debug, Clone, Default)]
pub(crate) struct TreeBuilder {
    size: u64,
    open: Vec<Vec<u8>>,
    complete: Vec<Tile>,
    changed: BTreeSet<u8>,
}

impl TreeBuilder {
    /// Goes on from a tree of `size` leaves whose [`edge`] tiles are given.
    pub(crate) fn resume(size: u64, tiles: &Tiles) -> Result<Self, MissingNode> {
        let mut open = Vec::new();
        for level in 0_u8..=7 {
            let hashes = size >> (HEIGHT * u32::from(level));
            if hashes == 0 {
                break;
            }
            let tile = TileId::new(level, hashes / WIDTH);
            // Less than WIDTH, and WIDTH fits a usize everywhere.
            let wanted = usize::try_from(hashes % WIDTH).map_err(|_| MissingNode { tile })? * HASH;
            let stored = tiles.0.get(&tile).map_or(&[][..], Vec::as_slice);
            open.push(stored.get(..wanted).ok_or(MissingNode { tile })?.to_vec());
        }
        Ok(Self { size, open, complete: Vec::new(), changed: BTreeSet::new() })
    }

    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn append(&mut self, leaf: &Hash) {
        let mut carried = *leaf;
        for level in 0_u8..=7 {
            let place = usize::from(level);
            if self.open.len() <= place {
                self.open.push(Vec::new());
            }
            let index = (self.size >> (HEIGHT * u32::from(level))) / WIDTH;
            self.changed.insert(level);
            let Some(hashes) = self.open.get_mut(place) else { break };
            hashes.extend_from_slice(carried.as_bytes());
            if hashes.len() < HASH * 256 {
                break;
            }
            let full = core::mem::take(hashes);
            self.changed.remove(&level);
            let Some(above) = fold(&full) else { break };
            self.complete.push(Tile::new(TileId::new(level, index), full));
            carried = above;
        }
        self.size += 1;
    }

    /// The tiles that changed since the last call: the completed ones and the open ones.
    pub(crate) fn take_changed(&mut self) -> Vec<Tile> {
        let mut tiles = self.take_complete();
        let changed = core::mem::take(&mut self.changed);
        tiles.extend(changed.into_iter().filter_map(|level| self.open_tile(level)));
        tiles
    }

    /// The tiles that were completed since the last call.
    pub(crate) fn take_complete(&mut self) -> Vec<Tile> {
        core::mem::take(&mut self.complete)
    }

    /// The partly filled tile of a level, when there is one.
    pub(crate) fn open_tile(&self, level: u8) -> Option<Tile> {
        let hashes = self.open.get(usize::from(level)).filter(|hashes| !hashes.is_empty())?;
        let index = (self.size >> (HEIGHT * u32::from(level))) / WIDTH;
        Some(Tile::new(TileId::new(level, index), hashes.clone()))
    }

    /// The root over all leaves so far.
    pub(crate) fn root(&self) -> Result<Hash, MissingNode> {
        let edge = (0_u8..=7).filter_map(|level| self.open_tile(level)).collect();
        root(&mut Tiles::new(edge), self.size)
    }
}
