//! Google Cloud KMS on the wire.

use core::time::Duration;

use base64ct::{Base64, Encoding};
use kms_sim::{Fault, FaultKind, Service, Simulator};
use serde_json::{Value, json};

use crate::client::{Answer, Client, b64, start};

async fn gcp() -> (Simulator, Client, String) {
    let gcp = start(Service::Gcp).await;
    let client = Client::new(&gcp);
    let key = format!("/v1/{}", gcp.fact("key").unwrap());
    (gcp, client, key)
}

fn error(answer: &Answer, http: u16, status: &str, needle: &str) -> Value {
    let error = answer.json()["error"].clone();
    assert_eq!((answer.status, error["code"].as_u64()), (http, Some(u64::from(http))), "{}", answer.text);
    assert_eq!(error["status"], status);
    assert!(error["message"].as_str().unwrap().contains(needle), "{error}");
    error
}

async fn encrypt(client: &Client, key: &str) -> Value {
    let body = json!({ "plaintext": b64(&[7; 32]), "additionalAuthenticatedData": b64(b"a") });
    client.post(&format!("{key}:encrypt"), body).await.json()
}

async fn decrypt(client: &Client, key: &str, ciphertext: &Value, aad: &[u8]) -> Answer {
    let body = json!({ "ciphertext": ciphertext, "additionalAuthenticatedData": b64(aad) });
    client.post(&format!("{key}:decrypt"), body).await
}

#[tokio::test]
async fn the_additional_data_is_authenticated() {
    let (gcp, client, key) = gcp().await;
    let made = encrypt(&client, &key).await;
    assert_eq!(made["name"], format!("{}/cryptoKeyVersions/1", gcp.fact("key").unwrap()));
    let opened = decrypt(&client, &key, &made["ciphertext"], b"a").await.json();
    assert_eq!((&opened["plaintext"], &opened["usedPrimary"]), (&json!(b64(&[7; 32])), &json!(true)));
    error(&decrypt(&client, &key, &made["ciphertext"], b"b").await, 400, "INVALID_ARGUMENT", "ciphertext is invalid");
    let other = format!("/v1/{}", gcp.fact("other_key").unwrap());
    let answer = decrypt(&client, &other, &made["ciphertext"], b"a").await;
    error(&answer, 400, "INVALID_ARGUMENT", "refers to the correct CryptoKey");
}

#[tokio::test]
async fn every_flipped_bit_is_noticed() {
    let (_gcp, client, key) = gcp().await;
    let made = encrypt(&client, &key).await;
    let bytes = Base64::decode_vec(made["ciphertext"].as_str().unwrap()).unwrap();
    for index in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[index / 8] ^= 1 << (index % 8);
        let answer = decrypt(&client, &key, &json!(b64(&flipped)), b"a").await;
        error(&answer, 400, "INVALID_ARGUMENT", "Decryption failed");
    }
}

#[tokio::test]
async fn checksums_are_checked_both_ways_as_text_or_number() {
    let (_gcp, client, key) = gcp().await;
    // CRC-32C of "123456789", from its specification.
    for sum in [json!("3808858755"), json!(3_808_858_755_u32)] {
        let body = json!({ "plaintext": b64(b"123456789"), "plaintextCrc32c": sum });
        let answer = client.post(&format!("{key}:encrypt"), body).await.json();
        assert_eq!(answer["verifiedPlaintextCrc32c"], true);
        assert!(answer.get("verifiedAdditionalAuthenticatedDataCrc32c").is_none(), "none was sent");
        let opened = client.post(&format!("{key}:decrypt"), json!({ "ciphertext": answer["ciphertext"] })).await;
        assert_eq!(opened.json()["plaintextCrc32c"], "3808858755");
    }
    let body = json!({ "plaintext": b64(b"123456789"), "plaintextCrc32c": "1" });
    let answer = client.post(&format!("{key}:encrypt"), body).await;
    error(&answer, 400, "INVALID_ARGUMENT", "checksum in field plaintext_crc32c did not match");
}

