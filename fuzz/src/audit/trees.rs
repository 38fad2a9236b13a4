//! Proofs about small trees whose every hash is known, with the fuzzer choosing what is claimed about them.

use phi_audit::{Hash, verify_consistency, verify_inclusion};

use crate::input::Input;

/// The root over leaves `0..size`, by the recursive definition of RFC 6962 section 2.1.
fn root(from: u64, size: u64) -> Hash {
    match size {
        0 => Hash::empty(),
        1 => Hash::leaf(&from.to_be_bytes()),
        _ => {
            let left = split(size);
            Hash::node(&root(from, left), &root(from + left, size - left))
        }
    }
}

/// The largest power of two smaller than `size`.
const fn split(size: u64) -> u64 {
    let half = size.next_power_of_two() / 2;
    if half == size { half / 2 } else { half }
}

/// The audit path of RFC 6962 section 2.1.1.
fn path(index: u64, from: u64, size: u64) -> Vec<Hash> {
    if size <= 1 {
        return Vec::new();
    }
    let left = split(size);
    let (mut below, sibling) = if index < left {
        (path(index, from, left), root(from + left, size - left))
    } else {
        (path(index - left, from + left, size - left), root(from, left))
    };
    below.push(sibling);
    below
}

/// A proof as the fuzzer makes it: from the hashes of a true one, cut, extended and changed.
fn bend(mut proof: Vec<Hash>, input: &mut Input<'_>) -> Vec<Hash> {
    let count = input.byte() % 4;
    for _ in 0..count {
        let (act, at) = (input.byte(), usize::from(input.byte()));
        match act % 4 {
            0 => proof.truncate(at),
            1 => proof.insert(at.min(proof.len()), Hash::from_bytes(input.array())),
            2 if at < proof.len() => proof[at] = root(u64::from(input.byte()), u64::from(input.byte() % 16)),
            3 if at < proof.len() => {
                proof.remove(at);
            }
            _ => {}
        }
    }
    proof
}

/// A true proof is accepted; whatever else is accepted claims nothing false.
pub(crate) fn inclusion(input: &[u8]) {
    let mut input = Input::new(input);
    let size = u64::from(input.byte() % 32) + 1;
    let index = u64::from(input.byte()) % size;
    let (root, true_path) = (root(0, size), path(index, 0, size));
    let leaf = Hash::leaf(&index.to_be_bytes());
    verify_inclusion(index, size, &leaf, &true_path, &root).expect("a true proof");

    let claimed = u64::from_be_bytes(input.array()) % (size + 2);
    let bent = bend(true_path, &mut input);
    if verify_inclusion(claimed, size, &leaf, &bent, &root).is_ok() {
        assert_eq!(claimed, index);
    }
    // Sizes are signed together with the root, so no lie about them can be told; none may crash the verifier either.
    let _ = verify_inclusion(claimed, u64::from_be_bytes(input.array()), &leaf, &bent, &root);
}

/// What is accepted as an older state of a tree is one.
pub(crate) fn consistency(input: &[u8]) {
    let mut input = Input::new(input);
    let new = u64::from(input.byte() % 32);
    let old = u64::from(input.byte()) % (new + 1);
    let (old_root, new_root) = (root(0, old), root(0, new));
    let true_proof = subproof(old, 0, new, true);
    let true_proof = if old == 0 { Vec::new() } else { true_proof };
    verify_consistency((old, &old_root), (new, &new_root), &true_proof).expect("a true proof");

    let bent = bend(true_proof, &mut input);
    let claimed = if input.byte().is_multiple_of(2) { Hash::from_bytes(input.array()) } else { old_root };
    if verify_consistency((old, &claimed), (new, &new_root), &bent).is_ok() {
        assert_eq!(claimed, old_root);
    }
    let _ = verify_consistency((u64::from_be_bytes(input.array()), &old_root), (new, &new_root), &bent);
}

/// `SUBPROOF` of RFC 6962 section 2.1.2.
fn subproof(old: u64, from: u64, size: u64, whole: bool) -> Vec<Hash> {
    if old == size {
        return if whole { Vec::new() } else { vec![root(from, size)] };
    }
    let left = split(size);
    let (mut below, sibling) = if old <= left {
        (subproof(old, from, left, whole), root(from + left, size - left))
    } else {
        (subproof(old - left, from + left, size - left, false), root(from, left))
    };
    below.push(sibling);
    below
}
