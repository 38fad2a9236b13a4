//! Keys of many scopes: one reading of the store, and the same answers as one by one.

use core::num::NonZeroU32;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::sync::Arc;

use phi_keys::{
    Change, Committed, EphemeralKeyring, Error, KeyId, KeyRow, KeyState, KeyStore, KeyUse, Keys, MemoryKeyStore,
    Revocation, RowKind, Scope, Slot, StoreError, StoreFuture,
};
use phi_types::ManualClock;
use tokio::sync::Semaphore;

use crate::forward::forward;
use crate::support::{Watched, patient, subject};

/// A store whose commits of tombstones wait, and whose answers for many wait with what was read.
#[derive(Debug)]
struct Paused {
    inner: MemoryKeyStore,
    pauses: AtomicBool,
    at_commit: Semaphore,
    commit: Semaphore,
    at_read: Semaphore,
    read: Semaphore,
}

impl Paused {
    fn new() -> Arc<Self> {
        let [at_commit, commit, at_read, read] = core::array::from_fn(|_| Semaphore::new(0));
        let (inner, pauses) = (MemoryKeyStore::new(), AtomicBool::new(false));
        Arc::new(Self { inner, pauses, at_commit, commit, at_read, read })
    }

    async fn hold(&self, there: &Semaphore, go: &Semaphore) {
        if self.pauses.load(Ordering::SeqCst) {
            there.add_permits(1);
            go.acquire().await.unwrap().forget();
        }
    }
}

impl KeyStore for Paused {
    forward!(self.inner: prepare, slot, by_kid, domain_rows, tombstones, data_rows, purge);

    fn commit<'a>(&'a self, change: &'a Change) -> StoreFuture<'a, Committed> {
        Box::pin(async move {
            if change.tombstone.is_some() {
                self.hold(&self.at_commit, &self.commit).await;
            }
            self.inner.commit(change).await
        })
    }

    fn scopes<'a>(&'a self, tenant: &'a str, key_use: KeyUse, scopes: &'a [[u8; 32]]) -> StoreFuture<'a, Vec<KeyRow>> {
        Box::pin(async move {
            let rows = self.inner.scopes(tenant, key_use, scopes).await;
            self.hold(&self.at_read, &self.read).await;
            rows
        })
    }
}

/// A store that counts how often it is asked, and can be switched off or made to lie.
#[derive(Debug, Default)]
struct Counted {
    inner: MemoryKeyStore,
    alone: AtomicU64,
    together: AtomicU64,
    down: AtomicBool,
    /// Gives the rows of one scope for those of another, as who can change tables and queries may.
    lies: AtomicBool,
}

impl Counted {
    /// How often slots were read alone and together since this was asked last.
    fn taken(&self) -> (u64, u64) {
        (self.alone.swap(0, Ordering::SeqCst), self.together.swap(0, Ordering::SeqCst))
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.down.load(Ordering::SeqCst) { Err(StoreError::unavailable("switched off")) } else { Ok(()) }
    }
}

impl KeyStore for Counted {
    forward!(self.inner: prepare, commit, by_kid, domain_rows, tombstones, data_rows, purge);

    fn slot<'a>(&'a self, slot: &'a Slot) -> StoreFuture<'a, Vec<KeyRow>> {
        Box::pin(async move {
            self.alone.fetch_add(1, Ordering::SeqCst);
            self.check()?;
            self.inner.slot(slot).await
        })
    }

    fn scopes<'a>(&'a self, tenant: &'a str, key_use: KeyUse, scopes: &'a [[u8; 32]]) -> StoreFuture<'a, Vec<KeyRow>> {
        Box::pin(async move {
            self.together.fetch_add(1, Ordering::SeqCst);
            self.check()?;
            let mut rows = self.inner.scopes(tenant, key_use, scopes).await?;
            if self.lies.load(Ordering::SeqCst) {
                let first = rows[0].slot.clone();
                rows.iter_mut().for_each(|row| row.slot = first.clone());
            }
            Ok(rows)
        })
    }
}

