//! Wrapping, what is bound, and whole stores.

use std::sync::Arc;

use kms_sim::{Fault, FaultKind};
use phi_keys::azure::{AzureAlgorithm, AzureKms};
use phi_keys::{
    Binding, Error, KekState, Keys, Kms, KmsAdmin, KmsError, MemoryKeyStore, RowKind, Wrapped, conformance,
};

use super::{carrier, client, fact, here, kms, start, start_hsm, symmetric, there};
use crate::conformance::{keys_under, keys_under_two};
use crate::support::patient;

#[tokio::test]
async fn azure_conforms_with_an_rsa_key() {
    conformance::kms(&kms(&start().await)).await.unwrap();
    conformance::kms(&kms(&start_hsm().await)).await.unwrap();
}

#[tokio::test]
async fn azure_conforms_with_a_symmetric_key() {
    let hsm = start_hsm().await;
    for algorithm in [AzureAlgorithm::A256Gcm, AzureAlgorithm::A256Kw] {
        conformance::kms(&symmetric(&hsm, algorithm)).await.unwrap();
        keys_under(Arc::new(symmetric(&hsm, algorithm))).await;
    }
    let gcm = Arc::new(symmetric(&hsm, AzureAlgorithm::A256Gcm));
    conformance::kek_rotation(|| async { MemoryKeyStore::new() }, Arc::clone(&gcm) as _).await.unwrap();
    // One that binds contexts, and one of another vault that does not.
    let azure = start().await;
    keys_under_two(gcm, Arc::new(kms(&azure))).await;
}

#[tokio::test]
async fn no_fault_of_azure_loses_a_key() {
    let hsm = start_hsm().await;
    let kek = Arc::new(symmetric(&hsm, AzureAlgorithm::A256Kw));
    conformance::kms_faults(|| async { MemoryKeyStore::new() }, kek).await.unwrap();
}

#[tokio::test]
async fn what_is_wrapped_by_azure_names_version_algorithm_and_binding() {
    let (azure, hsm) = (start().await, start_hsm().await);
    let table = [
        (kms(&azure), "RSA-OAEP-256", Binding::Derivation, 256, "phi-kek"),
        (symmetric(&hsm, AzureAlgorithm::A256Gcm), "A256GCM", Binding::Native, 60, "phi-oct"),
        (symmetric(&hsm, AzureAlgorithm::A256Kw), "A256KW", Binding::Derivation, 40, "phi-oct"),
    ];
    for (kms, algorithm, binding, length, key) in table {
        let carrier = carrier();
        let wrapped = kms.wrap_dek(&carrier, &here()).await.unwrap();
        let url = if key == "phi-kek" { azure.url() } else { hsm.url() };
        assert_eq!(wrapped.kek_id(), format!("azure-kv:{url}/keys/{key}"));
        assert_eq!((wrapped.algorithm(), wrapped.binding(), wrapped.blob().len()), (algorithm, binding, length));
        assert_eq!(Some(wrapped.kek_version()), kms.status().await.unwrap().version.as_deref());
        assert_eq!(kms.unwrap_dek(&wrapped, &here()).await.unwrap().expose(), carrier.expose());
        let moved = kms.unwrap_dek(&wrapped, &there()).await;
        assert_eq!(matches!(moved, Err(KmsError::Refused)), binding == Binding::Native, "{algorithm}");
    }
}

#[tokio::test]
async fn what_was_wrapped_in_another_way_still_unwraps_and_a_rewrap_keeps_the_way() {
    let hsm = start_hsm().await;
    let carrier = carrier();
    let old = symmetric(&hsm, AzureAlgorithm::A256Kw);
    let wrapped = old.wrap_dek(&carrier, &here()).await.unwrap();
    let _ = old.rotate().await.unwrap();
    let new = symmetric(&hsm, AzureAlgorithm::A256Gcm);
    assert_eq!(new.unwrap_dek(&wrapped, &here()).await.unwrap().expose(), carrier.expose());
    let moved = new.rewrap(&wrapped, &here()).await.unwrap().into_wrapped();
    assert_eq!((moved.algorithm(), moved.binding()), ("A256KW", Binding::Derivation));
    assert_ne!(moved.kek_version(), wrapped.kek_version());
}

