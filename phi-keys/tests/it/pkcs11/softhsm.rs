use std::sync::Arc;

use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, KeyType, ObjectClass};
use cryptoki::types::AuthPin;
use phi_keys::pkcs11::{Pkcs11Error, Pkcs11Pool};
use phi_keys::{
    Binding, Carrier, KekState, KekTarget, Keys, Kms, KmsAdmin, KmsError, MemoryKeyStore, Signer, WrapContext, Wrapped,
};
use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey};

use super::token::{Token, alone, unique};
use crate::conformance::{keys_under, keys_under_two};
use crate::support::patient;

fn here() -> WrapContext {
    WrapContext::from_digest([1; 32])
}

fn there() -> WrapContext {
    WrapContext::from_digest([2; 32])
}

fn relabelled(wrapped: &Wrapped, kek_id: &str, version: &str) -> Wrapped {
    Wrapped::new(kek_id, version, wrapped.binding(), wrapped.blob().to_vec()).unwrap()
}

#[cfg(feature = "test-util")]
#[tokio::test]
async fn a_kek_conforms_by_gcm_and_by_key_wrap() {
    use phi_keys::conformance;

    let Some(token) = Token::given() else { return };
    let pool = token.pool().await;
    let (by_gcm, by_wrap) =
        (pool.create_kek(&unique("gcm")).await.unwrap(), pool.create_wrapping_kek(&unique("key wrap")).await.unwrap());
    assert_eq!((by_gcm.binding(), by_wrap.binding()), (Binding::Native, Binding::Derivation));
    let fresh = || async { MemoryKeyStore::new() };
    for kms in [&by_gcm, &by_wrap] {
        conformance::kms(kms).await.unwrap();
        conformance::kms_admin(kms).await.unwrap();
        conformance::kms(kms).await.unwrap();
        let kms = Arc::new(kms.clone());
        keys_under(Arc::clone(&kms) as _).await;
        conformance::kms_faults(fresh, Arc::clone(&kms) as _).await.unwrap();
        conformance::kek_rotation(fresh, kms).await.unwrap();
    }
    keys_under_two(Arc::new(by_gcm), Arc::new(by_wrap)).await;
    pool.close().await;
}

#[tokio::test]
async fn a_store_is_opened_again_after_a_rotation() {
    let Some(token) = Token::own("pkcs11::softhsm::a_store_is_opened_again_after_a_rotation") else { return };
    let pool = token.pool().await;
    let kms = pool.create_kek(&unique("store")).await.unwrap();
    let store = Arc::new(MemoryKeyStore::new());
    let keys = Keys::builder(store.clone()).kek(kms.clone()).build().await.unwrap();
    let (fingerprint, kid) = (keys.fingerprint(), keys.data_key(&patient("a")).await.unwrap().kid());

    let old = kms.status().await.unwrap().version.unwrap();
    let _ = kms.rotate().await.unwrap();
    let _ = keys.rewrap().await.unwrap();
    let _ = kms.disable(&KekTarget::Version(old)).await.unwrap();
    let keys = Keys::builder(store).kek(kms).fingerprint(fingerprint).build().await.unwrap();
    assert_eq!(keys.data_key(&patient("a")).await.unwrap().kid(), kid, "nothing is left under the old version");
    pool.close().await;
}

