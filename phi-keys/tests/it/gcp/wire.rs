//! Single answers, given by a server of the test's own: what is sent, and what becomes of an answer that no simulator gives.

use phi_keys::gcp::GcpKms;
use phi_keys::{Binding, Carrier, Kms, KmsAdmin, Wrapped};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{client, here};
use crate::wire::server;

const KEY: &str = "projects/clinic/locations/europe-west3/keyRings/phi/cryptoKeys/kek";
/// Thirty-two bytes of 7, and their checksum.
const SEVENS: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
const SEVENS_CRC: &str = "3596965425";

async fn kek(answers: Vec<(u16, Value)>) -> (GcpKms, std::sync::mpsc::Receiver<crate::wire::Request>) {
    let (url, requests) = server(answers);
    (GcpKms::new(client(&url).await, KEY).unwrap(), requests)
}

fn wrapped() -> Wrapped {
    Wrapped::new(format!("gcp-kms:{KEY}"), "1", Binding::Native, b"123456789".to_vec()).unwrap()
}

fn refusal(http: u16, code: &str, details: Value) -> (u16, Value) {
    (http, json!({ "error": { "code": http, "message": "as told", "status": code, "details": details } }))
}

fn sevens() -> Carrier {
    Carrier::from_bytes(Zeroizing::new([7; 32]))
}

fn encrypted(name: &str) -> Value {
    json!({ "name": name, "ciphertext": "MTIzNDU2Nzg5", "ciphertextCrc32c": "3808858755",
        "verifiedPlaintextCrc32c": true, "verifiedAdditionalAuthenticatedDataCrc32c": true })
}

#[tokio::test]
async fn only_carrier_digest_and_their_checksums_are_sent_to_gcp() {
    let decrypted = json!({ "plaintext": SEVENS, "plaintextCrc32c": SEVENS_CRC, "usedPrimary": true });
    let (kms, requests) = kek(vec![(200, encrypted(&format!("{KEY}/cryptoKeyVersions/7"))), (200, decrypted)]).await;
    let wrapped = kms.wrap_dek(&sevens(), &here()).await.unwrap();
    assert_eq!((wrapped.kek_version(), wrapped.blob()), ("7", b"123456789".as_slice()));
    let request = requests.recv().unwrap();
    assert!(request.line.starts_with(&format!("POST /v1/{KEY}:encrypt?")), "{}", request.line);
    assert_eq!(request.header("authorization"), None, "as the client was built");
    let digest = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    let ones_crc = "2514221871";
    let expected = json!({ "name": KEY, "plaintext": SEVENS, "plaintextCrc32c": SEVENS_CRC,
        "additionalAuthenticatedData": digest, "additionalAuthenticatedDataCrc32c": ones_crc });
    let sent = |body: &Value| {
        let mut body = body.clone();
        body["name"] = json!(KEY);
        body
    };
    assert_eq!(sent(&request.body), expected);

    assert_eq!(kms.unwrap_dek(&wrapped, &here()).await.unwrap().expose(), sevens().expose());
    let request = requests.recv().unwrap();
    assert!(request.line.starts_with(&format!("POST /v1/{KEY}:decrypt?")), "{}", request.line);
    let expected = json!({ "name": KEY, "ciphertext": "MTIzNDU2Nzg5", "ciphertextCrc32c": "3808858755",
        "additionalAuthenticatedData": digest, "additionalAuthenticatedDataCrc32c": ones_crc });
    assert_eq!(sent(&request.body), expected);
}

#[tokio::test]
async fn an_answer_of_gcp_that_is_none_to_the_question_is_not_used() {
    let good = encrypted(&format!("{KEY}/cryptoKeyVersions/7"));
    let but = |name: &str, value: Value| {
        let mut answer = good.clone();
        answer[name] = value;
        answer
    };
    let table = [
        (good.clone(), "ok"),
        (but("name", json!(format!("{}/cryptoKeyVersions/7", KEY.replace("clinic", "123456789012")))), "ok"),
        (but("name", json!(format!("{KEY}2/cryptoKeyVersions/7"))), "corrupt"),
        (but("name", json!(KEY)), "corrupt"),
        (but("name", json!(format!("{KEY}/cryptoKeyVersions/0"))), "corrupt"),
        (but("name", Value::Null), "corrupt"),
        (but("ciphertextCrc32c", Value::Null), "corrupt"),
        (but("ciphertextCrc32c", json!("3808858754")), "corrupt"),
        (but("ciphertext", Value::Null), "corrupt"),
        (but("verifiedPlaintextCrc32c", json!(false)), "corrupt"),
        (but("verifiedAdditionalAuthenticatedDataCrc32c", Value::Null), "corrupt"),
        (json!({}), "corrupt"),
    ];
    for (answer, kind) in table {
        let (kms, _requests) = kek(vec![(200, answer.clone())]).await;
        let made = kms.wrap_dek(&sevens(), &here()).await;
        assert_eq!(made.as_ref().map_or_else(|error| error.kind(), |_| "ok"), kind, "{answer}");
    }
    let table = [
        (json!({ "plaintext": SEVENS, "plaintextCrc32c": SEVENS_CRC }), "ok"),
        (json!({ "plaintext": SEVENS, "plaintextCrc32c": "3596965424" }), "corrupt"),
        (json!({ "plaintext": SEVENS }), "corrupt"),
        (json!({ "plaintext": "MTIzNDU2Nzg5", "plaintextCrc32c": "3808858755" }), "refused"),
        (json!({ "plaintextCrc32c": "0" }), "refused"),
        (json!({}), "corrupt"),
    ];
    for (answer, kind) in table {
        let (kms, _requests) = kek(vec![(200, answer.clone())]).await;
        let opened = kms.unwrap_dek(&wrapped(), &here()).await;
        assert_eq!(opened.as_ref().map_or_else(|error| error.kind(), |_| "ok"), kind, "{answer}");
    }
}

