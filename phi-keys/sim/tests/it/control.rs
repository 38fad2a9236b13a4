//! Faults, counters, time and switches, in the same process and over HTTP.

use core::time::Duration;
use std::time::Instant;

use kms_sim::{Fault, FaultKind, Service};
use serde_json::json;

use crate::client::{Client, b64, start};

#[tokio::test]
async fn a_fault_strikes_the_calls_it_fits_and_no_other() {
    let vault = start(Service::Vault).await;
    let client = Client::new(&vault).with("x-vault-token", vault.fact("root_token").unwrap());
    let fault = Fault::new(FaultKind::Unavailable).on("read_key").for_key("phi-aead").after(1).times(2);
    vault.control().inject(fault);
    let mut seen = Vec::new();
    for path in ["phi-derived", "phi-aead", "phi-aead", "phi-derived", "phi-aead", "phi-aead"] {
        seen.push(client.get(&format!("/v1/transit/keys/{path}")).await.status);
    }
    assert_eq!(seen, [200, 200, 503, 200, 503, 200]);
    assert_eq!(vault.control().calls_of("read_key"), 6, "refused calls count too");
    assert!(vault.control().faults().is_empty());
}

#[tokio::test]
async fn a_delay_and_a_failure_can_meet_in_one_call() {
    let vault = start(Service::Vault).await;
    let client = Client::new(&vault).with("x-vault-token", vault.fact("root_token").unwrap());
    vault.control().inject(Fault::new(FaultKind::Latency { ms: 150 }));
    vault.control().inject(Fault::new(FaultKind::Throttle { retry_after: Some(7) }));
    #[expect(clippy::disallowed_methods, reason = "the delay is real time")]
    let before = Instant::now();
    let answer = client.get("/v1/transit/keys/phi-aead").await;
    assert!(before.elapsed() >= Duration::from_millis(150));
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("7")));
    assert_eq!(client.get("/v1/transit/keys/phi-aead").await.status, 200);
}

#[tokio::test]
async fn a_dropped_call_is_not_done_and_a_lost_answer_is() {
    for service in [Service::Vault, Service::Gcp, Service::Azure] {
        let simulator = start(service).await;
        let client = Client::new(&simulator);
        simulator.control().inject(Fault::new(FaultKind::Drop));
        assert!(client.send("GET", "/anything", None).await.is_err(), "{service:?}");
        assert!(client.send("GET", "/anything", None).await.is_ok(), "{service:?}");
    }
    let vault = start(Service::Vault).await;
    let client = Client::new(&vault).with("x-vault-token", vault.fact("root_token").unwrap());
    for (kind, latest) in [(FaultKind::Drop, 1), (FaultKind::LostAnswer, 2)] {
        vault.control().inject(Fault::new(kind));
        assert!(client.send("POST", "/v1/transit/keys/phi-aead/rotate", None).await.is_err());
        let key = client.get("/v1/transit/keys/phi-aead").await.json();
        assert_eq!(key["data"]["latest_version"], latest, "{kind:?}");
    }
}

#[tokio::test]
async fn garbage_and_truncated_answers_are_not_json() {
    let gcp = start(Service::Gcp).await;
    let client = Client::new(&gcp);
    let key = format!("/v1/{}", gcp.fact("key").unwrap());
    for kind in [FaultKind::Garbage, FaultKind::Truncated] {
        gcp.control().inject(Fault::new(kind));
        let answer = client.get(&key).await;
        assert_eq!(answer.status, 200);
        assert!(serde_json::from_str::<serde_json::Value>(&answer.text).is_err(), "{kind:?}: {}", answer.text);
    }
}

