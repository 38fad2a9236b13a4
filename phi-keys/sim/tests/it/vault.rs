//! Vault Transit on the wire.

use base64ct::{Base64, Encoding};
use kms_sim::{Fault, FaultKind, Service, Simulator};
use serde_json::{Value, json};

use crate::client::{Answer, Client, b64, start};

async fn vault() -> (Simulator, Client) {
    let vault = start(Service::Vault).await;
    let client = Client::new(&vault).with("x-vault-token", vault.fact("root_token").unwrap());
    (vault, client)
}

async fn encrypt(client: &Client, key: &str, body: Value) -> Answer {
    client.post(&format!("/v1/transit/encrypt/{key}"), body).await
}

async fn decrypt(client: &Client, key: &str, body: Value) -> Answer {
    client.post(&format!("/v1/transit/decrypt/{key}"), body).await
}

fn refusal(answer: &Answer, status: u16, needle: &str) {
    assert_eq!(answer.status, status, "{}", answer.text);
    let errors = answer.json()["errors"].clone();
    assert!(errors.as_array().unwrap().iter().any(|text| text.as_str().unwrap().contains(needle)), "{errors}");
}

#[tokio::test]
async fn success_has_the_envelope_and_failure_has_errors() {
    let (_vault, client) = vault().await;
    let answer = encrypt(&client, "phi-aead", json!({ "plaintext": b64(b"x") })).await.json();
    let mut fields: Vec<&str> = answer.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    let expected = [
        "auth",
        "data",
        "lease_duration",
        "lease_id",
        "mount_type",
        "renewable",
        "request_id",
        "warnings",
        "wrap_info",
    ];
    assert_eq!(fields, expected);
    assert_eq!(answer["request_id"].as_str().unwrap().len(), 36);
    refusal(&decrypt(&client, "phi-aead", json!({})).await, 400, "missing ciphertext");
    let missing = client.get("/v1/transit/keys/nothing").await;
    assert_eq!((missing.status, missing.json()), (404, json!({ "errors": [] })));
    refusal(&client.get("/v1/kv/data/x").await, 404, "no handler for route");
    let broken = client.send_raw("POST", "/v1/transit/encrypt/phi-aead", "{".to_owned()).await.unwrap();
    refusal(&broken, 400, "error parsing JSON");
}

#[tokio::test]
async fn the_context_derives_the_key() {
    let (_vault, client) = vault().await;
    let (a, b) = (b64(b"tenant-a"), b64(b"tenant-b"));
    let made = encrypt(&client, "phi-derived", json!({ "plaintext": b64(&[7; 32]), "context": a })).await.json();
    let blob = made["data"]["ciphertext"].as_str().unwrap();
    assert!(blob.starts_with("vault:v1:"));
    let opened = decrypt(&client, "phi-derived", json!({ "ciphertext": blob, "context": a })).await.json();
    assert_eq!(opened["data"]["plaintext"], b64(&[7; 32]));
    let swapped = decrypt(&client, "phi-derived", json!({ "ciphertext": blob, "context": b })).await;
    refusal(&swapped, 400, "cipher: message authentication failed");
    refusal(&decrypt(&client, "phi-derived", json!({ "ciphertext": blob })).await, 400, "missing 'context'");
}

#[tokio::test]
async fn every_flipped_bit_is_noticed() {
    let (_vault, client) = vault().await;
    let context = b64(b"tenant-a");
    let made = encrypt(&client, "phi-derived", json!({ "plaintext": b64(b"k"), "context": context })).await.json();
    let blob = made["data"]["ciphertext"].as_str().unwrap().strip_prefix("vault:v1:").unwrap();
    let bytes = Base64::decode_vec(blob).unwrap();
    for index in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[index / 8] ^= 1 << (index % 8);
        let ciphertext = format!("vault:v1:{}", b64(&flipped));
        let answer = decrypt(&client, "phi-derived", json!({ "ciphertext": ciphertext, "context": context })).await;
        refusal(&answer, 400, "authentication failed");
    }
}

