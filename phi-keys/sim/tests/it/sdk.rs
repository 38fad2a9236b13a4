//! The vendors' own Python SDKs against the simulators.
//!
//! Runs when `PHI_TEST_PYTHON` names a Python that has `hvac`, `google-cloud-kms`, `azure-keyvault-keys` and
//! `azure-identity`.

use std::process::Stdio;

use kms_sim::{Service, Simulator};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::client::{Client, b64, b64url, start};

/// What the script printed; `None` without a Python to run it.
async fn run(simulator: &Simulator, script: &str, arguments: &[&str]) -> Option<String> {
    let python = crate::component::given("sdk", "PHI_TEST_PYTHON")?;
    let output = Command::new(python)
        .arg("-B")
        .arg(format!("{}/tests/sdk/{script}", env!("CARGO_MANIFEST_DIR")))
        .arg(simulator.facts().to_string())
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script}: {out}\n{err}");
    Some(out.trim().to_owned())
}

async fn check(service: Service, script: &str) {
    let simulator = start(service).await;
    if let Some(printed) = run(&simulator, script, &["check"]).await {
        assert_eq!(printed, "ok");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hvac_drives_vault() {
    check(Service::Vault, "vault.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn google_cloud_kms_drives_gcp() {
    check(Service::Gcp, "gcp.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_keyvault_keys_drives_the_vault() {
    check(Service::Azure, "azure_keys.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_keyvault_keys_drives_the_hsm() {
    check(Service::AzureHsm, "azure_keys.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vault_blobs_cross_between_the_sdk_and_the_wire() {
    let vault = start(Service::Vault).await;
    let client = Client::new(&vault).with("x-vault-token", vault.fact("token").unwrap());
    let (dek, context) = (b64(&[7; 32]), b64(b"tenant"));
    let request = json!({ "key": "phi-derived", "plaintext": dek, "context": context });
    let Some(made) = run(&vault, "vault.py", &["wrap", &request.to_string()]).await else { return };
    let made: Value = serde_json::from_str(&made).unwrap();
    let opened = client
        .post("/v1/transit/decrypt/phi-derived", json!({ "ciphertext": made["ciphertext"], "context": context }))
        .await;
    assert_eq!(opened.json()["data"]["plaintext"], dek);

    let made = client.post("/v1/transit/encrypt/phi-derived", json!({ "plaintext": dek, "context": context })).await;
    let request = json!({ "key": "phi-derived", "ciphertext": made.json()["data"]["ciphertext"], "context": context });
    let opened = run(&vault, "vault.py", &["unwrap", &request.to_string()]).await.unwrap();
    assert_eq!(serde_json::from_str::<Value>(&opened).unwrap()["plaintext"], dek);
}

#[tokio::test(flavor = "multi_thread")]
async fn gcp_blobs_cross_between_the_sdk_and_the_wire() {
    let gcp = start(Service::Gcp).await;
    let client = Client::new(&gcp);
    let key = gcp.fact("key").unwrap();
    let (dek, aad) = (b64(&[7; 32]), b64(b"tenant"));
    let request = json!({ "key": key, "plaintext": dek, "aad": aad });
    let Some(made) = run(&gcp, "gcp.py", &["wrap", &request.to_string()]).await else { return };
    let made: Value = serde_json::from_str(&made).unwrap();
    let body = json!({ "ciphertext": made["ciphertext"], "additionalAuthenticatedData": aad });
    assert_eq!(client.post(&format!("/v1/{key}:decrypt"), body).await.json()["plaintext"], dek);

    let body = json!({ "plaintext": dek, "additionalAuthenticatedData": aad });
    let made = client.post(&format!("/v1/{key}:encrypt"), body).await.json();
    let request = json!({ "key": key, "ciphertext": made["ciphertext"], "aad": aad });
    let opened = run(&gcp, "gcp.py", &["unwrap", &request.to_string()]).await.unwrap();
    assert_eq!(serde_json::from_str::<Value>(&opened).unwrap()["plaintext"], dek);
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_blobs_cross_between_the_sdk_and_the_wire() {
    let hsm = start(Service::AzureHsm).await;
    let client = Client::new(&hsm).with("authorization", &format!("Bearer {}", hsm.fact("token").unwrap()));
    for (key, algorithm) in [("phi-kek", "RSA-OAEP-256"), ("phi-oct", "A256KW")] {
        let bundle = client.get(&format!("/keys/{key}?api-version=7.6")).await.json();
        let kid = bundle["key"]["kid"].as_str().unwrap();
        let path = kid.strip_prefix(hsm.url()).unwrap();
        let request = json!({ "key_id": kid, "algorithm": algorithm, "plaintext": b64(&[7; 32]) });
        let Some(made) = run(&hsm, "azure_keys.py", &["wrap", &request.to_string()]).await else { return };
        let made: Value = serde_json::from_str(&made).unwrap();
        let url_safe = made["ciphertext"].as_str().unwrap().replace('+', "-").replace('/', "_").replace('=', "");
        let body = json!({ "alg": algorithm, "value": url_safe });
        let opened = client.post(&format!("{path}/unwrapkey?api-version=7.6"), body).await.json();
        assert_eq!(opened["value"], b64url(&[7; 32]), "{algorithm}");
    }
}
