//! Rules that hold one operation after the other.

use std::sync::Arc;

use super::{at, create, hash, load, ok, reason, rotated, row, stamp, tombstone};
use crate::{EndReason, Rotated, Selector, SessionStore, StoreError, Touched};

pub(super) async fn a_session_is_loaded_as_it_was_created(store: &dyn SessionStore) {
    for n in [1, 2] {
        let row = row(n, "dr.osei", 0);
        assert_eq!(load(store, row.token_hash).await, None, "nothing is there before");
        create(store, &row).await;
        let stored = load(store, row.token_hash).await;
        let Some(stored) = stored else { panic!("a created session is there") };
        assert_eq!((&stored.row, stored.stamp, &stored.ended), (&row, stamp(0), &None));
    }
}

pub(super) async fn create_only_inserts(store: &dyn SessionStore) {
    let first = row(1, "dr.osei", 0);
    create(store, &first).await;
    let mut same_id = (*row(1, "dr.wu", 5)).clone();
    same_id.token_hash = hash(9, 9);
    let mut same_hash = (*row(3, "dr.wu", 5)).clone();
    same_hash.token_hash = first.token_hash;
    for ended in [false, true] {
        for taken in [same_id.clone(), same_hash.clone()] {
            let again = store.create(Arc::new(taken), stamp(5), at(5), None, tombstone(EndReason::Evicted, 5)).await;
            assert!(matches!(again, Err(StoreError::Exists)), "create never replaces: {again:?}");
        }
        assert_eq!(load(store, first.token_hash).await.map(|stored| stored.row), Some(Arc::clone(&first)));
        if !ended {
            ok("end", store.end(Selector::All, tombstone(EndReason::Logout, 6)).await);
        }
    }
    assert_eq!(load(store, hash(9, 9)).await, None, "a refused create leaves nothing");
}

pub(super) async fn touch_only_moves_forward(store: &dyn SessionStore) {
    let row = row(1, "dr.osei", 0);
    create(store, &row).await;
    for (last, now, expected) in [(60, 60, 60), (30, 61, 60), (60, 62, 60), (90, 90, 90)] {
        let touched = ok("touch", store.touch(row.token_hash, 1, stamp(last), at(now)).await);
        assert_eq!(touched, Touched::Live, "a live row says so even when nothing moves");
        assert_eq!(load(store, row.token_hash).await.map(|stored| stored.stamp), Some(stamp(expected)));
    }
    for (hash, version) in [(row.token_hash, 2), (hash(8, 8), 1)] {
        let touched = ok("touch", store.touch(hash, version, stamp(120), at(120)).await);
        assert_eq!(touched, Touched::Gone, "only the very row is touched");
    }
    assert_eq!(load(store, hash(8, 8)).await, None, "a touch never creates");
}

pub(super) async fn deadlines_are_exclusive(store: &dyn SessionStore) {
    let row = row(1, "dr.osei", 0);
    create(store, &row).await;
    let dead = at(900);
    assert_eq!(ok("touch", store.touch(row.token_hash, 1, stamp(900), dead).await), Touched::Gone, "idle deadline");
    let next = rotated(&row, hash(1, 2));
    let late = ok("rotate", store.rotate(row.token_hash, 1, Arc::clone(&next), stamp(900), dead).await);
    assert_eq!(late, Rotated::Gone, "idle deadline");
    let before = dead.saturating_sub(core::time::Duration::from_micros(1));
    assert_eq!(ok("touch", store.touch(row.token_hash, 1, stamp(2_800), before).await), Touched::Live);
    let over = at(3_600);
    assert_eq!(ok("touch", store.touch(row.token_hash, 1, stamp(3_600), over).await), Touched::Gone, "absolute");
    assert_eq!(ok("rotate", store.rotate(row.token_hash, 1, next, stamp(3_600), over).await), Rotated::Gone);
}

