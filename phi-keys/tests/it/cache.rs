//! What is kept in memory, for how long, and what makes it leave.

use core::future::Future;
use core::num::{NonZeroU64, NonZeroUsize};
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::{Arc, Mutex};

use phi_keys::{
    Change, Committed, EphemeralKeyring, Error, KekPolicy, KekSet, KekTarget, KeyId, KeyRow, KeyStore, KeyUse, Keys,
    KeysBuilder, KmsAdmin, KmsError, KmsEvent, MemoryKeyStore, OnTerminal, Revocation, RevocationNotice, Scope,
    Sleeper, Slot, StoreError, StoreFuture,
};
use phi_types::{ManualClock, Timestamp};
use tokio::sync::{Semaphore, broadcast};

use crate::faults::{Fault, Faulty};
use crate::forward::forward;
use crate::support::wire::Wire;
use crate::support::{patient, subject};

const LEASE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);
const INSTANT: Duration = Duration::from_micros(1);

/// A store that counts readings of slots, can be made to wait and can be switched off.
#[derive(Debug)]
struct Watched {
    inner: MemoryKeyStore,
    reads: AtomicU64,
    down: AtomicBool,
    waits: AtomicBool,
    go: Semaphore,
}

impl KeyStore for Watched {
    forward!(self.inner: prepare, commit, by_kid, domain_rows, tombstones, data_rows, purge);

    fn slot<'a>(&'a self, slot: &'a Slot) -> StoreFuture<'a, Vec<KeyRow>> {
        Box::pin(async move {
            self.reads.fetch_add(1, Ordering::SeqCst);
            if self.waits.load(Ordering::SeqCst) {
                self.go.acquire().await.unwrap().forget();
            }
            if self.down.load(Ordering::SeqCst) {
                return Err(StoreError::unavailable("switched off"));
            }
            self.inner.slot(slot).await
        })
    }
}

/// One process with one KEK, and a clock that the test moves.
struct World {
    store: Arc<Watched>,
    kms: Arc<Faulty>,
    clock: ManualClock,
}

impl World {
    fn new() -> Self {
        let (reads, down, waits) = (AtomicU64::new(0), AtomicBool::new(false), AtomicBool::new(false));
        let store = Arc::new(Watched { inner: MemoryKeyStore::new(), reads, down, waits, go: Semaphore::new(0) });
        Self { store, kms: Faulty::named("only"), clock: ManualClock::at_unix_seconds(1_767_225_600) }
    }

    fn builder(&self) -> KeysBuilder {
        Keys::builder(Arc::clone(&self.store)).kek(Arc::clone(&self.kms)).clock(self.clock.clone()).lease(LEASE)
    }

    async fn keys(&self) -> Keys {
        self.builder().build().await.unwrap()
    }

    fn reads(&self) -> u64 {
        self.store.reads.load(Ordering::SeqCst)
    }
}