struct World {
    store: Arc<Counted>,
    kek: Arc<EphemeralKeyring>,
    scopes: Vec<Scope>,
    kids: Vec<KeyId>,
}

impl World {
    /// So many patients with a key each.
    async fn of(patients: usize) -> Self {
        let store = Arc::new(Counted::default());
        let kek = Arc::new(EphemeralKeyring::generate().unwrap());
        let scopes: Vec<_> = (0..patients).map(|number| patient(&number.to_string())).collect();
        let mut world = Self { store, kek, scopes, kids: Vec::new() };
        let keys = world.keys().await;
        for scope in &world.scopes {
            world.kids.push(keys.data_key(scope).await.unwrap().kid());
        }
        world
    }

    /// A process that has just started.
    async fn keys(&self) -> Keys {
        let keys = Keys::builder(Arc::clone(&self.store)).kek(Arc::clone(&self.kek)).build().await.unwrap();
        // The domain keys are read at the first need.
        keys.data_key(&Scope::group("warm")).await.unwrap();
        self.store.taken();
        keys
    }

    fn wanted(&self) -> Vec<(&Scope, Option<KeyId>)> {
        self.scopes.iter().zip(&self.kids).map(|(scope, kid)| (scope, Some(*kid))).collect()
    }
}

fn kids(keys: Vec<Result<phi_keys::DataKey, Error>>) -> Vec<KeyId> {
    keys.into_iter().map(|key| key.unwrap().kid()).collect()
}

#[tokio::test]
async fn keys_of_many_scopes_take_one_reading_and_then_none() {
    let world = World::of(300).await;
    let keys = world.keys().await;
    assert_eq!(kids(keys.data_key_many(&world.wanted()).await), world.kids);
    assert_eq!(world.store.taken(), (0, 1));
    assert_eq!(kids(keys.data_key_many(&world.wanted()).await), world.kids);
    assert_eq!(world.store.taken(), (0, 0), "they are in memory");

    // The active ones, of a process of its own.
    let keys = world.keys().await;
    let active: Vec<_> = world.scopes.iter().map(|scope| (scope, None)).collect();
    assert_eq!(kids(keys.data_key_many(&active).await), world.kids);
    assert_eq!(world.store.taken(), (0, 1));

    // What is there and what is not, in one call.
    let keys = world.keys().await;
    for (scope, kid) in world.wanted().into_iter().step_by(2) {
        keys.data_key_by_id(kid.unwrap(), scope).await.unwrap();
    }
    world.store.taken();
    assert_eq!(kids(keys.data_key_many(&world.wanted()).await), world.kids);
    assert_eq!(world.store.taken(), (0, 1));
    assert!(keys.data_key_many(&[]).await.is_empty());
}

#[tokio::test]
async fn each_key_that_cannot_be_had_has_its_own_reason() {
    let world = World::of(6).await;
    let keys = world.keys().await;
    let _ = keys.rotate_data_key(&world.scopes[0]).await.unwrap();
    let _ = keys.shred(&subject("1")).await.unwrap();
    let keys = world.keys().await;
    let none = patient("nobody yet");
    let unknown = KeyId::from_bytes([7; 16]);
    let wanted = [
        (&world.scopes[0], Some(world.kids[0])),
        (&world.scopes[1], Some(world.kids[1])),
        (&world.scopes[1], None),
        (&world.scopes[2], Some(world.kids[3])),
        (&world.scopes[2], Some(unknown)),
        (&world.scopes[0], None),
        (&none, None),
        (&world.scopes[5], Some(world.kids[5])),
    ];
    let many = keys.data_key_many(&wanted).await;
    let fresh = world.keys().await;
    for ((scope, kid), many) in wanted.iter().zip(many) {
        let alone = match kid {
            Some(kid) => fresh.data_key_by_id(*kid, scope).await,
            None => fresh.data_key(scope).await,
        };
        match (many, alone) {
            (Ok(many), Ok(alone)) => assert_eq!(many.kid(), alone.kid()),
            (Err(many), Err(alone)) => assert_eq!(format!("{many:?}"), format!("{alone:?}")),
            (many, alone) => panic!("{many:?} {alone:?}"),
        }
    }
}

