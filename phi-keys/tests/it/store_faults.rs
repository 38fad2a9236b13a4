//! Every write to the store may fail before it is done, fail after it is done, or be the last thing that a process does.

use core::num::NonZeroU32;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};

use phi_keys::derive::Label;
use phi_keys::{
    AnchorError, AnchorFuture, Change, Committed, EphemeralKeyring, Error, FullId, KeyId, KeyRow, KeyState, KeyStore,
    KeyUse, Keys, MemoryKeyStore, Residue, Slot, StoreAnchor, StoreError, StoreFuture,
};
use phi_types::ManualClock;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::support::{patient, subject};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Nothing is written, and an error is reported.
    Before,
    /// It is written, and an error is reported nevertheless.
    After,
    /// The process is killed, with the write not done.
    KilledBefore,
    /// The process is killed, with the write done.
    KilledAfter,
}

const FAULTS: [Fault; 4] = [Fault::Before, Fault::After, Fault::KilledBefore, Fault::KilledAfter];

/// What the processes of a test share: the disk, and what goes wrong next.
#[derive(Debug, Default)]
struct Disk {
    rows: MemoryKeyStore,
    records: Mutex<Vec<Vec<u8>>>,
    script: Mutex<VecDeque<Option<Fault>>>,
}

/// The way of one process to the disk.
#[derive(Debug, Clone)]
struct Way {
    disk: Arc<Disk>,
    dead: Arc<AtomicBool>,
}

impl Way {
    fn alive(&self) -> Result<(), &'static str> {
        if self.dead.load(Ordering::SeqCst) { Err("killed") } else { Ok(()) }
    }

    /// Whether the write is to be done, and whether it is then reported as done.
    fn next(&self) -> Result<(bool, bool), &'static str> {
        self.alive()?;
        let fault = self.disk.script.lock().unwrap().pop_front().flatten();
        if matches!(fault, Some(Fault::KilledBefore | Fault::KilledAfter)) {
            self.dead.store(true, Ordering::SeqCst);
        }
        Ok(match fault {
            None => (true, true),
            Some(Fault::Before | Fault::KilledBefore) => (false, false),
            Some(Fault::After | Fault::KilledAfter) => (true, false),
        })
    }

    fn read<T>(&self, value: T) -> Result<T, StoreError> {
        self.alive().map(|()| value).map_err(StoreError::unavailable)
    }
}

impl KeyStore for Way {
    fn prepare(&self) -> StoreFuture<'_, ()> {
        self.disk.rows.prepare()
    }

    fn commit<'a>(&'a self, change: &'a Change) -> StoreFuture<'a, Committed> {
        Box::pin(async move {
            let (done, reported) = self.next().map_err(StoreError::unavailable)?;
            let outcome = if done { Some(self.disk.rows.commit(change).await?) } else { None };
            outcome.filter(|_| reported).ok_or_else(|| StoreError::unavailable("the disk failed"))
        })
    }

    fn slot<'a>(&'a self, slot: &'a Slot) -> StoreFuture<'a, Vec<KeyRow>> {
        Box::pin(async move { self.read(self.disk.rows.slot(slot).await?) })
    }

    fn by_kid(&self, kid: KeyId) -> StoreFuture<'_, Option<KeyRow>> {
        Box::pin(async move { self.read(self.disk.rows.by_kid(kid).await?) })
    }

    fn domain_rows(&self) -> StoreFuture<'_, Vec<KeyRow>> {
        Box::pin(async move { self.read(self.disk.rows.domain_rows().await?) })
    }

    fn tombstones(&self) -> StoreFuture<'_, Vec<KeyRow>> {
        Box::pin(async move { self.read(self.disk.rows.tombstones().await?) })
    }

    fn data_rows<'a>(
        &'a self,
        tenant: &'a str,
        after: Option<&'a KeyRow>,
        limit: NonZeroU32,
    ) -> StoreFuture<'a, Vec<KeyRow>> {
        Box::pin(async move { self.read(self.disk.rows.data_rows(tenant, after, limit).await?) })
    }

    fn purge(&self) -> StoreFuture<'_, Vec<Residue>> {
        Box::pin(async move { self.read(self.disk.rows.purge().await?) })
    }
}

impl StoreAnchor for Way {
    fn read(&self, from: u64) -> AnchorFuture<'_, Vec<Vec<u8>>> {
        Box::pin(async move {
            self.alive().map_err(AnchorError::unavailable)?;
            let records = self.disk.records.lock().unwrap();
            Ok(records.iter().skip(usize::try_from(from).unwrap()).cloned().collect())
        })
    }

    fn append<'a>(&'a self, records: &'a [Vec<u8>]) -> AnchorFuture<'a, ()> {
        Box::pin(async move {
            let (done, reported) = self.next().map_err(AnchorError::unavailable)?;
            if done {
                self.disk.records.lock().unwrap().extend_from_slice(records);
            }
            if reported { Ok(()) } else { Err(AnchorError::unavailable("the disk failed")) }
        })
    }
}