/// What a future has to say when it is asked once.
fn now<T>(future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

#[tokio::test]
async fn a_hot_key_is_read_again_after_so_many_uses() {
    let world = World::new();
    let keys = world.builder().cache_uses(NonZeroU64::new(100).unwrap()).build().await.unwrap();
    keys.data_key(&patient("a")).await.unwrap();
    let before = world.reads();
    for _ in 0..1_000 {
        keys.data_key(&patient("a")).await.unwrap();
    }
    assert_eq!(world.reads() - before, 10);
}

#[tokio::test]
async fn what_is_often_used_survives_what_is_used_once() {
    let world = World::new();
    let keys = world.builder().cache_entries(NonZeroUsize::new(8).unwrap()).build().await.unwrap();
    let hot = keys.data_key(&patient("hot")).await.unwrap().kid();
    let mut misses = 0;
    for number in 0..200 {
        keys.data_key(&patient(&number.to_string())).await.unwrap();
        let before = world.reads();
        keys.data_key_by_id(hot, &patient("hot")).await.unwrap();
        misses += u32::from(world.reads() != before);
    }
    // The first time that room is needed, nothing is known yet of how any of them is used.
    assert!(misses <= 1, "{misses} times it was not in memory any more");
    let before = world.reads();
    keys.data_key(&patient("0")).await.unwrap();
    assert!(world.reads() > before, "what was used once is not");
}

#[tokio::test]
async fn the_cache_is_bounded_by_bytes_whatever_scopes_are_called() {
    let world = World::new();
    let keys = world.builder().cache_bytes(NonZeroUsize::new(64 << 10).unwrap()).build().await.unwrap();
    for number in 0..100 {
        let scope = Scope::group(format!("{number} {}", "x".repeat(8 << 10)));
        keys.data_key(&scope).await.unwrap();
        assert!((1..=7).contains(&keys.cached()), "{}", keys.cached());
    }
    let heavy = Scope::group("x".repeat(64 << 10));
    assert!(keys.data_key(&heavy).await.unwrap().is_live(), "a key that is too heavy is leased all the same");
    assert_eq!(keys.data_key(&heavy).await.unwrap().kid(), keys.data_key(&heavy).await.unwrap().kid());
}

#[tokio::test]
async fn one_caller_renews_a_lease_ahead_of_its_end_and_the_others_do_not_wait() {
    let world = World::new();
    let keys = world.keys().await;
    let scope = patient("a");
    let first = keys.data_key(&scope).await.unwrap();
    world.clock.advance(LEASE * 4 / 5 - Duration::from_micros(1));
    let before = world.reads();
    keys.data_key(&scope).await.unwrap();
    assert_eq!(world.reads(), before, "it is too early to renew");
    world.clock.advance(Duration::from_micros(1));

    for by_kid in [false, true] {
        let ask =
            async || if by_kid { keys.data_key_by_id(first.kid(), &scope).await } else { keys.data_key(&scope).await };
        let before = world.reads();
        world.store.waits.store(true, Ordering::SeqCst);
        {
            let mut gives_up = pin!(ask());
            assert!(now(gives_up.as_mut()).is_none(), "the first caller reads the store");
        }
        let mut renews = pin!(ask());
        assert!(now(renews.as_mut()).is_none(), "after one that gave up, the next one does");
        for _ in 0..100 {
            let mut other = pin!(ask());
            assert!(now(other.as_mut()).expect("the others are served from memory").unwrap().is_live());
        }
        assert_eq!(world.reads() - before, 2);
        world.store.waits.store(false, Ordering::SeqCst);
        world.store.go.add_permits(1);
        let renewed = renews.await.unwrap();
        world.clock.advance(LEASE * 4 / 5);
        assert!(renewed.is_live() && !first.is_live());
    }
}

#[tokio::test]
async fn a_lease_that_cannot_be_renewed_ahead_lasts_to_its_end() {
    let world = World::new();
    let keys = world.keys().await;
    keys.data_key(&patient("a")).await.unwrap();
    world.store.down.store(true, Ordering::SeqCst);
    world.clock.advance(LEASE - Duration::from_micros(1));
    assert!(keys.data_key(&patient("a")).await.unwrap().is_live());
    world.clock.advance(Duration::from_micros(1));
    assert!(matches!(keys.data_key(&patient("a")).await, Err(Error::Store(_))), "there is no grace unless asked for");
}

#[tokio::test]
async fn a_renewal_ahead_that_finds_the_subject_shredded_ends_access() {
    let world = World::new();
    let (keys, other) = (world.keys().await, world.keys().await);
    keys.data_key(&patient("a")).await.unwrap();
    let _ = other.shred(&subject("a")).await.unwrap();
    world.clock.advance(LEASE * 4 / 5);
    assert!(matches!(keys.data_key(&patient("a")).await, Err(Error::Shredded)));
    assert!(matches!(keys.data_key(&patient("a")).await, Err(Error::Shredded)), "nor is it served from memory again");
    assert_eq!(keys.cached(), 0);
}

#[tokio::test]
async fn a_domain_key_is_asked_of_the_kms_once_an_age_and_ahead_of_its_end() {
    let world = World::new();
    let age = Duration::from_secs(600);
    let keys = world.builder().domain_key_age(age).build().await.unwrap();
    keys.data_key(&patient("a")).await.unwrap();
    let before = world.kms.calls();
    for _ in 0..10 {
        world.clock.advance(LEASE * 4 / 5);
        keys.data_key(&patient("a")).await.unwrap();
    }
    assert_eq!(world.kms.calls(), before, "an unchanged row needs no KMS");
    for _ in 0..2 {
        world.clock.advance(LEASE * 4 / 5);
        keys.data_key(&patient("a")).await.unwrap();
    }
    assert_eq!(world.kms.calls() - before, 1, "576 s: with another lease its age would be over");
}

#[tokio::test]
async fn a_domain_key_whose_age_ends_soon_outlives_an_outage_and_no_refusal() {
    for (fault, lasts) in
        [(Fault::Down, true), (Fault::Throttled(None), true), (Fault::Denied, false), (Fault::Disabled, false)]
    {
        // At its lease's end, and ahead of it.
        for wait in [70, 50] {
            let world = World::new();
            let keys = world.builder().domain_key_age(Duration::from_secs(600)).build().await.unwrap();
            keys.domain_key(KeyUse::Index).await.unwrap();
            world.clock.advance(Duration::from_secs(500));
            let domain = keys.domain_key(KeyUse::Index).await.unwrap();
            keys.data_key(&patient("a")).await.unwrap();
            world.kms.set(Some(fault));
            world.clock.advance(Duration::from_secs(wait));
            let found = keys.domain_key(KeyUse::Index).await;
            if lasts {
                assert!(found.unwrap().is_live(), "{fault:?} after {wait} s");
            } else {
                assert!(matches!(&found, Err(Error::Kms(error)) if error.is_denial()), "{fault:?}: {found:?}");
                assert!(!domain.is_live());
            }
        }
    }
}

/// While a machine is suspended its wall clock goes on, and monotonic time does not.
#[tokio::test]
async fn an_age_and_a_grace_are_over_when_either_clock_says_so() {
    for (grace, asleep) in [(Duration::ZERO, 600), (Duration::from_secs(60), 660)] {
        for reaps in [false, true] {
            let world = World::new();
            let age = Duration::from_secs(600);
            let keys = world.builder().lease(age).domain_key_age(age).outage_grace(grace).build().await.unwrap();
            let key = keys.domain_key(KeyUse::Index).await.unwrap();
            let slept = |time: Duration| Timestamp::from_unix_seconds(1_767_225_600).saturating_add(time);
            world.clock.set(slept(age - INSTANT));
            assert!(key.is_live());
            world.clock.set(slept(age));
            assert!(!key.is_live());
            world.kms.set(Some(Fault::Down));
            world.clock.set(slept(Duration::from_secs(asleep) - INSTANT));
            assert_eq!(keys.reap(), 0);
            assert!(keys.domain_key(KeyUse::Index).await.unwrap().is_live());
            world.clock.set(slept(Duration::from_secs(asleep)));
            assert_eq!(if reaps { keys.reap() } else { 1 }, 1);
            let found = keys.domain_key(KeyUse::Index).await;
            assert!(matches!(&found, Err(Error::Kms(error)) if error.is_transient()), "{found:?}");
        }
    }
}

#[tokio::test]
async fn grace_is_for_outages_and_never_for_an_altered_row() {
    let world = World::new();
    let keys = world.builder().outage_grace(Duration::from_secs(3600)).build().await.unwrap();
    let full_id = keys.domain_key(KeyUse::Index).await.unwrap().full_id();
    let row = world.store.inner.by_kid(full_id.kid()).await.unwrap().unwrap();
    let mut altered = row.clone();
    altered.wrapped.push(0);
    let change = Change::new().replace(row, altered);
    assert_eq!(world.store.inner.commit(&change).await.unwrap(), Committed::Done);
    world.clock.advance(LEASE);
    let refused = keys.domain_key(KeyUse::Index).await;
    assert!(matches!(refused, Err(Error::RowRejected(_))), "{refused:?}");
}

#[tokio::test]
async fn without_a_kms_a_domain_key_lasts_until_its_age_is_over_and_no_longer() {
    let world = World::new();
    let keys = world.builder().domain_key_age(Duration::from_secs(600)).build().await.unwrap();
    let domain = keys.domain_key(KeyUse::Index).await.unwrap();
    world.kms.set(Some(Fault::Down));
    for _ in 0..12 {
        world.clock.advance(Duration::from_secs(49));
        assert!(keys.domain_key(KeyUse::Index).await.unwrap().is_live());
    }
    // 588 s: the lease was cut to what was left of the age.
    world.clock.advance(Duration::from_secs(12));
    assert!(!domain.is_live());
    for _ in 0..2 {
        let refused = keys.domain_key(KeyUse::Index).await;
        assert!(matches!(&refused, Err(Error::Kms(error)) if error.is_transient()), "{refused:?}");
    }
    world.kms.set(None);
    assert!(keys.domain_key(KeyUse::Index).await.is_ok(), "an outage is not remembered");
}

#[tokio::test]
async fn grace_bridges_an_outage_of_store_or_kms_and_ends() {
    let grace = Duration::from_secs(3600);
    for kms in [false, true] {
        let world = World::new();
        let age = if kms { Duration::from_secs(60) } else { Duration::from_secs(7200) };
        let keys = world.builder().domain_key_age(age).outage_grace(grace).build().await.unwrap();
        let (data, index) = (patient("a"), KeyUse::Index);
        let kid = keys.data_key(&data).await.unwrap().kid();
        keys.domain_key(index).await.unwrap();
        if kms {
            world.kms.set(Some(Fault::Down));
        } else {
            world.store.down.store(true, Ordering::SeqCst);
        }
        world.clock.advance(LEASE);
        for _ in 0..9 {
            let (key, domain) = (keys.data_key(&data).await.unwrap(), keys.domain_key(index).await.unwrap());
            assert!(key.is_live() && domain.is_live());
            assert!(keys.data_key_by_id(kid, &data).await.unwrap().is_live());
            let asked = world.reads() + world.kms.calls();
            keys.data_key(&data).await.unwrap();
            assert_eq!(world.reads() + world.kms.calls(), asked, "what is down is not asked by every request");
            world.clock.advance(Duration::from_secs(5));
            assert!(!domain.is_live(), "it is asked again after a few seconds");
            assert_eq!(key.is_live(), kms, "a data key whose row was read has its whole lease");
            world.clock.advance(Duration::from_secs(395));
        }
        let refused = keys.data_key(&data).await.err();
        assert!(refused.is_some(), "the grace is over");
        assert!(keys.domain_key(index).await.is_err());
        world.kms.set(None);
        world.store.down.store(false, Ordering::SeqCst);
        assert!(keys.data_key(&data).await.is_ok() && keys.domain_key(index).await.is_ok());
    }
}

#[tokio::test]
async fn grace_is_for_outages_and_never_for_a_refusal() {
    for fault in [Fault::Denied, Fault::Disabled] {
        let world = World::new();
        let builder = world.builder().domain_key_age(LEASE).outage_grace(Duration::from_secs(3600));
        let keys = builder.build().await.unwrap();
        keys.data_key(&patient("a")).await.unwrap();
        keys.data_key(&patient("b")).await.unwrap();
        world.kms.set(Some(Fault::Down));
        world.clock.advance(LEASE);
        keys.data_key(&patient("a")).await.unwrap();
        world.kms.set(Some(fault));
        world.clock.advance(LEASE);
        for scope in [patient("a"), patient("b"), patient("c")] {
            let refused = keys.data_key(&scope).await;
            assert!(matches!(&refused, Err(Error::Kms(error)) if error.is_denial()), "{refused:?}");
        }
        assert_eq!(keys.cached(), 0, "what the KEK opened left memory");
        // The outage comes back, and does not bring the keys back.
        world.kms.set(Some(Fault::Down));
        world.clock.advance(LEASE);
        assert!(keys.data_key(&patient("a")).await.is_err());
    }
    let world = World::new();
    let keys = world.builder().outage_grace(Duration::from_secs(3600)).build().await.unwrap();
    keys.data_key(&patient("a")).await.unwrap();
    let _ = world.keys().await.shred(&subject("a")).await.unwrap();
    world.clock.advance(LEASE);
    assert!(matches!(keys.data_key(&patient("a")).await, Err(Error::Shredded)));
    world.store.down.store(true, Ordering::SeqCst);
    world.clock.advance(LEASE);
    assert!(keys.data_key(&patient("a")).await.is_err(), "a shredded key is not there any more to be stretched");
}

#[tokio::test]
async fn a_refusal_is_remembered_for_its_age_and_no_longer() {
    let world = World::new();
    world.keys().await.data_key(&patient("a")).await.unwrap();
    let keys = world.keys().await;
    world.kms.set(Some(Fault::Disabled));
    let before = world.kms.calls();
    for number in 0..100 {
        let refused = keys.data_key(&patient(&number.to_string())).await;
        assert!(matches!(refused, Err(Error::Kms(KmsError::Disabled))), "{refused:?}");
    }
    assert_eq!(world.kms.calls() - before, 1);
    // The cause is mended.
    world.kms.set(None);
    world.clock.advance(Duration::from_secs(5) - Duration::from_micros(1));
    assert!(keys.data_key(&patient("a")).await.is_err());
    world.clock.advance(Duration::from_micros(1));
    assert!(keys.data_key(&patient("a")).await.is_ok());

    // One that has no key yet, as of a new tenant.
    let keys = world.builder().tenant("hospital").build().await.unwrap();
    world.kms.set(Some(Fault::Disabled));
    let before = world.kms.calls();
    for number in 0..100 {
        assert!(keys.data_key(&patient(&number.to_string())).await.is_err());
    }
    assert_eq!(world.kms.calls() - before, 1, "a key that cannot be made");
    world.kms.set(None);

    let keys = world.builder().refusal_age(Duration::ZERO).build().await.unwrap();
    world.kms.set(Some(Fault::Disabled));
    assert!(keys.data_key(&patient("a")).await.is_err());
    world.kms.set(None);
    assert!(keys.data_key(&patient("a")).await.is_ok(), "zero remembers none");
}

/// Two KEKs, both of which hold every domain key.
async fn two(
    on_terminal: OnTerminal,
    log: &Arc<Mutex<Vec<String>>>,
) -> (Keys, Arc<EphemeralKeyring>, Arc<EphemeralKeyring>) {
    let clock = ManualClock::at_unix_seconds(0);
    let named = |name: &str| Arc::new(EphemeralKeyring::named(name, clock.clone()).unwrap());
    let (east, west) = (named("east"), named("west"));
    let log = Arc::clone(log);
    let set = KekSet::builder(KekPolicy::AnyOf).on_terminal(on_terminal).kek(Arc::clone(&east)).kek(Arc::clone(&west));
    let set = set.observer(Arc::new(move |event: &KmsEvent<'_>| {
        if let KmsEvent::Forgotten { kek_id, version, domain_keys, data_keys } = event {
            log.lock().unwrap().push(format!("{kek_id} {version}: {domain_keys} {data_keys}"));
        }
    }));
    let keys = Keys::builder(MemoryKeyStore::new()).keks(set.build().unwrap()).clock(clock);
    (keys.refusal_age(Duration::ZERO).build().await.unwrap(), east, west)
}