#[tokio::test]
async fn associated_data_is_authenticated_and_lost_to_rewrap() {
    let (_vault, client) = vault().await;
    let aad = b64(b"tenant-a");
    for kind in ["aes128-gcm96", "aes256-gcm96", "chacha20-poly1305"] {
        client.post(&format!("/v1/transit/keys/{kind}"), json!({ "type": kind })).await;
        let made = encrypt(&client, kind, json!({ "plaintext": b64(b"k"), "associated_data": aad })).await.json();
        let blob = &made["data"]["ciphertext"];
        let right = decrypt(&client, kind, json!({ "ciphertext": blob, "associated_data": aad })).await;
        assert_eq!(right.json()["data"]["plaintext"], b64(b"k"), "{kind}");
        refusal(&decrypt(&client, kind, json!({ "ciphertext": blob })).await, 400, "authentication failed");
        let rewrapped = client
            .post(&format!("/v1/transit/rewrap/{kind}"), json!({ "ciphertext": blob, "associated_data": aad }))
            .await;
        refusal(&rewrapped, 400, "authentication failed");
    }
    // The service counts undecodable associated data among its own errors.
    let odd = json!({ "plaintext": b64(b"k"), "associated_data": "!" });
    refusal(&encrypt(&client, "phi-aead", odd).await, 500, "associated_data");
}

#[tokio::test]
async fn a_batch_fails_in_part_with_the_code_the_caller_wants() {
    let (_vault, client) = vault().await;
    let context = b64(b"a");
    let made = encrypt(&client, "phi-derived", json!({ "plaintext": b64(b"k"), "context": context })).await.json();
    let good = json!({ "ciphertext": made["data"]["ciphertext"], "context": context, "reference": "r1" });
    let bad = json!({ "ciphertext": "vault:v1:AAAA", "context": context, "reference": "r2" });
    for (batch, extra, status) in [
        (json!([good]), json!({}), 200),
        (json!([good, bad]), json!({}), 400),
        (json!([good, bad]), json!({ "partial_failure_response_code": 207 }), 207),
        (json!([bad, bad]), json!({ "partial_failure_response_code": 207 }), 400),
    ] {
        let mut body = extra;
        body["batch_input"] = batch.clone();
        let answer = decrypt(&client, "phi-derived", body).await;
        assert_eq!(answer.status, status);
        for (asked, got) in
            batch.as_array().unwrap().iter().zip(answer.json()["data"]["batch_results"].as_array().unwrap())
        {
            assert_eq!(asked["reference"], got["reference"]);
            assert_eq!(asked == &good, got.get("error").is_none(), "{got}");
        }
    }
    refusal(&decrypt(&client, "phi-derived", json!({ "batch_input": [] })).await, 400, "missing batch input");
    let mixed = json!({ "batch_input": [good, { "ciphertext": "vault:v1:AAAA" }] });
    refusal(&decrypt(&client, "phi-derived", mixed).await, 400, "either in all");
    let incomplete = json!({ "batch_input": [{ "context": context }] });
    refusal(&decrypt(&client, "phi-derived", incomplete).await, 400, "missing ciphertext");
}

#[tokio::test]
async fn a_key_shows_its_versions_and_what_it_can_do() {
    let (_vault, client) = vault().await;
    let key = client.get("/v1/transit/keys/phi-derived").await.json()["data"].clone();
    assert_eq!(
        (&key["type"], &key["derived"], &key["kdf"]),
        (&json!("aes256-gcm96"), &json!(true), &json!("hkdf_sha256"))
    );
    assert!(key["keys"]["1"].is_i64(), "{key}");
    let made = client.post("/v1/transit/keys/rsa", json!({ "type": "rsa-2048" })).await.json();
    let version = &made["data"]["keys"]["1"];
    assert!(version["public_key"].as_str().unwrap().starts_with("-----BEGIN PUBLIC KEY-----"), "{version}");
    let derived = client.post("/v1/transit/keys/odd", json!({ "type": "rsa-2048", "derived": true })).await;
    refusal(&derived, 400, "not supported");
    refusal(&client.post("/v1/transit/keys/odd", json!({ "type": "des" })).await, 400, "unknown key type");
}

