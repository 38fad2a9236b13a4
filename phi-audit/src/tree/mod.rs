//! The RFC 6962 Merkle tree: roots, proofs, and the tiles that it is stored in.
//!
//! ```
//! use phi_audit::{Hash, verify_inclusion};
//!
//! let leaves = [Hash::leaf(b"a"), Hash::leaf(b"b")];
//! let root = Hash::node(&leaves[0], &leaves[1]);
//! assert!(verify_inclusion(0, 2, &leaves[0], &[leaves[1]], &root).is_ok());
//! assert!(verify_inclusion(1, 2, &leaves[0], &[leaves[1]], &root).is_err());
//! ```

mod compute;
#[cfg(test)]
mod tests;
mod tiles;
mod verify;

pub(crate) use compute::{NodeReader, Wanted, consistency, inclusion, root};
pub use tiles::{Tile, TileId};
pub(crate) use tiles::{Tiles, TreeBuilder, edge};
pub use verify::{InvalidProof, verify_consistency, verify_inclusion};

/// A node that the stored tiles should hold is not there or has the wrong length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MissingNode {
    /// The tile that should hold it.
    pub(crate) tile: TileId,
}