#[tokio::test]
async fn sizes_are_limited_by_protection_level() {
    let (gcp, client, key) = gcp().await;
    let hsm = format!("/v1/{}", gcp.fact("hsm_key").unwrap());
    for (key, plaintext, aad, status) in [
        (&key, 65_536, 65_536, 200),
        (&key, 65_537, 0, 400),
        (&key, 0, 65_537, 400),
        (&hsm, 8_000, 192, 200),
        (&hsm, 8_000, 193, 400),
    ] {
        let body = json!({
            "plaintext": b64(&vec![7; plaintext]),
            "additionalAuthenticatedData": b64(&vec![7; aad]),
        });
        assert_eq!(client.post(&format!("{key}:encrypt"), body).await.status, status, "{plaintext} + {aad}");
    }
    let location = "/v1/projects/phi-sim/locations/us-east1:generateRandomBytes";
    for (len, level, status) in [(32, "HSM", 200), (7, "HSM", 400), (32, "SOFTWARE", 400)] {
        let body = json!({ "lengthBytes": len, "protectionLevel": level });
        assert_eq!(client.post(location, body).await.status, status, "{len} {level}");
    }
}

#[tokio::test]
async fn only_enabled_versions_work() {
    let (gcp, client, key) = gcp().await;
    let made = encrypt(&client, &key).await;
    let version = format!("{}/cryptoKeyVersions/1", gcp.fact("key").unwrap());
    for (change, state, violation) in
        [("disable", "DISABLED", "KEY_DISABLED"), ("destroy", "DESTROYED", "KEY_DESTROYED")]
    {
        gcp.control().change_version("phi-kek", "1", change).unwrap();
        let refused = decrypt(&client, &key, &made["ciphertext"], b"a").await;
        let needle = format!("is not enabled, current state is: {state}.");
        let error = error(&refused, 400, "FAILED_PRECONDITION", &needle);
        assert_eq!(
            error["details"],
            json!([{
                "@type": "type.googleapis.com/google.rpc.PreconditionFailure",
                "violations": [{ "type": violation, "subject": version }],
            }])
        );
        assert_eq!(client.get(&key).await.json()["primary"]["state"], state);
    }
}

#[tokio::test]
async fn destruction_is_scheduled_can_be_taken_back_and_then_happens() {
    let (gcp, client, key) = gcp().await;
    let version = format!("{key}/cryptoKeyVersions/1");
    let scheduled = client.post(&format!("{version}:destroy"), json!({})).await.json();
    assert_eq!(scheduled["state"], "DESTROY_SCHEDULED");
    assert!(scheduled["destroyTime"].is_string());
    assert_eq!(client.post(&format!("{version}:restore"), json!({})).await.json()["state"], "DISABLED");
    let twice = client.post(&format!("{version}:restore"), json!({})).await;
    error(&twice, 400, "FAILED_PRECONDITION", "current state is: DISABLED");
    client.post(&format!("{version}:destroy"), json!({})).await;
    gcp.control().advance(Duration::from_secs(30 * 24 * 3_600));
    let gone = client.get(&version).await.json();
    assert_eq!(gone["state"], "DESTROYED");
    assert!(gone["destroyEventTime"].is_string());
}

