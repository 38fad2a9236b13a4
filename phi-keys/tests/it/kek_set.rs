//! Several KEKs that hold the same keys.

use core::time::Duration;
use std::sync::Arc;

use phi_keys::{
    Carrier, Error, KekPolicy, KekSet, KekSetBuilder, KeyStore, KeyUse, Keys, Kms, KmsAdmin, KmsError, MemoryKeyStore,
    OnTerminal, RowKind, WrapContext, Wrapped,
};

use crate::faults::{Fault, Faulty, Hours, Log};
use crate::support::patient;

const HERE: WrapContext = WrapContext::from_digest([1; 32]);

struct Pair {
    east: Arc<Faulty>,
    west: Arc<Faulty>,
    hours: Hours,
    log: Arc<Log>,
}

impl Pair {
    fn new() -> Self {
        let (east, west) = (Faulty::named("east"), Faulty::named("west"));
        Self { east, west, hours: Hours::new(), log: Arc::new(Log::default()) }
    }

    fn builder(&self, policy: KekPolicy) -> KekSetBuilder {
        KekSet::builder(policy)
            .kek(Arc::clone(&self.east))
            .kek(Arc::clone(&self.west))
            .clock(self.hours.clock.clone())
            .observer(Arc::clone(&self.log) as _)
    }

    fn set(&self, policy: KekPolicy) -> KekSet {
        self.builder(policy).build().unwrap()
    }

    fn calls(&self) -> (u64, u64) {
        (self.east.calls(), self.west.calls())
    }
}

async fn wrapped(set: &KekSet) -> Vec<Wrapped> {
    set.wrap_dek(&HERE).await.unwrap().into_iter().map(|(_, wrapped)| wrapped).collect()
}

/// Which of the copies opens.
async fn unwrap(set: &KekSet, copies: &[Wrapped]) -> Result<usize, Error> {
    set.unwrap_dek(copies, &HERE, |at, _| Ok(at)).await
}

/// Under which KEKs each domain key has a copy, read from the bytes.
async fn copies(store: &MemoryKeyStore) -> Vec<Vec<String>> {
    let rows = store.domain_rows().await.unwrap();
    let ids = |bytes: &[u8]| {
        let (mut rest, mut ids) = (&bytes[1..], Vec::new());
        while !rest.is_empty() {
            let (length, tail) = rest.split_first_chunk().unwrap();
            let (part, tail) = tail.split_at(usize::try_from(u32::from_be_bytes(*length)).unwrap());
            ids.extend(Wrapped::from_bytes(part).ok().map(|wrapped| wrapped.kek_id().to_owned()));
            rest = tail;
        }
        ids
    };
    rows.iter().map(|row| ids(&row.wrapped)).collect()
}

#[tokio::test]
async fn a_policy_says_under_which_keks_a_key_is_wrapped() {
    let pair = Pair::new();
    let kek_ids = |copies: &[Wrapped]| copies.iter().map(|copy| copy.kek_id().to_owned()).collect::<Vec<_>>();
    assert_eq!(kek_ids(&wrapped(&pair.set(KekPolicy::Single)).await), ["east"]);
    for policy in [KekPolicy::AnyOf, KekPolicy::PrimaryWithFailover] {
        assert_eq!(kek_ids(&wrapped(&pair.set(policy)).await), ["east", "west"]);
    }
    for down in [&pair.east, &pair.west] {
        down.set(Some(Fault::Down));
        assert!(pair.set(KekPolicy::AnyOf).wrap_dek(&HERE).await.is_err());
        assert_eq!(wrapped(&pair.set(KekPolicy::PrimaryWithFailover)).await.len(), 1);
        down.set(None);
    }
    assert_eq!(pair.log.take(), ["east missing: unavailable", "west missing: unavailable"]);
    pair.east.set(Some(Fault::Down));
    pair.west.set(Some(Fault::Throttled(None)));
    let nobody = pair.set(KekPolicy::PrimaryWithFailover).wrap_dek(&HERE).await;
    assert!(matches!(nobody, Err(Error::Kms(KmsError::Unavailable(_)))));
}

#[tokio::test]
async fn a_set_needs_keks_of_different_names() {
    let empty = KekSet::builder(KekPolicy::AnyOf).build();
    assert!(matches!(empty, Err(Error::Config(_))));
    let twice = KekSet::builder(KekPolicy::AnyOf).kek(Faulty::named("east")).kek(Faulty::named("east")).build();
    assert!(matches!(twice, Err(Error::Config(_))));
    let pair = Pair::new();
    let both = Keys::builder(MemoryKeyStore::new()).kek(Faulty::named("south")).keks(pair.set(KekPolicy::AnyOf));
    assert!(matches!(both.build().await, Err(Error::Config(_))));
}