pub(super) async fn an_end_is_final(store: &dyn SessionStore) {
    let row = row(1, "dr.osei", 0);
    create(store, &row).await;
    let ended = ok("end", store.end(Selector::One(row.public_id), tombstone(EndReason::Logout, 10).by("x")).await);
    assert_eq!(ended.len(), 1, "the one that ended it gets it");
    let expected = Some(tombstone(EndReason::Logout, 10).by("x"));
    assert!(ended.iter().all(|stored| stored.ended == expected && stored.row == row));
    let again = ok("end", store.end(Selector::One(row.public_id), tombstone(EndReason::Revoked, 11)).await);
    assert_eq!(again, [], "nobody else gets it");
    assert_eq!(ok("touch", store.touch(row.token_hash, 1, stamp(12), at(12)).await), Touched::Gone);
    let next = rotated(&row, hash(1, 2));
    assert_eq!(ok("rotate", store.rotate(row.token_hash, 1, next, stamp(12), at(12)).await), Rotated::Gone);
    assert_eq!(load(store, hash(1, 2)).await, None);
    let left = load(store, row.token_hash).await;
    assert!(left.is_some_and(|stored| stored.ended == expected && stored.stamp == stamp(0)), "the tombstone stays");
}

pub(super) async fn an_end_reaches_whom_it_names(store: &dyn SessionStore) {
    for (n, user) in [(1, "dr.osei"), (2, "dr.osei"), (3, "dr.osei"), (4, "dr.wu"), (5, "dr.wu")] {
        create(store, &row(n, user, u64::from(n))).await;
    }
    let (osei, wu) = (row(1, "dr.osei", 0).user.clone(), row(4, "dr.wu", 0).user.clone());
    for (selector, expected) in [
        (Selector::Others(osei.clone(), row(2, "dr.osei", 0).public_id), &[1, 3][..]),
        (Selector::User(osei), &[2]),
        (Selector::One(row(4, "dr.wu", 0).public_id), &[4]),
        (Selector::All, &[5]),
        (Selector::User(wu), &[]),
    ] {
        let mut ended = ok("end", store.end(selector, tombstone(EndReason::Revoked, 20)).await);
        ended.sort_by_key(|stored| stored.row.public_id);
        let ids: Vec<_> = ended.iter().map(|stored| stored.row.public_id.as_bytes()[0]).collect();
        assert_eq!(ids, expected);
    }
}

pub(super) async fn a_rotation_replaces_the_token(store: &dyn SessionStore) {
    let row = row(1, "dr.osei", 0);
    create(store, &row).await;
    let next = rotated(&row, hash(1, 2));
    let rotate = |version| store.rotate(row.token_hash, version, Arc::clone(&next), stamp(30), at(30));
    assert_eq!(ok("rotate", rotate(2).await), Rotated::Lost, "another version is another's");
    assert_eq!(ok("rotate", rotate(1).await), Rotated::Won);
    assert_eq!(load(store, row.token_hash).await, None, "the old token is dead at once");
    assert_eq!(ok("touch", store.touch(row.token_hash, 1, stamp(31), at(31)).await), Touched::Gone);
    assert_eq!(ok("rotate", rotate(1).await), Rotated::Lost, "a version is rotated once");
    let stored = load(store, next.token_hash).await;
    assert!(stored.is_some_and(|stored| stored.row == next && stored.stamp == stamp(30) && stored.ended.is_none()));
    let ended = ok("end", store.end(Selector::One(row.public_id), tombstone(EndReason::Logout, 40)).await);
    assert_eq!(ended.len(), 1, "the public id stays");
    assert_eq!(reason(store, next.token_hash).await, Some(EndReason::Logout));
}

pub(super) async fn the_limit_evicts_the_oldest(store: &dyn SessionStore) {
    create(store, &row(9, "dr.wu", 0)).await;
    for (n, expected) in [(1, &[][..]), (2, &[]), (3, &[1]), (4, &[2])] {
        let created = u64::from(n);
        let evicted = tombstone(EndReason::Evicted, created);
        let row = row(n, "dr.osei", created);
        let out = ok("create", store.create(row, stamp(created), at(created), Some(2), evicted).await);
        let ids: Vec<_> = out.iter().map(|stored| stored.row.public_id.as_bytes()[0]).collect();
        assert_eq!(ids, expected, "the oldest go, in order");
        assert!(out.iter().all(|stored| stored.ended.as_ref().is_some_and(|end| end.reason == EndReason::Evicted)));
    }
    assert_eq!(reason(store, hash(9, 1)).await, None, "other users are left alone");
    // Session 3 is dead by then, so it does not count.
    let evicted = tombstone(EndReason::Evicted, 903);
    let out = ok("create", store.create(row(5, "dr.osei", 903), stamp(903), at(903), Some(2), evicted).await);
    assert_eq!(out, [], "dead sessions do not count");
}

