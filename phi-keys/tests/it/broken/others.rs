//! Pairs of KMSs, signers and channels that break their contract.

use std::sync::{Arc, Mutex};

use phi_keys::conformance;
use phi_keys::{
    AnchorError, AnchorFuture, Carrier, Ed25519Signer, EphemeralKeyring, Keys, Kms, KmsError, KmsFuture,
    MemoryKeyStore, PublicKey, RevocationChannel, RevocationNotice, SignError, Signer, Signing, StoreAnchor,
    StoreFuture, WrapContext, Wrapped,
};
use phi_types::SystemClock;
use tokio::sync::broadcast;

use super::{Crooked, Fault, Flaw, Flawed, good, rule};
use crate::faults::Hours;
use crate::forward::forward;
use crate::support::wire::{Wire, disturb};

#[tokio::test]
async fn the_suite_over_two_keks_finds_one_that_opens_what_is_not_its_own() {
    let any = Crooked::new("west", Fault::OpensAnyName);
    let found = conformance::kms_pair(good("east"), any).await;
    assert_eq!(rule(found), "a carrier of another KEK is refused as such");
    assert_eq!(rule(conformance::kms_pair(good("east"), good("east")).await), "two KEKs have two names");
    let anything = Crooked::new("west", Fault::OpensToAnything);
    let found = conformance::kms_pair(good("east"), anything).await;
    assert_eq!(rule(found), "a KEK does not open what another one wrapped, under whatever name");
    // One key under two names.
    let (east, west) = Twin::pair();
    let found = conformance::kms_pair(east, west).await;
    assert_eq!(rule(found), "a KEK does not open what another one wrapped, under whatever name");
    let forgets = Crooked::new("west", Fault::Forgets);
    let found = rule(conformance::kms_pair(good("east"), forgets).await);
    assert_eq!(found, "with one of two KMSs down every key is read and new ones are made");
}

/// One KEK behind two names.
#[derive(Debug)]
struct Twin(&'static str, Arc<EphemeralKeyring>);

impl Twin {
    fn pair() -> (Arc<dyn Kms>, Arc<dyn Kms>) {
        let kek = Arc::new(EphemeralKeyring::named("twin", SystemClock::new()).unwrap());
        (Arc::new(Self("east", Arc::clone(&kek))), Arc::new(Self("west", kek)))
    }
}

fn named(name: &str, wrapped: &Wrapped) -> Wrapped {
    Wrapped::new(name, wrapped.kek_version(), wrapped.binding(), wrapped.blob().to_vec()).unwrap()
}

impl Kms for Twin {
    forward!(self.1: capabilities, status);

    fn kek_id(&self) -> &str {
        self.0
    }

    fn wrap_dek<'a>(&'a self, carrier: &'a Carrier, context: &'a WrapContext) -> KmsFuture<'a, Wrapped> {
        Box::pin(async move { Ok(named(self.0, &self.1.wrap_dek(carrier, context).await?)) })
    }

    fn unwrap_dek<'a>(&'a self, wrapped: &'a Wrapped, context: &'a WrapContext) -> KmsFuture<'a, Carrier> {
        Box::pin(async move {
            if wrapped.kek_id() != self.0 {
                return Err(KmsError::OtherKek);
            }
            self.1.unwrap_dek(&named("twin", wrapped), context).await
        })
    }
}

#[tokio::test]
async fn the_suite_over_a_cache_finds_a_kek_that_lies_about_its_state() {
    let found = conformance::kms_cache(Crooked::new("only", Fault::LiesAboutItsState)).await;
    assert_eq!(rule(found), "a KEK that stands takes no key away");
}

/// An anchor that takes records and keeps none.
#[derive(Debug)]
struct Sieve;

impl StoreAnchor for Sieve {
    fn read(&self, _: u64) -> AnchorFuture<'_, Vec<Vec<u8>>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn append<'a>(&'a self, _: &'a [Vec<u8>]) -> AnchorFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }
}