#[derive(Debug, Clone, Copy)]
enum Act {
    Seal(u8),
    RotateData(u8),
    RotateDomain,
    StageDomain,
    ActivateDomain,
    RewrapData,
    RotateKek,
    Shred(u8),
    /// Destroys whatever key of the subject nothing refers to, as far as its state allows.
    End(u8),
    Reseal(u8),
    Later,
    Restart,
}

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

/// What somebody outside knows: the values that were sealed, and who asked for a shred.
#[derive(Default)]
struct Model {
    /// By subject: the key of each value, and what it derives.
    sealed: HashMap<u8, HashMap<FullId, [u8; 32]>>,
    /// Keys that ever were.
    seen: HashMap<u8, HashSet<FullId>>,
    asked: HashSet<u8>,
    shredded: HashSet<u8>,
}

struct World {
    disk: Arc<Disk>,
    kms: Arc<EphemeralKeyring>,
    clock: ManualClock,
    anchored: bool,
    model: Model,
}

fn name(subject: u8) -> String {
    format!("patient {subject}")
}

impl World {
    fn new(anchored: bool) -> Self {
        let clock = ManualClock::at_unix_seconds(1_767_225_600);
        let kms = Arc::new(EphemeralKeyring::named("only", clock.clone()).unwrap());
        Self { disk: Arc::default(), kms, clock, anchored, model: Model::default() }
    }

    async fn process(&self) -> Result<Keys, Error> {
        let way = Way { disk: Arc::clone(&self.disk), dead: Arc::default() };
        let builder = Keys::builder(way.clone()).kek(Arc::clone(&self.kms)).tenant("clinic").clock(self.clock.clone());
        if self.anchored { builder.anchor(way).build().await } else { builder.build().await }
    }

    async fn seal(&mut self, keys: &Keys, subject: u8) {
        let Ok(key) = keys.data_key(&patient(&name(subject))).await else { return };
        assert!(!self.model.shredded.contains(&subject), "a shredded subject gets no key");
        let derived = *key.derive(Label::FIELD, b"value").unwrap();
        self.model.sealed.entry(subject).or_default().insert(key.full_id(), derived);
        self.model.seen.entry(subject).or_default().insert(key.full_id());
    }

    /// Ends every key of a subject that no value refers to.
    async fn end(&self, keys: &Keys, subject: u8) {
        let sealed = self.model.sealed.get(&subject).cloned().unwrap_or_default();
        let in_use = sealed.keys().map(FullId::kid).collect::<HashSet<_>>();
        let count = move |kid| core::future::ready(Ok(u64::from(in_use.contains(&kid))));
        for id in self.model.seen.get(&subject).into_iter().flatten() {
            let _ = keys.retire(id.kid(), &count).await;
            let _ = keys.destroy(id.kid(), &count).await;
        }
        // The same for domain keys, whose references the store counts.
        let none = |_| core::future::ready(Ok(0));
        for row in self.disk.rows.domain_rows().await.unwrap() {
            if row.slot != Slot::root() && row.state != KeyState::Active {
                let kid = row.full_id.unwrap().kid();
                let _ = keys.retire(kid, &none).await;
                let _ = keys.destroy(kid, &none).await;
            }
        }
    }

    /// Every value is sealed again under the active key, unless one cannot be opened or the other not be had.
    async fn reseal(&mut self, keys: &Keys, subject: u8) {
        let scope = patient(&name(subject));
        let Ok(key) = keys.data_key(&scope).await else { return };
        for id in self.model.sealed.get(&subject).cloned().unwrap_or_default().keys() {
            if keys.data_key_by_id(id.kid(), &scope).await.is_err() {
                return;
            }
        }
        let derived = *key.derive(Label::FIELD, b"value").unwrap();
        self.model.sealed.insert(subject, HashMap::from([(key.full_id(), derived)]));
        self.model.seen.entry(subject).or_default().insert(key.full_id());
    }

