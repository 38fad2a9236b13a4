//! Several KEKs, failing KMSs, and the bytes of wrapped carriers.

use core::sync::atomic::Ordering;
use core::time::Duration;
use std::sync::Arc;

use phi_keys::{
    Binding, Carrier, EphemeralKeyring, Error, KekState, KekStatus, KekTarget, KeyStore, Keys, Kms, KmsAdmin, KmsError,
    KmsFuture, MemoryKeyStore, RowKind, Slot, StoreError, WrapContext, Wrapped, WrappedError,
};
use phi_types::{Clock, Detail, ManualClock};

use crate::support::{Site, Watched, patient};

/// A KMS under a name of its own; answers when its inner one does.
#[derive(Debug)]
struct Named(&'static str, Arc<Watched>);

impl Kms for Named {
    fn kek_id(&self) -> &str {
        self.0
    }

    fn wrap_dek<'a>(&'a self, carrier: &'a Carrier, context: &'a WrapContext) -> KmsFuture<'a, Wrapped> {
        Box::pin(async move {
            let wrapped = self.1.wrap_dek(carrier, context).await?;
            Ok(Wrapped::new(self.0, wrapped.kek_version(), wrapped.binding(), wrapped.blob().to_vec()).unwrap())
        })
    }

    fn unwrap_dek<'a>(&'a self, wrapped: &'a Wrapped, context: &'a WrapContext) -> KmsFuture<'a, Carrier> {
        Box::pin(async move {
            let inner =
                Wrapped::new("ephemeral", wrapped.kek_version(), wrapped.binding(), wrapped.blob().to_vec()).unwrap();
            self.1.unwrap_dek(&inner, context).await
        })
    }

    fn status(&self) -> KmsFuture<'_, KekStatus> {
        Box::pin(async { Ok(KekStatus::new(KekState::Enabled, Some("1".into()))) })
    }
}

#[tokio::test]
async fn any_of_several_keks_unwraps() {
    let (east, west) = (Watched::new(), Watched::new());
    let store = Arc::new(MemoryKeyStore::new());
    let both = || Keys::builder(Arc::clone(&store)).kek(Named("east", east.clone())).kek(Named("west", west.clone()));
    let keys = both().build().await.unwrap();
    let (fingerprint, kid) = (keys.fingerprint(), keys.data_key(&patient("a")).await.unwrap().kid());

    for down in [&east, &west] {
        down.down.store(true, Ordering::SeqCst);
        let keys = both().fingerprint(fingerprint).build().await.unwrap();
        assert_eq!(keys.data_key(&patient("a")).await.unwrap().kid(), kid);
        down.down.store(false, Ordering::SeqCst);
    }
    for only in [Named("east", east.clone()), Named("west", west.clone())] {
        let keys = Keys::builder(Arc::clone(&store)).kek(only).fingerprint(fingerprint).build().await.unwrap();
        assert_eq!(keys.data_key(&patient("a")).await.unwrap().kid(), kid);
    }

    let neither =
        Keys::builder(Arc::clone(&store)).kek(Named("south", east.clone())).fingerprint(fingerprint).build().await;
    assert!(matches!(neither, Err(Error::NoKek)));
    east.down.store(true, Ordering::SeqCst);
    west.down.store(true, Ordering::SeqCst);
    let silent = both().fingerprint(fingerprint).build().await;
    assert!(matches!(silent, Err(Error::Kms(KmsError::Unavailable(_)))));
}

#[tokio::test]
async fn a_keyring_pins_no_root_key_that_only_another_kek_opens() {
    let (cloud, local) = (Watched::new(), Watched::new());
    let store = Arc::new(MemoryKeyStore::new());
    // What whoever writes the database can make when wrapping takes a public key only.
    let made = Keys::builder(Arc::clone(&store)).kek(Named("cloud", cloud.clone())).build().await.unwrap();
    let both = || Keys::builder(Arc::clone(&store)).kek(Named("cloud", cloud.clone())).kek(Arc::clone(&local));
    let opened = both().build().await;
    assert!(matches!(opened, Err(Error::RootNotPinned)), "{opened:?}");
    assert_eq!(local.root_pin().unwrap().pinned().unwrap(), None);

    both().fingerprint(made.fingerprint()).build().await.unwrap();
    assert_eq!(local.root_pin().unwrap().pinned().unwrap(), Some(made.fingerprint()));
}

