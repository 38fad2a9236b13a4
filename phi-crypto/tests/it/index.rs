//! What an index promises apart from any database.

use std::error::Error as _;

use phi_crypto::{BlindIndex, IndexError, IndexWarning, PartitionedSpec, Transform};

use crate::searches::{self, AFTER, COLUMNS, DURING, OLD};
use crate::support::{Clinic, LEASE};

#[tokio::test]
async fn each_search_finds_exactly_the_rows_that_are_meant() {
    let clinic = Clinic::new().await;
    let rows = searches::rows(&clinic.keys).await;
    for (column, wanted, expected) in searches::searches(&clinic.keys).await {
        let at = COLUMNS.iter().position(|name| *name == column).unwrap();
        let found = rows.iter().filter(|row| row.tags[at].is_some_and(|tag| wanted.iter().any(|want| *want == tag)));
        assert_eq!(found.map(|row| row.id).collect::<Vec<_>>(), expected, "{column}");
    }
}

#[tokio::test]
async fn partitions_spread_equal_values_and_may_grow_in_place() {
    const FEW: PartitionedSpec = BlindIndex::exact("Patient", "zip", "by_area", Transform::Zip3).partitioned(4);
    const MORE: PartitionedSpec = BlindIndex::exact("Patient", "zip", "by_area", Transform::Zip3).partitioned(16);
    let clinic = Clinic::new().await;
    let (few, more) = (FEW.open(&clinic.keys).await.unwrap(), MORE.open(&clinic.keys).await.unwrap());
    let wanted = few.search("02139").unwrap();
    assert_eq!(wanted.len(), 4);
    let mut counts = [0; 4];
    for row in 0..400_u64 {
        let tag = few.tag("02139", row).unwrap().unwrap();
        assert_eq!(few.tag("02139", row).unwrap(), Some(tag), "a row stays in its partition");
        assert!(more.search("02139").unwrap().iter().any(|more| *more == tag));
        counts[wanted.iter().position(|want| *want == tag).unwrap()] += 1;
    }
    // Ten standard deviations from 100 each; one in 10^22 runs would fail by chance.
    assert!(counts.iter().all(|count| (15..185).contains(count)), "{counts:?}");
}

#[tokio::test]
async fn a_tag_of_one_generation_is_found_while_it_is_replaced() {
    let clinic = Clinic::new().await;
    let open = async |spec: phi_crypto::IndexSpec| spec.open(&clinic.keys).await.unwrap();
    let (old, during, after) = (open(OLD).await, open(DURING).await, open(AFTER).await);
    let stored = old.tag("078051120").unwrap().unwrap();
    assert_eq!((stored.version(), stored.as_bytes().len()), (1, 17));
    let renewed = during.tag("078-05-1120").unwrap().unwrap();
    assert_eq!((renewed.version(), renewed.as_bytes().len()), (2, 9));
    assert_eq!(during.search("078051120").unwrap().as_slice(), [renewed, stored]);
    assert_eq!(during.search("078-05-1120").unwrap().as_slice()[0], renewed);
    assert_eq!(after.search("078051120").unwrap().as_slice(), [renewed]);
}

#[tokio::test]
async fn an_index_ends_with_its_lease() {
    let clinic = Clinic::new().await;
    let index = DURING.open(&clinic.keys).await.unwrap();
    index.search("078-05-1120").unwrap();
    clinic.clock.advance(LEASE);
    assert!(matches!(index.tag("078-05-1120"), Err(IndexError::LeaseEnded)));
    assert!(matches!(index.search("078-05-1120"), Err(IndexError::LeaseEnded)));
}

#[tokio::test]
async fn nothing_of_a_tag_is_printed() {
    let clinic = Clinic::new().await;
    let index = DURING.open(&clinic.keys).await.unwrap();
    let tags = index.search("078-05-1120").unwrap();
    assert_eq!(
        format!("{tags:?} {:?} {index:?}", tags.as_slice()),
        "Tags(2) [Tag([tag]), Tag([tag])] BlindIndex(Patient by_ssn)"
    );
}

#[tokio::test]
async fn tags_are_looked_at_one_after_the_other() {
    let clinic = Clinic::new().await;
    let index = DURING.open(&clinic.keys).await.unwrap();
    let tags = index.search("078-05-1120").unwrap();
    let after = AFTER.open(&clinic.keys).await.unwrap();
    assert!(!tags.is_empty() && after.search("no digits").unwrap().is_empty());
    assert_eq!((&tags).into_iter().collect::<Vec<_>>(), tags.as_slice().iter().collect::<Vec<_>>());
    for tag in &tags {
        assert_eq!(tag.as_ref(), tag.as_bytes());
    }
}

#[test]
fn an_error_of_a_key_tells_which() {
    let error = IndexError::Key(phi_keys::Error::Shredded);
    let source = error.source().unwrap();
    assert_eq!(source.to_string(), phi_keys::Error::Shredded.to_string());
    assert!(IndexError::LeaseEnded.source().is_none());
}

#[test]
fn each_warning_says_what_to_do() {
    for (warning, advice) in [
        (IndexWarning::NamesValues, "shorten the tags"),
        (IndexWarning::TooManyMatches, "lengthen the tags"),
        (IndexWarning::FewValues, "leave it without an index"),
    ] {
        assert!(warning.to_string().contains(advice), "{warning}");
    }
}