#[tokio::test]
async fn an_upsert_can_be_forbidden() {
    let (vault, client) = vault().await;
    let plain = json!({ "plaintext": b64(b"k") });
    assert_eq!(encrypt(&client, "new-plain", plain.clone()).await.status, 200);
    assert_eq!(client.get("/v1/transit/keys/new-plain").await.json()["data"]["derived"], false);
    client.post("/v1/transit/config/keys", json!({ "disable_upsert": true })).await;
    refusal(&encrypt(&client, "never", plain.clone()).await, 400, "encryption key not found");
    vault.control().switch("disable_upsert", false).unwrap();
    assert_eq!(encrypt(&client, "now", plain).await.status, 200);
}

#[tokio::test]
async fn versions_can_be_taken_from_a_key_behind_its_back() {
    let (vault, client) = vault().await;
    let old = encrypt(&client, "phi-aead", json!({ "plaintext": b64(b"k") })).await.json();
    let old = json!({ "ciphertext": old["data"]["ciphertext"] });
    client.post("/v1/transit/keys/phi-aead/rotate", json!({})).await;
    assert!(vault.control().change_version("phi-aead", "2", "disable").unwrap_err().contains("rotate first"));
    assert!(vault.control().change_version("phi-aead", "7", "destroy").is_err());
    assert!(vault.control().change_version("clinic/phi-aead", "1", "enable").is_ok());
    assert!(vault.control().change_version("nowhere/phi-aead", "1", "enable").is_err());
    vault.control().change_version("phi-aead", "1", "disable").unwrap();
    refusal(&decrypt(&client, "phi-aead", old.clone()).await, 400, "too old");
    vault.control().change_version("phi-aead", "1", "enable").unwrap();
    assert_eq!(decrypt(&client, "phi-aead", old.clone()).await.status, 200);
    vault.control().change_version("phi-aead", "1", "destroy").unwrap();
    refusal(&decrypt(&client, "phi-aead", old).await, 400, "no such key version");
}

#[tokio::test]
async fn data_keys_have_the_asked_length() {
    let (_vault, client) = vault().await;
    for (bits, len) in [(128, 24), (256, 44), (512, 88)] {
        let answer = client.post("/v1/transit/datakey/plaintext/phi-aead", json!({ "bits": bits })).await.json();
        assert_eq!(answer["data"]["plaintext"].as_str().unwrap().len(), len);
    }
    let odd = client.post("/v1/transit/datakey/plaintext/phi-aead", json!({ "bits": 192 })).await;
    refusal(&odd, 400, "invalid bit length");
    refusal(&client.post("/v1/transit/datakey/naked/phi-aead", json!({})).await, 400, "Invalid path");
}

#[tokio::test]
async fn spoiled_answers_look_like_true_ones() {
    let (vault, client) = vault().await;
    let made = encrypt(&client, "phi-aead", json!({ "plaintext": b64(&[7; 32]) })).await.json();
    let ask = json!({ "ciphertext": made["data"]["ciphertext"] });
    for kind in [FaultKind::OtherPlaintext, FaultKind::CorruptBytes] {
        vault.control().inject(Fault::new(kind));
        let answer = decrypt(&client, "phi-aead", ask.clone()).await;
        let plaintext = answer.json()["data"]["plaintext"].as_str().unwrap().to_owned();
        assert_eq!((answer.status, plaintext.len()), (200, 44));
        assert_ne!(plaintext, b64(&[7; 32]), "{kind:?}");
    }
}