#[tokio::test]
async fn what_cannot_be_of_azure_is_not_sent() {
    let azure = start().await;
    let kms = kms(&azure);
    let good = kms.wrap_dek(&carrier(), &here()).await.unwrap();
    azure.control().reset_calls();
    let with = |id: &str, version: &str, binding, length: usize, algorithm: &str| {
        Wrapped::new(id, version, binding, vec![7; length]).unwrap().with_algorithm(algorithm).unwrap()
    };
    let (id, version, oaep) = (kms.kek_id(), good.kek_version(), "RSA-OAEP-256");
    let table = [
        (with("azure-kv:another", version, Binding::Derivation, 256, oaep), "other_kek"),
        (with(id, version, Binding::Native, 256, oaep), "refused"),
        (with(id, version, Binding::Derivation, 256, ""), "refused"),
        (with(id, version, Binding::Derivation, 256, "RSA1_5"), "refused"),
        (with(id, version, Binding::Derivation, 256, "A256KW"), "refused"),
        (with(id, version, Binding::Derivation, 60, "A256GCM"), "refused"),
        (with(id, version, Binding::Derivation, 255, oaep), "refused"),
        (with(id, version, Binding::Derivation, 0, oaep), "refused"),
        (with(id, "", Binding::Derivation, 256, oaep), "unknown_version"),
        (with(id, "../unwrapkey", Binding::Derivation, 256, oaep), "unknown_version"),
        (with(id, &"a".repeat(65), Binding::Derivation, 256, oaep), "unknown_version"),
    ];
    for (wrapped, kind) in table {
        assert_eq!(kms.unwrap_dek(&wrapped, &here()).await.unwrap_err().kind(), kind, "{wrapped:?}");
        assert_eq!(kms.rewrap(&wrapped, &here()).await.unwrap_err().kind(), kind, "{wrapped:?}");
    }
    assert!(azure.control().calls().is_empty());
    let nowhere = with(id, &"0".repeat(32), Binding::Derivation, 256, oaep);
    assert_eq!(kms.unwrap_dek(&nowhere, &here()).await.unwrap_err().kind(), "unknown_version");
}

#[tokio::test]
async fn a_version_of_an_azure_key_that_was_relabelled_is_refused() {
    let hsm = start_hsm().await;
    let all = [kms(&hsm), symmetric(&hsm, AzureAlgorithm::A256Gcm), symmetric(&hsm, AzureAlgorithm::A256Kw)];
    for kms in all {
        let wrapped = kms.wrap_dek(&carrier(), &here()).await.unwrap();
        let next = kms.rotate().await.unwrap().version.unwrap();
        let moved = Wrapped::new(kms.kek_id(), next, wrapped.binding(), wrapped.blob().to_vec()).unwrap();
        let moved = moved.with_algorithm(wrapped.algorithm()).unwrap();
        assert!(matches!(kms.unwrap_dek(&moved, &here()).await, Err(KmsError::Refused)), "{kms:?}");
    }
}

#[tokio::test]
async fn an_azure_key_of_the_wrong_type_names_the_mend() {
    let hsm = start_hsm().await;
    let wrong = [
        kms(&hsm).with_algorithm(AzureAlgorithm::A256Gcm),
        kms(&hsm).with_algorithm(AzureAlgorithm::A256Kw),
        symmetric(&hsm, AzureAlgorithm::RsaOaep256),
    ];
    for kms in wrong {
        assert!(matches!(kms.wrap_dek(&carrier(), &here()).await, Err(KmsError::Misconfigured(_))), "{kms:?}");
        assert!(matches!(kms.status().await, Err(KmsError::Misconfigured(_))), "{kms:?}");
    }
}

