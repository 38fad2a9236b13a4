//! Vault's tokens, logins, namespaces and health.

use core::time::Duration;
use std::sync::Arc;

use kms_sim::{Service, Simulator};
use phi_types::ManualClock;
use serde_json::json;

use crate::client::{Client, b64, start};

const KEY: &str = "/v1/transit/keys/phi-aead";

#[tokio::test]
async fn without_a_good_token_everything_is_denied() {
    let vault = start(Service::Vault).await;
    for client in [Client::new(&vault), Client::new(&vault).with("x-vault-token", "hvs.guess")] {
        let answer = client.get(KEY).await;
        assert_eq!(answer.status, 403);
        assert!(answer.text.contains("permission denied"));
    }
}

#[tokio::test]
async fn a_bearer_token_is_as_good() {
    let vault = start(Service::Vault).await;
    let bearer = format!("Bearer {}", vault.fact("token").unwrap());
    assert_eq!(Client::new(&vault).with("authorization", &bearer).get(KEY).await.status, 200);
}

#[tokio::test]
async fn policies_bound_what_a_token_may_do() {
    let vault = start(Service::Vault).await;
    let plaintext = json!({ "plaintext": b64(b"k") });
    for (fact, encrypt, decrypt, rotate, create) in
        [("root_token", 200, 400, 200, 200), ("token", 200, 400, 403, 403), ("wrap_only_token", 200, 403, 403, 403)]
    {
        let client = Client::new(&vault).with("x-vault-token", vault.fact(fact).unwrap());
        let seen = [
            client.post("/v1/transit/encrypt/phi-aead", plaintext.clone()).await.status,
            client.post("/v1/transit/decrypt/phi-aead", json!({ "ciphertext": "x" })).await.status,
            client.post("/v1/transit/keys/phi-aead/rotate", json!({})).await.status,
            client.post(&format!("/v1/transit/encrypt/new-{fact}"), plaintext.clone()).await.status,
        ];
        assert_eq!(seen, [encrypt, decrypt, rotate, create], "{fact}");
    }
}

#[tokio::test]
async fn a_login_token_lives_its_time_and_is_renewed_up_to_its_maximum() {
    // A clock that stands still, or seconds that pass meanwhile would count.
    let clock = Arc::new(ManualClock::at_unix_seconds(1_800_000_000));
    let vault = Simulator::start_at(Service::Vault, 0, clock).await.unwrap();
    let login = json!({ "role_id": vault.fact("role_id"), "secret_id": vault.fact("secret_id") });
    let auth = Client::new(&vault).post("/v1/auth/approle/login", login).await.json()["auth"].clone();
    assert_eq!((auth["lease_duration"].as_i64(), auth["renewable"].as_bool()), (Some(600), Some(true)));
    let client = Client::new(&vault).with("x-vault-token", auth["client_token"].as_str().unwrap());
    assert_eq!(client.get(KEY).await.status, 200);
    vault.control().advance(Duration::from_secs(590));
    let renewed = client.post("/v1/auth/token/renew-self", json!({ "increment": "1h" })).await.json();
    assert_eq!(renewed["auth"]["lease_duration"], 3_600 - 590);
    assert!(renewed["warnings"][0].as_str().unwrap().contains("max_ttl"));
    vault.control().advance(Duration::from_secs(3_600 - 590 - 1));
    assert_eq!(client.get("/v1/auth/token/lookup-self").await.json()["data"]["ttl"], 1);
    vault.control().advance(Duration::from_secs(1));
    assert_eq!(client.get(KEY).await.status, 403);
}

#[tokio::test]
async fn wrong_credentials_are_told_apart_as_the_service_does() {
    let vault = start(Service::Vault).await;
    let client = Client::new(&vault);
    let jwt = vault.fact("kubernetes_jwt");
    for (path, body, status) in [
        ("approle", json!({ "role_id": vault.fact("role_id"), "secret_id": "x" }), 400),
        ("kubernetes", json!({ "role": "phi" }), 400),
        ("kubernetes", json!({ "role": "other", "jwt": jwt }), 400),
        ("kubernetes", json!({ "role": "phi", "jwt": "x.y.z" }), 403),
        ("kubernetes", json!({ "role": "phi", "jwt": jwt }), 200),
    ] {
        assert_eq!(client.post(&format!("/v1/auth/{path}/login"), body).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn a_token_with_counted_uses_runs_out() {
    let vault = start(Service::Vault).await;
    let root = Client::new(&vault).with("x-vault-token", vault.fact("root_token").unwrap());
    let create = json!({ "policies": ["phi-keys"], "num_uses": 2, "ttl": "1h" });
    let auth = root.post("/v1/auth/token/create", create).await.json()["auth"].clone();
    let client = Client::new(&vault).with("x-vault-token", auth["client_token"].as_str().unwrap());
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(client.get(KEY).await.status);
    }
    assert_eq!(seen, [200, 200, 403]);
}

#[tokio::test]
async fn a_namespace_has_its_own_keys_and_keeps_its_own_tokens() {
    let vault = start(Service::Vault).await;
    let login = json!({ "role_id": vault.fact("role_id"), "secret_id": vault.fact("secret_id") });
    let inside = Client::new(&vault).with("x-vault-namespace", "clinic/");
    let auth = inside.post("/v1/auth/approle/login", login).await.json()["auth"].clone();
    let token = auth["client_token"].as_str().unwrap();
    let made = inside
        .with("x-vault-token", token)
        .post("/v1/transit/encrypt/phi-aead", json!({ "plaintext": b64(b"k") }))
        .await;
    assert_eq!(made.status, 200);
    assert_eq!(Client::new(&vault).with("x-vault-token", token).get(KEY).await.status, 403, "not outside");
    let root = Client::new(&vault).with("x-vault-token", vault.fact("root_token").unwrap());
    let opened =
        root.post("/v1/transit/decrypt/phi-aead", json!({ "ciphertext": made.json()["data"]["ciphertext"] })).await;
    assert_eq!(opened.status, 400, "another key under the same name");
}

#[tokio::test]
async fn health_tells_the_state_by_status() {
    let vault = start(Service::Vault).await;
    let client = Client::new(&vault);
    for (switch, query, status) in [
        (None, "", 200),
        (Some("standby"), "", 429),
        (Some("standby"), "?standbyok=true", 200),
        (Some("standby"), "?standbycode=299", 299),
        (Some("sealed"), "", 503),
        (Some("sealed"), "?sealedcode=200", 200),
        (Some("uninitialized"), "", 501),
    ] {
        if let Some(name) = switch {
            vault.control().switch(name, true).unwrap();
        }
        let answer = client.get(&format!("/v1/sys/health{query}")).await;
        assert_eq!(answer.status, status, "{switch:?} {query}");
        assert_eq!(answer.json()["sealed"], switch == Some("sealed"));
        let head = client.send("HEAD", &format!("/v1/sys/health{query}"), None).await.unwrap();
        assert_eq!(head.status, status);
        if let Some(name) = switch {
            vault.control().switch(name, false).unwrap();
        }
    }
    vault.control().switch("sealed", true).unwrap();
    let refused = client.with("x-vault-token", vault.fact("root_token").unwrap()).get(KEY).await;
    assert_eq!((refused.status, refused.json()), (503, json!({ "errors": ["Vault is sealed"] })));
}