#[tokio::test]
async fn versions_are_made_primary_listed_and_patched() {
    let (_gcp, client, key) = gcp().await;
    for _ in 0..2 {
        client.post(&format!("{key}/cryptoKeyVersions"), json!({})).await;
    }
    let third = json!({ "cryptoKeyVersionId": "3" });
    let updated = client.post(&format!("{key}:updatePrimaryVersion"), third).await.json();
    assert!(updated["primary"]["name"].as_str().unwrap().ends_with("/3"));
    let patch =
        |mask: &str, state: &str| (format!("{key}/cryptoKeyVersions/2?updateMask={mask}"), json!({ "state": state }));
    let (path, body) = patch("state", "DISABLED");
    assert_eq!(client.send("PATCH", &path, Some(body)).await.unwrap().json()["state"], "DISABLED");
    for (mask, state) in [("name", "ENABLED"), ("state", "DESTROYED")] {
        let (path, body) = patch(mask, state);
        error(&client.send("PATCH", &path, Some(body)).await.unwrap(), 400, "INVALID_ARGUMENT", "");
    }
    let page = client.get(&format!("{key}/cryptoKeyVersions?pageSize=2")).await.json();
    assert_eq!((page["cryptoKeyVersions"].as_array().unwrap().len(), &page["totalSize"]), (2, &json!(3)));
    let token = page["nextPageToken"].as_str().unwrap();
    let rest = client.get(&format!("{key}/cryptoKeyVersions?pageSize=2&pageToken={token}")).await.json();
    assert_eq!(rest["cryptoKeyVersions"].as_array().unwrap().len(), 1);
    assert!(rest.get("nextPageToken").is_none());
    let disabled = client.get(&format!("{key}/cryptoKeyVersions?filter=state%3DDISABLED")).await.json();
    assert_eq!(disabled["totalSize"], 1);
}

#[tokio::test]
async fn enums_are_numbers_on_request() {
    let (_gcp, client, key) = gcp().await;
    let named = client.get(&key).await.json();
    assert_eq!((&named["purpose"], &named["primary"]["state"]), (&json!("ENCRYPT_DECRYPT"), &json!("ENABLED")));
    let numbered = client.get(&format!("{key}?%24alt=json%3Benum-encoding%3Dint")).await.json();
    assert_eq!((&numbered["purpose"], &numbered["primary"]["state"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn what_does_not_exist_and_what_is_malformed_are_told_apart() {
    let (gcp, client, key) = gcp().await;
    let ring = gcp.fact("key_ring").unwrap();
    error(&client.get(&format!("/v1/{ring}/cryptoKeys/none")).await, 404, "NOT_FOUND", "CryptoKey projects/");
    error(&client.get(&format!("{key}/cryptoKeyVersions/7")).await, 404, "NOT_FOUND", "CryptoKeyVersion projects/");
    error(&client.get("/v1/elsewhere").await, 404, "NOT_FOUND", "");
    let body = json!({ "plaintext": "!" });
    error(&client.post(&format!("{key}:encrypt"), body).await, 400, "INVALID_ARGUMENT", "Base64");
    let broken = client.send_raw("POST", &format!("{key}:encrypt"), "{".to_owned()).await.unwrap();
    error(&broken, 400, "INVALID_ARGUMENT", "Invalid JSON");
    let create = format!("/v1/{ring}/cryptoKeys?cryptoKeyId=phi-kek");
    let again = client.post(&create, json!({ "purpose": "ENCRYPT_DECRYPT" })).await;
    error(&again, 409, "ALREADY_EXISTS", "already exists");
}

#[tokio::test]
async fn faults_wear_the_dress_of_the_service() {
    let (gcp, client, key) = gcp().await;
    for (kind, http, status) in [
        (FaultKind::Throttle { retry_after: Some(3) }, 429, "RESOURCE_EXHAUSTED"),
        (FaultKind::Internal, 500, "INTERNAL"),
        (FaultKind::Unavailable, 503, "UNAVAILABLE"),
        (FaultKind::Forbidden, 403, "PERMISSION_DENIED"),
        (FaultKind::ExpiredToken, 401, "UNAUTHENTICATED"),
        (FaultKind::NotFound, 404, "NOT_FOUND"),
    ] {
        gcp.control().inject(Fault::new(kind));
        let answer = client.get(&key).await;
        error(&answer, http, status, "");
        assert_eq!(answer.header("retry-after"), (http == 429).then_some("3"));
    }
    gcp.control().switch("require_token", true).unwrap();
    error(&client.get(&key).await, 401, "UNAUTHENTICATED", "authentication");
    let bearer = format!("Bearer {}", gcp.fact("token").unwrap());
    assert_eq!(Client::new(&gcp).with("authorization", &bearer).get(&key).await.status, 200);
}
