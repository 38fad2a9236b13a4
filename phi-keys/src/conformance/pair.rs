use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};

use phi_types::ManualClock;
use zeroize::Zeroizing;

use super::faults::{FaultyKms, KmsFault};
use super::parts::{WHOLE, copies, holding};
use super::world::{Fresh, KEY, OPENS, TENANT, Unpinned, patient, refused};
use super::{Must, Violation, failed, rule};
use crate::error::Error;
use crate::id::{Fingerprint, FullId};
use crate::keys::{Keys, KeysBuilder};
use crate::kms::{
    Binding, Carrier, KekPolicy, KekSet, Kms, KmsError, KmsEvent, KmsObserver, OnTerminal, WrapContext, Wrapped,
};
use crate::scope::KeyUse;
use crate::store::{KeyStore, MemoryKeyStore, RowKind, Slot};

const HERE: WrapContext = WrapContext::from_digest([1; 32]);
/// What a KMS says that is down, or busy, or whose answer is lost.
const OUTAGES: [KmsFault; 3] = [KmsFault::Down, KmsFault::Throttled(None), KmsFault::Lost];

/// Checks that two KMSs hold keys together: each refuses what the other wrapped; with one of them down every key is read and new
/// ones are made, whose missing copies are completed later; one that says no is not quietly passed over; and under either of them
/// alone a key opens in its own place only.
///
/// Both KEKs are enabled and have different names; they may be of different providers. Each is asked some three hundred times.
///
/// # Errors
/// [`Violation`] naming the first rule that is broken.
pub async fn kms_pair(east: Arc<dyn Kms>, west: Arc<dyn Kms>) -> Result<(), Violation> {
    rule(east.kek_id() != west.kek_id(), "two KEKs have two names")?;
    for (one, other) in [(&east, &west), (&west, &east)] {
        apart(&**one, &**other).await?;
    }
    outages(&Pair::new(&east, &west)).await?;
    for first in 0..2 {
        refusals(&Pair::new(&east, &west), first).await?;
    }
    moved(&Pair::new(&east, &west)).await
}

/// Two KEKs that can be made to fail, in front of one store.
struct Pair {
    store: Arc<dyn KeyStore>,
    keks: [Arc<FaultyKms>; 2],
    clock: ManualClock,
    events: Arc<Events>,
}

/// The names of the KEKs that were passed over.
#[derive(Default)]
struct Events(Mutex<Vec<String>>);

