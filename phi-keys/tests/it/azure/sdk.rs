//! Blobs that cross between this adapter and `azure-keyvault-keys`, Microsoft's Python client, where `PHI_TEST_PYTHON` names a Python
//! with it.

use base64ct::{Base64, Encoding};
use phi_keys::azure::AzureAlgorithm;
use phi_keys::{Kms, Wrapped};
use serde_json::json;

use super::{carrier, here, kms, start_hsm, symmetric};
use crate::simulated::python;

#[tokio::test(flavor = "multi_thread")]
async fn azure_blobs_cross_between_microsofts_client_and_this_adapter() {
    let hsm = start_hsm().await;
    let all = [kms(&hsm), symmetric(&hsm, AzureAlgorithm::A256Kw), symmetric(&hsm, AzureAlgorithm::A256Gcm)];
    for kms in all {
        let carrier = carrier();
        let ours = kms.wrap_dek(&carrier, &here()).await.unwrap();
        let identifier = format!("{}/{}", kms.kek_id().strip_prefix("azure-kv:").unwrap(), ours.kek_version());
        let (plaintext, aad) = (Base64::encode_string(carrier.expose()), Base64::encode_string(here().digest()));
        let algorithm = ours.algorithm();
        let request = json!({ "key_id": identifier, "algorithm": algorithm, "plaintext": plaintext, "aad": aad });
        let Some(made) = python(&hsm, "azure_keys.py", "wrap", &request).await else { return };
        let bytes = |name: &str| made[name].as_str().map_or_else(Vec::new, |text| Base64::decode_vec(text).unwrap());
        let blob = [bytes("iv"), bytes("ciphertext"), bytes("tag")].concat();
        let theirs = Wrapped::new(kms.kek_id(), ours.kek_version(), ours.binding(), blob).unwrap();
        let theirs = theirs.with_algorithm(algorithm).unwrap();
        assert_eq!(kms.unwrap_dek(&theirs, &here()).await.unwrap().expose(), carrier.expose(), "{algorithm}");

        let blob = ours.blob();
        let request = if algorithm == "A256GCM" {
            let [iv, ciphertext, tag] = [&blob[..12], &blob[12..44], &blob[44..]].map(Base64::encode_string);
            json!({ "key_id": identifier, "algorithm": algorithm, "ciphertext": ciphertext, "iv": iv, "tag": tag, "aad": aad })
        } else {
            json!({ "key_id": identifier, "algorithm": algorithm, "ciphertext": Base64::encode_string(blob) })
        };
        let opened = python(&hsm, "azure_keys.py", "unwrap", &request).await.unwrap();
        assert_eq!(opened["plaintext"], plaintext, "{algorithm}");
    }
}