#[tokio::test]
async fn every_flipped_bit_is_refused() {
    let Some(token) = Token::own("pkcs11::softhsm::every_flipped_bit_is_refused") else { return };
    let pool = token.pool().await;
    let by_gcm = pool.create_kek(&unique("flips")).await.unwrap();
    let by_wrap = pool.create_wrapping_kek(&unique("flips")).await.unwrap();
    for kms in [by_gcm, by_wrap] {
        let carrier = Carrier::generate().unwrap();
        let good = kms.wrap_dek(&carrier, &here()).await.unwrap();
        for bit in 0..good.blob().len() * 8 {
            let mut blob = good.blob().to_vec();
            blob[bit / 8] ^= 1 << (bit % 8);
            let bad = Wrapped::new(good.kek_id(), good.kek_version(), good.binding(), blob).unwrap();
            let opened = kms.unwrap_dek(&bad, &here()).await;
            assert!(matches!(opened, Err(KmsError::Refused)), "{:?} bit {bit}: {opened:?}", good.binding());
        }
        for length in 0..good.blob().len() {
            let blob = good.blob()[..length].to_vec();
            let bad = Wrapped::new(good.kek_id(), good.kek_version(), good.binding(), blob).unwrap();
            let opened = kms.unwrap_dek(&bad, &here()).await;
            assert!(matches!(opened, Err(KmsError::Refused)), "{:?} length {length}: {opened:?}", good.binding());
        }
    }
    pool.close().await;
}

#[tokio::test]
async fn another_context_kek_version_or_binding_is_refused() {
    let Some(token) = Token::own("pkcs11::softhsm::another_context_kek_version_or_binding_is_refused") else { return };
    let pool = token.pool().await;
    let kms = pool.create_kek(&unique("this")).await.unwrap();
    let other = pool.create_kek(&unique("other")).await.unwrap();
    let wrapped = kms.wrap_dek(&Carrier::generate().unwrap(), &here()).await.unwrap();
    let refusal = |opened: Result<Carrier, KmsError>| opened.unwrap_err().kind();

    assert_eq!(refusal(kms.unwrap_dek(&wrapped, &there()).await), "refused");
    assert_eq!(refusal(other.unwrap_dek(&wrapped, &here()).await), "other_kek");
    let lie = relabelled(&wrapped, other.kek_id(), wrapped.kek_version());
    assert_eq!(refusal(other.unwrap_dek(&lie, &here()).await), "unknown_version");
    let version = other.status().await.unwrap().version.unwrap();
    let lie = relabelled(&wrapped, other.kek_id(), &version);
    assert_eq!(refusal(other.unwrap_dek(&lie, &here()).await), "refused");

    let _ = kms.rotate().await.unwrap();
    let newer = kms.status().await.unwrap().version.unwrap();
    assert_ne!(newer, wrapped.kek_version());
    let lie = relabelled(&wrapped, wrapped.kek_id(), &newer);
    assert_eq!(refusal(kms.unwrap_dek(&lie, &here()).await), "refused");
    let stripped =
        Wrapped::new(wrapped.kek_id(), wrapped.kek_version(), Binding::Derivation, wrapped.blob().to_vec()).unwrap();
    assert_eq!(refusal(kms.unwrap_dek(&stripped, &here()).await), "refused");
    pool.close().await;
}

#[tokio::test]
async fn a_wrong_pin_is_tried_once() {
    let Some(token) = Token::own("pkcs11::softhsm::a_wrong_pin_is_tried_once") else { return };
    assert!(matches!(token.refused(token.config_with("not the pin")).await, Pkcs11Error::PinRefused));

    let pool = token.pool().await;
    let kms = pool.create_kek("clinic").await.unwrap();
    let wrapped = kms.wrap_dek(&Carrier::generate().unwrap(), &here()).await.unwrap();
    let changed = Token { label: token.label.clone(), pin: "second pin".into() };
    let session = token.session();
    session.set_pin(&AuthPin::from(token.pin.as_str()), &AuthPin::from(changed.pin.as_str())).unwrap();
    session.logout().unwrap();
    for _ in 0..20 {
        // A token that counts would have locked the PIN by now.
        let error = kms.unwrap_dek(&wrapped, &here()).await.unwrap_err();
        assert_eq!(error.kind(), "unauthenticated");
        let text = format!("{error} {error:?} {}", std::error::Error::source(&error).unwrap());
        assert!(!text.contains("pin\"") && !text.contains(&token.pin), "{text}");
    }
    let info = |session: &cryptoki::session::Session| session.get_session_info().is_ok();
    assert!(info(&changed.session()), "the PIN still works for who knows it");
    pool.close().await;
    assert!(changed.pool().await.kek("clinic").await.unwrap().unwrap_dek(&wrapped, &here()).await.is_ok());
}