#[tokio::test]
async fn a_check_forgets_what_only_a_kek_that_says_no_could_unwrap() {
    let log = Arc::default();
    for (on_terminal, first) in [(OnTerminal::Stop, 2), (OnTerminal::TryOthers, 0)] {
        let (keys, east, west) = two(on_terminal, &log).await;
        let key = keys.data_key(&patient("a")).await.unwrap();
        let index = keys.domain_key(KeyUse::Index).await.unwrap();
        assert_eq!(keys.check_keks().await.forgotten.domain_keys, 0);
        assert!(key.is_live() && index.is_live());

        let _ = east.disable(&KekTarget::Kek).await.unwrap();
        let check = keys.check_keks().await;
        assert_eq!((check.forgotten.domain_keys, check.forgotten.data_keys), (first, first / 2), "{on_terminal:?}");
        assert_eq!(check.statuses.len(), 2);
        // What is left in memory stays so, and is found to be so again and again.
        assert_eq!(keys.check_keks().await.forgotten.domain_keys, 0);
        assert_eq!(keys.cached(), 1 - first / 2);
        assert_eq!(keys.data_key(&patient("a")).await.is_ok(), on_terminal == OnTerminal::TryOthers);

        let _ = west.schedule_destruction(&KekTarget::Kek, Duration::from_secs(7 * 24 * 3600)).await.unwrap();
        assert_eq!(keys.check_keks().await.forgotten.domain_keys, 2 - first);
        assert!(!key.is_live() && !index.is_live() && keys.cached() == 0);
        assert!(keys.data_key(&patient("a")).await.is_err());
    }
    let told = log.lock().unwrap().join(", ");
    assert_eq!(told, "east 1: 2 1, east 1: 2 1, west 1: 2 1");
}