#[tokio::test]
async fn a_failure_is_not_remembered() {
    let site = Site::new();
    site.keys().await.data_key(&patient("a")).await.unwrap();
    let keys = site.keys().await;
    site.kms.down.store(true, Ordering::SeqCst);
    assert!(matches!(keys.data_key(&patient("a")).await, Err(Error::Kms(KmsError::Unavailable(_)))));
    site.kms.down.store(false, Ordering::SeqCst);
    assert!(keys.data_key(&patient("a")).await.is_ok());
}

#[tokio::test]
async fn a_carrier_that_is_moved_to_another_domain_key_opens_nothing() {
    // A KMS that binds nothing itself: the derivation alone must notice.
    #[derive(Debug)]
    struct Loose;
    impl Kms for Loose {
        fn kek_id(&self) -> &'static str {
            "loose"
        }
        fn wrap_dek<'a>(&'a self, carrier: &'a Carrier, _: &'a WrapContext) -> KmsFuture<'a, Wrapped> {
            Box::pin(
                async move { Ok(Wrapped::new("loose", "", Binding::Derivation, carrier.expose().to_vec()).unwrap()) },
            )
        }
        fn unwrap_dek<'a>(&'a self, wrapped: &'a Wrapped, _: &'a WrapContext) -> KmsFuture<'a, Carrier> {
            Box::pin(
                async move { Ok(Carrier::from_bytes(zeroize::Zeroizing::new(wrapped.blob().try_into().unwrap()))) },
            )
        }
        fn status(&self) -> KmsFuture<'_, KekStatus> {
            Box::pin(async { Ok(KekStatus::new(KekState::Enabled, None)) })
        }
    }

    let store = Arc::new(MemoryKeyStore::new());
    let keys = Keys::builder(Arc::clone(&store)).kek(Loose).tenant("clinic").build().await.unwrap();
    keys.data_key(&patient("a")).await.unwrap();
    let rows = store.domain_rows().await.unwrap();
    let (root, data) = (
        &rows.iter().find(|row| row.slot == Slot::root()).unwrap(),
        &rows.iter().find(|row| row.slot != Slot::root()).unwrap(),
    );

    // The whole wrapped key of one row in the place of the other's, on a store that somebody else can write.
    let mut forged = (*root).clone();
    forged.wrapped.clone_from(&data.wrapped);
    let victim = Arc::new(MemoryKeyStore::new());
    victim.commit(&phi_keys::Change::new().insert(forged)).await.unwrap();
    let opened = Keys::builder(victim).kek(Loose).fingerprint(keys.fingerprint()).build().await;
    assert!(matches!(opened, Err(Error::KeyRejected(RowKind::Domain))), "{opened:?}");
}

#[test]
fn every_flipped_bit_of_wrapped_bytes_reads_as_something_else_or_not_at_all() {
    let good = Wrapped::new("azure:clinic", "12", Binding::Native, vec![0xaa; 89]).unwrap();
    let good = good.with_algorithm("RSA-OAEP-256").unwrap();
    let bytes = good.to_bytes();
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_ne!(Wrapped::from_bytes(&bad).ok(), Some(good.clone()), "bit {bit}");
    }
    for length in 0..bytes.len() {
        assert_eq!(Wrapped::from_bytes(&bytes[..length]), Err(WrappedError::Malformed), "length {length}");
    }
    let mut long = bytes.clone();
    long.push(0);
    assert_eq!(Wrapped::from_bytes(&long), Err(WrappedError::Malformed));
    for (at, error) in [(0, WrappedError::Format(9)), (1, WrappedError::Binding(9))] {
        let mut newer = bytes.clone();
        newer[at] = 9;
        assert_eq!(Wrapped::from_bytes(&newer), Err(error));
    }
    assert_eq!(Wrapped::new("x".repeat(65_536), "", Binding::Native, Vec::new()), Err(WrappedError::TooLong));
    assert_eq!(good.with_algorithm("x".repeat(65_536)), Err(WrappedError::TooLong));
}