#[tokio::test]
async fn a_login_that_somebody_ended_is_repeated() {
    let Some(token) = Token::own("pkcs11::softhsm::a_login_that_somebody_ended_is_repeated") else { return };
    let pool = Pkcs11Pool::open(token.config().sessions(3)).await.unwrap();
    let kms = pool.create_kek("clinic").await.unwrap();
    let signer = pool.create_signer("checkpoints").await.unwrap();
    let carrier = Carrier::generate().unwrap();
    let wrapped = kms.wrap_dek(&carrier, &here()).await.unwrap();
    for round in 0..6 {
        token.log_out();
        let opened = kms.unwrap_dek(&wrapped, &here()).await.unwrap();
        assert_eq!(opened.expose(), carrier.expose(), "round {round}");
        token.log_out();
        assert!(kms.wrap_dek(&carrier, &here()).await.is_ok(), "round {round}");
        token.log_out();
        assert!(signer.sign(b"checkpoint").await.is_ok(), "round {round}");
        token.log_out();
        assert_eq!(kms.status().await.unwrap().state, KekState::Enabled, "round {round}");
    }
    pool.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_pools_share_a_token_and_close_apart() {
    let Some(token) = Token::own("pkcs11::softhsm::two_pools_share_a_token_and_close_apart") else { return };
    let (first, second) = (
        Pkcs11Pool::open(token.config().sessions(4)).await.unwrap(),
        Pkcs11Pool::open(token.config().sessions(4)).await.unwrap(),
    );
    let one = first.create_kek("clinic").await.unwrap();
    let two = second.kek("clinic").await.unwrap();
    let tasks: Vec<_> = (0..64)
        .map(|number| {
            let (from, to) = if number % 2 == 0 { (one.clone(), two.clone()) } else { (two.clone(), one.clone()) };
            tokio::spawn(async move {
                let carrier = Carrier::generate().unwrap();
                let wrapped = from.wrap_dek(&carrier, &here()).await.unwrap();
                assert_eq!(to.unwrap_dek(&wrapped, &here()).await.unwrap().expose(), carrier.expose());
                wrapped
            })
        })
        .collect();
    let mut last = None;
    for task in tasks {
        last = Some(task.await.unwrap());
    }
    let wrapped = last.unwrap();

    first.clone().close().await;
    let error = one.unwrap_dek(&wrapped, &here()).await.unwrap_err();
    assert!(error.is_terminal() && std::error::Error::source(&error).unwrap().to_string().contains("closed"));
    assert!(matches!(first.kek("clinic").await, Err(Pkcs11Error::Closed)));
    assert!(two.unwrap_dek(&wrapped, &here()).await.is_ok(), "the other pool stays logged in");
    second.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_queue_does_not_hold_is_refused_at_once() {
    let Some(token) = Token::own("pkcs11::softhsm::what_the_queue_does_not_hold_is_refused_at_once") else { return };
    let pool = Pkcs11Pool::open(token.config().sessions(1).queue(1)).await.unwrap();
    let kms = pool.create_kek("clinic").await.unwrap();
    let tasks: Vec<_> = (0..200)
        .map(|_| {
            let kms = kms.clone();
            tokio::spawn(async move { kms.status().await })
        })
        .collect();
    let mut kinds = std::collections::BTreeMap::new();
    for task in tasks {
        *kinds.entry(task.await.unwrap().map_or_else(|error| error.kind(), |_| "ok")).or_insert(0) += 1;
    }
    assert!(kinds["ok"] > 0 && kinds["throttled"] > 0 && kinds.len() == 2, "{kinds:?}");
    assert!(kms.status().await.is_ok());
    pool.close().await;
}

/// The bytes that SPEC.md gives, made and read here without the token.
#[tokio::test]
async fn what_is_wrapped_lies_where_the_specification_says() {
    use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

    const KEK: [u8; 32] = [0x4b; 32];
    const CARRIER: [u8; 32] = [0xc0; 32];
    /// RFC 5649 over both, by the Python package `cryptography`.
    const PADDED: &str = "2b5ec51ac6e9b2ec43eee22eb0184135f7a2df4f02e69044f7f5812094d4df9904c36c9f711d79e5";

    let name = "pkcs11::softhsm::what_is_wrapped_lies_where_the_specification_says";
    let Some(token) = Token::own(name) else { return };
    let (pool, session) = (token.pool().await, token.session());
    let place = |label: &str, gcm: bool| {
        let attributes = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Label(label.as_bytes().to_vec()),
            Attribute::Id(vec![1]),
            Attribute::Value(KEK.to_vec()),
            Attribute::Encrypt(gcm),
            Attribute::Decrypt(gcm),
            Attribute::Wrap(!gcm),
            Attribute::Unwrap(!gcm),
        ];
        session.create_object(&attributes).unwrap()
    };
    place("gcm", true);
    place("key wrap", false);
    let (by_gcm, by_wrap) = (pool.kek("gcm").await.unwrap(), pool.kek("key wrap").await.unwrap());
    let wrapped = |kms: &phi_keys::pkcs11::Pkcs11Kms, blob: &[u8]| {
        Wrapped::new(kms.kek_id(), "01", kms.binding(), blob.to_vec()).unwrap()
    };

    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &KEK).unwrap());
    let (iv, digest) = ([0x1f; 12], Aad::from([1; 32]));
    let mut sealed = CARRIER.to_vec();
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(iv), digest, &mut sealed).unwrap();
    let stored = wrapped(&by_gcm, &[&[1][..], &iv, &sealed].concat());
    assert_eq!(by_gcm.unwrap_dek(&stored, &here()).await.unwrap().expose(), &CARRIER);
    let carrier = Carrier::generate().unwrap();
    let blob = by_gcm.wrap_dek(&carrier, &here()).await.unwrap().blob().to_vec();
    let (head, sealed) = blob.split_first_chunk::<13>().unwrap();
    assert_eq!((head[0], sealed.len()), (1, 48));
    let nonce = Nonce::try_assume_unique_for_key(&head[1..]).unwrap();
    assert_eq!(key.open_in_place(nonce, digest, &mut sealed.to_vec()).unwrap(), carrier.expose());

    let padded: Vec<_> = (0..80).step_by(2).map(|at| u8::from_str_radix(&PADDED[at..at + 2], 16).unwrap()).collect();
    let stored = wrapped(&by_wrap, &[&[2], padded.as_slice()].concat());
    let opened = by_wrap.unwrap_dek(&stored, &here()).await.unwrap();
    assert_eq!(opened.expose(), &CARRIER);
    assert_eq!(by_wrap.wrap_dek(&opened, &here()).await.unwrap().blob(), stored.blob());
    pool.close().await;
}