#[tokio::test]
async fn rows_of_another_scope_are_not_taken_for_those_that_were_asked_for() {
    let world = World::of(3).await;
    let keys = world.keys().await;
    world.store.lies.store(true, Ordering::SeqCst);
    // One by one the store tells the truth.
    assert_eq!(kids(keys.data_key_many(&world.wanted()).await), world.kids);
    assert_eq!(world.store.taken(), (3, 1));
}

#[tokio::test]
async fn an_altered_row_stands_in_nobody_elses_way() {
    let world = World::of(4).await;
    let tenant = world.keys().await.tenant().to_owned();
    let rows = world.store.data_rows(&tenant, None, NonZeroU32::MAX).await.unwrap();
    let mine = rows.iter().find(|row| row.full_id.is_some_and(|id| id.kid() == world.kids[2])).unwrap();
    assert_eq!((mine.kind, mine.state), (RowKind::Data, KeyState::Active));
    let mut altered = mine.clone();
    altered.wrapped[60] ^= 1;
    assert_eq!(world.store.commit(&Change::new().replace(mine.clone(), altered)).await.unwrap(), Committed::Done);
    let keys = world.keys().await;
    let many = keys.data_key_many(&world.wanted()).await;
    assert!(matches!(many[2], Err(Error::RowRejected(RowKind::Data))), "{:?}", many[2]);
    assert_eq!(many.iter().filter(|key| key.is_ok()).count(), 3);
}

#[tokio::test]
async fn an_outage_is_waited_for_once() {
    let world = World::of(50).await;
    let keys = world.keys().await;
    world.store.down.store(true, Ordering::SeqCst);
    let many = keys.data_key_many(&world.wanted()).await;
    assert!(many.iter().all(|key| matches!(key, Err(Error::Store(StoreError::Unavailable(_))))));
    assert_eq!(world.store.taken(), (0, 1));
    world.store.down.store(false, Ordering::SeqCst);
    assert_eq!(kids(keys.data_key_many(&world.wanted()).await), world.kids);
}

#[tokio::test]
async fn what_is_shredded_while_it_is_read_is_not_handed_out() {
    let world = World::of(20).await;
    let keys = world.keys().await;
    let _ = keys.shred(&subject("7")).await.unwrap();
    let many = keys.data_key_many(&world.wanted()).await;
    assert!(matches!(many[7], Err(Error::Shredded)));
    let live: Vec<_> = many.iter().flatten().cloned().collect();
    assert_eq!(live.len(), 19);
    let _ = keys.shred(&subject("8")).await.unwrap();
    assert!(live.iter().all(|key| !key.is_live()), "a shred ends every lease");
}

#[tokio::test]
async fn what_was_read_beside_a_shred_is_not_handed_out_when_the_shred_has_ended() {
    let store = Paused::new();
    let keys = Keys::builder(Arc::clone(&store)).kek(EphemeralKeyring::generate().unwrap()).build().await.unwrap();
    let (a, b) = (patient("a"), patient("b"));
    let kids = [keys.data_key(&a).await.unwrap().kid(), keys.data_key(&b).await.unwrap().kid()];
    let _ = keys.revoke(&Revocation::Scope(b.clone())).await.unwrap();
    store.pauses.store(true, Ordering::SeqCst);
    let shredding = keys.clone();
    let shred = tokio::spawn(async move { shredding.shred(&subject("a")).await.map(drop) });
    store.at_commit.acquire().await.unwrap().forget();
    let (reading, scopes) = (keys.clone(), [a.clone(), b.clone()]);
    let many = tokio::spawn(async move {
        reading.data_key_many(&[(&scopes[0], Some(kids[0])), (&scopes[1], Some(kids[1]))]).await
    });
    store.at_read.acquire().await.unwrap().forget();
    store.commit.add_permits(1);
    shred.await.unwrap().unwrap();
    store.pauses.store(false, Ordering::SeqCst);
    store.read.add_permits(1);
    let many = many.await.unwrap();
    assert!(matches!(many[0], Err(Error::Shredded)), "{many:?}");
    assert!(many[1].is_ok(), "{many:?}");
    assert!(matches!(keys.data_key_by_id(kids[0], &a).await, Err(Error::Shredded)));
    assert!(matches!(keys.data_key(&a).await, Err(Error::Shredded)));
}