#[tokio::test]
async fn a_check_forgets_what_an_older_version_that_says_no_could_unwrap() {
    for on_terminal in [OnTerminal::Stop, OnTerminal::TryOthers] {
        let (keys, east, west) = two(on_terminal, &Arc::default()).await;
        let old = keys.domain_key(KeyUse::Index).await.unwrap();
        let _ = (east.rotate().await.unwrap(), west.rotate().await.unwrap());
        // Made under the second version.
        let key = keys.data_key(&patient("a")).await.unwrap();
        let first = KekTarget::Version("1".to_owned());
        let _ = east.disable(&first).await.unwrap();
        let stops = on_terminal == OnTerminal::Stop;
        assert_eq!(keys.check_keks().await.forgotten.domain_keys, usize::from(stops), "{on_terminal:?}");
        let _ = west.disable(&first).await.unwrap();
        assert_eq!(keys.check_keks().await.forgotten.domain_keys, usize::from(!stops), "{on_terminal:?}");
        assert!(!old.is_live() && keys.domain_key(KeyUse::Index).await.is_err());
        assert_eq!((keys.cached(), keys.check_keks().await.forgotten.domain_keys), (1, 0), "{on_terminal:?}");
        drop(key);

        // The newest version is switched off, and what an older one holds stays.
        let _ = (east.enable(&first).await.unwrap(), west.enable(&first).await.unwrap());
        keys.domain_key(KeyUse::Index).await.unwrap();
        let newest = KekTarget::Version("2".to_owned());
        let _ = (east.disable(&newest).await.unwrap(), west.disable(&newest).await.unwrap());
        let check = keys.check_keks().await.forgotten;
        assert_eq!((check.domain_keys, check.data_keys, keys.cached()), (1, 1, 0), "{on_terminal:?}");
        assert!(keys.domain_key(KeyUse::Index).await.is_ok(), "{on_terminal:?}");
    }
}

