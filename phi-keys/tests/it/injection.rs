//! Every call to a KMS may fail, hang, or answer with something else.

use core::num::NonZeroU32;
use core::time::Duration;
use std::sync::Arc;

use phi_keys::{
    CircuitBreaker, Error, FullId, KekPolicy, KekSet, KekTarget, KeyUse, Keys, KmsAdmin, MemoryKeyStore, OnTerminal,
    RateLimit, Retry, RetryPolicy, Timeout, conformance,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::faults::{ALL, Fault, Faulty, Hours, Polls};
use crate::support::patient;

const USES: [KeyUse; 2] = [KeyUse::Index, KeyUse::Audit];

struct World {
    store: Arc<MemoryKeyStore>,
    keks: Vec<Arc<Faulty>>,
    hours: Hours,
}

impl World {
    fn new(keks: &[Arc<Faulty>]) -> Self {
        let keks = keks.to_vec();
        Self { store: Arc::new(MemoryKeyStore::new()), keks, hours: Hours::new() }
    }

    /// A process: a key manager that knows nothing yet, over the same store and KMSs.
    async fn process(&self, policy: KekPolicy, on_terminal: OnTerminal) -> Result<Keys, Error> {
        let set = self.keks.iter().fold(
            KekSet::builder(policy).on_terminal(on_terminal).clock(self.hours.clock.clone()),
            |set, kek| {
                let timed = Timeout::new(Arc::clone(kek), Duration::from_secs(1), self.hours.clone());
                set.kek(Retry::new(timed, RetryPolicy::attempts(2), self.hours.clone()))
            },
        );
        Keys::builder(Arc::clone(&self.store)).keks(set.build()?).build().await
    }

    /// The same within every layer, hedged as soon as an answer is late.
    async fn guarded_process(&self, policy: KekPolicy, on_terminal: OnTerminal) -> Result<Keys, Error> {
        let clock = || self.hours.clock.clone();
        let (rate, burst) = (NonZeroU32::new(1_000).unwrap(), NonZeroU32::new(5).unwrap());
        let set =
            KekSet::builder(policy).on_terminal(on_terminal).clock(clock()).hedge(Duration::from_millis(3), Polls);
        let set = self.keks.iter().fold(set, |set, kek| {
            let kek = Timeout::new(Arc::clone(kek), Duration::from_millis(30), Polls);
            let kek = CircuitBreaker::new(kek, 3, Duration::from_millis(1), clock());
            let kek = RateLimit::new(kek, rate, burst, clock(), self.hours.clone());
            set.kek(Retry::new(kek, RetryPolicy::attempts(3), self.hours.clone()))
        });
        Keys::builder(Arc::clone(&self.store)).keks(set.build()?).build().await
    }

    fn heal(&self) {
        for kek in &self.keks {
            kek.script([]);
            kek.set(None);
        }
    }

    async fn enable_all(&self) {
        for kek in &self.keks {
            let _ = kek.kms.enable(&KekTarget::Kek).await.unwrap();
        }
    }
}

/// What a process got hold of, by name.
type Got = Vec<(usize, FullId)>;

/// Everything that a process does with its KMS; failures are passed over.
async fn work(world: &World, policy: KekPolicy, on_terminal: OnTerminal, got: &mut Got) {
    if let Ok(keys) = world.process(policy, on_terminal).await {
        use_all(&keys, got).await;
    }
}

async fn use_all(keys: &Keys, got: &mut Got) {
    for (at, key_use) in USES.into_iter().enumerate() {
        got.extend(keys.domain_key(key_use).await.ok().map(|key| (at, key.full_id())));
    }
    for (at, name) in [(2, "a"), (3, "b")] {
        got.extend(keys.data_key(&patient(name)).await.ok().map(|key| (at, key.full_id())));
    }
    let _ = keys.rewrap().await;
    let _ = keys.complete().await;
}

/// When all KMSs answer again, every key is there that anybody ever got, and the same.
async fn check(world: &World, got: &Got, story: &str) {
    world.heal();
    for policy in [KekPolicy::AnyOf, KekPolicy::PrimaryWithFailover, KekPolicy::Single] {
        let keys = world.process(policy, OnTerminal::Stop).await;
        let keys = keys.unwrap_or_else(|error| panic!("{story}: the store cannot be opened: {error:?}"));
        for (at, full_id) in got {
            let found = match USES.get(*at) {
                Some(key_use) => keys.domain_key(*key_use).await.map(|key| key.full_id()),
                None => keys.data_key(&patient(if *at == 2 { "a" } else { "b" })).await.map(|key| key.full_id()),
            };
            assert_eq!(found.unwrap(), *full_id, "{story}");
        }
        let _ = keys.complete().await.unwrap();
        let _ = keys.rewrap().await.unwrap();
    }
}

#[tokio::test]
async fn one_fault_at_any_call_loses_no_key_and_opens_no_wrong_one() {
    for kek in [Faulty::named("only"), Faulty::loose("only")] {
        conformance::kms_faults(|| async { MemoryKeyStore::new() }, kek).await.unwrap();
    }
}

#[tokio::test]
async fn making_a_key_takes_two_calls_and_reading_it_one() {
    let world = World::new(&[Faulty::named("only")]);
    let process = || world.process(KekPolicy::AnyOf, OnTerminal::Stop);
    let keys = process().await.unwrap();
    assert_eq!(world.keks[0].calls(), 2, "the root key is wrapped and seen to open");
    keys.domain_key(KeyUse::Index).await.unwrap();
    assert_eq!(world.keks[0].calls(), 4);
    let other = process().await.unwrap();
    other.domain_key(KeyUse::Index).await.unwrap();
    assert_eq!(world.keks[0].calls(), 6);
}

#[tokio::test]
async fn while_one_of_two_kmss_is_down_nothing_fails() {
    for fault in [Fault::Down, Fault::Hang, Fault::Throttled(None), Fault::Damaged] {
        for down in 0..2 {
            let world = World::new(&[Faulty::named("east"), Faulty::loose("west")]);
            let mut got = Vec::new();
            work(&world, KekPolicy::PrimaryWithFailover, OnTerminal::Stop, &mut got).await;
            assert_eq!(got.len(), 4);
            world.keks[down].set(Some(fault));
            let other = world.process(KekPolicy::PrimaryWithFailover, OnTerminal::Stop).await.unwrap();
            for key_use in [KeyUse::Index, KeyUse::Audit, KeyUse::Session] {
                other.domain_key(key_use).await.unwrap();
            }
            for name in ["a", "b", "c"] {
                other.data_key(&patient(name)).await.unwrap();
            }
            check(&world, &got, &format!("{fault:?} of {down}")).await;
        }
    }
}

fn script() -> impl Strategy<Value = Vec<Option<Fault>>> {
    vec(option::weighted(0.3, select(ALL)), 0..80)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn any_faults_of_two_kmss_lose_no_key_and_open_no_wrong_one(
        east in script(),
        west in script(),
        policies in vec(
            (
                select(vec![KekPolicy::Single, KekPolicy::AnyOf, KekPolicy::PrimaryWithFailover]),
                select(vec![OnTerminal::Stop, OnTerminal::TryOthers]),
                any::<bool>(),
            ),
            1..5,
        ),
    ) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
            let world = World::new(&[Faulty::named("east"), Faulty::loose("west")]);
            let mut got = Vec::new();
            world.keks[0].script(east.clone());
            world.keks[1].script(west.clone());
            for (policy, on_terminal, rotate) in &policies {
                work(&world, *policy, *on_terminal, &mut got).await;
                if *rotate {
                    let _ = world.keks[0].kms.rotate().await.unwrap();
                }
            }
            check(&world, &got, "any faults").await;
        });
    }
}

