//! A data key that is in memory: what it costs to get a lease on it.

use std::collections::HashMap;
use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::sync::{Arc, RwLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use phi_keys::{DataKey, EphemeralKeyring, KeyId, Keys, MemoryKeyStore, Scope};
use phi_types::SubjectId;

use crate::Result;
use crate::measure::Contender;

pub(crate) const LIMIT: &str = "RwLock<HashMap>";
/// As many keys as the cache holds unless told otherwise.
const KEYS: usize = 10_000;

pub(crate) struct Lookup {
    keys: Keys,
    /// In an order that no prefetcher guesses.
    scopes: Vec<(Scope, KeyId)>,
    map: RwLock<HashMap<String, Arc<[u8; 32]>>>,
    names: Vec<String>,
}

impl Lookup {
    pub(crate) async fn new() -> Result<Self> {
        // The longest lease: renewing it is no part of what is measured here.
        let keys = Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate()?);
        let keys = keys.lease(Duration::from_secs(3600)).build().await?;
        let (mut scopes, mut names, mut map) = (Vec::with_capacity(KEYS), Vec::with_capacity(KEYS), HashMap::new());
        for number in 0..KEYS {
            let name = format!("22d6efc6-9f1c-4b0e-8a55-{:012x}", number * 7919 % KEYS);
            let scope = Scope::from(SubjectId::new(&name)?);
            scopes.push((scope.clone(), keys.data_key(&scope).await?.kid()));
            map.insert(name.clone(), Arc::new([7; 32]));
            names.push(name);
        }
        for at in 0..KEYS {
            // A fixed permutation, the same for all contenders.
            let other = at * 48_271 % KEYS;
            scopes.swap(at, other);
            names.swap(at, other);
        }
        Ok(Self { keys, scopes, map: RwLock::new(map), names })
    }

    pub(crate) fn active(&self, among: usize, name: &'static str) -> Contender<'_> {
        let mut at = 0;
        Contender::new(name, crate::version(super::NAME), "by patient; two readings of the clock", move || {
            at = (at + 1) % among;
            self.get(at)
        })
    }

    pub(crate) fn by_kid(&self, among: usize, name: &'static str) -> Contender<'_> {
        let mut at = 0;
        Contender::new(name, crate::version(super::NAME), "by kid, and the patient compared", move || {
            at = (at + 1) % among;
            self.get_by_kid(at)
        })
    }

    pub(crate) fn limit(&self, among: usize) -> Contender<'_> {
        let mut at = 0;
        let notes = "the standard library's map and lock around an Arc, without lease, bounds or eviction";
        Contender::new(LIMIT, "std".to_owned(), notes, move || {
            at = (at + 1) % among;
            let map = self.map.read().expect("no panic under the lock");
            map.get(black_box(&self.names[at])).map(Arc::clone)
        })
    }

    /// Allocations of a thousand lookups of either kind.
    pub(crate) fn allocations(&self) -> u64 {
        let counted = crate::allocations::measure(|| {
            for at in 0..1_000 {
                black_box(self.get(at));
                black_box(self.get_by_kid(at));
            }
        });
        counted.count
    }

    fn get(&self, at: usize) -> DataKey {
        let (scope, _) = &self.scopes[at];
        ready(self.keys.data_key(black_box(scope)))
    }

    fn get_by_kid(&self, at: usize) -> DataKey {
        let (scope, kid) = &self.scopes[at];
        ready(self.keys.data_key_by_id(*kid, black_box(scope)))
    }
}

/// What a key manager answers from memory, without a runtime.
fn ready(future: impl Future<Output = std::result::Result<DataKey, phi_keys::Error>>) -> DataKey {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(key) => key.expect("a key that is held"),
        Poll::Pending => unreachable!("a key that is held needs no waiting"),
    }
}