#[tokio::test]
async fn the_suite_over_an_anchor_finds_one_that_keeps_nothing() {
    let found = conformance::rollback(|| async { MemoryKeyStore::new() }, || Sieve, good("only")).await;
    assert_eq!(rule(found), "every attack on the key tables ends as it is claimed to");
}

/// What an anchor does wrong.
#[derive(Debug, Clone, Copy)]
enum Lapse {
    /// Reads from the first record on, whichever was asked for.
    ReadsAll,
    /// The newest record comes first.
    TurnsRound,
    /// Takes a record of any length.
    TakesLongOnes,
    /// Keeps the records of the last call alone.
    KeepsTheLast,
}

#[derive(Debug)]
struct Lapsing(Mutex<Vec<Vec<u8>>>, Lapse);

impl StoreAnchor for Lapsing {
    fn read(&self, from: u64) -> AnchorFuture<'_, Vec<Vec<u8>>> {
        let from = if matches!(self.1, Lapse::ReadsAll) { 0 } else { usize::try_from(from).unwrap() };
        let mut records = self.0.lock().unwrap().clone();
        if matches!(self.1, Lapse::TurnsRound) {
            records.reverse();
        }
        Box::pin(core::future::ready(Ok(records.into_iter().skip(from).collect())))
    }

    fn append<'a>(&'a self, records: &'a [Vec<u8>]) -> AnchorFuture<'a, ()> {
        Box::pin(async move {
            if !matches!(self.1, Lapse::TakesLongOnes) && records.iter().any(|record| record.len() > 1 << 20) {
                return Err(AnchorError::TooLong);
            }
            let mut held = self.0.lock().unwrap();
            if matches!(self.1, Lapse::KeepsTheLast) {
                held.clear();
            }
            held.extend_from_slice(records);
            Ok(())
        })
    }
}

#[tokio::test]
async fn the_suite_over_an_anchor_alone_finds_what_it_does_wrong() {
    const ORDER: &str = "records are read from any one on, in the order in which they came";
    for (lapse, broken) in [
        (Lapse::ReadsAll, ORDER),
        (Lapse::TurnsRound, ORDER),
        (Lapse::KeepsTheLast, ORDER),
        (Lapse::TakesLongOnes, "a record of more than 1 MiB is refused"),
    ] {
        let anchor = Lapsing(Mutex::default(), lapse);
        assert_eq!(rule(conformance::store_anchor(&anchor).await), broken, "{lapse:?}");
    }
}

/// What was read is written back with what is new, whatever came between.
#[derive(Debug, Clone)]
struct Overwriting(Arc<Mutex<Vec<Vec<u8>>>>);

impl StoreAnchor for Overwriting {
    fn read(&self, from: u64) -> AnchorFuture<'_, Vec<Vec<u8>>> {
        let records = self.0.lock().unwrap().iter().skip(usize::try_from(from).unwrap()).cloned().collect();
        Box::pin(core::future::ready(Ok(records)))
    }

    fn append<'a>(&'a self, records: &'a [Vec<u8>]) -> AnchorFuture<'a, ()> {
        Box::pin(async move {
            let held = self.0.lock().unwrap().clone();
            tokio::task::yield_now().await;
            *self.0.lock().unwrap() = [&held, records].concat();
            Ok(())
        })
    }
}

#[tokio::test]
async fn the_suite_over_two_ways_to_an_anchor_finds_two_anchors_and_lost_records() {
    let apart = [(); 2].map(|()| Overwriting(Arc::default()));
    let found = rule(conformance::store_anchor_shared(&apart[0], &apart[1]).await);
    assert_eq!(found, "what one process appended the other one reads");
    let one = Overwriting(Arc::default());
    let found = rule(conformance::store_anchor_shared(&one, &one.clone()).await);
    assert_eq!(
        found,
        "of what several processes append at once nothing is lost, and each one's records stay in their order"
    );
}

#[tokio::test]
async fn a_store_that_takes_no_older_row_is_no_worse_for_it() {
    let careful = || async { Flawed::new(Flaw::RefusesOlderRows) };
    conformance::forgeries(careful, [good("east"), good("west")]).await.unwrap();
}