/// What happens between one process and the next.
#[derive(Debug, Clone, Copy)]
enum Step {
    Process(KekPolicy, OnTerminal),
    /// One that works while another one does, over the same store and KMSs.
    Processes(KekPolicy, KekPolicy),
    Rotate(usize),
    Disable(usize),
    Enable(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let policy = || select(vec![KekPolicy::Single, KekPolicy::AnyOf, KekPolicy::PrimaryWithFailover]);
    let on_terminal = select(vec![OnTerminal::Stop, OnTerminal::TryOthers]);
    prop_oneof![
        4 => (policy(), on_terminal).prop_map(|(policy, on_terminal)| Step::Process(policy, on_terminal)),
        2 => (policy(), policy()).prop_map(|(one, other)| Step::Processes(one, other)),
        1 => (0..2_usize).prop_map(Step::Rotate),
        1 => (0..2_usize).prop_map(Step::Disable),
        1 => (0..2_usize).prop_map(Step::Enable),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn faults_disabled_keks_and_two_processes_at_once_lose_no_key_and_open_no_wrong_one(
        east in script(),
        west in script(),
        steps in vec(step(), 1..10),
    ) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
            let world = World::new(&[Faulty::named("east"), Faulty::loose("west")]);
            let mut got = Vec::new();
            world.keks[0].script(east.clone());
            world.keks[1].script(west.clone());
            for step in &steps {
                match step {
                    Step::Process(policy, on_terminal) => {
                        if let Ok(keys) = world.guarded_process(*policy, *on_terminal).await {
                            use_all(&keys, &mut got).await;
                        }
                    }
                    Step::Processes(one, other) => {
                        let (mut ones, mut others) = (Vec::new(), Vec::new());
                        let run = async |policy, got: &mut Got| {
                            if let Ok(keys) = world.guarded_process(policy, OnTerminal::TryOthers).await {
                                use_all(&keys, got).await;
                            }
                        };
                        tokio::join!(run(*one, &mut ones), run(*other, &mut others));
                        got.append(&mut ones);
                        got.append(&mut others);
                    }
                    Step::Rotate(at) => {
                        // A KEK that is disabled is not rotated.
                        let _ = world.keks[*at].kms.rotate().await;
                    }
                    Step::Disable(at) => drop(world.keks[*at].kms.disable(&KekTarget::Kek).await.unwrap()),
                    Step::Enable(at) => drop(world.keks[*at].kms.enable(&KekTarget::Kek).await.unwrap()),
                }
            }
            world.enable_all().await;
            check(&world, &got, "faults of two processes").await;
        });
    }
}
