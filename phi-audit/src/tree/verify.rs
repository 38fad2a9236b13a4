//! Checking proofs, by the algorithms of RFC 9162 sections 2.1.3.2 and 2.1.4.2.

use core::fmt;

use crate::Hash;

/// A proof does not show what it claims. It carries no detail: any difference means the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidProof;

impl fmt::Display for InvalidProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the proof does not lead to the root that was signed")
    }
}

impl core::error::Error for InvalidProof {}

/// Checks that the leaf is at `index` (from 0) of the tree with `size` leaves and this root.
///
/// # Errors
/// [`InvalidProof`] when it is not shown (RFC 9162 section 2.1.3.2).
pub fn verify_inclusion(index: u64, size: u64, leaf: &Hash, proof: &[Hash], root: &Hash) -> Result<(), InvalidProof> {
    if index >= size {
        return Err(InvalidProof);
    }
    let (mut path, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in proof {
        if last == 0 {
            return Err(InvalidProof);
        }
        if path & 1 == 1 || path == last {
            hash = Hash::node(sibling, &hash);
            while path & 1 == 0 && path != 0 {
                path >>= 1;
                last >>= 1;
            }
        } else {
            hash = Hash::node(&hash, sibling);
        }
        path >>= 1;
        last >>= 1;
    }
    if last == 0 && hash == *root { Ok(()) } else { Err(InvalidProof) }
}

/// Checks that the tree with `new_size` leaves holds the first `old_size` leaves of the older tree, unchanged.
///
/// Every tree extends the empty one; the proof is then empty.
///
/// # Errors
/// [`InvalidProof`] when it is not shown (RFC 9162 section 2.1.4.2).
pub fn verify_consistency(
    (old_size, old_root): (u64, &Hash),
    (new_size, new_root): (u64, &Hash),
    proof: &[Hash],
) -> Result<(), InvalidProof> {
    let shown = |shown: bool| if shown { Ok(()) } else { Err(InvalidProof) };
    if old_size > new_size {
        return Err(InvalidProof);
    }
    if old_size == new_size {
        return shown(proof.is_empty() && old_root == new_root);
    }
    if old_size == 0 {
        return shown(proof.is_empty() && *old_root == Hash::empty());
    }
    let (first, rest) = if old_size.is_power_of_two() {
        (old_root, proof)
    } else {
        let (first, rest) = proof.split_first().ok_or(InvalidProof)?;
        (first, rest)
    };
    let (mut path, mut last) = (old_size - 1, new_size - 1);
    while path & 1 == 1 {
        path >>= 1;
        last >>= 1;
    }
    let (mut old, mut new) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return Err(InvalidProof);
        }
        if path & 1 == 1 || path == last {
            old = Hash::node(sibling, &old);
            new = Hash::node(sibling, &new);
            while path & 1 == 0 && path != 0 {
                path >>= 1;
                last >>= 1;
            }
        } else {
            new = Hash::node(&new, sibling);
        }
        path >>= 1;
        last >>= 1;
    }
    shown(last == 0 && old == *old_root && new == *new_root)
}