#[tokio::test]
async fn a_kek_that_holds_no_copy_takes_nothing_away() {
    for on_terminal in [OnTerminal::Stop, OnTerminal::TryOthers] {
        let (writer, reader) = (Faulty::named("writer"), Faulty::named("reader"));
        let set = KekSet::builder(KekPolicy::Single).on_terminal(on_terminal).kek(Arc::clone(&writer));
        let set = set.kek(Arc::clone(&reader)).build().unwrap();
        let keys = Keys::builder(MemoryKeyStore::new()).keks(set).build().await.unwrap();
        keys.data_key(&patient("a")).await.unwrap();
        reader.set(Some(Fault::Disabled));
        assert_eq!(keys.check_keks().await.forgotten.domain_keys, 0, "{on_terminal:?}");
        assert!(keys.cached() == 1 && keys.data_key(&patient("a")).await.unwrap().is_live());
        writer.set(Some(Fault::Disabled));
        assert_eq!(keys.check_keks().await.forgotten.domain_keys, 1, "{on_terminal:?}");
        assert_eq!(keys.cached(), 0);
    }
}

#[tokio::test]
async fn a_kek_that_does_not_answer_is_not_taken_for_one_that_says_no() {
    for (fault, forgotten) in [(Fault::Down, 0), (Fault::Throttled(None), 0), (Fault::Denied, 1), (Fault::Disabled, 1)]
    {
        let world = World::new();
        let keys = world.keys().await;
        keys.domain_key(KeyUse::Index).await.unwrap();
        world.kms.set(Some(fault));
        assert_eq!(keys.check_keks().await.forgotten.domain_keys, forgotten, "{fault:?}");
    }
}

