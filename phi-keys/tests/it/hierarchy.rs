//! Tenants, uses, scopes, leases and pins.

use core::num::NonZeroUsize;
use core::time::Duration;
use std::sync::Arc;

use phi_keys::derive::Label;
use phi_keys::{
    EphemeralKeyring, Error, Expired, KeyId, KeyRow, KeyStore, KeyUse, Keys, KmsError, MemoryKeyStore, Scope, Signer,
    Slot, StoreFuture,
};
use phi_types::{ManualClock, Timestamp};

use crate::forward::forward;
use crate::support::{Site, Watched, patient, subject};

#[tokio::test]
async fn keys_are_the_same_after_a_restart() {
    let site = Site::new();
    let (one, two) = (site.keys().await, site.keys().await);
    assert_eq!(one.fingerprint(), two.fingerprint());
    let (a, b) = (one.data_key(&patient("a")).await.unwrap(), two.data_key(&patient("a")).await.unwrap());
    assert_eq!(a.full_id(), b.full_id());
    assert_eq!(*a.derive(Label::FIELD, b"x").unwrap(), *b.derive(Label::FIELD, b"x").unwrap());
    let (a, b) = (one.signer("audit").await.unwrap(), two.signer("audit").await.unwrap());
    assert_eq!(a.public_key(), b.public_key());
    assert_ne!(a.public_key(), one.signer("export").await.unwrap().public_key());
    assert_eq!(*one.session_key().await.unwrap(), *two.session_key().await.unwrap());
}

#[tokio::test]
async fn a_kid_opens_only_for_its_own_tenant_and_scope() {
    let site = Site::new();
    let keys = site.keys().await;
    let other = site.builder().tenant("hospital").build().await.unwrap();
    let kid = keys.data_key(&patient("a")).await.unwrap().kid();
    let group = keys.data_key(&Scope::group("a")).await.unwrap().kid();
    let domain = keys.domain_key(KeyUse::Data).await.unwrap().kid();
    assert_ne!(kid, group);

    // Once with the key in the cache and once without.
    for keys in [keys, site.keys().await] {
        assert!(keys.data_key_by_id(kid, &patient("a")).await.is_ok());
        assert!(matches!(keys.data_key_by_id(kid, &patient("b")).await, Err(Error::WrongScope)));
        assert!(matches!(keys.data_key_by_id(kid, &Scope::group("a")).await, Err(Error::WrongScope)));
        assert!(matches!(keys.data_key_by_id(domain, &patient("a")).await, Err(Error::WrongScope)));
        let unknown = KeyId::from_bytes([9; 16]);
        assert!(matches!(keys.data_key_by_id(unknown, &patient("a")).await, Err(Error::UnknownKey)));
    }
    assert!(matches!(other.data_key_by_id(kid, &patient("a")).await, Err(Error::WrongScope)));
    assert_ne!(other.data_key(&patient("a")).await.unwrap().kid(), kid);
}

#[tokio::test]
async fn domain_keys_differ_by_use_and_the_root_key_stays_inside() {
    let keys = Site::new().keys().await;
    let mut kids = Vec::new();
    for key_use in [KeyUse::Data, KeyUse::Index, KeyUse::Audit, KeyUse::Session] {
        kids.push(keys.domain_key(key_use).await.unwrap().kid());
    }
    kids.sort_unstable();
    kids.dedup();
    assert_eq!(kids.len(), 4);
    assert!(matches!(keys.domain_key(KeyUse::Root).await, Err(Error::Config(_))));
}

#[tokio::test]
async fn a_lease_ends_by_either_clock_and_is_renewed_without_the_kms() {
    let clock = ManualClock::at_unix_seconds(1_767_225_600);
    let site = Site::new();
    let keys = site.builder().clock(clock.clone()).lease(Duration::from_secs(60)).build().await.unwrap();
    let key = keys.data_key(&patient("a")).await.unwrap();
    let domain = keys.domain_key(KeyUse::Data).await.unwrap();
    let calls = site.kms.calls();

    clock.advance(Duration::from_secs(60) - Duration::from_micros(1));
    assert!(key.is_live() && domain.is_live());
    clock.advance(Duration::from_micros(1));
    assert!(!key.is_live() && !domain.is_live());
    assert!(matches!(key.derive(Label::FIELD, b""), Err(Expired { .. })));

    let again = keys.data_key(&patient("a")).await.unwrap();
    assert!(again.is_live() && !key.is_live());
    assert_eq!(again.full_id(), key.full_id());
    // A suspended machine: the wall clock moves on, monotonic time does not.
    clock.set(Timestamp::from_unix_seconds(1_767_225_600 + 600));
    assert!(!again.is_live());
    // A wall clock that is set back does not make a lease longer.
    let third = keys.data_key(&patient("a")).await.unwrap();
    clock.set(Timestamp::from_unix_seconds(1_767_225_600));
    assert!(third.is_live());
    clock.advance(Duration::from_secs(60));
    assert!(!third.is_live());
    assert_eq!(site.kms.calls(), calls, "an unchanged domain key needs no KMS to be leased again");
}

/// A store that takes its time, by the clock that is given.
#[derive(Debug)]
struct Slow(Arc<MemoryKeyStore>, ManualClock, Duration);

impl KeyStore for Slow {
    forward!(self.0: prepare, commit, by_kid, domain_rows, tombstones, data_rows, purge);

