//! Every write to the store may fail before it is done, fail after it is done, or be the last thing that a process does.

use core::num::NonZeroU32;
use std::sync::Arc;

use phi_keys::conformance::{self, Act, StoreFault};
use phi_keys::{AnchorFuture, KeyState, KeyStore, MemoryKeyStore, RowKind, StoreAnchor};
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

/// Records in memory.
#[derive(Debug, Default)]
struct Notes(std::sync::Mutex<Vec<Vec<u8>>>);

impl StoreAnchor for Notes {
    fn read(&self, from: u64) -> AnchorFuture<'_, Vec<Vec<u8>>> {
        let records = self.0.lock().unwrap();
        let records = records.iter().skip(usize::try_from(from).unwrap()).cloned().collect();
        Box::pin(core::future::ready(Ok(records)))
    }

    fn append<'a>(&'a self, records: &'a [Vec<u8>]) -> AnchorFuture<'a, ()> {
        self.0.lock().unwrap().extend_from_slice(records);
        Box::pin(core::future::ready(Ok(())))
    }
}

fn notes(anchored: bool) -> Option<Arc<dyn StoreAnchor>> {
    anchored.then(|| Arc::new(Notes::default()) as _)
}

const STORY: [Act; 28] = [
    Act::Seal(0),
    Act::Seal(1),
    Act::RotateData(0),
    Act::Seal(0),
    Act::RotateDomain,
    Act::Seal(2),
    Act::RewrapData,
    Act::Later,
    Act::Reseal(0),
    Act::End(0),
    Act::Later,
    Act::Shred(1),
    Act::End(0),
    Act::RotateKek,
    Act::Seal(1),
    Act::Later,
    Act::End(2),
    Act::Later,
    Act::End(2),
    Act::Restart,
    Act::Seal(0),
    Act::StageDomain,
    Act::Later,
    Act::ActivateDomain,
    Act::Seal(0),
    Act::RewrapData,
    Act::StageDomain,
    Act::Shred(2),
];

/// The same by a longer story, with every fault beside an anchor and without one.
#[tokio::test]
async fn one_fault_at_any_write_of_a_longer_story_loses_no_key_and_brings_none_back() {
    for anchored in [false, true] {
        let play = async |faults: &[_]| {
            conformance::store_story(Arc::new(MemoryKeyStore::new()), notes(anchored), &STORY, faults).await.unwrap()
        };
        let writes = play(&[]).await;
        for (fault, at) in StoreFault::ALL.iter().copied().flat_map(|fault| (0..writes).map(move |at| (fault, at))) {
            play(&(0..at).map(|_| None).chain([Some(fault)]).collect::<Vec<_>>()).await;
        }
    }
}

/// Without a fault the story does what it tells, so that the tests above are about something.
#[tokio::test]
async fn the_story_passes_through_every_state() {
    let store = Arc::new(MemoryKeyStore::new());
    let writes = conformance::store_story(Arc::clone(&store) as _, notes(true), &STORY, &[]).await.unwrap();
    assert!(writes > 20, "{writes}");
    let all = NonZeroU32::new(100).unwrap();
    let mut rows = store.domain_rows().await.unwrap();
    rows.extend(store.data_rows("clinic", None, all).await.unwrap());
    let states = rows.iter().map(|row| (row.kind, row.state)).collect::<Vec<_>>();
    assert!(states.contains(&(RowKind::Domain, KeyState::Pending)), "{states:?}");
    for kind in [RowKind::Domain, RowKind::Data] {
        for state in [KeyState::Active, KeyState::Destroyed] {
            assert!(states.contains(&(kind, state)), "{kind:?} {state:?}: {states:?}");
        }
    }
    assert_eq!(store.tombstones().await.unwrap().len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn any_faults_of_the_store_lose_no_key_and_bring_none_back(
        acts in vec(act(), 1..60),
        script in vec(option::weighted(0.15, select(StoreFault::ALL)), 0..80),
        anchored in any::<bool>(),
    ) {
        block_on(async {
            conformance::store_story(Arc::new(MemoryKeyStore::new()), notes(anchored), &acts, &script).await.unwrap();
        });
    }
}