/// Sleeps until the test lets it, and says for how long.
#[derive(Debug, Clone)]
struct Steps {
    clock: ManualClock,
    slept: Arc<Mutex<Vec<Duration>>>,
    go: Arc<Semaphore>,
}

impl Sleeper for Steps {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let this = self.clone();
        Box::pin(async move {
            this.slept.lock().unwrap().push(duration);
            this.go.acquire().await.unwrap().forget();
            this.clock.advance(duration);
        })
    }
}

#[tokio::test]
async fn a_poller_ends_access_within_its_interval_and_waits_for_no_kek_longer_than_that() {
    let world = World::new();
    let steps = Steps { clock: world.clock.clone(), slept: Arc::default(), go: Arc::new(Semaphore::new(0)) };
    let slow = Faulty::named("slow");
    let set = KekSet::builder(KekPolicy::AnyOf).kek(Arc::clone(&world.kms)).kek(Arc::clone(&slow));
    let keys = Keys::builder(Arc::clone(&world.store)).keks(set.build().unwrap()).clock(world.clock.clone());
    let keys = keys.lease(Duration::from_secs(3600)).build().await.unwrap();
    let key = keys.data_key(&patient("a")).await.unwrap();

    let mut poller = pin!(keys.poll_status(30 * SECOND, steps.clone()));
    assert!(now(poller.as_mut()).is_none());
    assert_eq!(*steps.slept.lock().unwrap(), [30 * SECOND]);
    assert!(key.is_live());
    let _ = world.kms.kms.disable(&KekTarget::Kek).await.unwrap();
    assert!(now(poller.as_mut()).is_none() && key.is_live());
    steps.go.add_permits(1);
    assert!(now(poller.as_mut()).is_none());
    assert!(!key.is_live() && keys.cached() == 0, "the next look at the status, 30 s later");
    assert!(matches!(keys.data_key(&patient("a")).await, Err(Error::Kms(KmsError::Disabled))));

    let _ = world.kms.kms.enable(&KekTarget::Kek).await.unwrap();
    slow.set(Some(Fault::Hang));
    steps.go.add_permits(1);
    assert!(now(poller.as_mut()).is_none());
    steps.go.add_permits(1);
    assert!(now(poller.as_mut()).is_none());
    let slept = steps.slept.lock().unwrap().clone();
    // The wait for the status that never came took the interval, so that the next round begins at once.
    assert_eq!(slept, [30 * SECOND, 30 * SECOND, 30 * SECOND, Duration::from_millis(1)]);
}

