//! Blobs that cross between this adapter and `hvac`, Vault's Python client, where `PHI_TEST_PYTHON` names a Python with it.

use base64ct::{Base64, Encoding};
use phi_keys::{Binding, Kms, Wrapped};
use serde_json::json;

use super::{carrier, fact, here, kms, start};
use crate::simulated::python;

#[tokio::test(flavor = "multi_thread")]
async fn vault_blobs_cross_between_hvac_and_this_adapter() {
    let vault = start().await;
    let (kms, carrier, key) = (kms(&vault), carrier(), fact(&vault, "key"));
    let (plaintext, context) = (Base64::encode_string(carrier.expose()), Base64::encode_string(here().digest()));
    let request = json!({ "key": key, "plaintext": plaintext, "context": context });
    let Some(made) = python(&vault, "vault.py", "wrap", &request).await else { return };
    let ciphertext = made["ciphertext"].as_str().unwrap();
    let theirs = Wrapped::new(kms.kek_id(), "1", Binding::Native, ciphertext.as_bytes().to_vec()).unwrap();
    assert_eq!(kms.unwrap_dek(&theirs, &here()).await.unwrap().expose(), carrier.expose());

    let ours = kms.wrap_dek(&carrier, &here()).await.unwrap();
    let ciphertext = core::str::from_utf8(ours.blob()).unwrap();
    let request = json!({ "key": key, "ciphertext": ciphertext, "context": context });
    assert_eq!(python(&vault, "vault.py", "unwrap", &request).await.unwrap()["plaintext"], plaintext);
}