#[tokio::test]
async fn the_first_kek_is_asked_and_another_one_when_it_fails() {
    let pair = Pair::new();
    let set = pair.set(KekPolicy::AnyOf);
    let copies = wrapped(&set).await;
    let before = pair.calls();
    assert_eq!(unwrap(&set, &copies).await.unwrap(), 0);
    assert_eq!(pair.calls(), (before.0 + 1, before.1));

    for fault in [Fault::Down, Fault::Throttled(None), Fault::Damaged] {
        pair.east.script([Some(fault)]);
        assert_eq!(unwrap(&set, &copies).await.unwrap(), 1, "{fault:?}");
        let calls = pair.east.calls();
        assert_eq!(unwrap(&set, &copies).await.unwrap(), 1, "what failed a moment ago is asked last");
        assert_eq!(pair.east.calls(), calls);
        pair.hours.clock.advance(Duration::from_secs(30));
        assert_eq!(unwrap(&set, &copies).await.unwrap(), 0, "and first again after a while");
    }
    assert_eq!(
        pair.log.take(),
        ["east passed over: unavailable", "east passed over: throttled", "east passed over: corrupt"]
    );
    assert!(matches!(unwrap(&set, &[]).await, Err(Error::NoKek)));
}

#[tokio::test]
async fn a_terminal_error_is_never_answered_by_quietly_asking_another_kek() {
    let pair = Pair::new();
    let (strict, loud) = (
        pair.set(KekPolicy::AnyOf),
        pair.builder(KekPolicy::AnyOf).on_terminal(OnTerminal::TryOthers).build().unwrap(),
    );
    let copies = wrapped(&strict).await;
    for fault in [Fault::Denied, Fault::Disabled] {
        pair.east.set(Some(fault));
        let west = pair.west.calls();
        assert!(matches!(unwrap(&strict, &copies).await, Err(Error::Kms(error)) if error.is_terminal()), "{fault:?}");
        assert_eq!(pair.west.calls(), west, "{fault:?}");
        assert_eq!(pair.log.take(), [""; 0]);
        assert!(pair.set(KekPolicy::PrimaryWithFailover).wrap_dek(&HERE).await.is_err(), "{fault:?}");

        assert_eq!(unwrap(&loud, &copies).await.unwrap(), 1, "{fault:?}");
        assert_eq!(pair.log.take().len(), 1, "the observer is told");
    }
}

#[tokio::test]
async fn a_slow_kek_is_hedged_after_its_usual_time() {
    let pair = Pair::new();
    let hedged = pair.builder(KekPolicy::AnyOf).hedge(Duration::from_millis(250), pair.hours.clone()).build().unwrap();
    let copies = wrapped(&hedged).await;
    let calls = pair.west.calls();
    assert_eq!(unwrap(&hedged, &copies).await.unwrap(), 0);
    assert_eq!(pair.west.calls(), calls, "what answers in time is not hedged");

    pair.east.script([Some(Fault::Hang)]);
    assert_eq!(unwrap(&hedged, &copies).await.unwrap(), 1);
    assert_eq!(pair.hours.slept(), [Duration::from_millis(250)]);
    assert_eq!(pair.log.take(), ["west hedged"]);

    // Sixteen answers that took no time: from then on that is what is usual.
    for _ in 0..80 {
        assert_eq!(unwrap(&hedged, &copies).await.unwrap(), 0);
    }
    pair.east.script([Some(Fault::Hang)]);
    assert_eq!(unwrap(&hedged, &copies).await.unwrap(), 1);
    assert_eq!(pair.hours.slept(), [Duration::ZERO]);
}

#[tokio::test]
async fn one_other_kek_is_asked_beside_a_slow_one_and_none_where_there_is_none() {
    let pair = Pair::new();
    let south = Faulty::named("south");
    let hedged = |set: KekSetBuilder| set.hedge(Duration::from_millis(250), pair.hours.clone()).build().unwrap();
    let three = hedged(pair.builder(KekPolicy::AnyOf).kek(Arc::clone(&south)));
    let copies = wrapped(&three).await;
    let calls = south.calls();
    for kek in [&pair.east, &pair.west] {
        kek.script([Some(Fault::Hang)]);
    }
    let mut unwrapping = Box::pin(unwrap(&three, &copies));
    let mut task = core::task::Context::from_waker(core::task::Waker::noop());
    for _ in 0..10 {
        assert!(unwrapping.as_mut().poll(&mut task).is_pending());
    }
    assert_eq!((pair.hours.slept().len(), south.calls() - calls), (1, 0));
    drop(unwrapping);

    let alone = hedged(KekSet::builder(KekPolicy::Single).kek(Arc::clone(&pair.east)));
    pair.east.script([Some(Fault::Slow)]);
    assert_eq!(unwrap(&alone, &copies).await.unwrap(), 0);
    assert!(pair.hours.slept().is_empty(), "there is nobody else to ask");
}

