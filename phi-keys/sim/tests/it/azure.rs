//! Azure Key Vault and Managed HSM on the wire.

use core::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding};
use kms_sim::{Fault, FaultKind, Service, Simulator};
use serde_json::{Value, json};

use crate::client::{Answer, Client, b64url, start};

async fn service(service: Service) -> (Simulator, Client) {
    let azure = start(service).await;
    let bearer = format!("Bearer {}", azure.fact("token").unwrap());
    let client = Client::new(&azure).with("authorization", &bearer);
    (azure, client)
}

fn error(answer: &Answer, status: u16, code: &str, inner: Option<&str>) {
    let error = answer.json()["error"].clone();
    assert_eq!((answer.status, error["code"].as_str()), (status, Some(code)), "{}", answer.text);
    assert!(error["message"].is_string());
    assert_eq!(error["innererror"]["code"].as_str(), inner, "{error}");
}

/// The path of the latest version of a key.
async fn latest(azure: &Simulator, client: &Client, key: &str) -> String {
    let bundle = client.get(&format!("/keys/{key}?api-version=7.6")).await.json();
    bundle["key"]["kid"].as_str().unwrap().strip_prefix(azure.url()).unwrap().to_owned()
}

async fn operate(client: &Client, path: &str, what: &str, body: Value) -> Answer {
    client.post(&format!("{path}/{what}?api-version=2025-07-01"), body).await
}

#[tokio::test]
async fn a_caller_without_a_token_is_challenged_and_finds_one_where_it_is_told() {
    let azure = start(Service::Azure).await;
    let stranger = Client::new(&azure);
    let challenged = stranger.get("/keys/phi-kek?api-version=7.6").await;
    error(&challenged, 401, "Unauthorized", None);
    let tenant = azure.fact("tenant").unwrap();
    assert_eq!(
        challenged.header("www-authenticate").unwrap(),
        format!("Bearer authorization=\"{}/{tenant}\", resource=\"https://vault.azure.net\"", azure.url())
    );
    let form = |secret: &str, scope: &str| {
        format!(
            "grant_type=client_credentials&client_id={}&client_secret={secret}&scope={scope}",
            azure.fact("client_id").unwrap()
        )
    };
    let endpoint = format!("/{tenant}/oauth2/v2.0/token");
    let secret = azure.fact("client_secret").unwrap();
    let scope = "https%3A%2F%2Fvault.azure.net%2F.default";
    for (form, status, wrong) in [
        (form("guess", scope), 401, "invalid_client"),
        (form(secret, "https%3A%2F%2Fgraph.microsoft.com%2F.default"), 400, "invalid_scope"),
        (form(secret, scope).replace("client_credentials", "password"), 400, "unsupported_grant_type"),
    ] {
        let refused = stranger.send_raw("POST", &endpoint, form).await.unwrap();
        assert_eq!((refused.status, refused.json()["error"].as_str()), (status, Some(wrong)));
    }
    let granted = stranger.send_raw("POST", &endpoint, form(secret, scope)).await.unwrap().json();
    let bearer = format!("Bearer {}", granted["access_token"].as_str().unwrap());
    let known = Client::new(&azure).with("authorization", &bearer);
    assert_eq!(known.get("/keys/phi-kek?api-version=7.6").await.status, 200);
    azure.control().advance(Duration::from_secs(3_600));
    let expired = known.get("/keys/phi-kek?api-version=7.6").await;
    error(&expired, 401, "Unauthorized", None);
    assert!(expired.header("www-authenticate").unwrap().contains("error=\"invalid_token\""));
}

#[tokio::test]
async fn the_api_version_is_checked() {
    let (_azure, client) = service(Service::Azure).await;
    for (query, status) in
        [("", 400), ("?api-version=6.0", 400), ("?api-version=7.0", 200), ("?api-version=2025-07-01", 200)]
    {
        assert_eq!(client.get(&format!("/keys/phi-kek{query}")).await.status, status, "{query}");
    }
    error(&client.post("/keys/phi-kek/rotate?api-version=7.2", json!({})).await, 400, "BadParameter", None);
}

#[tokio::test]
async fn rsa_wraps_under_the_named_or_the_latest_version() {
    let (azure, client) = service(Service::Azure).await;
    let old = latest(&azure, &client, "phi-kek").await;
    let wrap = json!({ "alg": "RSA-OAEP-256", "value": b64url(&[7; 32]) });
    let made = operate(&client, &old, "wrapkey", wrap.clone()).await.json();
    assert_eq!(made["kid"], format!("{}{old}", azure.url()));
    assert_eq!(Base64UrlUnpadded::decode_vec(made["value"].as_str().unwrap()).unwrap().len(), 256);
    client.post("/keys/phi-kek/rotate?api-version=7.6", json!({})).await;
    let new = latest(&azure, &client, "phi-kek").await;
    let unwrap = json!({ "alg": "RSA-OAEP-256", "value": made["value"] });
    assert_eq!(operate(&client, &old, "unwrapkey", unwrap.clone()).await.json()["value"], b64url(&[7; 32]));
    error(&operate(&client, &new, "unwrapkey", unwrap).await, 400, "BadParameter", None);
    // The version may be left out, with the slash or without.
    for path in ["/keys/phi-kek", "/keys/phi-kek/"] {
        let made = operate(&client, path, "wrapKey", wrap.clone()).await.json();
        assert_eq!(made["kid"], format!("{}{new}", azure.url()));
    }
}

