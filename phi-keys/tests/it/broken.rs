//! Stores, KMSs, signers and channels that break their contract in one way each: the suites notice.

use core::num::NonZeroU32;
use std::sync::Arc;

use phi_keys::conformance::{self, Violation};
use phi_keys::{
    Capabilities, Carrier, Change, Committed, EphemeralKeyring, KekStatus, KeyId, KeyRow, KeyStore, Kms, KmsFuture,
    MemoryKeyStore, Residue, Slot, StoreFuture, WrapContext, Wrapped,
};
use phi_types::SystemClock;

/// What a store does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    /// Keeps no `revision`.
    LosesAColumn,
}

#[derive(Debug)]
struct Flawed {
    inner: MemoryKeyStore,
    flaw: Flaw,
}

impl Flawed {
    fn new(flaw: Flaw) -> Self {
        Self { inner: MemoryKeyStore::new(), flaw }
    }

    /// The change as this store understands it.
    async fn understood(&self, change: &Change) -> Change {
        let mut change = change.clone();
        match self.flaw {
            Flaw::LosesAColumn => {
                change.replace.iter_mut().for_each(|(_, next)| next.revision = 0);
            }
        }
        change
    }
}

impl KeyStore for Flawed {
    fn prepare(&self) -> StoreFuture<'_, ()> {
        self.inner.prepare()
    }

    fn commit<'a>(&'a self, change: &'a Change) -> StoreFuture<'a, Committed> {
        Box::pin(async move {
            let change = self.understood(change).await;
            self.inner.commit(&change).await
        })
    }

    fn slot<'a>(&'a self, slot: &'a Slot) -> StoreFuture<'a, Vec<KeyRow>> {
        self.inner.slot(slot)
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

/// What a KMS does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Unwraps whatever version it is told, though it says that it names versions.
    ConfirmsAnyVersion,
    /// Binds no context, though it says that it does.
    IgnoresContexts,
}

#[derive(Debug)]
struct Crooked {
    inner: EphemeralKeyring,
    fault: Fault,
}

impl Crooked {
    fn new(name: &str, fault: Fault) -> Arc<Self> {
        Arc::new(Self { inner: EphemeralKeyring::named(name, SystemClock::new()).unwrap(), fault })
    }

    fn context(&self, context: &WrapContext) -> WrapContext {
        if self.fault == Fault::IgnoresContexts { WrapContext::from_digest([0; 32]) } else { context.clone() }
    }
}

impl Kms for Crooked {
    fn kek_id(&self) -> &str {
        self.inner.kek_id()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn wrap_dek<'a>(&'a self, carrier: &'a Carrier, context: &'a WrapContext) -> KmsFuture<'a, Wrapped> {
        Box::pin(async move { self.inner.wrap_dek(carrier, &self.context(context)).await })
    }

    fn unwrap_dek<'a>(&'a self, wrapped: &'a Wrapped, context: &'a WrapContext) -> KmsFuture<'a, Carrier> {
        Box::pin(async move {
            let version = if self.fault == Fault::ConfirmsAnyVersion { "1" } else { wrapped.kek_version() };
            let wrapped = Wrapped::new(wrapped.kek_id(), version, wrapped.binding(), wrapped.blob().to_vec()).unwrap();
            self.inner.unwrap_dek(&wrapped, &self.context(context)).await
        })
    }

    fn status(&self) -> KmsFuture<'_, KekStatus> {
        self.inner.status()
    }
}

fn good(name: &str) -> Arc<dyn Kms> {
    Arc::new(EphemeralKeyring::named(name, SystemClock::new()).unwrap())
}

fn told(outcome: Result<(), Violation>) -> String {
    let violation = outcome.expect_err("the suite noticed nothing");
    let source = std::error::Error::source(&violation).map(ToString::to_string).unwrap_or_default();
    format!("{}: {source}", violation.rule())
}

#[tokio::test]
async fn attacks_find_a_kms_that_confirms_any_version_and_a_store_that_loses_a_column() {
    let keks = || [good("east"), good("west")];
    let store = || async { MemoryKeyStore::new() };
    let crooked = |name| Crooked::new(name, Fault::ConfirmsAnyVersion) as Arc<dyn Kms>;
    assert_eq!(
        told(conformance::forgeries(store, [crooked("east"), crooked("west")]).await),
        "every attack on the key tables ends as it is claimed to: relabel the KEK version, with valid MACs: the key was had"
    );
    // A KEK that binds nothing is made up for by derivation, whatever it says of itself.
    let loose = |name| Crooked::new(name, Fault::IgnoresContexts) as Arc<dyn Kms>;
    conformance::forgeries(store, [loose("east"), loose("west")]).await.unwrap();
    let lossy = || async { Flawed::new(Flaw::LosesAColumn) };
    let lost = told(conformance::forgeries(lossy, keks()).await);
    assert!(lost.contains("a domain key row is not authentic"), "{lost}");
}