#[tokio::test]
async fn every_refusal_of_gcp_on_the_wire_is_named() {
    let info = |reason: &str| {
        json!([{ "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason,
        "domain": "googleapis.com", "metadata": {} }])
    };
    let table = [
        (refusal(403, "PERMISSION_DENIED", info("SERVICE_DISABLED")), "misconfigured"),
        (refusal(403, "PERMISSION_DENIED", info("IAM_PERMISSION_DENIED")), "access_denied"),
        (refusal(400, "INVALID_ARGUMENT", info("API_KEY_INVALID")), "unauthenticated"),
        (refusal(400, "INVALID_ARGUMENT", json!([])), "refused"),
        (refusal(429, "RESOURCE_EXHAUSTED", json!([])), "throttled"),
        (refusal(501, "UNIMPLEMENTED", json!([])), "unsupported"),
        (refusal(400, "OUT_OF_RANGE", json!([])), "failed"),
        ((502, json!("<html>a proxy</html>")), "unavailable"),
        ((403, json!("<html>a proxy</html>")), "access_denied"),
        ((407, json!("<html>a proxy</html>")), "failed"),
    ];
    for (answer, kind) in table {
        let (kms, requests) = kek(vec![answer.clone(), answer.clone()]).await;
        let error = kms.unwrap_dek(&wrapped(), &here()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{answer:?}");
        assert!(requests.recv().is_ok() && requests.try_recv().is_err(), "{answer:?}: no retry of the SDK's own");
        assert!(!format!("{error:?}").contains("html"), "{error:?}");
    }
    let checksum = json!({ "error": { "code": 400, "status": "INVALID_ARGUMENT",
        "message": "The checksum in field ciphertext_crc32c did not match the data in field ciphertext." } });
    let (kms, _requests) = kek(vec![(400, checksum)]).await;
    assert_eq!(kms.unwrap_dek(&wrapped(), &here()).await.unwrap_err().kind(), "corrupt", "damaged on its way there");
}

#[tokio::test]
async fn a_gcp_key_of_another_purpose_names_the_mend() {
    let signing = || (200, json!({ "name": KEY, "purpose": "ASYMMETRIC_SIGN" }));
    let (kms, _requests) = kek(vec![signing()]).await;
    assert_eq!(kms.status().await.unwrap_err().kind(), "misconfigured");
    let (kms, _requests) = kek(vec![refusal(400, "INVALID_ARGUMENT", json!([])), signing()]).await;
    assert_eq!(kms.wrap_dek(&sevens(), &here()).await.unwrap_err().kind(), "misconfigured");
    let (kms, requests) = kek(vec![signing()]).await;
    assert_eq!(kms.rotate().await.unwrap_err().kind(), "misconfigured");
    assert!(requests.recv().unwrap().line.starts_with("GET "), "before a version is added");
}

#[tokio::test]
async fn a_gcp_key_that_waits_for_its_material_says_so() {
    let refused = || refusal(400, "FAILED_PRECONDITION", json!([]));
    let version = |state: &str| (200, json!({ "name": format!("{KEY}/cryptoKeyVersions/1"), "state": state }));
    let table = [
        ("PENDING_GENERATION", "wait until Google has made the version"),
        ("PENDING_IMPORT", "import the key material"),
        ("IMPORT_FAILED", "make or import another version"),
    ];
    for (state, mend) in table {
        let (kms, _requests) = kek(vec![refused(), version(state)]).await;
        let error = kms.unwrap_dek(&wrapped(), &here()).await.unwrap_err();
        assert!(error.kind() == "not_ready" && error.to_string().contains(mend), "{state}: {error}");
    }
    let (kms, _requests) = kek(vec![refused(), (200, json!({ "name": KEY, "purpose": "ENCRYPT_DECRYPT" }))]).await;
    let error = kms.wrap_dek(&sevens(), &here()).await.unwrap_err();
    assert!(error.kind() == "not_ready" && error.to_string().contains("make or import a version"), "{error}");
}

#[tokio::test]
async fn a_gcp_version_that_is_not_ready_is_not_made_primary() {
    let key = (200, json!({ "name": KEY, "purpose": "ENCRYPT_DECRYPT" }));
    let made = (200, json!({ "name": format!("{KEY}/cryptoKeyVersions/2"), "state": "PENDING_GENERATION" }));
    let (kms, requests) = kek(vec![key.clone(), made]).await;
    let error = kms.rotate().await.unwrap_err();
    assert!(error.kind() == "not_ready" && error.to_string().contains("make it the primary one when"), "{error}");
    assert_eq!(requests.iter().count(), 2);
    let (kms, _requests) = kek(vec![key]).await;
    let status = kms.status().await.unwrap();
    assert_eq!((status.state, status.version), (phi_keys::KekState::Unusable, None), "without a primary version");
}
