//! Wrapping, what is bound, and whole stores.

use std::sync::Arc;

use kms_sim::{Fault, FaultKind};
use phi_keys::gcp::GcpKms;
use phi_keys::{Binding, Error, Keys, Kms, KmsError, MemoryKeyStore, RowKind, Wrapped, conformance};

use super::{carrier, client, fact, here, kms, kms_of, start, there};
use crate::conformance::{keys_under, keys_under_two};
use crate::support::patient;

#[tokio::test]
async fn gcp_conforms() {
    let gcp = start().await;
    for key in ["key", "hsm_key"] {
        conformance::kms(&kms_of(&gcp, fact(&gcp, key)).await).await.unwrap();
    }
    let key = Arc::new(kms_of(&gcp, fact(&gcp, "key")).await);
    let hsm_key = Arc::new(kms_of(&gcp, fact(&gcp, "hsm_key")).await);
    keys_under(Arc::clone(&key) as _).await;
    conformance::kek_rotation(|| async { MemoryKeyStore::new() }, Arc::clone(&key) as _).await.unwrap();
    keys_under_two(key, hsm_key).await;
}

#[tokio::test]
async fn no_fault_of_gcp_loses_a_key() {
    let gcp = start().await;
    conformance::kms_faults(|| async { MemoryKeyStore::new() }, Arc::new(kms(&gcp).await)).await.unwrap();
}

#[tokio::test]
async fn what_is_wrapped_by_gcp_names_its_version_and_is_bound() {
    let gcp = start().await;
    let (kms, carrier) = (kms(&gcp).await, carrier());
    let wrapped = kms.wrap_dek(&carrier, &here()).await.unwrap();
    assert_eq!(wrapped.kek_id(), format!("gcp-kms:{}", fact(&gcp, "key")));
    assert_eq!((wrapped.kek_version(), wrapped.binding(), wrapped.algorithm()), ("1", Binding::Native, ""));
    assert_eq!(kms.unwrap_dek(&wrapped, &here()).await.unwrap().expose(), carrier.expose());
    assert!(matches!(kms.unwrap_dek(&wrapped, &there()).await, Err(KmsError::Refused)));
}

#[tokio::test]
async fn what_cannot_be_of_gcp_is_not_sent() {
    let gcp = start().await;
    let kms = kms(&gcp).await;
    let good = kms.wrap_dek(&carrier(), &here()).await.unwrap();
    gcp.control().reset_calls();
    let with =
        |id: &str, version: &str, binding, blob: &[u8]| Wrapped::new(id, version, binding, blob.to_vec()).unwrap();
    let (id, blob) = (kms.kek_id(), good.blob());
    let table = [
        (with("gcp-kms:another", "1", Binding::Native, blob), "other_kek"),
        (with(id, "1", Binding::Derivation, blob), "refused"),
        (with(id, "1", Binding::Native, &[]), "refused"),
        (with(id, "1", Binding::Native, blob).with_algorithm("AES").unwrap(), "refused"),
        (with(id, "", Binding::Native, blob), "unknown_version"),
        (with(id, "01", Binding::Native, blob), "unknown_version"),
        (with(id, "1/../2", Binding::Native, blob), "unknown_version"),
    ];
    for (wrapped, kind) in table {
        assert_eq!(kms.unwrap_dek(&wrapped, &here()).await.unwrap_err().kind(), kind, "{wrapped:?}");
        assert_eq!(kms.rewrap(&wrapped, &here()).await.unwrap_err().kind(), kind, "{wrapped:?}");
    }
    assert!(gcp.control().calls().is_empty());
}