    async fn run(&mut self, acts: &[Act]) {
        let mut keys = self.process().await.ok();
        for act in acts {
            let Some(running) = &keys else {
                keys = self.process().await.ok();
                continue;
            };
            let running = running.clone();
            match *act {
                Act::Seal(subject) => self.seal(&running, subject).await,
                Act::RotateData(subject) => drop(running.rotate_data_key(&patient(&name(subject))).await),
                Act::RotateDomain => drop(running.rotate_domain_key(KeyUse::Data).await),
                Act::StageDomain => drop(running.stage_domain_key(KeyUse::Data).await),
                Act::ActivateDomain => drop(running.activate_domain_key(KeyUse::Data).await),
                Act::RewrapData => drop(running.rewrap_data_keys().await),
                Act::RotateKek => {
                    use phi_keys::KmsAdmin;
                    let _ = self.kms.rotate().await.unwrap();
                    drop(running.rewrap().await);
                }
                Act::Shred(who) => {
                    self.model.asked.insert(who);
                    if running.shred(&subject(&name(who))).await.is_ok() {
                        self.model.shredded.insert(who);
                    }
                }
                Act::End(subject) => self.end(&running, subject).await,
                Act::Reseal(subject) => self.reseal(&running, subject).await,
                Act::Later => self.clock.advance(Duration::from_secs(3900)),
                Act::Restart => keys = self.process().await.ok(),
            }
            if let Some(running) = &keys
                && running.generation().await.is_err()
            {
                keys = None;
            }
        }
        self.check().await;
    }

    /// When the disk is sound again.
    async fn check(&mut self) {
        self.disk.script.lock().unwrap().clear();
        for round in 0..2 {
            let keys = self.process().await.unwrap_or_else(|error| panic!("the store cannot be opened: {error:?}"));
            for (subject, sealed) in &self.model.sealed {
                let scope = patient(&name(*subject));
                for (id, derived) in sealed {
                    match keys.data_key_by_id(id.kid(), &scope).await {
                        Ok(key) => {
                            assert!(!self.model.shredded.contains(subject), "a shredded key is back");
                            assert_eq!(*key.derive(Label::FIELD, b"value").unwrap(), *derived);
                        }
                        // Whether a shred that failed was done shows here, for good.
                        Err(Error::Shredded) if self.model.asked.contains(subject) => {}
                        Err(error) => panic!("a value of subject {subject} cannot be opened: {error:?}"),
                    }
                }
                let active = keys.data_key(&scope).await;
                assert_eq!(active.is_ok(), keys.data_keys(&scope).await.is_ok(), "{active:?}");
            }
            for asked in self.model.asked.clone() {
                let _ = keys.shred(&subject(&name(asked))).await.unwrap();
                self.model.shredded.insert(asked);
            }
            let _ = keys.rewrap_data_keys().await.unwrap();
            let _ = keys.rewrap().await.unwrap();
            if round == 0 {
                // As the acts do, without a fault.
                for subject in 0..3 {
                    self.end(&keys, subject).await;
                }
            }
        }
    }
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future);
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

#[test]
fn one_fault_at_any_write_loses_no_key_and_brings_none_back() {
    for anchored in [false, true] {
        for (fault, at) in FAULTS.into_iter().flat_map(|fault| (0..48).map(move |at| (fault, at))) {
            block_on(async {
                let mut world = World::new(anchored);
                *world.disk.script.lock().unwrap() = (0..at).map(|_| None).chain([Some(fault)]).collect();
                world.run(&STORY).await;
            });
        }
    }
}

/// Without a fault the story does what it tells, so that the test above is about something.
#[test]
fn the_story_passes_through_every_state() {
    block_on(async {
        let mut world = World::new(true);
        world.run(&STORY).await;
        let mut states = HashSet::new();
        for row in world.disk.rows.domain_rows().await.unwrap() {
            states.insert((row.kind, row.state));
        }
        let staged = states.iter().any(|(_, state)| *state == KeyState::Pending);
        assert!(staged, "{states:?}");
        let all = NonZeroU32::new(100).unwrap();
        for row in world.disk.rows.data_rows("clinic", None, all).await.unwrap() {
            states.insert((row.kind, row.state));
        }
        use phi_keys::RowKind::{Data, Domain};
        for expected in [Domain, Data]
            .into_iter()
            .flat_map(|kind| [KeyState::Active, KeyState::Destroyed].map(|state| (kind, state)))
        {
            assert!(states.contains(&expected), "{expected:?}: {states:?}");
        }
        assert_eq!(world.model.shredded, HashSet::from([1, 2]));
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn any_faults_of_the_store_lose_no_key_and_bring_none_back(
        acts in vec(act(), 1..60),
        script in vec(option::weighted(0.15, select(&FAULTS[..])), 0..80),
        anchored in any::<bool>(),
    ) {
        block_on(async {
            let mut world = World::new(anchored);
            *world.disk.script.lock().unwrap() = script.clone().into();
            world.run(&acts).await;
        });
    }
}
