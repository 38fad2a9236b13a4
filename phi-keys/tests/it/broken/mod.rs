//! Stores, KMSs, signers and channels that break their contract in one way each: the suites notice.

mod others;

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use phi_keys::conformance::{self, Violation};
use phi_keys::{
    Capabilities, Carrier, Change, Committed, EphemeralKeyring, KekChange, KekState, KekStatus, KekTarget, KekVersions,
    KeyStore, Kms, KmsAdmin, KmsError, KmsFuture, MemoryKeyStore, Rewrap, StoreFuture, WrapContext, Wrapped,
};
use phi_types::SystemClock;

use crate::forward::forward;

/// What a store does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    /// Keeps no `revision`.
    LosesAColumn,
    /// Says that a row was inserted whose place was taken.
    ClaimsInsertions,
    /// Replaces a row, whichever it is by now.
    ReplacesBlindly,
    /// Says that a row was replaced, and does nothing.
    ForgetsReplacements,
    /// Keeps the rows of a shredded scope beside the tombstone.
    KeepsShreddedRows,
    /// Writes no tombstone.
    WritesNoTombstone,
    /// Takes a key for a scope that has a tombstone.
    TakesShreddedKeys,
    /// No flaw: takes no row that is older than the one in its place.
    RefusesOlderRows,
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
            Flaw::LosesAColumn => change.replace.iter_mut().for_each(|(_, next)| next.revision = 0),
            Flaw::ReplacesBlindly => {
                for (current, next) in &mut change.replace {
                    let rows = self.inner.slot(&next.slot).await.unwrap();
                    *current = rows.into_iter().find(|row| row.same_place(next)).unwrap_or_else(|| current.clone());
                }
            }
            Flaw::ForgetsReplacements => change.replace.clear(),
            Flaw::KeepsShreddedRows => change.insert.extend(change.tombstone.take()),
            Flaw::WritesNoTombstone => change.tombstone = None,
            Flaw::ClaimsInsertions | Flaw::TakesShreddedKeys | Flaw::RefusesOlderRows => {}
        }
        change
    }
}

impl KeyStore for Flawed {
    forward!(self.inner: prepare, slot, by_kid, domain_rows, tombstones, data_rows, purge);

    fn commit<'a>(&'a self, change: &'a Change) -> StoreFuture<'a, Committed> {
        Box::pin(async move {
            let older = change.replace.iter().any(|(current, next)| next.revision < current.revision);
            if self.flaw == Flaw::RefusesOlderRows && older {
                return Ok(Committed::Stale);
            }
            let change = self.understood(change).await;
            let outcome = self.inner.commit(&change).await?;
            Ok(match (self.flaw, outcome) {
                (Flaw::ClaimsInsertions, Committed::Exists) | (Flaw::TakesShreddedKeys, Committed::Shredded) => {
                    Committed::Done
                }
                (_, outcome) => outcome,
            })
        })
    }
}

/// What a KMS does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Unwraps whatever version it is told, though it says that it names versions.
    ConfirmsAnyVersion,
    /// Binds no context, though it says that it does.
    IgnoresContexts,
    /// Gives back what it is to rewrap.
    RewrapsNothing,
    /// Unwraps the last three carriers that it wrapped, and no others.
    Forgets,
    /// Does not look at the name that a carrier bears.
    OpensAnyName,
    /// Says that it is switched off, and is not.
    LiesAboutItsState,
    /// Unwraps what it cannot open to something else, though it says that it binds contexts.
    OpensToAnything,
    /// Says that it was disabled, and goes on.
    IgnoresDisabling,
}

#[derive(Debug)]
struct Crooked {
    inner: EphemeralKeyring,
    fault: Fault,
    last: Mutex<VecDeque<Vec<u8>>>,
}

impl Crooked {
    fn new(name: &str, fault: Fault) -> Arc<Self> {
        Arc::new(Self {
            inner: EphemeralKeyring::named(name, SystemClock::new()).unwrap(),
            fault,
            last: Mutex::default(),
        })
    }

    fn context(&self, context: &WrapContext) -> WrapContext {
        if self.fault == Fault::IgnoresContexts { WrapContext::from_digest([0; 32]) } else { context.clone() }
    }
}

impl Kms for Crooked {
    forward!(self.inner: kek_id, version_state);

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = self.inner.capabilities();
        // As AWS, which names versions and confirms none that it is told.
        capabilities.named_version &= self.fault != Fault::RewrapsNothing;
        capabilities
    }

    fn wrap_dek<'a>(&'a self, carrier: &'a Carrier, context: &'a WrapContext) -> KmsFuture<'a, Wrapped> {
        Box::pin(async move {
            let wrapped = self.inner.wrap_dek(carrier, &self.context(context)).await?;
            let mut last = self.last.lock().unwrap();
            last.push_back(wrapped.blob().to_vec());
            if last.len() > 3 {
                last.pop_front();
            }
            Ok(wrapped)
        })
    }

    fn unwrap_dek<'a>(&'a self, wrapped: &'a Wrapped, context: &'a WrapContext) -> KmsFuture<'a, Carrier> {
        Box::pin(async move {
            let forgotten = !self.last.lock().unwrap().iter().any(|blob| blob == wrapped.blob());
            if self.fault == Fault::Forgets && forgotten && wrapped.kek_id() == self.kek_id() {
                return Err(KmsError::Refused);
            }
            let version = if self.fault == Fault::ConfirmsAnyVersion { "1" } else { wrapped.kek_version() };
            let name = if self.fault == Fault::OpensAnyName { self.inner.kek_id() } else { wrapped.kek_id() };
            let wrapped = Wrapped::new(name, version, wrapped.binding(), wrapped.blob().to_vec()).unwrap();
            let opened = self.inner.unwrap_dek(&wrapped, &self.context(context)).await;
            match opened {
                Err(KmsError::Refused) if self.fault == Fault::OpensToAnything => Ok(Carrier::generate().unwrap()),
                opened => opened,
            }
        })
    }

    fn rewrap<'a>(&'a self, wrapped: &'a Wrapped, context: &'a WrapContext) -> KmsFuture<'a, Rewrap> {
        Box::pin(async move {
            if self.fault == Fault::RewrapsNothing {
                return Ok(Rewrap::ThroughClient(wrapped.clone()));
            }
            self.inner.rewrap(wrapped, &self.context(context)).await
        })
    }

    fn status(&self) -> KmsFuture<'_, KekStatus> {
        if self.fault == Fault::LiesAboutItsState {
            return Box::pin(async { Ok(KekStatus::new(KekState::Disabled, None)) });
        }
        self.inner.status()
    }
}