#[tokio::test]
async fn a_carrier_of_another_gcp_key_or_one_that_is_none_is_refused() {
    let gcp = start().await;
    let (kms, other) = (kms(&gcp).await, kms_of(&gcp, fact(&gcp, "other_key")).await);
    let wrapped = kms.wrap_dek(&carrier(), &here()).await.unwrap();
    assert!(matches!(other.unwrap_dek(&wrapped, &here()).await, Err(KmsError::OtherKek)));
    let renamed = Wrapped::new(other.kek_id(), "1", Binding::Native, wrapped.blob().to_vec()).unwrap();
    assert!(matches!(other.unwrap_dek(&renamed, &here()).await, Err(KmsError::Refused)));

    let call = client(gcp.url()).await.encrypt().set_name(kms.key()).set_plaintext(vec![7; 31]);
    let short = call.set_additional_authenticated_data(here().digest().to_vec()).send().await.unwrap();
    let short = Wrapped::new(kms.kek_id(), "1", Binding::Native, short.ciphertext.to_vec()).unwrap();
    assert!(matches!(kms.unwrap_dek(&short, &here()).await, Err(KmsError::Refused)));
}

#[tokio::test]
async fn a_gcp_key_that_is_not_there_or_not_named_in_full_says_so() {
    let gcp = start().await;
    let client = client(gcp.url()).await;
    let elsewhere = fact(&gcp, "key").replace("us-east1", "europe-west3");
    let project = fact(&gcp, "key").replace("phi-sim", "another");
    let nobody = fact(&gcp, "key").replace("phi-kek", "nobody");
    for name in [elsewhere, project, nobody] {
        let kms = GcpKms::new(client.clone(), &name).unwrap();
        assert!(matches!(kms.status().await, Err(KmsError::NotFound)), "{name}");
        assert!(matches!(kms.wrap_dek(&carrier(), &here()).await, Err(KmsError::NotFound)), "{name}");
    }
    for name in ["phi-kek", "projects/phi-sim", "arn:aws:kms:us-east-1:111122223333:key/x"] {
        assert!(matches!(GcpKms::new(client.clone(), name), Err(KmsError::Misconfigured(_))), "{name}");
        assert!(matches!(GcpKms::from_env(name).await, Err(KmsError::Misconfigured(_))), "{name}");
    }
}

#[tokio::test]
async fn keys_live_in_gcp_and_notice_another_keys_plaintext() {
    let gcp = start().await;
    let store = Arc::new(MemoryKeyStore::new());
    let keys = Keys::builder(Arc::clone(&store)).kek(kms(&gcp).await).build().await.unwrap();
    let (kid, fingerprint) = (keys.data_key(&patient("a")).await.unwrap().kid(), keys.fingerprint());

    let reopen = async || Keys::builder(Arc::clone(&store)).kek(kms(&gcp).await).fingerprint(fingerprint).build().await;
    assert_eq!(reopen().await.unwrap().data_key(&patient("a")).await.unwrap().kid(), kid);
    gcp.control().inject(Fault::new(FaultKind::OtherPlaintext).on("decrypt"));
    assert!(matches!(reopen().await, Err(Error::KeyRejected(RowKind::Domain))));
    gcp.control().inject(Fault::new(FaultKind::CorruptBytes).on("decrypt"));
    assert!(matches!(reopen().await, Err(Error::Kms(KmsError::Corrupt))), "the checksum tells");
    assert_eq!(reopen().await.unwrap().data_key(&patient("a")).await.unwrap().kid(), kid);
}

#[tokio::test]
async fn what_gcp_spoils_while_wrapping_is_never_written() {
    let gcp = start().await;
    let spoiled = [
        FaultKind::CorruptBytes,
        FaultKind::CorruptCrc,
        FaultKind::Unverified,
        FaultKind::Garbage,
        FaultKind::LostAnswer,
    ];
    for kind in spoiled {
        let store = Arc::new(MemoryKeyStore::new());
        gcp.control().inject(Fault::new(kind).on("encrypt"));
        let failed = Keys::builder(Arc::clone(&store)).kek(kms(&gcp).await).build().await;
        assert!(matches!(failed, Err(Error::Kms(_))), "{kind:?}: {failed:?}");
        let keys = Keys::builder(Arc::clone(&store)).kek(kms(&gcp).await).build().await.unwrap();
        keys.data_key(&patient("a")).await.unwrap();
    }
}