#[tokio::test]
async fn a_disabled_version_does_nothing_and_an_expired_one_only_opens() {
    let (azure, client) = service(Service::Azure).await;
    let path = latest(&azure, &client, "phi-kek").await;
    let wrap = json!({ "alg": "RSA-OAEP-256", "value": b64url(&[7; 32]) });
    let made = operate(&client, &path, "wrapkey", wrap.clone()).await.json();
    let unwrap = json!({ "alg": "RSA-OAEP-256", "value": made["value"] });
    let patch = async |attributes: Value| {
        let path = format!("{path}?api-version=7.6");
        client.send("PATCH", &path, Some(json!({ "attributes": attributes }))).await.unwrap().json()
    };
    assert_eq!(patch(json!({ "enabled": false })).await["attributes"]["enabled"], false);
    for (what, body) in [("wrapkey", &wrap), ("unwrapkey", &unwrap)] {
        error(&operate(&client, &path, what, body.clone()).await, 403, "Forbidden", Some("KeyDisabled"));
    }
    assert_eq!(client.get(&format!("{path}?api-version=7.6")).await.status, 200, "it can still be read");
    patch(json!({ "enabled": true, "exp": 1 })).await;
    error(&operate(&client, &path, "wrapkey", wrap.clone()).await, 403, "Forbidden", Some("KeyExpired"));
    assert_eq!(operate(&client, &path, "unwrapkey", unwrap.clone()).await.status, 200);
    patch(json!({ "exp": 9_999_999_999_i64, "nbf": 9_999_999_998_i64 })).await;
    error(&operate(&client, &path, "wrapkey", wrap).await, 403, "Forbidden", Some("KeyNotYetValid"));
    assert_eq!(operate(&client, &path, "unwrapkey", unwrap).await.status, 200);
}

#[tokio::test]
async fn the_hsm_seals_with_its_own_iv_and_authenticates_the_additional_data() {
    let (azure, client) = service(Service::AzureHsm).await;
    let path = latest(&azure, &client, "phi-oct").await;
    let body = json!({ "alg": "A256GCM", "value": b64url(&[7; 32]), "aad": b64url(b"a") });
    let made = operate(&client, &path, "encrypt", body.clone()).await.json();
    let mut open = json!({
        "alg": "A256GCM", "value": made["value"], "iv": made["iv"], "tag": made["tag"], "aad": b64url(b"a"),
    });
    assert_eq!(operate(&client, &path, "decrypt", open.clone()).await.json()["value"], b64url(&[7; 32]));
    for (field, wrong) in
        [("aad", b64url(b"b")), ("iv", b64url(&[0; 12])), ("tag", b64url(&[0; 16])), ("iv", String::new())]
    {
        let mut wrongly = open.clone();
        wrongly[field] = json!(wrong);
        error(&operate(&client, &path, "decrypt", wrongly).await, 400, "BadParameter", None);
    }
    open.as_object_mut().unwrap().remove("tag");
    error(&operate(&client, &path, "decrypt", open).await, 400, "BadParameter", None);
    let mut own_iv = body;
    own_iv["iv"] = json!(b64url(&[1; 12]));
    error(&operate(&client, &path, "encrypt", own_iv).await, 400, "BadParameter", None);
}

#[tokio::test]
async fn the_hsm_wraps_keys_as_the_rfcs_say() {
    let (azure, client) = service(Service::AzureHsm).await;
    let path = latest(&azure, &client, "phi-oct").await;
    for (algorithm, input, len) in [
        ("A256KW", 32, 40),
        ("CKM_AES_KEY_WRAP", 32, 40),
        ("CKM_AES_KEY_WRAP_PAD", 20, 32),
        ("CKM_AES_KEY_WRAP_PAD", 33, 48),
    ] {
        let plain = b64url(&vec![7; input]);
        let made = operate(&client, &path, "wrapkey", json!({ "alg": algorithm, "value": plain })).await.json();
        let wrapped = Base64UrlUnpadded::decode_vec(made["value"].as_str().unwrap()).unwrap();
        assert_eq!(wrapped.len(), len, "{algorithm}");
        let opened = operate(&client, &path, "unwrapkey", json!({ "alg": algorithm, "value": made["value"] })).await;
        assert_eq!(opened.json()["value"], plain, "{algorithm}");
        for index in 0..wrapped.len() {
            let mut flipped = wrapped.clone();
            flipped[index] ^= 1;
            let body = json!({ "alg": algorithm, "value": b64url(&flipped) });
            error(&operate(&client, &path, "unwrapkey", body).await, 400, "BadParameter", None);
        }
    }
    for (algorithm, input) in [("A256KW", 31), ("A128KW", 32), ("RSA-OAEP-256", 32), ("A256GCM", 32)] {
        let body = json!({ "alg": algorithm, "value": b64url(&vec![7; input]) });
        error(&operate(&client, &path, "wrapkey", body).await, 400, "BadParameter", None);
    }
}