#[tokio::test]
async fn an_idle_process_forgets_what_expired() {
    let world = World::new();
    let keys = world.builder().domain_key_age(Duration::from_secs(600)).build().await.unwrap();
    drop(keys.data_key(&patient("a")).await.unwrap());
    let steps = Steps { clock: world.clock.clone(), slept: Arc::default(), go: Arc::new(Semaphore::new(0)) };
    let mut reaper = pin!(keys.reap_expired(5 * SECOND, steps.clone()));
    steps.go.add_permits(11);
    assert!(now(reaper.as_mut()).is_none());
    assert_eq!(keys.cached(), 1);
    steps.go.add_permits(1);
    assert!(now(reaper.as_mut()).is_none());
    assert_eq!(keys.cached(), 0, "60 s were slept in steps of 5 s");
    world.clock.advance(Duration::from_secs(539));
    assert_eq!(keys.reap(), 0);
    world.clock.advance(SECOND);
    assert_eq!(keys.reap(), 1, "the domain key");
    let before = world.kms.calls();
    keys.data_key(&patient("a")).await.unwrap();
    assert_eq!(world.kms.calls() - before, 1, "nothing of it was left");
}

#[tokio::test]
async fn revoking_ends_every_lease_at_once_and_forgets_what_was_named() {
    let world = World::new();
    let keys = world.keys().await;
    let (a, b) = (keys.data_key(&patient("a")).await.unwrap(), keys.data_key(&patient("b")).await.unwrap());
    let domain = keys.domain_key(KeyUse::Data).await.unwrap();

    let revoked = keys.revoke(&Revocation::Scope(patient("a"))).await.unwrap();
    assert_eq!((revoked.forgotten.domain_keys, revoked.forgotten.data_keys, revoked.announced), (0, 1, false));
    assert!(!a.is_live() && !b.is_live() && domain.is_live());
    let reads = world.reads();
    let b = keys.data_key(&patient("b")).await.unwrap();
    assert_eq!(world.reads(), reads, "what was not named is leased again from memory");
    assert_eq!(keys.data_key(&patient("a")).await.unwrap().kid(), a.kid());
    assert!(world.reads() > reads);

    let revoked = keys.revoke(&Revocation::Key(b.kid())).await.unwrap();
    assert_eq!((revoked.forgotten.data_keys, keys.cached()), (1, 1));
    let reads = world.reads();
    keys.data_key(&patient("a")).await.unwrap();
    assert_eq!(world.reads(), reads, "it is the other one that is left");
    let (before, revoked) = (world.kms.calls(), keys.revoke(&Revocation::Key(domain.kid())).await.unwrap());
    assert_eq!((revoked.forgotten.domain_keys, revoked.forgotten.data_keys), (1, 1), "what is below it goes along");
    assert!(!domain.is_live());
    keys.data_key(&patient("a")).await.unwrap();
    assert_eq!(world.kms.calls() - before, 1);

    keys.domain_key(KeyUse::Index).await.unwrap();
    let revoked = keys.revoke(&Revocation::All).await.unwrap();
    assert_eq!((revoked.forgotten.domain_keys, revoked.forgotten.data_keys, keys.cached()), (2, 1, 0));
    let text = revoked.activity(Timestamp::UNIX_EPOCH).kind;
    assert_eq!(text, "key.revoke");
}

#[tokio::test]
async fn everything_that_is_revoked_includes_data_keys_whose_parent_left_before_them() {
    let world = World::new();
    let keys = world.keys().await;
    let key = keys.data_key(&patient("a")).await.unwrap();
    // The domain keys are read anew after a rotation; what was below them is still in memory.
    let _ = keys.rotate_domain_key(KeyUse::Data).await.unwrap();
    assert!(key.is_live() && keys.cached() == 1);
    let revoked = keys.revoke(&Revocation::All).await.unwrap();
    assert_eq!((revoked.forgotten.domain_keys, revoked.forgotten.data_keys), (0, 1));
    assert!(!key.is_live() && keys.cached() == 0);
}

#[test]
fn a_notice_has_one_text() {
    let (kid, scope) =
        (format!("phi-revoke-1 kid {}", "0a".repeat(16)), format!("phi-revoke-1 scope {}", "9f".repeat(32)));
    for text in ["phi-revoke-1 all", &kid, &scope] {
        assert_eq!(RevocationNotice::from_text(text).to_text(), text);
    }
    for other in [kid.to_uppercase(), kid.replace("0a0a", "0a"), format!("{scope} "), scope.replace("9f", "9g")] {
        assert_eq!(RevocationNotice::from_text(&other).to_text(), "phi-revoke-1 all", "{other}");
    }
}

