//! The `_into` forms do not touch the heap.

use phi_crypto::{BlindIndex, Context, Padding, Sealer, Transform};

use crate::support::{Clinic, scope};

#[tokio::test]
async fn sealing_and_opening_into_a_buffer_with_room_allocate_nothing() {
    let clinic = Clinic::new().await;
    let sealer = clinic.sealer("ada").await;
    let opener = clinic.opener("ada").await;
    let place = Context::new("Patient", "name").record_id("22d6efc6-2dc7-4d9f-8f3a-0d2c1b7a9e55").row_version(7);
    let (mut sealed, mut opened) = (Vec::with_capacity(256), Vec::with_capacity(256));
    // The first call begins the epoch and derives the opening key.
    sealer.seal_into(&[7; 64], &place, &mut sealed).unwrap();
    opener.open_into(&sealed, &place, &mut opened).unwrap();

    let counted = allocation_counter::measure(|| {
        for _ in 0..100 {
            sealed.clear();
            opened.clear();
            sealer.seal_into(&[7; 64], &place, &mut sealed).unwrap();
            opener.open_into(&sealed, &place, &mut opened).unwrap();
        }
    });
    assert_eq!(opened, [7; 64]);
    assert_eq!(counted.count_total, 0);
}

#[tokio::test]
async fn sealing_and_opening_in_place_allocate_nothing_hedged_or_padded() {
    let clinic = Clinic::new().await;
    for sealer in [
        Sealer::builder(clinic.keys.clone()).build(),
        Sealer::builder(clinic.keys.clone()).build().hedged(),
        Sealer::builder(clinic.keys.clone()).padding(Padding::multiple_of(128)).build(),
        Sealer::builder(clinic.keys.clone()).padding(Padding::multiple_of(128)).build().hedged(),
    ] {
        let sealer = sealer.for_scope(&scope("ada")).await.unwrap();
        let opener = clinic.opener("ada").await;
        let place = Context::new("Patient", "name").record_id("22d6efc6-2dc7-4d9f-8f3a-0d2c1b7a9e55").row_version(7);
        let mut buffer = Vec::with_capacity(256);
        buffer.extend([7; 64]);
        let mut round_trip = || {
            sealer.seal_in_place(&mut buffer, &place).unwrap();
            assert_eq!(opener.open_in_place(&mut buffer, &place).unwrap().expose(), &[7; 64]);
        };
        round_trip();
        let counted = allocation_counter::measure(|| (0..100).for_each(|_| round_trip()));
        assert_eq!(counted.count_total, 0);
    }
}

/// A buffer that grows gives back memory with an identifier in it.
#[tokio::test]
async fn a_tag_is_made_in_one_buffer() {
    let clinic = Clinic::new().await;
    let one = BlindIndex::exact("Patient", "family", "by_family", Transform::Exact);
    let many = BlindIndex::compound("Patient", "by_name", &[("family", Transform::Exact), ("birth", Transform::Exact)]);
    let (one, many) = (one.open(&clinic.keys).await.unwrap(), many.open(&clinic.keys).await.unwrap());
    for value in ["", "Lovelace", &"x".repeat(1000)] {
        let counted = allocation_counter::measure(|| {
            one.tag(value).unwrap();
        });
        assert_eq!(counted.count_total, 1, "{value}");
        let counted = allocation_counter::measure(|| {
            many.tag([Some(value), Some("1815-12-10")]).unwrap();
        });
        assert_eq!(counted.count_total, 1, "{value}");
    }
}