    fn slot<'a>(&'a self, slot: &'a Slot) -> StoreFuture<'a, Vec<KeyRow>> {
        Box::pin(async move {
            let rows = self.0.slot(slot).await;
            if slot.scope.is_some() {
                self.1.advance(self.2);
            }
            rows
        })
    }
}

#[tokio::test]
async fn a_lease_counts_from_before_the_store_was_read() {
    let clock = ManualClock::at_unix_seconds(1_767_225_600);
    let site = Site::new();
    site.keys().await.data_key(&patient("a")).await.unwrap();
    let (lease, reading) = (Duration::from_secs(60), Duration::from_secs(20));
    let store = Slow(Arc::clone(&site.store), clock.clone(), reading);
    let keys = Keys::builder(store).kek(Arc::clone(&site.kms)).tenant("clinic").clock(clock.clone()).lease(lease);
    let keys = keys.build().await.unwrap();
    let key = keys.data_key(&patient("a")).await.unwrap();
    clock.advance(lease - reading - Duration::from_micros(1));
    assert!(key.is_live());
    clock.advance(Duration::from_micros(1));
    assert!(!key.is_live(), "a shred right after the reading must be seen within a lease");
}

#[tokio::test]
async fn the_cache_is_bounded_and_eviction_is_invisible() {
    let site = Site::new();
    let keys = site.builder().cache_entries(NonZeroUsize::new(10).unwrap()).build().await.unwrap();
    let mut kids = Vec::new();
    for number in 0..100 {
        let scope = patient(&number.to_string());
        kids.push((keys.data_key(&scope).await.unwrap(), scope));
        assert!(keys.cached() <= 10);
    }
    for (key, scope) in &kids {
        assert!(key.is_live(), "a lease outlives the cache entry");
        assert_eq!(keys.data_key(scope).await.unwrap().kid(), key.kid());
        assert_eq!(keys.data_key_by_id(key.kid(), scope).await.unwrap().full_id(), key.full_id());
    }
    let _ = keys.shred(&subject("0")).await.unwrap();
    assert!(kids.iter().all(|(key, _)| !key.is_live()), "also leases on evicted keys end");
}

#[tokio::test]
async fn a_store_that_is_not_the_pinned_one_is_refused() {
    let site = Site::new();
    let keys = site.keys().await;

    let empty = Keys::builder(MemoryKeyStore::new()).kek(Arc::clone(&site.kms)).build().await;
    assert!(matches!(empty, Err(Error::RootMissing)));

    let stranger = Keys::builder(Arc::clone(&site.store)).kek(EphemeralKeyring::generate().unwrap()).build().await;
    assert!(matches!(stranger, Err(Error::Kms(KmsError::Refused))));

    let other = phi_keys::Fingerprint::from_bytes([1; 32]);
    assert!(matches!(site.builder().fingerprint(other).build().await, Err(Error::RootMismatch)));
    assert!(site.builder().fingerprint(keys.fingerprint()).build().await.is_ok());
}

#[tokio::test]
async fn a_kms_without_a_pin_needs_the_fingerprint() {
    let site = Site::new();
    let builder = || Keys::builder(Arc::clone(&site.store)).kek(Unpinned(Arc::clone(&site.kms)));
    let fingerprint = builder().build().await.unwrap().fingerprint();
    assert!(matches!(builder().build().await, Err(Error::RootNotPinned)));
    assert!(builder().fingerprint(fingerprint).build().await.is_ok());
}

#[tokio::test]
async fn an_older_store_than_was_seen_is_refused() {
    let site = Site::new();
    let keys = site.keys().await;
    let report = keys.shred(&subject("a")).await.unwrap();
    assert!(site.builder().at_least_generation(report.generation).build().await.is_ok());
    let refused = site.builder().at_least_generation(report.generation + 1).build().await;
    assert!(matches!(refused, Err(Error::RolledBack { .. })));
}

#[tokio::test]
async fn values_out_of_bounds_are_refused() {
    let store = || MemoryKeyStore::new();
    assert!(matches!(Keys::builder(store()).build().await, Err(Error::Config(_))));
    let kek = || EphemeralKeyring::generate().unwrap();
    assert!(matches!(Keys::builder(store()).kek(kek()).kek(kek()).build().await, Err(Error::Config(_))));
    for tenant in ["", "a\nb", &"x".repeat(257)] {
        assert!(matches!(Keys::builder(store()).kek(kek()).tenant(tenant).build().await, Err(Error::Config(_))));
    }
    for lease in [Duration::ZERO, Duration::from_secs(3601)] {
        assert!(matches!(Keys::builder(store()).kek(kek()).lease(lease).build().await, Err(Error::Config(_))));
    }
}

#[tokio::test]
async fn nothing_that_is_printed_holds_a_secret_or_a_subject() {
    let site = Site::new();
    let keys = site.keys().await;
    let key = keys.data_key(&patient("MRN-7431")).await.unwrap();
    let report = keys.shred(&subject("MRN-7431")).await.unwrap();
    let error = keys.data_key(&patient("MRN-7431")).await.unwrap_err();
    let signer = keys.signer("audit").await.unwrap();
    let text = format!(
        "{keys:?} {key:?} {report:?} {:?} {error:?} {error} {signer:?} {:?} {:?}",
        report.activity(Timestamp::UNIX_EPOCH),
        site.store,
        site.builder()
    );
    assert!(!text.contains("7431"), "{text}");
}

/// A KMS that pins nothing.
#[derive(Debug)]
struct Unpinned(Arc<Watched>);

impl phi_keys::Kms for Unpinned {
    forward!(self.0: kek_id, wrap_dek, unwrap_dek, status);
}