pub(super) async fn a_list_is_in_order_and_live(store: &dyn SessionStore) {
    for (n, user, created) in [(1, "dr.osei", 30), (2, "dr.osei", 10), (3, "dr.wu", 20), (4, "dr.osei", 5)] {
        create(store, &row(n, user, created)).await;
    }
    ok("end", store.end(Selector::One(row(4, "dr.osei", 5).public_id), tombstone(EndReason::Logout, 31)).await);
    let osei = row(1, "dr.osei", 0).user.clone();
    for (selector, expected) in [
        (Selector::User(osei.clone()), &[2, 1][..]),
        (Selector::All, &[2, 3, 1]),
        (Selector::Others(osei, row(2, "dr.osei", 0).public_id), &[1]),
        (Selector::One(row(3, "dr.wu", 0).public_id), &[3]),
    ] {
        let listed = ok("list", store.list(&selector).await);
        let ids: Vec<_> = listed.iter().map(|stored| stored.row.public_id.as_bytes()[0]).collect();
        assert_eq!(ids, expected, "{selector:?}");
    }
}

pub(super) async fn a_sweep_reports_each_end_until_confirmed(store: &dyn SessionStore) {
    let (idle, over) = (row(1, "dr.osei", 0), row(2, "dr.osei", 0));
    create(store, &idle).await;
    create(store, &over).await;
    // Active to the end, so that the absolute deadline is the one that ends it.
    ok("touch", store.touch(over.token_hash, 1, stamp(880), at(880)).await);
    ok("touch", store.touch(over.token_hash, 1, stamp(3_500), at(1_700)).await);
    let sweep = |seconds| async move { ok("sweep", store.sweep(at(seconds), 100).await) };
    assert_eq!(sweep(899).await.ended, [], "nothing has run out");
    let swept = sweep(900).await.ended;
    assert_eq!(swept.len(), 1);
    let expected = Some(tombstone(EndReason::ExpiredIdle, 900));
    assert!(swept.iter().all(|stored| stored.row == idle && stored.ended == expected), "{swept:?}");
    assert_eq!(sweep(959).await.ended, [], "its report may be under way");
    assert_eq!(sweep(960).await.ended, swept, "its report was lost");
    ok("reported", store.reported(idle.public_id).await);
    assert_eq!(sweep(1_200).await.ended, [], "its report was confirmed");
    assert_eq!(reason(store, idle.token_hash).await, Some(EndReason::ExpiredIdle), "the tombstone stays");
    let swept = sweep(3_600).await;
    assert!(swept.ended.iter().all(|stored| stored.row == over && swept.ended.len() == 1));
    assert_eq!(reason(store, over.token_hash).await, Some(EndReason::ExpiredAbsolute));
    assert_eq!(swept.deleted, 0, "a tombstone stays for a minute after the absolute deadline");
    assert_eq!(sweep(3_659).await.deleted, 0);
    assert_eq!(sweep(3_660).await.deleted, 1, "then the reported one goes");
    assert_eq!(load(store, idle.token_hash).await, None);
    assert_eq!(sweep(9_000).await.deleted, 0, "the unreported one stays");
    ok("reported", store.reported(over.public_id).await);
    assert_eq!(sweep(9_001).await.deleted, 1);
}

pub(super) async fn a_sweep_takes_no_more_than_asked(store: &dyn SessionStore) {
    for n in 1..=5 {
        create(store, &row(n, "dr.osei", 0)).await;
    }
    for expected in [2, 2, 1, 0] {
        let swept = ok("sweep", store.sweep(at(901), 2).await);
        assert_eq!(swept.ended.len(), expected);
    }
}
