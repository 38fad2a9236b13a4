//! Roots and proofs out of complete subtrees, by the recursive definitions of RFC 6962 section 2.1.

use super::{MissingNode, TileId};
use crate::Hash;

/// Gives the hash of the complete subtree of `2^level` leaves that starts at leaf `index · 2^level`.
pub(crate) trait NodeReader {
    fn node(&mut self, level: u32, index: u64) -> Result<Hash, MissingNode>;
}

/// Notes which tiles a computation will read. Running the same code twice, first with this and then with the tiles,
/// keeps the list and the computation from ever drifting apart.
#[derive(Debug, Default)]
pub(crate) struct Wanted(pub(crate) std::collections::BTreeSet<TileId>);

impl NodeReader for Wanted {
    fn node(&mut self, level: u32, index: u64) -> Result<Hash, MissingNode> {
        self.0.insert(TileId::holding(level, index));
        Ok(Hash::from_bytes([0; 32]))
    }
}

/// The root of the first `size` leaves.
pub(crate) fn root(nodes: &mut (impl NodeReader + ?Sized), size: u64) -> Result<Hash, MissingNode> {
    if size == 0 { Ok(Hash::empty()) } else { range(nodes, 0, size) }
}

/// The inclusion proof of leaf `index` in the tree of `size` leaves. The caller has checked `index < size`.
pub(crate) fn inclusion(
    nodes: &mut (impl NodeReader + ?Sized),
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, MissingNode> {
    let (mut start, mut end) = (0, size);
    let mut siblings = Vec::new();
    // RFC 6962's PATH, walked from the root down and reversed at the end.
    while end.saturating_sub(start) > 1 {
        let middle = start + split(end - start);
        if index < middle {
            siblings.push(range(nodes, middle, end)?);
            end = middle;
        } else {
            siblings.push(range(nodes, start, middle)?);
            start = middle;
        }
    }
    siblings.reverse();
    Ok(siblings)
}

/// The consistency proof between the first `old` and the first `new` leaves. The caller has checked `old <= new`.
pub(crate) fn consistency(
    nodes: &mut (impl NodeReader + ?Sized),
    old: u64,
    new: u64,
) -> Result<Vec<Hash>, MissingNode> {
    let (mut start, mut end) = (0, new);
    let mut proof = Vec::new();
    if old == 0 || old == new {
        return Ok(proof);
    }
    // RFC 6962's SUBPROOF, walked from the root down: `[start, end)` always holds leaf `old - 1`.
    while end != old {
        let middle = start + split(end - start);
        if old <= middle {
            proof.push(range(nodes, middle, end)?);
            end = middle;
        } else {
            proof.push(range(nodes, start, middle)?);
            start = middle;
        }
    }
    if start != 0 {
        proof.push(range(nodes, start, end)?);
    }
    proof.reverse();
    Ok(proof)
}

/// The largest power of two below `n`, for `n >= 2`.
fn split(n: u64) -> u64 {
    // For n >= 2 the number of leading zeros of n - 1 is at most 63, so the shift is in range.
    1 << (63 - (n - 1).leading_zeros())
}

/// The hash over the leaves `[start, end)`, a subtree of RFC 6962's recursion that is not empty.
fn range(nodes: &mut (impl NodeReader + ?Sized), start: u64, end: u64) -> Result<Hash, MissingNode> {
    // Such a range is a sequence of complete subtrees of falling size: hash them together from the right.
    let mut complete = Vec::new();
    let mut at = start;
    while at < end {
        let rest = end - at;
        let level = 63 - rest.leading_zeros();
        complete.push(nodes.node(level, at >> level)?);
        at += 1 << level;
    }
    let joined = complete.into_iter().rev().reduce(|right, left| Hash::node(&left, &right));
    Ok(joined.unwrap_or_else(Hash::empty))
}
