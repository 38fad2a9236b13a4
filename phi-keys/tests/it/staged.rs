//! A domain key that every process holds before one of them uses it.

use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use phi_keys::{Error, FullId, KekPolicy, KekSet, KeyAct, KeyState, KeyStore, KeyUse, Keys, MemoryKeyStore, RowKind};
use phi_types::{Action, ManualClock, Timestamp};
use tokio::sync::Barrier;

use crate::faults::{ALL, Fault, Faulty};
use crate::races::futures;
use crate::support::{Site, patient};

const WINDOW: Duration = Duration::from_secs(3900);
const LEASE: Duration = Duration::from_secs(60);
const INSTANT: Duration = Duration::from_micros(1);
const START: i64 = 1_767_225_600;

async fn known(keys: &Keys, key_use: KeyUse) -> Vec<FullId> {
    keys.domain_keys(key_use).await.unwrap().iter().map(phi_keys::DomainKey::full_id).collect()
}

/// The domain keys of a use with their states, oldest first.
async fn states(store: &MemoryKeyStore, key_use: KeyUse) -> Vec<(FullId, KeyState)> {
    let mut rows = store.domain_rows().await.unwrap();
    rows.retain(|row| row.slot.key_use == key_use);
    rows.sort_by_key(|row| row.version);
    rows.iter().map(|row| (row.full_id.unwrap(), row.state)).collect()
}

#[tokio::test]
async fn a_staged_key_is_held_by_everybody_before_somebody_uses_it() {
    for key_use in [KeyUse::Index, KeyUse::Data] {
        let (site, clock) = (Site::new(), ManualClock::at_unix_seconds(START));
        let process = async || site.builder().clock(clock.clone()).build().await.unwrap();
        let (here, there) = (process().await, process().await);
        let old = here.domain_key(key_use).await.unwrap().full_id();
        assert_eq!(known(&there, key_use).await, [old]);

        let generation = here.generation().await.unwrap();
        let staged = here.stage_domain_key(key_use).await.unwrap();
        assert_eq!((staged.act, staged.kind, staged.replaced), (KeyAct::Staged, RowKind::Domain, None));
        let entry = staged.activity(Timestamp::UNIX_EPOCH);
        assert_eq!((&*entry.kind, entry.action), ("key.stage", Action::Create));
        assert_eq!(here.generation().await.unwrap(), generation + 1, "a row that is removed is missed");
        assert_eq!(states(&site.store, key_use).await, [(old, KeyState::Active), (staged.key, KeyState::Pending)]);
        assert_eq!(known(&here, key_use).await, [old, staged.key]);
        assert_eq!(known(&there, key_use).await, [old], "until its lease ends");

        clock.advance(WINDOW - INSTANT);
        let until = Timestamp::from_unix_seconds(START).saturating_add(WINDOW);
        let early = here.activate_domain_key(key_use).await;
        assert!(matches!(early, Err(Error::TooEarly { until: found }) if found == until), "{early:?}");
        for keys in [&here, &there] {
            assert_eq!(known(keys, key_use).await, [old, staged.key]);
            assert_eq!(keys.domain_key(key_use).await.unwrap().full_id(), old, "nobody uses it yet");
        }

        clock.advance(INSTANT);
        let change = here.activate_domain_key(key_use).await.unwrap();
        assert_eq!((change.act, change.key, change.replaced), (KeyAct::Activated, staged.key, Some(old)));
        let entry = change.activity(Timestamp::UNIX_EPOCH);
        assert_eq!((&*entry.kind, entry.action), ("key.activate", Action::Update));
        assert_eq!(states(&site.store, key_use).await, [(old, KeyState::DecryptOnly), (staged.key, KeyState::Active)]);
        assert_eq!(known(&here, key_use).await, [staged.key, old]);

        // The other one has a lease from before, and what the first one makes now finds it prepared, without a KMS.
        let kid = here.data_key(&patient("new")).await.unwrap().kid();
        site.kms.down.store(true, Ordering::SeqCst);
        assert_eq!(known(&there, key_use).await, [old, staged.key]);
        let found = there.data_key_by_id(kid, &patient("new")).await;
        assert_eq!(found.is_ok(), key_use == KeyUse::Data, "{found:?}");
        site.kms.down.store(false, Ordering::SeqCst);
        clock.advance(LEASE);
        assert_eq!(known(&there, key_use).await, [staged.key, old]);
        let _ = here.rewrap_data_keys().await.unwrap();
        clock.advance(WINDOW);
        let none = |_| core::future::ready(Ok(0));
        let _ = there.retire(old.kid(), &none).await.unwrap();
        assert!(matches!(here.activate_domain_key(key_use).await, Err(Error::Config(_))), "it is in use");
    }
}