#[tokio::test]
async fn a_hedge_that_fails_gives_way_to_the_next_at_once() {
    let pair = Pair::new();
    let south = Faulty::named("south");
    let builder = pair.builder(KekPolicy::AnyOf).kek(Arc::clone(&south));
    let three = builder.hedge(Duration::from_millis(250), pair.hours.clone()).build().unwrap();
    let copies = wrapped(&three).await;
    pair.east.script([Some(Fault::Hang)]);
    pair.west.script([Some(Fault::Down)]);
    assert_eq!(unwrap(&three, &copies).await.unwrap(), 2);
    assert_eq!(pair.hours.slept(), [Duration::from_millis(250)], "nobody waits a second time");
    assert_eq!(pair.log.take(), ["west hedged", "west passed over: unavailable", "south hedged"]);
}

#[tokio::test]
async fn a_hedge_that_is_refused_does_not_take_the_answer_away() {
    let pair = Pair::new();
    let hedged = pair.builder(KekPolicy::AnyOf).hedge(Duration::from_millis(250), pair.hours.clone()).build().unwrap();
    let copies = wrapped(&hedged).await;
    // Both hang or refuse, so the slow one never answers: the unwrapping stays pending instead of failing.
    pair.east.script([Some(Fault::Hang)]);
    pair.west.script([Some(Fault::Denied)]);
    let mut unwrapping = Box::pin(unwrap(&hedged, &copies));
    let mut task = core::task::Context::from_waker(core::task::Waker::noop());
    assert!(unwrapping.as_mut().poll(&mut task).is_pending());
}

#[tokio::test]
async fn another_plaintext_opens_nothing_and_is_passed_over() {
    let pair = Pair::new();
    let set = pair.set(KekPolicy::AnyOf);
    let made = set.wrap_dek(&HERE).await.unwrap();
    let copies = made.iter().map(|(_, wrapped)| wrapped.clone()).collect::<Vec<_>>();
    let open = |at: usize, carrier: &Carrier| {
        if carrier.expose() == made[at].0.expose() { Ok(at) } else { Err(Error::KeyRejected(RowKind::Domain)) }
    };
    pair.east.set(Some(Fault::Garbage));
    assert_eq!(set.unwrap_dek(&copies, &HERE, open).await.unwrap(), 1);
    assert_eq!(pair.log.take(), ["east passed over: corrupt"]);
    pair.west.set(Some(Fault::Garbage));
    assert!(matches!(set.unwrap_dek(&copies, &HERE, open).await, Err(Error::KeyRejected(_))));
}

#[tokio::test]
async fn what_an_outage_left_out_is_completed_later() {
    let pair = Pair::new();
    let store = Arc::new(MemoryKeyStore::new());
    let set = pair.set(KekPolicy::PrimaryWithFailover);
    let keys = Keys::builder(Arc::clone(&store)).keks(set.clone()).build().await.unwrap();
    pair.east.set(Some(Fault::Down));
    let index = keys.domain_key(KeyUse::Index).await.unwrap();
    let kid = keys.data_key(&patient("a")).await.unwrap().kid();
    let held = copies(&store).await;
    assert_eq!(held.iter().filter(|ids| **ids == ["west"]).count(), 2, "{held:?}");

    let during = keys.complete().await.unwrap();
    assert_eq!((during.completed, during.unchanged, during.incomplete), (0, 1, 2));
    pair.east.set(None);
    let after = keys.complete().await.unwrap();
    assert_eq!((after.completed, after.unchanged, after.incomplete), (2, 1, 0));
    assert!(copies(&store).await.iter().all(|ids| ids.len() == 2));
    assert_eq!(keys.complete().await.unwrap().unchanged, 3);

    // Now the other KMS may be lost.
    let east = KekSet::builder(KekPolicy::Single).kek(Arc::clone(&pair.east)).build().unwrap();
    let alone = Keys::builder(Arc::clone(&store)).keks(east).build().await.unwrap();
    assert_eq!(alone.domain_key(KeyUse::Index).await.unwrap().kid(), index.kid());
    assert_eq!(alone.data_key(&patient("a")).await.unwrap().kid(), kid);
}