impl KmsAdmin for Crooked {
    fn versions(&self) -> KmsFuture<'_, KekVersions> {
        self.inner.versions()
    }

    fn rotate(&self) -> KmsFuture<'_, KekChange> {
        KmsAdmin::rotate(&self.inner)
    }

    fn disable<'a>(&'a self, target: &'a KekTarget) -> KmsFuture<'a, KekChange> {
        Box::pin(async move {
            let change = self.inner.disable(target).await?;
            if self.fault == Fault::IgnoresDisabling {
                let _ = self.inner.enable(target).await?;
            }
            Ok(change)
        })
    }

    fn enable<'a>(&'a self, target: &'a KekTarget) -> KmsFuture<'a, KekChange> {
        self.inner.enable(target)
    }

    fn schedule_destruction<'a>(&'a self, target: &'a KekTarget, window: Duration) -> KmsFuture<'a, KekChange> {
        self.inner.schedule_destruction(target, window)
    }

    fn cancel_destruction<'a>(&'a self, target: &'a KekTarget) -> KmsFuture<'a, KekChange> {
        self.inner.cancel_destruction(target)
    }
}

fn good(name: &str) -> Arc<dyn Kms> {
    Arc::new(EphemeralKeyring::named(name, SystemClock::new()).unwrap())
}

/// The broken rule, or nothing.
fn rule(outcome: Result<(), Violation>) -> &'static str {
    outcome.err().map_or("", |violation| violation.rule())
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

#[tokio::test]
async fn suites_over_a_store_find_the_store_that_breaks_their_guarantee() {
    let opens = "a store opens under its KEK and its fingerprint";
    for (flaw, [hierarchy, rotation, shredding, faults]) in [
        (Flaw::ClaimsInsertions, [opens, "", "", ""]),
        (
            Flaw::ReplacesBlindly,
            [
                "",
                "a store opens after several domain keys were rotated at once",
                "a store opens after several subjects were shredded at once",
                "",
            ],
        ),
        (
            Flaw::ForgetsReplacements,
            [
                "a scope that was not shredded has a key",
                "a scope that was not shredded has a key",
                opens,
                "where no write fails, keys are made, rotated, rewrapped, staged, shredded and ended",
            ],
        ),
        (
            Flaw::KeepsShreddedRows,
            ["", "", "a shred leaves the tombstone alone", "a shred that was interrupted can be resumed"],
        ),
        (
            Flaw::WritesNoTombstone,
            ["", "", "a shred leaves the tombstone alone", "whatever a write does, the store opens afterwards"],
        ),
        (Flaw::TakesShreddedKeys, ["", "", "a shredded key is not imported again", ""]),
    ] {
        let fresh = || async move { Flawed::new(flaw) };
        let found = [
            conformance::hierarchy(fresh, good("only")).await,
            conformance::rotation(fresh, good("only")).await,
            conformance::shredding(fresh, good("only")).await,
            conformance::store_faults(fresh).await,
        ];
        assert_eq!(found.map(rule), [hierarchy, rotation, shredding, faults], "{flaw:?}");
        assert_ne!(rule(conformance::key_store(&Flawed::new(flaw)).await), "", "{flaw:?}");
    }
}

#[tokio::test]
async fn suites_over_a_kek_find_the_kms_that_breaks_their_guarantee() {
    let fresh = || async { MemoryKeyStore::new() };
    let crooked = |fault| Crooked::new("only", fault);
    let lost = conformance::hierarchy(fresh, crooked(Fault::Forgets)).await;
    assert_eq!(rule(lost), "a store opens under its KEK and its fingerprint");
    let lost = conformance::kms_faults(fresh, crooked(Fault::Forgets)).await;
    assert_eq!(rule(lost), "a store opens under its KEK and its fingerprint");
    let old = conformance::kek_rotation(fresh, crooked(Fault::RewrapsNothing)).await;
    assert_eq!(rule(old), "after a rewrap every copy is under the newest version of the KEK");
    let any = conformance::kek_rotation(fresh, crooked(Fault::ConfirmsAnyVersion)).await;
    assert_eq!(rule(any), "a rewrap reaches every domain key");
    for (fault, broken) in [
        (Fault::RewrapsNothing, "a rewrap is under the newest version"),
        (Fault::IgnoresDisabling, "a version that is disabled does not unwrap"),
    ] {
        assert_eq!(rule(conformance::kms_admin(&*crooked(fault)).await), broken, "{fault:?}");
    }
}

#[tokio::test]
async fn the_suite_over_later_versions_finds_a_store_that_takes_them_for_its_own() {
    let nothing = |_| core::future::ready(());
    let found = conformance::key_store_later(Arc::new(MemoryKeyStore::new()), nothing).await;
    assert_eq!(rule(found), "a state that no version knows is named as such");
}
