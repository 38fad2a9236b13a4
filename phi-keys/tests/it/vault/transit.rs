//! Wrapping, and what is bound.

use kms_sim::{Fault, FaultKind};
use phi_keys::vault::{VaultAuth, VaultError, VaultHealth, VaultKms};
use phi_keys::{Binding, Error, KekState, Keys, Kms, KmsError, MemoryKeyStore, Rewrap, RowKind, Wrapped, conformance};
use std::sync::Arc;

use super::{builder, carrier, fact, here, kms, root, secret, start, there};
use crate::conformance::{keys_under, keys_under_two};

#[tokio::test]
async fn vault_conforms() {
    let vault = start().await;
    conformance::kms(&kms(&vault)).await.unwrap();
    keys_under(Arc::new(kms(&vault))).await;
    let fresh = || async { MemoryKeyStore::new() };
    conformance::rotation(fresh, Arc::new(kms(&vault))).await.unwrap();
    conformance::kek_rotation(fresh, Arc::new(root(&vault))).await.unwrap();
    let elsewhere = builder(&vault).namespace(fact(&vault, "namespace")).build().unwrap();
    keys_under_two(Arc::new(kms(&vault)), Arc::new(elsewhere)).await;
}

#[tokio::test]
async fn no_fault_of_vault_loses_a_key() {
    let vault = start().await;
    conformance::kms_faults(|| async { MemoryKeyStore::new() }, Arc::new(kms(&vault))).await.unwrap();
}

#[tokio::test]
async fn vault_conforms_in_a_namespace() {
    let vault = start().await;
    let kms = builder(&vault).namespace(fact(&vault, "namespace")).build().unwrap();
    conformance::kms(&kms).await.unwrap();
    let elsewhere = super::kms(&vault);
    assert_ne!(kms.kek_id(), elsewhere.kek_id());
    let wrapped = kms.wrap_dek(&carrier(), &here()).await.unwrap();
    assert!(matches!(elsewhere.unwrap_dek(&wrapped, &here()).await, Err(KmsError::OtherKek)));
}

#[tokio::test]
async fn vault_names_the_version_and_rewraps_in_place() {
    let vault = start().await;
    let (kms, admin, carrier) = (kms(&vault), root(&vault), carrier());
    let old = kms.wrap_dek(&carrier, &here()).await.unwrap();
    assert_eq!((old.kek_version(), old.binding()), ("1", Binding::Native));
    assert!(old.blob().starts_with(b"vault:v1:"));

    let _ = phi_keys::KmsAdmin::rotate(&admin).await.unwrap();
    vault.control().reset_calls();
    let Rewrap::ServerSide(new) = kms.rewrap(&old, &here()).await.unwrap() else { panic!("not in the server") };
    assert_eq!(new.kek_version(), "2");
    assert_eq!((vault.control().calls_of("rewrap"), vault.control().calls_of("decrypt")), (1, 0));
    assert_eq!(kms.unwrap_dek(&new, &here()).await.unwrap().expose(), carrier.expose());
    assert!(matches!(kms.rewrap(&old, &there()).await, Err(KmsError::Refused)));
}

#[tokio::test]
async fn what_is_written_outside_must_be_what_is_inside_a_vault_ciphertext() {
    let vault = start().await;
    let kms = kms(&vault);
    let good = kms.wrap_dek(&carrier(), &here()).await.unwrap();
    let blob = good.blob().to_vec();
    vault.control().reset_calls();
    for (version, binding) in [("2", Binding::Native), ("01", Binding::Native), ("1", Binding::Derivation)] {
        let bad = Wrapped::new(kms.kek_id(), version, binding, blob.clone()).unwrap();
        assert!(matches!(kms.unwrap_dek(&bad, &here()).await, Err(KmsError::Refused)), "{version} {binding:?}");
    }
    let bad = Wrapped::new(kms.kek_id(), "1", Binding::Native, blob).unwrap().with_algorithm("aes256-gcm96").unwrap();
    assert!(matches!(kms.unwrap_dek(&bad, &here()).await, Err(KmsError::Refused)));
    assert_eq!(vault.control().calls_of("decrypt"), 0, "nothing of that is sent");
}

#[tokio::test]
async fn a_vault_key_that_binds_no_context_is_refused_before_anything_is_wrapped() {
    let vault = start().await;
    let kms = VaultKms::builder(fact(&vault, "plain_key"))
        .address(vault.url())
        .auth(VaultAuth::token(secret(&vault, "token")))
        .build()
        .unwrap();
    assert!(matches!(kms.wrap_dek(&carrier(), &here()).await, Err(KmsError::Misconfigured(_))));
    assert!(matches!(kms.status().await, Err(KmsError::Misconfigured(_))));
    assert_eq!(vault.control().calls_of("encrypt"), 0);
}

#[tokio::test]
async fn a_vault_key_that_does_not_exist_is_not_created() {
    let vault = start().await;
    let kms = VaultKms::builder("nobody-made-this")
        .address(vault.url())
        .auth(VaultAuth::token(secret(&vault, "root_token")))
        .build()
        .unwrap();
    assert!(matches!(kms.wrap_dek(&carrier(), &here()).await, Err(KmsError::NotFound)));
    assert_eq!(vault.control().calls_of("encrypt"), 0);
    assert_eq!(kms.status().await.unwrap().state, KekState::Destroyed);
}

