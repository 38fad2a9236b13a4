//! Blobs that cross between this adapter and `hvac`, Vault's Python client, where `PHI_TEST_PYTHON` names a Python with it.

use base64ct::{Base64, Encoding};
use kms_sim::Simulator;
use phi_keys::{Binding, Kms, Wrapped};
use serde_json::{Value, json};
use tokio::process::Command;

use super::{carrier, fact, here, kms, start};

/// What the simulator's script for the SDK answers; `None` without a Python to run it.
async fn hvac(vault: &Simulator, action: &str, request: &Value) -> Option<Value> {
    let python = std::env::var_os("PHI_TEST_PYTHON").filter(|python| !python.is_empty())?;
    let output = Command::new(python)
        .arg("-B")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/sim/tests/sdk/vault.py"))
        .args([vault.facts().to_string().as_str(), action, &request.to_string()])
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn vault_blobs_cross_between_hvac_and_this_adapter() {
    let vault = start().await;
    let (kms, carrier, key) = (kms(&vault), carrier(), fact(&vault, "key"));
    let (plaintext, context) = (Base64::encode_string(carrier.expose()), Base64::encode_string(here().digest()));
    let Some(made) = hvac(&vault, "wrap", &json!({ "key": key, "plaintext": plaintext, "context": context })).await
    else {
        return;
    };
    let ciphertext = made["ciphertext"].as_str().unwrap();
    let theirs = Wrapped::new(kms.kek_id(), "1", Binding::Native, ciphertext.as_bytes().to_vec()).unwrap();
    assert_eq!(kms.unwrap_dek(&theirs, &here()).await.unwrap().expose(), carrier.expose());

    let ours = kms.wrap_dek(&carrier, &here()).await.unwrap();
    let ciphertext = core::str::from_utf8(ours.blob()).unwrap();
    let request = json!({ "key": key, "ciphertext": ciphertext, "context": context });
    assert_eq!(hvac(&vault, "unwrap", &request).await.unwrap()["plaintext"], plaintext);
}