#[tokio::test]
async fn who_was_reading_while_a_key_was_revoked_reads_again() {
    let world = World::new();
    world.keys().await.data_key(&patient("a")).await.unwrap();
    let keys = world.keys().await;
    keys.domain_key(KeyUse::Data).await.unwrap();
    world.store.waits.store(true, Ordering::SeqCst);
    let scope = patient("a");
    let mut reader = pin!(keys.data_key(&scope));
    assert!(now(reader.as_mut()).is_none());
    let before = (world.reads(), world.kms.calls());
    let _ = keys.revoke(&Revocation::All).await.unwrap();
    world.kms.set(Some(Fault::Disabled));
    world.store.waits.store(false, Ordering::SeqCst);
    world.store.go.add_permits(1);
    let refused = reader.await;
    assert!(matches!(refused, Err(Error::Kms(KmsError::Disabled))), "{refused:?}");
    assert_eq!(world.kms.calls() - before.1, 1, "the revoked domain key was asked for again");
}

#[tokio::test]
async fn what_one_process_revokes_or_shreds_leaves_the_memory_of_the_others() {
    let world = World::new();
    let (sender, _) = broadcast::channel(4);
    let wires = [Wire::new(&sender), Wire::new(&sender)];
    let build = |wire: &Arc<Wire>| world.builder().revocations(Arc::clone(wire)).build();
    let (here, there) = (build(&wires[0]).await.unwrap(), build(&wires[1]).await.unwrap());
    let steps = Steps { clock: world.clock.clone(), slept: Arc::default(), go: Arc::new(Semaphore::new(0)) };
    let mut listener = pin!(there.follow_revocations(steps.clone()));
    let scope = patient("MRN-7431");
    let lease = async || there.data_key(&scope).await.unwrap();

    there.data_key(&patient("b")).await.unwrap();
    let key = lease().await;
    assert!(here.revoke(&Revocation::Scope(scope.clone())).await.unwrap().announced);
    assert!(now(listener.as_mut()).is_none() && !key.is_live() && there.cached() == 1, "the other one is not named");
    let key = lease().await;
    let _ = here.revoke(&Revocation::Key(key.kid())).await.unwrap();
    assert!(now(listener.as_mut()).is_none() && !key.is_live() && there.cached() == 1);
    let (key, domain) = (lease().await, there.domain_key(KeyUse::Data).await.unwrap());
    let _ = here.revoke(&Revocation::All).await.unwrap();
    assert!(now(listener.as_mut()).is_none() && !key.is_live() && !domain.is_live());

    // A forged notice costs time and no more.
    let key = lease().await;
    sender.send("phi-revoke-9 \u{0}".into()).unwrap();
    assert!(now(listener.as_mut()).is_none() && !key.is_live() && there.cached() == 0);

    // Notices that were missed are taken for the worst.
    let key = lease().await;
    (0..8).for_each(|_| drop(sender.send(format!("phi-revoke-1 kid {}", KeyId::from_bytes([1; 16])))));
    assert!(now(listener.as_mut()).is_none() && !key.is_live() && there.cached() == 0);
    steps.go.add_permits(1);
    assert!(now(listener.as_mut()).is_none());

    let key = lease().await;
    let _ = here.shred(&subject("MRN-7431")).await.unwrap();
    assert!(now(listener.as_mut()).is_none() && !key.is_live() && there.cached() == 0);
    assert!(matches!(there.data_key(&scope).await, Err(Error::Shredded)));

    wires[0].down.store(true, Ordering::SeqCst);
    here.data_key(&patient("b")).await.unwrap();
    assert!(matches!(here.revoke(&Revocation::All).await, Err(Error::Store(_))));
    assert_eq!(here.cached(), 0, "here it is done in any case");
    assert!(here.shred(&subject("b")).await.is_ok(), "a shred is true though nobody hears of it");
    assert!(matches!(world.keys().await.follow_revocations(steps).await, Err(Error::Config(_))));
}

#[tokio::test]
async fn limits_out_of_bounds_are_refused() {
    let world = World::new();
    let day = Duration::from_secs(24 * 3600);
    for builder in [
        world.builder().domain_key_age(SECOND - INSTANT),
        world.builder().domain_key_age(7 * day + INSTANT),
        world.builder().outage_grace(day + INSTANT),
        world.builder().refusal_age(60 * SECOND + INSTANT),
        world.builder().lease(Duration::from_millis(1) - INSTANT),
        world.builder().lease(3600 * SECOND + INSTANT),
    ] {
        assert!(matches!(builder.build().await, Err(Error::Config(_))));
    }
    for builder in [
        world.builder().domain_key_age(SECOND),
        world.builder().domain_key_age(7 * day),
        world.builder().outage_grace(day),
        world.builder().refusal_age(60 * SECOND),
        world.builder().lease(Duration::from_millis(1)),
        world.builder().lease(3600 * SECOND),
    ] {
        assert!(builder.build().await.is_ok());
    }
}
