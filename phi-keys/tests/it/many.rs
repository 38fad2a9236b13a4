//! Keys of many scopes: one reading of the store, and the same answers as one by one.

use core::num::NonZeroU32;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;

use phi_keys::{
    Change, Committed, EphemeralKeyring, Error, KeyId, KeyRow, KeyState, KeyStore, KeyUse, Keys, MemoryKeyStore,
    Residue, RowKind, Scope, Slot, StoreError, StoreFuture,
};

use crate::support::{patient, subject};

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
    fn prepare(&self) -> StoreFuture<'_, ()> {
        self.inner.prepare()
    }

    fn commit<'a>(&'a self, change: &'a Change) -> StoreFuture<'a, Committed> {
        self.inner.commit(change)
    }

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

    fn by_kid(&self, kid: KeyId) -> StoreFuture<'_, Option<KeyRow>> {
        self.inner.by_kid(kid)
    }

    fn domain_rows(&self) -> StoreFuture<'_, Vec<KeyRow>> {
        self.inner.domain_rows()
    }

    fn tombstones(&self) -> StoreFuture<'_, Vec<KeyRow>> {
        self.inner.tombstones()
    }

    fn data_rows<'a>(
        &'a self,
        tenant: &'a str,
        after: Option<&'a KeyRow>,
        limit: NonZeroU32,
    ) -> StoreFuture<'a, Vec<KeyRow>> {
        self.inner.data_rows(tenant, after, limit)
    }

    fn purge(&self) -> StoreFuture<'_, Vec<Residue>> {
        self.inner.purge()
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