#[tokio::test]
async fn keys_that_another_tool_made_are_used_and_doubles_are_not() {
    let Some(token) = Token::own("pkcs11::softhsm::keys_that_another_tool_made_are_used_and_doubles_are_not") else {
        return;
    };
    let pool = token.pool().await;
    let session = token.session();
    let make = |id: &[u8], encrypt: bool| {
        let attributes = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Label(b"tool".to_vec()),
            Attribute::Id(id.to_vec()),
            Attribute::ValueLen(32.into()),
            Attribute::Encrypt(encrypt),
            Attribute::Decrypt(encrypt),
            Attribute::Wrap(false),
            Attribute::Unwrap(false),
        ];
        session.generate_key(&Mechanism::AesKeyGen, &attributes).unwrap()
    };
    assert!(matches!(pool.kek("tool").await, Err(Pkcs11Error::KeyMissing)));
    let useless = make(&[1], false);
    assert!(matches!(pool.kek("tool").await, Err(Pkcs11Error::Unsupported)));
    session.destroy_object(useless).unwrap();

    make(&[1], true);
    let kms = pool.kek("tool").await.unwrap();
    assert!(matches!(pool.create_kek("tool").await, Err(Pkcs11Error::KeyExists)));
    let wrapped = kms.wrap_dek(&Carrier::generate().unwrap(), &here()).await.unwrap();
    assert_eq!(wrapped.kek_version(), "01");
    let rotated = kms.rotate().await.unwrap();
    assert!(rotated.version.unwrap().starts_with("00000001"));
    assert!(kms.unwrap_dek(&wrapped, &here()).await.is_ok());
    let names: Vec<_> = kms.versions().await.unwrap().versions.into_iter().map(|version| version.name).collect();
    assert_eq!((names.len(), names[0].as_str()), (2, "01"));

    // A version that only decrypts any more, as a tool may leave it, opens what it wrapped.
    let old = session.find_objects(&[Attribute::Label(b"tool".to_vec()), Attribute::Id(vec![1])]).unwrap()[0];
    session.update_attributes(old, &[Attribute::Encrypt(false)]).unwrap();
    assert!(kms.unwrap_dek(&wrapped, &here()).await.is_ok());
    assert!(kms.versions().await.unwrap().versions.iter().all(|version| version.state == KekState::Enabled));
    session.update_attributes(old, &[Attribute::Decrypt(false), Attribute::Encrypt(true)]).unwrap();
    assert_eq!(kms.unwrap_dek(&wrapped, &here()).await.unwrap_err().kind(), "disabled");
    session.update_attributes(old, &[Attribute::Decrypt(true)]).unwrap();

    let double = make(&[0, 1], true);
    assert_eq!(kms.unwrap_dek(&wrapped, &here()).await.unwrap_err().kind(), "misconfigured");
    assert_eq!(kms.wrap_dek(&Carrier::generate().unwrap(), &here()).await.unwrap_err().kind(), "misconfigured");
    session.destroy_object(double).unwrap();
    make(&[1; 9], true);
    assert_eq!(kms.status().await.unwrap_err().kind(), "misconfigured");
    pool.close().await;
}