#[tokio::test]
async fn the_suite_over_two_ways_to_a_store_finds_two_stores() {
    let (here, there) = (MemoryKeyStore::new(), MemoryKeyStore::new());
    assert_ne!(rule(conformance::key_store_shared(&here, &there).await), "");
}

/// What a signer does wrong.
#[derive(Debug, Clone, Copy)]
enum Slip {
    IgnoresTheMessage,
    NamesAnotherKey,
    MixesThoseAtOnce,
    IsNotThere,
}

#[derive(Debug)]
struct Slipping {
    inner: Ed25519Signer,
    other: PublicKey,
    slip: Slip,
    waiting: Mutex<Vec<u8>>,
}

impl Signer for Slipping {
    fn public_key(&self) -> PublicKey {
        if matches!(self.slip, Slip::NamesAnotherKey) { self.other } else { self.inner.public_key() }
    }

    fn sign<'a>(&'a self, message: &'a [u8]) -> Signing<'a> {
        Box::pin(async move {
            match self.slip {
                Slip::IgnoresTheMessage => self.inner.sign_now(b""),
                Slip::NamesAnotherKey => self.inner.sign_now(message),
                Slip::IsNotThere => Err(SignError::new("out of reach")),
                Slip::MixesThoseAtOnce => {
                    // One buffer for all, which the next one overwrites.
                    *self.waiting.lock().unwrap() = message.to_vec();
                    tokio::task::yield_now().await;
                    let message = self.waiting.lock().unwrap().clone();
                    self.inner.sign_now(&message)
                }
            }
        })
    }
}

#[tokio::test]
async fn the_suite_over_a_signer_finds_what_it_does_wrong() {
    for (slip, broken) in [
        (Slip::IgnoresTheMessage, "a signature verifies under the public key of its signer"),
        (Slip::NamesAnotherKey, "a signature verifies under the public key of its signer"),
        (Slip::MixesThoseAtOnce, "what is signed for several at once is signed for each"),
        (Slip::IsNotThere, "a signer that can be reached signs"),
    ] {
        let keys = Keys::builder(MemoryKeyStore::new()).kek(good("only")).build().await.unwrap();
        let other = keys.signer("other").await.unwrap().public_key();
        let inner = keys.signer("audit").await.unwrap();
        let signer = Slipping { inner, other, slip, waiting: Mutex::default() };
        assert_eq!(rule(conformance::signer(&signer).await), broken, "{slip:?}");
    }
}

/// What a channel of revocations does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Noise {
    /// Takes every notice and carries none.
    Drops,
    /// Does not say that it lost some.
    HidesLosses,
    /// Makes something else of a notice.
    Garbles,
}

#[derive(Debug)]
struct Noisy(Arc<Wire>, Noise);

impl RevocationChannel for Noisy {
    fn publish<'a>(&'a self, notice: &'a RevocationNotice) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            match self.1 {
                Noise::Drops => Ok(()),
                _ => self.0.publish(notice).await,
            }
        })
    }

    fn next(&self) -> StoreFuture<'_, RevocationNotice> {
        Box::pin(async move {
            loop {
                match self.0.next().await {
                    Err(_) if self.1 == Noise::HidesLosses => {}
                    Ok(notice) if self.1 == Noise::Garbles && notice.to_text().contains("scope") => {
                        return Ok(RevocationNotice::from_text("phi-revoke-1 all"));
                    }
                    other => return other,
                }
            }
        })
    }
}

#[tokio::test]
async fn the_suite_over_a_channel_finds_one_that_drops_hides_or_garbles() {
    for (noise, broken) in [
        (Noise::Drops, "a notice that was published reaches the other process"),
        (Noise::HidesLosses, "notices that may have been missed are taken for the worst"),
        (Noise::Garbles, "a notice arrives as it was published"),
    ] {
        let (sender, _) = broadcast::channel(64);
        let ends = [Wire::new(&sender), Wire::new(&sender)].map(|wire| Arc::new(Noisy(wire, noise)) as _);
        let found = conformance::revocations(ends, |what| disturb(sender.clone(), what), Hours::new()).await;
        assert_eq!(rule(found), broken, "{noise:?}");
    }
}
