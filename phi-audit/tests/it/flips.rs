//! Every bit of what a verifier reads, changed in a log in memory. That the database is read so is shown in `tamper`.

use phi_audit::{Hash, Problem, Tile, TileId};

use crate::snapshot::{Snapshot, flips};
use crate::support::{Clinic, P256};

#[tokio::test]
async fn every_flipped_bit_of_an_entry_is_named() {
    let (clinic, key) = Clinic::filled(3).await;
    let log = Snapshot::of(&clinic.pool).await;
    assert!(log.verify(&key).await.is_consistent());
    // One of the shortest and one with every field.
    for place in [1, 3] {
        let row = &log.entries[place];
        let mut altered = log.clone();
        for (bit, entry) in flips(&row.entry).enumerate() {
            altered.entries[place].entry = entry;
            let report = altered.verify(&key).await;
            let [found] = &report.findings[..] else { panic!("bit {bit}: {:?}", report.findings) };
            assert_eq!((found.index, &found.problem), (Some(row.index), &Problem::Edited), "bit {bit}: {found}");
        }
    }
}

/// In a log of one tile of leaf hashes; the hash above a full one is in the next test.
#[tokio::test]
async fn every_flipped_bit_of_a_stored_leaf_hash_and_of_the_root_is_named() {
    let (clinic, key) = Clinic::filled(3).await;
    let log = Snapshot::of(&clinic.pool).await;
    let leaves = TileId::new(0, 0);
    let mut altered = log.clone();
    for (bit, hashes) in flips(log.clone().tile(leaves).hashes()).enumerate() {
        *altered.tile(leaves) = Tile::new(leaves, hashes);
        let report = altered.verify(&key).await;
        let problem = Problem::Tile { level: 0, tile: 0 };
        assert_eq!(report.first_wrong().unwrap().problem, problem, "bit {bit}: {:?}", report.findings);
    }
    let mut altered = log.clone();
    for root in flips(log.head.root.as_bytes()) {
        altered.head.root = Hash::from_bytes(root.try_into().unwrap());
        let report = altered.verify(&key).await;
        let [found] = &report.findings[..] else { panic!("{:?}", report.findings) };
        assert_eq!(found.problem, Problem::Head);
    }
}

#[tokio::test]
async fn every_flipped_bit_of_a_stored_hash_above_a_full_tile_is_named() {
    let (clinic, key) = Clinic::filled(300).await;
    let log = Snapshot::of(&clinic.pool).await;
    let above = TileId::new(1, 0);
    let mut altered = log.clone();
    assert_eq!(altered.tile(above).hashes().len(), 32);
    for (bit, hashes) in flips(log.clone().tile(above).hashes()).enumerate() {
        *altered.tile(above) = Tile::new(above, hashes);
        let report = altered.verify(&key).await;
        let [found] = &report.findings[..] else { panic!("bit {bit}: {:?}", report.findings) };
        assert_eq!(found.problem, Problem::Tile { level: 1, tile: 0 });
    }
}

/// But for those after which it is no text any more: a store gives none of these.
#[tokio::test]
async fn every_flipped_bit_of_a_checkpoint_is_a_bad_signature() {
    for (clinic, key) in [Clinic::filled(3).await, Clinic::filled_and_signed(3, Some(P256::generate())).await] {
        let mut log = Snapshot::of(&clinic.pool).await;
        let (size, note) = log.checkpoints.last().unwrap().clone();
        let texts: Vec<String> = flips(note.as_bytes()).filter_map(|changed| String::from_utf8(changed).ok()).collect();
        assert!(texts.len() > 6 * note.len(), "all but the highest bit of nearly every byte");
        for changed in texts {
            log.checkpoints.last_mut().unwrap().1 = changed;
            let report = log.verify(&key).await;
            let [found] = &report.findings[..] else { panic!("{:?}", report.findings) };
            assert_eq!(found.problem, Problem::BadSignature { size });
        }
    }
}
