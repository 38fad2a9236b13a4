//! Blobs that cross between this adapter and `google-cloud-kms`, Google's Python client, where `PHI_TEST_PYTHON` names a Python with
//! it.

use base64ct::{Base64, Encoding};
use phi_keys::{Binding, Kms, Wrapped};
use serde_json::json;

use super::{carrier, fact, here, kms, start};
use crate::simulated::python;

#[tokio::test(flavor = "multi_thread")]
async fn gcp_blobs_cross_between_googles_client_and_this_adapter() {
    let gcp = start().await;
    let (kms, carrier, key) = (kms(&gcp).await, carrier(), fact(&gcp, "key"));
    let (plaintext, aad) = (Base64::encode_string(carrier.expose()), Base64::encode_string(here().digest()));
    let request = json!({ "key": key, "plaintext": plaintext, "aad": aad });
    let Some(made) = python(&gcp, "gcp.py", "wrap", &request).await else { return };
    let ciphertext = Base64::decode_vec(made["ciphertext"].as_str().unwrap()).unwrap();
    let theirs = Wrapped::new(kms.kek_id(), "1", Binding::Native, ciphertext).unwrap();
    assert_eq!(kms.unwrap_dek(&theirs, &here()).await.unwrap().expose(), carrier.expose());

    let ours = kms.wrap_dek(&carrier, &here()).await.unwrap();
    let request = json!({ "key": key, "ciphertext": Base64::encode_string(ours.blob()), "aad": aad });
    assert_eq!(python(&gcp, "gcp.py", "unwrap", &request).await.unwrap()["plaintext"], plaintext);
}