#[tokio::test]
async fn every_flipped_bit_of_a_wrapped_domain_key_is_refused() {
    // Without the MAC, which a row of the root key cannot have checked before it is unwrapped.
    let site = Site::new();
    let fingerprint = site.keys().await.fingerprint();
    let rows = site.store.slot(&Slot::root()).await.unwrap();
    let good = rows.iter().find(|row| row.kind == RowKind::Domain).unwrap();
    for bit in 0..good.wrapped.len() * 8 {
        let mut bad = good.clone();
        bad.wrapped[bit / 8] ^= 1 << (bit % 8);
        let store = MemoryKeyStore::new();
        store.commit(&phi_keys::Change::new().insert(bad)).await.unwrap();
        let opened = Keys::builder(store).kek(Arc::clone(&site.kms)).fingerprint(fingerprint).build().await;
        assert!(
            matches!(
                opened,
                Err(Error::KeyRejected(_)
                    | Error::NoKek
                    | Error::Kms(KmsError::Refused | KmsError::UnknownVersion)
                    | Error::Store(StoreError::Unknown { column: "wrapped", .. }))
            ),
            "bit {bit}: {opened:?}"
        );
    }
}

#[tokio::test]
async fn a_carrier_of_a_later_version_says_so() {
    let site = Site::new();
    let fingerprint = site.keys().await.fingerprint();
    let rows = site.store.slot(&Slot::root()).await.unwrap();
    let good = rows.iter().find(|row| row.kind == RowKind::Domain).unwrap();
    // Behind the number of copies and the length of the carrier stand its format and its binding.
    for (at, known) in [(5, 1), (6, Binding::Native.byte())] {
        assert_eq!(good.wrapped[at], known);
        let mut newer = good.clone();
        newer.wrapped[at] = 9;
        let store = MemoryKeyStore::new();
        store.commit(&phi_keys::Change::new().insert(newer)).await.unwrap();
        let opened = Keys::builder(store).kek(Arc::clone(&site.kms)).fingerprint(fingerprint).build().await;
        let Err(Error::Store(error @ StoreError::Unknown { column: "wrapped", found: 9 })) = &opened else {
            panic!("byte {at}: {opened:?}")
        };
        assert!(error.to_string().contains("use the later version of this crate that wrote it"), "{error}");
    }
}

#[tokio::test]
async fn a_destruction_can_be_cancelled_until_it_is_due_and_not_after() {
    let clock = ManualClock::at_unix_seconds(0);
    let kms = EphemeralKeyring::named("kek", clock.clone()).unwrap();
    let context = WrapContext::from_digest([1; 32]);
    let (_, old) = kms.generate(&context).await.unwrap();
    let _ = kms.rotate().await.unwrap();
    let (_, new) = kms.generate(&context).await.unwrap();
    let first = KekTarget::Version("1".into());
    let week = Duration::from_secs(7 * 86_400);

    let change = kms.schedule_destruction(&first, week).await.unwrap();
    assert_eq!(
        change.activity(clock.now()).detail("destruction"),
        Some(&Detail::Time(clock.now().saturating_add(week)))
    );
    assert!(matches!(kms.unwrap_dek(&old, &context).await, Err(KmsError::PendingDestruction)));
    assert!(kms.unwrap_dek(&new, &context).await.is_ok(), "the other version stays");
    assert_eq!(kms.cancel_destruction(&first).await.unwrap().state, KekState::Disabled);
    assert!(matches!(kms.unwrap_dek(&old, &context).await, Err(KmsError::Disabled)));
    let _ = kms.enable(&first).await.unwrap();
    assert!(kms.unwrap_dek(&old, &context).await.is_ok());

    let _ = kms.schedule_destruction(&first, week).await.unwrap();
    clock.advance(week);
    assert!(matches!(kms.unwrap_dek(&old, &context).await, Err(KmsError::Destroyed)));
    assert!(matches!(kms.cancel_destruction(&first).await, Err(KmsError::Destroyed)));
    assert!(matches!(kms.rewrap(&old, &context).await, Err(KmsError::Destroyed)));
    let states = kms.versions().await.unwrap().versions.into_iter().map(|version| version.state).collect::<Vec<_>>();
    assert_eq!(states, [KekState::Destroyed, KekState::Enabled]);
    let missing = KekTarget::Version("3".into());
    assert!(matches!(kms.disable(&missing).await, Err(KmsError::UnknownVersion)));

    let whole = kms.disable(&KekTarget::Kek).await.unwrap();
    assert_eq!((whole.version, whole.state), (None, KekState::Disabled));
    assert!(matches!(kms.wrap_dek(&Carrier::generate().unwrap(), &context).await, Err(KmsError::Disabled)));
    assert!(!kms.status().await.unwrap().state.is_usable());
}