#[tokio::test]
async fn a_wrong_module_or_label_says_so() {
    let Some(token) = Token::given() else { return };
    let stranger = Token { label: unique("nobody's"), pin: "1234".into() };
    assert!(matches!(stranger.refused(stranger.config()).await, Pkcs11Error::TokenMissing));
    let pin = || secrecy::SecretString::from("1234");
    for path in ["/nonexistent/module.so", "/etc/hostname"] {
        let error = token.refused(phi_keys::pkcs11::Pkcs11Config::new(path, "x", pin())).await;
        assert!(matches!(error, Pkcs11Error::Module(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_module_that_the_caller_loaded_reaches_the_same_keys() {
    let Some(token) = Token::own("pkcs11::softhsm::a_module_that_the_caller_loaded_reaches_the_same_keys") else {
        return;
    };
    let pool = Pkcs11Pool::open(token.config_of_loaded().sessions(2)).await.unwrap();
    let kms = pool.create_kek("clinic").await.unwrap();
    let carrier = Carrier::generate().unwrap();
    let wrapped = kms.wrap_dek(&carrier, &here()).await.unwrap();
    let other = token.pool().await;
    let same = other.kek("clinic").await.unwrap();
    assert_eq!(same.unwrap_dek(&wrapped, &here()).await.unwrap().expose(), carrier.expose());
    other.close().await;
    assert!(kms.unwrap_dek(&wrapped, &here()).await.is_ok());
    pool.close().await;
}

#[tokio::test]
async fn a_module_that_was_only_loaded_is_initialised() {
    // In a process and a folder without tokens, where nobody has initialised it.
    if alone("pkcs11::softhsm::a_module_that_was_only_loaded_is_initialised").is_none() {
        return;
    }
    let module = cryptoki::context::Pkcs11::new(std::env::var("PHI_TEST_PKCS11_MODULE").unwrap()).unwrap();
    assert!(module.get_slots_with_token().is_err(), "not yet");
    let config = phi_keys::pkcs11::Pkcs11Config::loaded(module.clone(), "nobody's", "1234".into());
    assert!(matches!(Pkcs11Pool::open(config).await, Err(Pkcs11Error::TokenMissing)));
    assert!(module.get_slots_with_token().is_ok());
}

#[tokio::test]
async fn an_ed25519_key_signs_within_the_token() {
    let Some(token) = Token::own("pkcs11::softhsm::an_ed25519_key_signs_within_the_token") else { return };
    let pool = token.pool().await;
    assert!(matches!(pool.signer("checkpoints").await, Err(Pkcs11Error::KeyMissing)));
    let signer = pool.create_signer("checkpoints").await.unwrap();
    assert!(matches!(pool.create_signer("checkpoints").await, Err(Pkcs11Error::KeyExists)));
    let same = pool.signer("checkpoints").await.unwrap();
    assert_eq!(signer.public_key(), same.public_key());
    for message in [&b""[..], b"checkpoint", &[7; 4096]] {
        let signature = same.sign(message).await.unwrap();
        let public_key = signer.public_key();
        assert_eq!((public_key.algorithm(), public_key.as_bytes().len()), ("Ed25519", 32));
        UnparsedPublicKey::new(&ED25519, public_key.as_ed25519().unwrap()).verify(message, &signature).unwrap();
    }
    phi_keys::conformance::signer(&same).await.unwrap();
    let other = pool.create_signer("other").await.unwrap();
    assert_ne!(other.public_key(), signer.public_key());

    // The public half of another pair under this label: the first signature shows it.
    let session = token.session();
    let label = |label: &str| vec![Attribute::Class(ObjectClass::PUBLIC_KEY), Attribute::Label(label.into())];
    let public = session.find_objects(&label("checkpoints")).unwrap()[0];
    session.destroy_object(public).unwrap();
    let public = session.find_objects(&label("other")).unwrap()[0];
    session.update_attributes(public, &[Attribute::Label(b"checkpoints".to_vec())]).unwrap();
    let mixed = pool.signer("checkpoints").await.unwrap_err();
    assert!(matches!(mixed, Pkcs11Error::Failed(_)), "{mixed:?}");
    pool.close().await;
    assert!(signer.sign(b"checkpoint").await.is_err());
}

#[tokio::test]
async fn a_p256_key_signs_within_the_token() {
    let Some(token) = Token::own("pkcs11::softhsm::a_p256_key_signs_within_the_token") else { return };
    let pool = token.pool().await;
    let signer = pool.create_p256_signer("approvals").await.unwrap();
    for taken in [pool.create_p256_signer("approvals").await, pool.create_signer("approvals").await] {
        assert!(matches!(taken, Err(Pkcs11Error::KeyExists)), "one label, one key: {taken:?}");
    }
    let same = pool.signer("approvals").await.unwrap();
    assert_eq!(signer.public_key(), same.public_key());
    assert_eq!(signer.public_key().algorithm(), "ECDSA-P256-SHA256");
    assert!(signer.public_key().as_ed25519().is_none());
    phi_keys::conformance::signer(&same).await.unwrap();
    for message in [&b""[..], b"approval", &[7; 4096]] {
        let signature = same.sign(message).await.unwrap();
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, signer.public_key().as_bytes().to_vec());
        key.verify(message, &signature).unwrap();
        signer.public_key().verify(message, &signature).unwrap();
        for bit in 0..signature.len() * 8 {
            let mut bad = signature;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(signer.public_key().verify(message, &bad).is_err(), "bit {bit}");
        }
    }

    // The Ed25519 public key of another pair under this label beside it.
    pool.create_signer("other").await.unwrap();
    let session = token.session();
    let label = vec![Attribute::Class(ObjectClass::PUBLIC_KEY), Attribute::Label(b"other".to_vec())];
    let public = session.find_objects(&label).unwrap()[0];
    session.update_attributes(public, &[Attribute::Label(b"approvals".to_vec())]).unwrap();
    assert!(matches!(pool.signer("approvals").await, Err(Pkcs11Error::KeyAmbiguous)));
    pool.close().await;
}