/// What staging is for: without it there is a lease in which others do not find what is tagged under the new key, and cannot
/// open what is wrapped under it while their KMS is down.
#[tokio::test]
async fn a_key_that_is_rotated_without_being_staged_surprises_the_others() {
    let (site, clock) = (Site::new(), ManualClock::at_unix_seconds(START));
    let process = async || site.builder().clock(clock.clone()).build().await.unwrap();
    let (here, there) = (process().await, process().await);
    let old = known(&there, KeyUse::Index).await;
    there.domain_key(KeyUse::Data).await.unwrap();
    for key_use in [KeyUse::Index, KeyUse::Data] {
        let _ = here.rotate_domain_key(key_use).await.unwrap();
    }
    assert_eq!(known(&there, KeyUse::Index).await, old);
    let kid = here.data_key(&patient("new")).await.unwrap().kid();
    site.kms.down.store(true, Ordering::SeqCst);
    assert!(matches!(there.data_key_by_id(kid, &patient("new")).await, Err(Error::Kms(_))));
}

#[tokio::test]
async fn a_key_is_staged_once_and_a_rotation_overtakes_it() {
    let (site, clock) = (Site::new(), ManualClock::at_unix_seconds(START));
    let keys = site.builder().clock(clock.clone()).build().await.unwrap();
    for refused in [keys.stage_domain_key(KeyUse::Root).await, keys.activate_domain_key(KeyUse::Index).await] {
        assert!(matches!(refused, Err(Error::Config(_))), "{refused:?}");
    }
    let staged = keys.stage_domain_key(KeyUse::Index).await.unwrap();
    clock.advance(LEASE);
    let again = keys.stage_domain_key(KeyUse::Index).await.unwrap();
    assert_eq!((again.key, again.at), (staged.key, staged.at), "the time that it waits begins once");
    assert_eq!(states(&site.store, KeyUse::Index).await.len(), 2);

    clock.advance(WINDOW);
    let rotated = keys.rotate_domain_key(KeyUse::Index).await.unwrap();
    let states = states(&site.store, KeyUse::Index).await;
    let expected = [KeyState::DecryptOnly, KeyState::DecryptOnly, KeyState::Active];
    assert_eq!(states.iter().map(|(_, state)| *state).collect::<Vec<_>>(), expected);
    assert_eq!((states[1].0, states[2].0, rotated.replaced), (staged.key, rotated.key, Some(states[0].0)));
    assert!(matches!(keys.activate_domain_key(KeyUse::Index).await, Err(Error::Config(_))));

    let none = |_| core::future::ready(Ok(0));
    assert!(matches!(keys.retire(staged.key.kid(), &none).await, Err(Error::TooEarly { .. })));
    clock.advance(WINDOW);
    let _ = keys.retire(staged.key.kid(), &none).await.unwrap();
    assert_eq!(known(&keys, KeyUse::Index).await, [rotated.key, states[0].0], "a retired key opens nothing");
    clock.advance(WINDOW);
    let _ = keys.destroy(staged.key.kid(), &none).await.unwrap();
    assert_eq!(known(&keys, KeyUse::Index).await, [rotated.key, states[0].0]);
}

#[tokio::test]
async fn a_staged_key_is_put_to_use_only_when_every_kek_gives_it_back() {
    let (store, clock) = (Arc::new(MemoryKeyStore::new()), ManualClock::at_unix_seconds(START));
    let (east, west) = (Faulty::named("east"), Faulty::named("west"));
    let set = KekSet::builder(KekPolicy::PrimaryWithFailover).kek(Arc::clone(&east)).kek(Arc::clone(&west));
    let keys = Keys::builder(Arc::clone(&store)).keks(set.build().unwrap()).clock(clock.clone()).build().await.unwrap();
    let old = keys.domain_key(KeyUse::Index).await.unwrap().full_id();
    keys.domain_key(KeyUse::Audit).await.unwrap();

    west.set(Some(Fault::Down));
    let staged = keys.stage_domain_key(KeyUse::Index).await.unwrap();
    clock.advance(WINDOW);
    let waiting = [(old, KeyState::Active), (staged.key, KeyState::Pending)];
    let early = keys.activate_domain_key(KeyUse::Index).await;
    assert!(matches!(early, Err(Error::CopiesMissing { missing: 1 })), "{early:?}");
    west.set(None);
    assert_eq!(keys.stage_domain_key(KeyUse::Index).await.unwrap().key, staged.key, "which makes the copy");

    for (kek, fault) in [&east, &west].into_iter().flat_map(|kek| ALL.iter().map(move |fault| (kek, *fault))) {
        if matches!(fault, Fault::Slow | Fault::Hang) {
            continue;
        }
        other_answer(&store, kek).await;
        kek.set(Some(fault));
        let refused = keys.activate_domain_key(KeyUse::Index).await;
        assert!(matches!(refused, Err(Error::Kms(_) | Error::KeyRejected(_))), "{fault:?}: {refused:?}");
        assert_eq!(states(&store, KeyUse::Index).await, waiting, "{fault:?}");
        kek.set(None);
    }
    let _ = keys.activate_domain_key(KeyUse::Index).await.unwrap();
    for kek in [east, west] {
        let alone = Keys::builder(Arc::clone(&store)).kek(kek).build().await.unwrap();
        assert_eq!(alone.domain_key(KeyUse::Index).await.unwrap().full_id(), staged.key);
    }
}

