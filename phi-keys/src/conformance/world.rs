//! What the functions over a store and KMSs share: a fresh store, the KEKs, a clock of their own, and who opens them.

use core::future::Future;
use core::pin::Pin;
use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};

use phi_types::{ManualClock, SubjectId};

use super::faults::{Script, Way};
use super::{Must, Violation};
use crate::anchor::{AnchorFuture, StoreAnchor};
use crate::error::Error;
use crate::id::Fingerprint;
use crate::keys::{Keys, KeysBuilder};
use crate::kms::{Capabilities, Carrier, KekState, KekStatus, Kms, KmsFuture, Rewrap, WrapContext, Wrapped};
use crate::overlap::give_way;
use crate::scope::Scope;
use crate::store::KeyStore;

/// How long leases, and what clocks may differ, keep a key from being retired.
pub(super) const WINDOW: Duration = Duration::from_secs(3900);
pub(super) const LEASE: Duration = Duration::from_secs(60);
pub(super) const TENANT: &str = "clinic";
pub(super) const OPENS: &str = "a store opens under its KEK and its fingerprint";
pub(super) const KEY: &str = "a scope that was not shredded has a key";

/// The future of what makes an empty store.
pub(super) type Making<'a> = Pin<Box<dyn Future<Output = Arc<dyn KeyStore>> + Send + 'a>>;

/// Makes empty stores, one at each call.
pub(super) trait Fresh: Send + Sync {
    fn store(&self) -> Making<'_>;
}

impl<M, F, S> Fresh for M
where
    M: Fn() -> F + Send + Sync,
    F: Future<Output = S> + Send,
    S: KeyStore,
{
    fn store(&self) -> Making<'_> {
        Box::pin(async { Arc::new(self().await) as Arc<dyn KeyStore> })
    }
}

/// A KEK without its pin: every function makes stores of its own under it, and names their fingerprints itself. It gives way to
/// other tasks before each call.
#[derive(Debug, Clone)]
pub(super) struct Unpinned(pub(super) Arc<dyn Kms>);

impl Kms for Unpinned {
    fn kek_id(&self) -> &str {
        self.0.kek_id()
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn wrap_dek<'a>(&'a self, carrier: &'a Carrier, context: &'a WrapContext) -> KmsFuture<'a, Wrapped> {
        Box::pin(async move {
            give_way().await;
            self.0.wrap_dek(carrier, context).await
        })
    }

    fn unwrap_dek<'a>(&'a self, wrapped: &'a Wrapped, context: &'a WrapContext) -> KmsFuture<'a, Carrier> {
        Box::pin(async move {
            give_way().await;
            self.0.unwrap_dek(wrapped, context).await
        })
    }

    fn generate<'a>(&'a self, context: &'a WrapContext) -> KmsFuture<'a, (Carrier, Wrapped)> {
        Box::pin(async move {
            give_way().await;
            self.0.generate(context).await
        })
    }

    fn rewrap<'a>(&'a self, wrapped: &'a Wrapped, context: &'a WrapContext) -> KmsFuture<'a, Rewrap> {
        Box::pin(async move {
            give_way().await;
            self.0.rewrap(wrapped, context).await
        })
    }

    fn version_state<'a>(&'a self, version: &'a str) -> KmsFuture<'a, Option<KekState>> {
        Box::pin(async move {
            give_way().await;
            self.0.version_state(version).await
        })
    }

    fn status(&self) -> KmsFuture<'_, KekStatus> {
        Box::pin(async move {
            give_way().await;
            self.0.status().await
        })
    }
}

/// A store, and the KEKs under which it is opened.
pub(super) struct World {
    pub(super) store: Arc<dyn KeyStore>,
    pub(super) keks: Vec<Arc<dyn Kms>>,
    pub(super) clock: ManualClock,
    pub(super) fingerprint: Option<Fingerprint>,
}

impl World {
    /// An empty store.
    pub(super) async fn new(fresh: &dyn Fresh, keks: &[Arc<dyn Kms>]) -> Self {
        let clock = ManualClock::at_unix_seconds(1_767_225_600);
        // A way that never fails gives way at each call, so that several processes on one task are really at once.
        let store = Way::new(fresh.store().await, Script::new([]));
        Self { store: Arc::new(store), keks: keks.to_vec(), clock, fingerprint: None }
    }

    /// A process that knows nothing yet, over another store under the same KEKs.
    pub(super) fn over(&self, store: &Arc<dyn KeyStore>) -> KeysBuilder {
        let backend = self.keks.iter().find_map(|kek| kek.capabilities().backend).unwrap_or_default();
        let builder = Keys::builder(Arc::clone(store)).tenant(TENANT).clock(self.clock.clone()).backend(backend);
        let builder = self.keks.iter().fold(builder, |builder, kek| builder.kek(Unpinned(Arc::clone(kek))));
        match self.fingerprint {
            Some(fingerprint) => builder.fingerprint(fingerprint),
            None => builder,
        }
    }

    /// A process that knows nothing yet.
    pub(super) fn builder(&self) -> KeysBuilder {
        self.over(&self.store)
    }

    /// A process that knows nothing yet; the first one makes the store.
    pub(super) async fn process(&mut self) -> Result<Keys, Violation> {
        let keys = self.builder().build().await.must(OPENS)?;
        self.fingerprint = Some(keys.fingerprint());
        Ok(keys)
    }
}

pub(super) fn subject(name: &str) -> Result<SubjectId, Violation> {
    SubjectId::new(name).must("a short name is one of a subject")
}

pub(super) fn patient(name: &str) -> Result<Scope, Violation> {
    subject(name).map(Scope::from)
}

/// Nothing refers to a key.
pub(super) fn nothing(
    _: crate::id::KeyId,
) -> core::future::Ready<Result<u64, Box<dyn std::error::Error + Send + Sync>>> {
    core::future::ready(Ok(0))
}

/// An error of the kind that the guarantee names, or a violation.
pub(super) fn refused<T>(
    outcome: Result<T, Error>,
    kind: impl FnOnce(&Error) -> bool,
    says: &'static str,
) -> Result<(), Violation> {
    match outcome {
        Err(error) if kind(&error) => Ok(()),
        Err(error) => Err(super::failed(says)(error)),
        Ok(_) => super::rule(false, says),
    }
}

/// An anchor in memory, which several processes share.
#[derive(Debug, Clone, Default)]
pub(super) struct Notes(Arc<Mutex<Vec<Vec<u8>>>>);

impl StoreAnchor for Notes {
    fn read(&self, from: u64) -> AnchorFuture<'_, Vec<Vec<u8>>> {
        Box::pin(async move {
            // Nothing panics under this lock.
            let records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(records.iter().skip(usize::try_from(from).unwrap_or(usize::MAX)).cloned().collect())
        })
    }

    fn append<'a>(&'a self, records: &'a [Vec<u8>]) -> AnchorFuture<'a, ()> {
        Box::pin(async move {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(records);
            Ok(())
        })
    }
}