impl Events {
    fn take(&self) -> Vec<String> {
        // Nothing panics under this lock.
        core::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl KmsObserver for Events {
    fn observe(&self, event: &KmsEvent<'_>) {
        if let KmsEvent::PassedOver { kek_id, .. } = event {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push((*kek_id).to_owned());
        }
    }
}

impl Pair {
    fn new(east: &Arc<dyn Kms>, west: &Arc<dyn Kms>) -> Self {
        let keks = [east, west].map(|kek| Arc::new(FaultyKms::new(Arc::new(Unpinned(Arc::clone(kek))))));
        let clock = ManualClock::at_unix_seconds(1_767_225_600);
        Self { store: Arc::new(MemoryKeyStore::new()), keks, clock, events: Arc::default() }
    }

    /// A process that knows nothing yet, with the KEKs in this order.
    fn over(
        &self,
        store: &Arc<dyn KeyStore>,
        keks: &[&Arc<FaultyKms>],
        says_no: OnTerminal,
    ) -> Result<KeysBuilder, Violation> {
        let set = KekSet::builder(KekPolicy::PrimaryWithFailover).on_terminal(says_no).clock(self.clock.clone());
        let set = set.observer(Arc::clone(&self.events) as _);
        let set = keks.iter().fold(set, |set, kek| set.kek(Arc::clone(kek))).build().must("two KEKs make a set")?;
        let backend = self.keks.iter().find_map(|kek| kek.capabilities().backend).unwrap_or_default();
        Ok(Keys::builder(Arc::clone(store)).keks(set).tenant(TENANT).clock(self.clock.clone()).backend(backend))
    }

    fn builder(&self, says_no: OnTerminal) -> Result<KeysBuilder, Violation> {
        self.over(&self.store, &[&self.keks[0], &self.keks[1]], says_no)
    }

    /// Makes the store, and a key of each kind in it.
    async fn made(&self) -> Result<(Fingerprint, FullId, FullId), Violation> {
        let keys = self.builder(OnTerminal::Stop)?.build().await.must(OPENS)?;
        let index = keys.domain_key(KeyUse::Index).await.must(KEY)?.full_id();
        Ok((keys.fingerprint(), index, keys.data_key(&patient("a")?).await.must(KEY)?.full_id()))
    }
}

/// What one wrapped is nothing to the other, whatever is written on it.
async fn apart(one: &dyn Kms, other: &dyn Kms) -> Result<(), Violation> {
    const RULE: &str = "a KEK does not open what another one wrapped, under whatever name";
    let (carrier, wrapped) = one.generate(&HERE).await.must("an enabled KEK generates carriers")?;
    let plain = other.unwrap_dek(&wrapped, &HERE).await;
    rule(matches!(plain, Err(KmsError::OtherKek)), "a carrier of another KEK is refused as such")?;
    let own = other.wrap_dek(&carrier, &HERE).await.must("an enabled KEK wraps")?;
    let renamed = Wrapped::new(own.kek_id(), own.kek_version(), own.binding(), wrapped.blob().to_vec())
        .and_then(|renamed| renamed.with_algorithm(own.algorithm()))
        .must("what is wrapped is short enough")?;
    match other.unwrap_dek(&renamed, &HERE).await {
        Err(error) if error.is_terminal() => Ok(()),
        Err(error) => Err(failed(RULE)(error)),
        // Without native binding a KMS may not notice; what it then gives opens nothing.
        Ok(opened) => rule(own.binding() == Binding::Derivation && !same(&opened, carrier.expose()), RULE),
    }
}

fn same(carrier: &Carrier, bytes: &[u8; 32]) -> bool {
    Zeroizing::new(*carrier.expose()) == Zeroizing::new(*bytes)
}

/// One of the two is down, then the other one.
async fn outages(pair: &Pair) -> Result<(), Violation> {
    const GOES_ON: &str = "with one of two KMSs down every key is read and new ones are made";
    let (fingerprint, index, data) = pair.made().await?;
    for (new, (down, fault)) in pair.keks.iter().flat_map(|down| OUTAGES.map(|fault| (down, fault))).enumerate() {
        down.set(Some(fault));
        let keys = pair.builder(OnTerminal::Stop)?.fingerprint(fingerprint).build().await.must(GOES_ON)?;
        rule(keys.domain_key(KeyUse::Index).await.must(GOES_ON)?.full_id() == index, GOES_ON)?;
        rule(keys.data_key(&patient("a")?).await.must(GOES_ON)?.full_id() == data, GOES_ON)?;
        let tenant = pair.builder(OnTerminal::Stop)?.fingerprint(fingerprint).tenant(format!("tenant {new}"));
        let tenant = tenant.build().await.must(GOES_ON)?;
        tenant.domain_key(KeyUse::Audit).await.must(GOES_ON)?;
        let during = tenant.complete().await.must("what cannot be completed yet is left for later")?;
        rule(during.incomplete > 0, "a key that was made while a KMS was down lacks a copy under it")?;
        down.set(None);
        pair.clock.advance(Duration::from_secs(60));
        let after = tenant.complete().await.must("missing copies are completed when the KMS answers again")?;
        rule(after.completed > 0 && after.incomplete == 0, "missing copies are completed when the KMS answers again")?;
    }
    // Every key is under both now, so that either may be lost.
    for row in pair.store.domain_rows().await.must(WHOLE)? {
        let mut held = copies(&row)?.into_iter().map(|(carrier, _)| carrier.kek_id().to_owned()).collect::<Vec<_>>();
        held.sort_unstable();
        held.dedup();
        rule(held.len() == 2, "a completed key has a copy under each KEK")?;
    }
    for kek in &pair.keks {
        let alone = pair.over(&pair.store, &[kek], OnTerminal::Stop)?.fingerprint(fingerprint);
        let alone = alone.build().await.must("either KEK alone opens every key")?;
        rule(alone.domain_key(KeyUse::Index).await.must(KEY)?.full_id() == index, "either KEK alone opens every key")?;
        rule(alone.data_key(&patient("a")?).await.must(KEY)?.full_id() == data, "either KEK alone opens every key")?;
    }
    for kek in &pair.keks {
        kek.set(Some(KmsFault::Down));
    }
    let nobody = pair.builder(OnTerminal::Stop)?.fingerprint(fingerprint).build().await;
    refused(
        nobody,
        |error| matches!(error, Error::Kms(error) if error.is_transient()),
        "with both KMSs down there is no key",
    )
}

/// One of the two says no.
async fn refusals(pair: &Pair, first: usize) -> Result<(), Violation> {
    let (fingerprint, ..) = pair.made().await?;
    let [east, west] = &pair.keks;
    let (primary, other) = if first == 0 { (east, west) } else { (west, east) };
    for fault in [KmsFault::Denied, KmsFault::Disabled] {
        primary.set(Some(fault));
        let (asked, _) = (other.calls(), pair.events.take());
        let strict =
            pair.over(&pair.store, &[primary, other], OnTerminal::Stop)?.fingerprint(fingerprint).build().await;
        let is_no = |error: &Error| matches!(error, Error::Kms(error) if error.is_terminal());
        refused(strict, is_no, "a KEK that says no ends the operation")?;
        rule(other.calls() == asked, "a KEK that says no is not answered by quietly asking another one")?;
        let loud = pair.over(&pair.store, &[primary, other], OnTerminal::TryOthers)?.fingerprint(fingerprint);
        loud.build().await.must("another KEK is asked where that was chosen")?;
        rule(pair.events.take() == [primary.kek_id()], "the observer is told of a KEK that was passed over")?;
        primary.set(None);
        pair.clock.advance(Duration::from_secs(60));
    }
    Ok(())
}

/// A key in the place of another use, in rows with valid MACs.
async fn moved(pair: &Pair) -> Result<(), Violation> {
    let (fingerprint, ..) = pair.made().await?;
    let keys = pair.builder(OnTerminal::Stop)?.fingerprint(fingerprint).build().await.must(OPENS)?;
    let mut rows = pair.store.domain_rows().await.must(WHOLE)?;
    let root = pair.store.slot(&Slot::root()).await.must(WHOLE)?;
    rows.extend(root.into_iter().filter(|row| row.kind == RowKind::Generation));
    let place = |key_use| Slot::new(TENANT, key_use, None);
    for row in &mut rows {
        match row.slot.key_use {
            KeyUse::Data => row.slot = place(KeyUse::Index),
            KeyUse::Index => row.slot = place(KeyUse::Data),
            _ => {}
        }
    }
    keys.sign_rows(&mut rows).must("every row can be signed")?;
    let fresh = || async { MemoryKeyStore::new() };
    let store = holding(&fresh as &dyn Fresh, rows).await?;
    for kek in &pair.keks {
        let alone = pair.over(&store, &[kek], OnTerminal::Stop)?.fingerprint(fingerprint).build().await.must(OPENS)?;
        let bound = |error: &Error| match error {
            Error::KeyRejected(_) => true,
            Error::Kms(error) => error.is_terminal(),
            _ => false,
        };
        refused(alone.domain_key(KeyUse::Index).await, bound, "under either KEK a key opens in its own place only")?;
    }
    Ok(())
}