/// Lets a KMS answer for another key, so that the answer before the next one is a wrong one for it.
async fn other_answer(store: &Arc<MemoryKeyStore>, kek: &Arc<Faulty>) {
    let alone = Keys::builder(Arc::clone(store)).kek(Arc::clone(kek)).build().await.unwrap();
    alone.domain_key(KeyUse::Audit).await.unwrap();
}

/// Whatever one call to a KMS does, whoever has only one of the KEKs has the key that is used.
#[tokio::test]
async fn one_fault_at_any_call_leaves_no_active_key_that_others_cannot_open() {
    for (at_west, fault) in [false, true].into_iter().flat_map(|west| ALL.iter().map(move |fault| (west, *fault))) {
        for at in 0..16 {
            let story = format!("{fault:?} at call {at} of {}", if at_west { "west" } else { "east" });
            let (store, clock) = (Arc::new(MemoryKeyStore::new()), ManualClock::at_unix_seconds(START));
            let keks = [Faulty::named("east"), Faulty::loose("west")];
            let process = async || {
                let set = keks.iter().fold(KekSet::builder(KekPolicy::PrimaryWithFailover), |set, kek| {
                    set.kek(phi_keys::Timeout::new(Arc::clone(kek), LEASE, crate::faults::Polls))
                });
                let builder = Keys::builder(Arc::clone(&store)).keks(set.build().unwrap()).clock(clock.clone());
                builder.build().await
            };
            process().await.unwrap().domain_key(KeyUse::Index).await.unwrap();
            keks[usize::from(at_west)].script((0..at).map(|_| None).chain([Some(fault)]));
            // Each step is one of a process that knows nothing of the one before.
            for _ in 0..3 {
                if let Ok(keys) = process().await {
                    drop(keys.stage_domain_key(KeyUse::Index).await);
                }
                clock.advance(WINDOW);
                if let Ok(keys) = process().await {
                    drop(keys.activate_domain_key(KeyUse::Index).await);
                }
                let now = states(&store, KeyUse::Index).await;
                let active = now.iter().filter(|(_, state)| *state == KeyState::Active).map(|(id, _)| *id);
                let active = active.collect::<Vec<_>>();
                assert!(now.iter().filter(|(_, state)| *state == KeyState::Pending).count() <= 1, "{story}: {now:?}");
                for kek in &keks {
                    // The KEK as another node reaches it, for which nothing fails.
                    let rest = kek.pause();
                    let alone = Keys::builder(Arc::clone(&store)).kek(Arc::clone(kek)).build().await.unwrap();
                    assert_eq!([alone.domain_key(KeyUse::Index).await.unwrap().full_id()][..], active[..], "{story}");
                    kek.script(rest);
                }
            }
            let now = states(&store, KeyUse::Index).await;
            assert!(now.len() >= 3, "{story}: {now:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn stagings_activations_and_rotations_at_once_leave_one_active_key() {
    let (site, clock) = (Site::new(), ManualClock::at_unix_seconds(START));
    let mut managers = Vec::new();
    for _ in 0..4 {
        managers.push(site.builder().clock(clock.clone()).build().await.unwrap());
    }
    for round in 0..12 {
        let barrier = Arc::new(Barrier::new(managers.len()));
        let tasks = managers.iter().cloned().enumerate().map(|(at, keys)| {
            let barrier = Arc::clone(&barrier);
            tokio::spawn(async move {
                barrier.wait().await;
                match (at, round % 3) {
                    (0, 2) => drop(keys.rotate_domain_key(KeyUse::Index).await.unwrap()),
                    (_, 0) => drop(keys.stage_domain_key(KeyUse::Index).await.unwrap()),
                    _ => drop(keys.activate_domain_key(KeyUse::Index).await),
                }
            })
        });
        futures(tasks).await;
        let now = states(&site.store, KeyUse::Index).await;
        let count = |state| now.iter().filter(|(_, found)| *found == state).count();
        assert_eq!((count(KeyState::Active), count(KeyState::Pending) <= 1), (1, true), "{now:?}");
        clock.advance(WINDOW);
    }
    let now = states(&site.store, KeyUse::Index).await;
    assert!(now.len() > 8, "{now:?}");
}
