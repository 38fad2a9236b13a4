//! Every write to the store may fail before it is done, fail after it is done, or be the last thing that a process does.

use std::sync::Arc;

use phi_keys::conformance::{self, Act, StoreFault};
use phi_keys::{KeyState, KeyStore, MemoryKeyStore, RowKind};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

fn act() -> impl Strategy<Value = Act> {
    let name = 0..3_u8;
    prop_oneof![
        4 => name.clone().prop_map(Act::Seal),
        2 => name.clone().prop_map(Act::RotateData),
        1 => Just(Act::RotateDomain),
        1 => Just(Act::StageDomain),
        2 => Just(Act::ActivateDomain),
        1 => Just(Act::RewrapData),
        1 => Just(Act::RotateKek),
        1 => name.clone().prop_map(Act::Shred),
        3 => name.clone().prop_map(Act::End),
        2 => name.prop_map(Act::Reseal),
        3 => Just(Act::Later),
        1 => Just(Act::Restart),
    ]
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future);
}

#[tokio::test]
async fn one_fault_at_any_write_loses_no_key_and_brings_none_back() {
    conformance::store_faults(|| async { MemoryKeyStore::new() }).await.unwrap();
}

/// Without a fault a story does what it tells, so that the tests here are about something.
#[tokio::test]
async fn a_story_passes_through_every_state() {
    let store = Arc::new(MemoryKeyStore::new());
    let acts = [
        Act::Seal(0),
        Act::Seal(1),
        Act::RotateData(0),
        Act::RotateDomain,
        Act::RewrapData,
        Act::Later,
        Act::Reseal(0),
        Act::End(0),
        Act::Later,
        Act::Shred(1),
        Act::End(0),
        Act::StageDomain,
    ];
    let writes = conformance::store_story(Arc::clone(&store) as _, true, &acts, &[]).await.unwrap();
    assert!(writes > 12, "{writes}");
    let mut states = Vec::new();
    let all = core::num::NonZeroU32::new(100).unwrap();
    for row in store.domain_rows().await.unwrap().into_iter().chain(store.data_rows("clinic", None, all).await.unwrap())
    {
        states.push((row.kind, row.state));
    }
    for expected in [
        (RowKind::Domain, KeyState::Active),
        (RowKind::Domain, KeyState::Pending),
        (RowKind::Domain, KeyState::Destroyed),
        (RowKind::Data, KeyState::Active),
        (RowKind::Data, KeyState::Destroyed),
    ] {
        assert!(states.contains(&expected), "{expected:?}: {states:?}");
    }
    assert_eq!(store.tombstones().await.unwrap().len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn any_faults_of_the_store_lose_no_key_and_bring_none_back(
        acts in vec(act(), 1..60),
        script in vec(option::weighted(0.15, select(&StoreFault::ALL[..])), 0..80),
        anchored in any::<bool>(),
    ) {
        block_on(async {
            conformance::store_story(Arc::new(MemoryKeyStore::new()), anchored, &acts, &script).await.unwrap();
        });
    }
}