#[tokio::test]
async fn an_azure_key_that_is_not_there_or_not_named_says_so() {
    let azure = start().await;
    let nobody = AzureKms::new(client(&azure), "nobody").unwrap();
    assert!(matches!(nobody.status().await, Err(KmsError::NotFound)));
    assert!(matches!(nobody.wrap_dek(&carrier(), &here()).await, Err(KmsError::NotFound)));
    for name in ["", "phi/kek", "phi_kek", "../secrets/x"] {
        assert!(matches!(AzureKms::new(client(&azure), name), Err(KmsError::Misconfigured(_))), "{name}");
    }
    for identifier in ["phi-kek", "http://clinic.vault.azure.net/keys/kek", "arn:aws:kms:us-east-1:111122223333:key/x"]
    {
        assert!(matches!(AzureKms::from_env(identifier), Err(KmsError::Misconfigured(_))), "{identifier}");
    }
}

#[tokio::test]
async fn an_azure_key_outside_its_dates_unwraps_and_wraps_no_more() {
    use azure_security_keyvault_keys::models::{KeyAttributes, UpdateKeyPropertiesParameters};

    let azure = start().await;
    let kms = kms(&azure);
    let wrapped = kms.wrap_dek(&carrier(), &here()).await.unwrap();
    let (mut attributes, mut sent) = (KeyAttributes::default(), UpdateKeyPropertiesParameters::default());
    attributes.expires = Some(azure_core::time::OffsetDateTime::from_unix_timestamp(1_000_000_000).unwrap());
    sent.key_attributes = Some(attributes);
    client(&azure).update_key_properties("phi-kek", sent.try_into().unwrap(), None).await.unwrap();
    assert!(matches!(kms.wrap_dek(&carrier(), &here()).await, Err(KmsError::Misconfigured(_))));
    kms.unwrap_dek(&wrapped, &here()).await.unwrap();
}

#[tokio::test]
async fn keys_live_in_azure_and_notice_another_keys_plaintext() {
    let hsm = start_hsm().await;
    for (algorithm, operation) in [(AzureAlgorithm::A256Kw, "unwrap_key"), (AzureAlgorithm::A256Gcm, "decrypt")] {
        // One client, because the first call of each is challenged instead of spoiled.
        let client = symmetric(&hsm, algorithm);
        let kms = || client.clone();
        let store = Arc::new(MemoryKeyStore::new());
        let keys = Keys::builder(Arc::clone(&store)).kek(kms()).build().await.unwrap();
        let (kid, fingerprint) = (keys.data_key(&patient("a")).await.unwrap().kid(), keys.fingerprint());
        let reopen = || Keys::builder(Arc::clone(&store)).kek(kms()).fingerprint(fingerprint).build();
        assert_eq!(reopen().await.unwrap().data_key(&patient("a")).await.unwrap().kid(), kid);
        for kind in [FaultKind::OtherPlaintext, FaultKind::CorruptBytes] {
            hsm.control().inject(Fault::new(kind).on(operation));
            assert!(matches!(reopen().await, Err(Error::KeyRejected(RowKind::Domain))), "{kind:?}");
        }
        hsm.control().inject(Fault::new(FaultKind::OtherVersion).on(operation));
        assert!(matches!(reopen().await, Err(Error::Kms(KmsError::Corrupt))), "by another version than was asked");
        assert_eq!(reopen().await.unwrap().data_key(&patient("a")).await.unwrap().kid(), kid);
    }
}

#[tokio::test]
async fn what_azure_spoils_while_wrapping_is_never_written() {
    let azure = start().await;
    let spoiled = [FaultKind::CorruptBytes, FaultKind::OtherVersion, FaultKind::Garbage, FaultKind::LostAnswer];
    for kind in spoiled {
        let (store, kms) = (Arc::new(MemoryKeyStore::new()), kms(&azure));
        // The first call of a client is the one that is challenged.
        assert_eq!(kms.status().await.unwrap().state, KekState::Enabled);
        azure.control().inject(Fault::new(kind).on("wrap_key"));
        let failed = Keys::builder(Arc::clone(&store)).kek(kms.clone()).build().await;
        assert!(matches!(failed, Err(Error::Kms(_))), "{kind:?}: {failed:?}");
        let keys = Keys::builder(Arc::clone(&store)).kek(kms).build().await.unwrap();
        keys.data_key(&patient("a")).await.unwrap();
    }
    assert!(fact(&azure, "key") == "phi-kek");
}