#[tokio::test]
async fn absurd_numbers_break_nothing() {
    let vault = start(Service::Vault).await;
    let client = Client::new(&vault).with("x-vault-token", vault.fact("root_token").unwrap());
    let forever = json!({ "ttl": i64::MAX, "explicit_max_ttl": i64::MAX, "num_uses": -1, "policies": ["phi-keys"] });
    let auth = client.post("/v1/auth/token/create", forever).await.json()["auth"].clone();
    let holder = Client::new(&vault).with("x-vault-token", auth["client_token"].as_str().unwrap());
    let renewed = holder.post("/v1/auth/token/renew-self", json!({ "increment": i64::MAX })).await;
    assert_eq!(renewed.status, 200);
    assert_eq!(holder.get("/v1/auth/token/lookup-self").await.status, 200);
    let plaintext = json!({ "plaintext": "", "key_version": i64::MIN });
    assert_eq!(client.post("/v1/transit/encrypt/phi-aead", plaintext).await.status, 400);
    assert!(vault.control().change_version("phi-aead", "4294967295", "disable").is_err());
    let gcp = start(Service::Gcp).await;
    let page = format!("/v1/{}/cryptoKeyVersions?pageToken={1}&pageSize={1}", gcp.fact("key").unwrap(), u64::MAX);
    assert_eq!(Client::new(&gcp).get(&page).await.status, 200);
    let azure = start(Service::Azure).await;
    let bearer = format!("Bearer {}", azure.fact("token").unwrap());
    let page = format!("/keys/phi-kek/versions?api-version=7.6&maxresults={0}&$skiptoken={0}", u64::MAX);
    assert_eq!(Client::new(&azure).with("authorization", &bearer).get(&page).await.status, 200);
}

#[tokio::test]
async fn the_control_api_does_over_http_what_the_handle_does() {
    let vault = start(Service::Vault).await;
    let client = Client::new(&vault).with("x-vault-token", vault.fact("root_token").unwrap());
    let fault = json!({ "kind": "throttle", "retry_after": 2, "operation": "encrypt", "times": 3 });
    assert_eq!(client.post("/_sim/faults", fault).await.status, 204);
    assert_eq!(
        client.get("/_sim/faults").await.json(),
        json!([{ "kind": "throttle", "retry_after": 2, "operation": "encrypt", "skip": 0, "times": 3 }])
    );
    assert_eq!(client.send("DELETE", "/_sim/faults", None).await.unwrap().status, 204);
    let encrypted = client.post("/v1/transit/encrypt/phi-aead", json!({ "plaintext": b64(b"x") })).await;
    assert_eq!(encrypted.status, 200);
    assert_eq!(client.get("/_sim/calls").await.json(), json!({ "encrypt": 1 }));
    client.send("DELETE", "/_sim/calls", None).await.unwrap();
    assert_eq!(client.get("/_sim/calls").await.json(), json!({}));
    assert_eq!(client.post("/_sim/switch", json!({ "name": "sealed", "on": true })).await.status, 204);
    assert_eq!(client.get("/v1/transit/keys/phi-aead").await.status, 503);
    assert_eq!(client.get("/_sim/facts").await.json(), *vault.facts());
    for (path, body) in [
        ("/_sim/faults", json!({ "kind": "meteor" })),
        ("/_sim/switch", json!({ "name": "gravity", "on": false })),
        ("/_sim/version", json!({ "key": "nothing", "version": "1", "change": "disable" })),
        ("/_sim/version", json!({ "key": "phi-aead", "version": "1", "change": "paint" })),
    ] {
        let answer = client.post(path, body).await;
        assert_eq!(answer.status, 400, "{path}");
        assert!(answer.json()["error"].is_string());
    }
}

#[tokio::test]
async fn dropping_a_simulator_frees_its_port() {
    let simulator = start(Service::Gcp).await;
    let client = Client::new(&simulator);
    assert_eq!(client.get("/_sim/calls").await.status, 200);
    drop(simulator);
    tokio::task::yield_now().await;
    assert!(client.send("GET", "/_sim/calls", None).await.is_err());
}

#[tokio::test]
async fn oversized_requests_are_refused() {
    let vault = start(Service::Vault).await;
    let client = Client::new(&vault);
    let answer = client.send_raw("POST", "/v1/transit/encrypt/phi-aead", "x".repeat((1 << 20) + 1)).await;
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status == 413));
}