#[tokio::test]
async fn a_single_writer_moves_a_store_from_one_kms_to_another() {
    let pair = Pair::new();
    let store = Arc::new(MemoryKeyStore::new());
    let old = Keys::builder(Arc::clone(&store)).kek(Arc::clone(&pair.west)).build().await.unwrap();
    let kid = old.data_key(&patient("a")).await.unwrap().kid();

    let moving = Keys::builder(Arc::clone(&store)).keks(pair.set(KekPolicy::Single)).build().await.unwrap();
    assert_eq!(moving.data_key(&patient("a")).await.unwrap().kid(), kid, "the old KEK still unwraps");
    assert_eq!(moving.rewrap().await.unwrap().rewrapped, 2);
    assert_eq!(copies(&store).await, [["east"], ["east"]]);
}

#[tokio::test]
async fn a_rewrap_says_what_happened_inside_the_kms_and_keeps_what_is_current() {
    let pair = Pair::new();
    let store = Arc::new(MemoryKeyStore::new());
    let keys = Keys::builder(Arc::clone(&store)).keks(pair.set(KekPolicy::AnyOf)).build().await.unwrap();
    keys.domain_key(KeyUse::Data).await.unwrap();
    let _ = pair.east.kms.rotate().await.unwrap();
    let report = keys.rewrap().await.unwrap();
    assert_eq!((report.rewrapped, report.server_side), (2, 2), "only the copies of the KEK that was rotated moved");
    assert_eq!(report.keks, ["east version 2", "west version 1"]);
    assert_eq!(keys.rewrap().await.unwrap().unchanged, 2);
}

#[tokio::test]
async fn every_kek_of_a_set_is_asked_for_its_status() {
    let pair = Pair::new();
    pair.west.set(Some(Fault::Down));
    let statuses = pair.set(KekPolicy::AnyOf).statuses().await;
    let [(east, here), (west, there)] = statuses.as_slice() else { panic!("two KEKs") };
    assert_eq!((east.as_str(), west.as_str()), (pair.east.kek_id(), pair.west.kek_id()));
    assert_eq!(here.as_ref().unwrap().latency, Some(Duration::ZERO));
    assert!(there.as_ref().unwrap_err().is_transient());
}

#[tokio::test]
async fn a_copy_is_made_anew_for_a_kek_that_refuses_the_old_one_only_where_others_may_be_asked() {
    for (on_terminal, fault, may) in [
        (OnTerminal::Stop, Fault::Denied, false),
        (OnTerminal::TryOthers, Fault::Denied, true),
        (OnTerminal::Stop, Fault::Down, false),
        (OnTerminal::TryOthers, Fault::Down, false),
    ] {
        let pair = Pair::new();
        let store = Arc::new(MemoryKeyStore::new());
        let set = pair.builder(KekPolicy::AnyOf).on_terminal(on_terminal).build().unwrap();
        let keys = Keys::builder(Arc::clone(&store)).keks(set).build().await.unwrap();
        keys.domain_key(KeyUse::Data).await.unwrap();
        let _ = pair.east.kms.rotate().await.unwrap();
        // Its status is asked first, then it is to move a copy.
        pair.east.script([None, Some(fault)]);
        let rewrapped = keys.rewrap().await;
        match &rewrapped {
            Ok(report) if may => assert_eq!((report.rewrapped, report.server_side), (2, 1), "one was made anew"),
            Err(Error::Kms(error)) if !may => assert_eq!(error.is_terminal(), fault == Fault::Denied),
            other => panic!("{on_terminal:?} {fault:?}: {other:?}"),
        }
        assert!(copies(&store).await.iter().all(|ids| ids.len() == 2), "{on_terminal:?} {fault:?}");
        let after = keys.rewrap().await.unwrap();
        assert_eq!(after.rewrapped, if may { 0 } else { 2 }, "{on_terminal:?} {fault:?}");
    }
}

#[tokio::test]
async fn a_kek_that_refuses_a_missing_copy_stops_the_completion_unless_told_otherwise() {
    for on_terminal in [OnTerminal::Stop, OnTerminal::TryOthers] {
        let pair = Pair::new();
        let store = Arc::new(MemoryKeyStore::new());
        let set = pair.builder(KekPolicy::PrimaryWithFailover).on_terminal(on_terminal).build().unwrap();
        let keys = Keys::builder(Arc::clone(&store)).keks(set).build().await.unwrap();
        pair.east.set(Some(Fault::Down));
        keys.domain_key(KeyUse::Data).await.unwrap();
        pair.east.set(Some(Fault::Denied));
        match (on_terminal, keys.complete().await) {
            (OnTerminal::TryOthers, Ok(report)) => assert_eq!((report.completed, report.incomplete), (0, 1)),
            (OnTerminal::Stop, Err(Error::Kms(error))) => assert!(error.is_denial()),
            (_, other) => panic!("{on_terminal:?}: {other:?}"),
        }
    }
}
