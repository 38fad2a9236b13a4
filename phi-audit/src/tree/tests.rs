use proptest::prelude::*;

use super::*;
use crate::Hash;

/// The leaves of the Certificate Transparency test vectors and the roots of the first n of them.
fn ct_leaves() -> Vec<Hash> {
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
        .map(|hex| Hash::leaf(&unhex(hex)))
        .to_vec()
}

const CT_ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes().chunks(2).map(|pair| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// RFC 6962 section 2.1, word for word.
fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::empty(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            Hash::node(&naive_root(left), &naive_root(right))
        }
    }
}

fn naive_path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() < 2 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
    let (mut path, sibling) = if index < left.len() {
        (naive_path(index, left), naive_root(right))
    } else {
        (naive_path(index - left.len(), right), naive_root(left))
    };
    path.push(sibling);
    path
}

fn naive_subproof(old: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
    if old == leaves.len() {
        return if whole { Vec::new() } else { vec![naive_root(leaves)] };
    }
    let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
    let (mut proof, sibling) = if old <= left.len() {
        (naive_subproof(old, left, whole), naive_root(right))
    } else {
        (naive_subproof(old - left.len(), right, false), naive_root(left))
    };
    proof.push(sibling);
    proof
}

fn leaves(count: u64) -> Vec<Hash> {
    (0..count).map(|number| Hash::leaf(&number.to_be_bytes())).collect()
}

/// Appends in batches as the sequencer does, keeping tiles as a store would.
fn stored(leaves: &[Hash], batch: usize) -> (Tiles, Hash) {
    let mut tiles = std::collections::BTreeMap::new();
    let mut size = 0;
    let mut root = Hash::empty();
    for batch in leaves.chunks(batch) {
        let all: Vec<_> = tiles.values().cloned().collect();
        let mut builder = TreeBuilder::resume(size, &Tiles::new(all)).unwrap();
        assert_eq!(builder.root().unwrap(), root);
        batch.iter().for_each(|leaf| builder.append(leaf));
        for tile in builder.take_changed() {
            tiles.insert(tile.id(), tile);
        }
        size = builder.size();
        root = builder.root().unwrap();
    }
    (Tiles::new(tiles.into_values().collect()), root)
}

#[test]
fn certificate_transparency_vectors() {
    let leaves = ct_leaves();
    assert_eq!(Hash::empty().to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    for (count, expected) in (1..=8).zip(CT_ROOTS) {
        let (mut tiles, root) = stored(&leaves[..count], 3);
        assert_eq!(root.to_string(), expected);
        assert_eq!(crate::tree::root(&mut tiles, count as u64).unwrap(), root);
    }
}

#[test]
fn every_proof_of_every_small_tree_is_the_one_of_the_rfc() {
    let leaves = leaves(36);
    for size in 1..=leaves.len() {
        let now = &leaves[..size];
        let (mut tiles, root) = stored(now, 7);
        assert_eq!(root, naive_root(now));
        for (index, leaf) in now.iter().enumerate() {
            let proof = inclusion(&mut tiles, index as u64, size as u64).unwrap();
            assert_eq!(proof, naive_path(index, now));
            verify_inclusion(index as u64, size as u64, leaf, &proof, &root).unwrap();
            for wrong in 0..=size {
                if wrong != index {
                    assert!(verify_inclusion(wrong as u64, size as u64, leaf, &proof, &root).is_err());
                }
            }
        }
        for old in 0..=size {
            let proof = consistency(&mut tiles, old as u64, size as u64).unwrap();
            if old > 0 {
                assert_eq!(proof, naive_subproof(old, now, true));
            }
            let old_root = naive_root(&leaves[..old]);
            verify_consistency((old as u64, &old_root), (size as u64, &root), &proof).unwrap();
            let other = Hash::leaf(b"other");
            assert!(verify_consistency((old as u64, &other), (size as u64, &root), &proof).is_err());
            // Every tree extends the empty one.
            assert!(old == 0 || verify_consistency((old as u64, &old_root), (size as u64, &other), &proof).is_err());
        }
    }
}

#[test]
fn proofs_notice_every_flipped_bit_and_every_change_of_length() {
    let leaves = leaves(13);
    let (mut tiles, root) = stored(&leaves, 13);
    let proof = inclusion(&mut tiles, 6, 13).unwrap();
    for place in 0..proof.len() {
        for bit in 0..256 {
            let mut bytes = *proof[place].as_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let mut forged = proof.clone();
            forged[place] = Hash::from_bytes(bytes);
            assert!(verify_inclusion(6, 13, &leaves[6], &forged, &root).is_err());
        }
    }
    for length in 0..proof.len() {
        assert!(verify_inclusion(6, 13, &leaves[6], &proof[..length], &root).is_err());
    }
    let longer = [&proof[..], &[root]].concat();
    assert!(verify_inclusion(6, 13, &leaves[6], &longer, &root).is_err());
    let proof = consistency(&mut tiles, 6, 13).unwrap();
    let old = naive_root(&leaves[..6]);
    for length in 0..proof.len() {
        assert!(verify_consistency((6, &old), (13, &root), &proof[..length]).is_err());
    }
    assert!(verify_consistency((6, &old), (13, &root), &[&proof[..], &[root]].concat()).is_err());
    assert!(verify_consistency((13, &root), (6, &old), &proof).is_err());
}

#[test]
fn a_tree_over_three_levels_of_tiles() {
    let leaves = leaves(256 * 256 + 300);
    let size = leaves.len() as u64;
    let (mut tiles, root) = stored(&leaves, 1_000);
    assert_eq!(root, naive_root(&leaves));
    for index in [0, 255, 256, 65_535, 65_536, size - 1] {
        let proof = inclusion(&mut tiles, index, size).unwrap();
        let place = usize::try_from(index).unwrap();
        verify_inclusion(index, size, &leaves[place], &proof, &root).unwrap();
        assert_eq!(proof, naive_path(place, &leaves));
    }
    for old in [1, 256, 257, 65_536, 65_537, size - 1] {
        let proof = consistency(&mut tiles, old, size).unwrap();
        let old_root = naive_root(&leaves[..usize::try_from(old).unwrap()]);
        verify_consistency((old, &old_root), (size, &root), &proof).unwrap();
    }
    // A proof reads a handful of tiles, whatever the size of the tree.
    let mut wanted = Wanted::default();
    inclusion(&mut wanted, 77, size).unwrap();
    assert!(wanted.0.len() <= 5, "{:?}", wanted.0);
}

#[test]
fn a_tile_that_is_not_there_is_named() {
    let mut nothing = Tiles::default();
    assert_eq!(root(&mut nothing, 300).unwrap_err().tile, TileId::new(1, 0));
    assert!(TreeBuilder::resume(300, &nothing).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn batches_never_change_the_tree(count in 1_u64..1_000, batch in 9_usize..400) {
        let leaves = leaves(count);
        prop_assert_eq!(stored(&leaves, batch).1, naive_root(&leaves));
    }
}