#[tokio::test]
async fn vault_under_a_mount_that_does_not_exist_is_a_mistake_that_names_the_mend() {
    let vault = start().await;
    let kms =
        builder(&vault).mount("team/transit").auth(VaultAuth::token(secret(&vault, "root_token"))).build().unwrap();
    assert!(matches!(kms.wrap_dek(&carrier(), &here()).await, Err(KmsError::Misconfigured(_))));
    let kms = builder(&vault).namespace("nowhere").build().unwrap();
    assert!(matches!(kms.status().await, Err(KmsError::Misconfigured(_) | KmsError::AccessDenied(_))));
}

#[tokio::test]
async fn vault_that_may_only_wrap_wraps() {
    let vault = start().await;
    let producer = builder(&vault).auth(VaultAuth::token(secret(&vault, "wrap_only_token"))).build().unwrap();
    let carrier = carrier();
    let wrapped = producer.wrap_dek(&carrier, &here()).await.unwrap();
    assert!(matches!(producer.unwrap_dek(&wrapped, &here()).await, Err(KmsError::AccessDenied(_))));
    assert_eq!(kms(&vault).unwrap_dek(&wrapped, &here()).await.unwrap().expose(), carrier.expose());
}

#[tokio::test]
async fn keys_live_in_vault_and_notice_another_keys_plaintext() {
    let vault = start().await;
    let store = Arc::new(MemoryKeyStore::new());
    let patient = crate::support::patient("a");
    let keys = Keys::builder(Arc::clone(&store)).kek(kms(&vault)).build().await.unwrap();
    let (kid, fingerprint) = (keys.data_key(&patient).await.unwrap().kid(), keys.fingerprint());

    let reopen = || Keys::builder(Arc::clone(&store)).kek(kms(&vault)).fingerprint(fingerprint).build();
    assert_eq!(reopen().await.unwrap().data_key(&patient).await.unwrap().kid(), kid);
    vault.control().inject(Fault::new(FaultKind::OtherPlaintext).on("decrypt"));
    assert!(matches!(reopen().await, Err(Error::KeyRejected(RowKind::Domain))));
    vault.control().inject(Fault::new(FaultKind::CorruptBytes).on("decrypt"));
    assert!(matches!(reopen().await, Err(Error::KeyRejected(RowKind::Domain))));
    assert_eq!(reopen().await.unwrap().data_key(&patient).await.unwrap().kid(), kid);
}

#[tokio::test]
async fn what_vault_spoils_while_wrapping_is_never_written() {
    let vault = start().await;
    for kind in [FaultKind::CorruptBytes, FaultKind::OtherVersion, FaultKind::Garbage, FaultKind::LostAnswer] {
        let store = Arc::new(MemoryKeyStore::new());
        vault.control().inject(Fault::new(kind).on("encrypt"));
        let failed = Keys::builder(Arc::clone(&store)).kek(kms(&vault)).build().await;
        assert!(matches!(failed, Err(Error::Kms(_))), "{kind:?}: {failed:?}");
        let keys = Keys::builder(Arc::clone(&store)).kek(kms(&vault)).build().await.unwrap();
        keys.data_key(&crate::support::patient("a")).await.unwrap();
    }
}

#[tokio::test]
async fn vault_says_how_it_is() {
    let vault = start().await;
    let kms = kms(&vault);
    let control = vault.control();
    assert_eq!(kms.health().await.unwrap(), VaultHealth::Active);
    control.switch("standby", true).unwrap();
    assert_eq!(kms.health().await.unwrap(), VaultHealth::Standby);
    assert!(kms.health().await.unwrap().is_serving());
    control.switch("sealed", true).unwrap();
    assert_eq!(kms.health().await.unwrap(), VaultHealth::Sealed);
    control.switch("uninitialized", true).unwrap();
    assert_eq!(kms.health().await.unwrap(), VaultHealth::Uninitialized);
    assert!(!kms.health().await.unwrap().is_serving());
    control.inject(Fault::new(FaultKind::Throttle { retry_after: Some(3) }).on("health"));
    assert!(matches!(kms.health().await, Err(KmsError::Throttled { .. })));
}

#[tokio::test]
async fn what_cannot_work_is_refused_before_vault_is_asked() {
    let vault = start().await;
    let token = || VaultAuth::token(secret(&vault, "token"));
    let good = || builder(&vault);
    let wrong = [
        ("key", VaultKms::builder("../sys/seal").address(vault.url()).auth(token()).build()),
        ("mount", good().mount("/transit").build()),
        ("namespace", good().namespace("a\nb").build()),
        ("address", good().address("vault.example").build()),
        ("address with a path", good().address("https://vault.example/v1").build()),
        ("address with a password", good().address("https://u:p@vault.example").build()),
        ("scheme", good().address("unix:///run/vault").build()),
        ("token", good().auth(VaultAuth::token("hvs.x\n".to_owned().into())).build()),
        ("empty token", good().auth(VaultAuth::token(String::new().into())).build()),
        ("login mount", good().auth(super::app_role(&vault).at_mount("../x")).build()),
        ("no login", VaultKms::builder("phi").address(vault.url()).build()),
        ("timeout", good().timeout(core::time::Duration::ZERO).build()),
        ("id", good().kek_id("").build()),
    ];
    for (what, built) in wrong {
        assert!(matches!(built, Err(VaultError::Config(_))), "{what}: {built:?}");
    }
    let no_file = good().address("https://127.0.0.1:1").ca_file("/nonexistent.pem").build();
    assert!(matches!(no_file, Err(VaultError::Client)), "{no_file:?}");
    assert!(good().address("https://[::1]:8200/").kek_id("vault:clinic").build().unwrap().kek_id() == "vault:clinic");
}