#[tokio::test]
async fn keys_belong_to_the_kind_of_vault_that_can_hold_them() {
    for (kind, kty, status) in [
        (Service::Azure, "oct-HSM", 400),
        (Service::AzureHsm, "oct-HSM", 200),
        (Service::AzureHsm, "RSA", 400),
        (Service::Azure, "EC", 400),
        (Service::Azure, "", 400),
    ] {
        let (_azure, client) = service(kind).await;
        let created = client.post("/keys/new/create?api-version=7.6", json!({ "kty": kty })).await;
        assert_eq!(created.status, status, "{kind:?} {kty}");
    }
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let (azure, client) = service(Service::Azure).await;
    let path = latest(&azure, &client, "phi-kek").await;
    error(&client.get("/keys/none?api-version=7.6").await, 404, "KeyNotFound", None);
    error(&client.get("/keys/phi-kek/0000?api-version=7.6").await, 404, "KeyNotFound", None);
    error(&client.get("/secrets/x?api-version=7.6").await, 404, "NotFound", None);
    for body in [json!({}), json!({ "alg": "RSA-OAEP-256" }), json!({ "alg": "RSA-OAEP-256", "value": "!" })] {
        error(&operate(&client, &path, "wrapkey", body).await, 400, "BadParameter", None);
    }
    let broken = client.send_raw("POST", &format!("{path}/wrapkey?api-version=7.6"), "{".to_owned()).await.unwrap();
    error(&broken, 400, "BadParameter", None);
    let body = json!({ "key_ops": ["wrapKey"] });
    client.send("PATCH", &format!("{path}?api-version=7.6"), Some(body)).await.unwrap();
    let unwrap = json!({ "alg": "RSA-OAEP-256", "value": b64url(&[0; 256]) });
    error(&operate(&client, &path, "unwrapkey", unwrap).await, 403, "Forbidden", Some("KeyOperationForbidden"));
}

#[tokio::test]
async fn a_deleted_key_can_be_recovered_until_it_is_purged() {
    let (_azure, client) = service(Service::Azure).await;
    let send =
        async |method: &str, path: &str| client.send(method, &format!("{path}?api-version=7.6"), None).await.unwrap();
    assert!(send("DELETE", "/keys/phi-kek").await.json()["scheduledPurgeDate"].is_number());
    error(&send("GET", "/keys/phi-kek").await, 404, "KeyNotFound", None);
    let again = client.post("/keys/phi-kek/create?api-version=7.6", json!({ "kty": "RSA" })).await;
    error(&again, 409, "Conflict", Some("ObjectIsDeletedButRecoverable"));
    assert_eq!(send("POST", "/deletedkeys/phi-kek/recover").await.status, 200);
    assert_eq!(send("GET", "/keys/phi-kek").await.status, 200);
    send("DELETE", "/keys/phi-kek").await;
    assert_eq!(send("DELETE", "/deletedkeys/phi-kek").await.status, 204);
    error(&send("POST", "/deletedkeys/phi-kek/recover").await, 404, "KeyNotFound", None);
}

#[tokio::test]
async fn faults_wear_the_dress_of_the_service() {
    let (azure, client) = service(Service::Azure).await;
    let path = latest(&azure, &client, "phi-kek").await;
    for (kind, status, code, inner) in [
        (FaultKind::Throttle { retry_after: Some(3) }, 429, "Throttled", None),
        (FaultKind::Internal, 500, "InternalServerError", None),
        (FaultKind::Unavailable, 503, "ServiceUnavailable", None),
        (FaultKind::Forbidden, 403, "Forbidden", Some("AccessDenied")),
        (FaultKind::ExpiredToken, 401, "Unauthorized", None),
        (FaultKind::NotFound, 404, "KeyNotFound", None),
    ] {
        azure.control().inject(Fault::new(kind));
        let answer = client.get("/keys/phi-kek?api-version=7.6").await;
        error(&answer, status, code, inner);
        assert_eq!(answer.header("retry-after"), (status == 429).then_some("3"));
    }
    let wrap = json!({ "alg": "RSA-OAEP-256", "value": b64url(&[7; 32]) });
    azure.control().inject(Fault::new(FaultKind::OtherVersion));
    let named = operate(&client, &path, "wrapkey", wrap).await.json();
    assert_ne!(named["kid"], format!("{}{path}", azure.url()));
    let version = path.rsplit('/').next().unwrap();
    azure.control().change_version("phi-kek", version, "disable").unwrap();
    let bundle = client.get("/keys/phi-kek?api-version=7.6").await.json();
    assert_eq!(bundle["attributes"]["enabled"], false);
}