#[tokio::test]
async fn leases_are_renewed_ahead_together_and_outlast_an_outage() {
    let world = World::of(3).await;
    let clock = ManualClock::at_unix_seconds(1_000);
    let keys = Keys::builder(Arc::clone(&world.store)).kek(Arc::clone(&world.kek)).clock(clock.clone());
    let keys = keys.lease(Duration::from_secs(60)).build().await.unwrap();
    for (scope, kid) in world.wanted() {
        keys.data_key_by_id(kid.unwrap(), scope).await.unwrap();
    }
    let live = |keys: Vec<Result<phi_keys::DataKey, Error>>| keys.into_iter().all(|key| key.unwrap().is_live());
    for (wanted, taken) in [(world.wanted(), (0, 1)), (world.wanted()[..1].to_vec(), (1, 0))] {
        clock.advance(Duration::from_millis(59_990));
        // The domain key's lease ends as well.
        keys.domain_key(KeyUse::Data).await.unwrap();
        world.store.taken();
        let renewed = keys.data_key_many(&wanted).await;
        assert_eq!(world.store.taken(), taken);
        clock.advance(Duration::from_millis(20));
        assert!(live(renewed));
        for (scope, kid) in world.wanted() {
            keys.data_key_by_id(kid.unwrap(), scope).await.unwrap();
        }
    }
    clock.advance(Duration::from_secs(55));
    world.store.down.store(true, Ordering::SeqCst);
    world.store.taken();
    assert!(live(keys.data_key_many(&world.wanted()).await), "their leases last for a while yet");
    assert_eq!(world.store.taken(), (0, 1));
}

#[tokio::test]
async fn an_outage_of_the_kms_is_waited_for_once() {
    let (store, kms) = (Arc::new(MemoryKeyStore::new()), Watched::new());
    let build = || Keys::builder(Arc::clone(&store)).kek(Arc::clone(&kms)).build();
    let scopes: Vec<_> = (0..50).map(|number| patient(&number.to_string())).collect();
    let first = build().await.unwrap();
    let mut wanted = Vec::new();
    for scope in &scopes {
        wanted.push((scope, Some(first.data_key(scope).await.unwrap().kid())));
    }
    let keys = build().await.unwrap();
    kms.down.store(true, Ordering::SeqCst);
    let before = kms.calls().1;
    assert!(keys.data_key_many(&wanted).await.iter().all(|key| matches!(key, Err(Error::Kms(_)))));
    assert_eq!(kms.calls().1 - before, 1);
    kms.down.store(false, Ordering::SeqCst);
    assert!(keys.data_key_many(&wanted).await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn an_outage_of_the_store_is_waited_for_once_however_many_keys_are_wanted() {
    let world = World::of(3).await;
    let keys = world.keys().await;
    world.store.down.store(true, Ordering::SeqCst);
    let many: Vec<_> = world.wanted().into_iter().cycle().take(3000).collect();
    assert!(keys.data_key_many(&many).await.iter().all(Result::is_err));
    assert_eq!(world.store.taken(), (0, 1));
}

#[tokio::test]
async fn a_cache_smaller_than_the_batch_and_keys_that_are_named_twice_change_nothing() {
    let world = World::of(30).await;
    let keys = Keys::builder(Arc::clone(&world.store)).kek(Arc::clone(&world.kek));
    let keys = keys.cache_entries(core::num::NonZeroUsize::new(4).unwrap()).build().await.unwrap();
    let twice = [world.wanted(), world.wanted()].concat();
    let found = keys.data_key_many(&twice).await;
    assert!(found.iter().all(|key| key.as_ref().is_ok_and(phi_keys::DataKey::is_live)));
    assert_eq!(kids(found), [&world.kids[..], &world.kids[..]].concat());
    assert_eq!(world.store.taken().1, 1);
}
