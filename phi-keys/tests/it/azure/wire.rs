//! Single answers, given by a transport of the test's own: what is sent, and what becomes of an answer that no simulator gives.

use core::future::Future;
use core::pin::Pin;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::http::headers::Headers;
use azure_core::http::{AsyncRawResponse, Body, HttpClient, Request, Transport};
use azure_core::time::OffsetDateTime;
use azure_security_keyvault_keys::KeyClient;
use phi_keys::azure::{AzureAlgorithm, AzureKms};
use phi_keys::{Carrier, Kms, KmsAdmin, Wrapped};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::here;

const VAULT: &str = "https://clinic.vault.azure.net";
const VERSION: &str = "78deebed173b48e48f55abf87ed4cf71";
/// Thirty-two bytes of 7 and of 1.
const SEVENS: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";
const DIGEST: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";

/// Challenges the first request, then gives each answer once, in this order.
#[derive(Debug, Default)]
struct Canned {
    answers: Mutex<VecDeque<(u16, Value)>>,
    requests: Mutex<Vec<(String, Value)>>,
}

impl Canned {
    fn answer(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let authorized = request.headers().iter().any(|(name, _)| name.as_str() == "authorization");
        let mut headers = Headers::new();
        if !authorized {
            let challenge =
                r#"Bearer authorization="https://login.microsoftonline.com/t", resource="https://vault.azure.net""#;
            headers.insert("www-authenticate", challenge);
            return Ok(AsyncRawResponse::from_bytes(401.into(), headers, Vec::new()));
        }
        let body = match request.body() {
            Body::Bytes(bytes) => serde_json::from_slice(bytes).unwrap_or_default(),
            _ => Value::Null,
        };
        self.requests.lock().unwrap().push((format!("{} {}", request.method(), request.url()), body));
        let (status, body) = self.answers.lock().unwrap().pop_front().unwrap();
        let body = if body.is_string() { body.as_str().unwrap().to_owned() } else { body.to_string() };
        Ok(AsyncRawResponse::from_bytes(status.into(), headers, body.into_bytes()))
    }
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = azure_core::Result<T>> + Send + 'a>>;

impl HttpClient for Canned {
    fn execute_request<'a, 'b, 'c>(&'a self, request: &'b Request) -> Answer<'c, AsyncRawResponse>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        let answer = self.answer(request);
        Box::pin(async { answer })
    }
}

#[derive(Debug)]
struct Token;

impl TokenCredential for Token {
    fn get_token<'a, 'b, 'c, 'd, 'e>(
        &'a self,
        _: &'b [&'c str],
        _: Option<TokenRequestOptions<'d>>,
    ) -> Answer<'e, AccessToken>
    where
        'a: 'e,
        'b: 'e,
        'c: 'e,
        'd: 'e,
        Self: 'e,
    {
        let never = OffsetDateTime::from_unix_timestamp(32_503_680_000).unwrap();
        Box::pin(async move { Ok(AccessToken::new("a token", never)) })
    }
}

fn kek(answers: Vec<(u16, Value)>) -> (AzureKms, Arc<Canned>) {
    let canned = Arc::new(Canned { answers: Mutex::new(answers.into()), ..Canned::default() });
    let mut options = AzureKms::client_options();
    options.client_options.transport = Some(Transport::new(canned.clone()));
    let client = KeyClient::new(VAULT, Arc::new(Token), Some(options)).unwrap();
    (AzureKms::new(client, "kek").unwrap(), canned)
}

fn kid() -> String {
    format!("{VAULT}/keys/kek/{VERSION}")
}

fn sevens() -> Carrier {
    Carrier::from_bytes(Zeroizing::new([7; 32]))
}

fn wrapped() -> Wrapped {
    let id = format!("azure-kv:{VAULT}/keys/kek");
    let wrapped = Wrapped::new(id, VERSION, phi_keys::Binding::Derivation, vec![1; 256]).unwrap();
    wrapped.with_algorithm("RSA-OAEP-256").unwrap()
}

#[tokio::test]
async fn only_what_has_to_be_is_sent_to_azure() {
    let blob = "A".repeat(342);
    let (kms, canned) =
        kek(vec![(200, json!({ "kid": kid(), "value": blob })), (200, json!({ "kid": kid(), "value": SEVENS }))]);
    let wrapped = kms.wrap_dek(&sevens(), &here()).await.unwrap();
    assert_eq!((wrapped.kek_version(), wrapped.blob()), (VERSION, [0; 256].as_slice()));
    assert_eq!(kms.unwrap_dek(&wrapped, &here()).await.unwrap().expose(), sevens().expose());
    let requests = canned.requests.lock().unwrap();
    let [(wrap, wrap_body), (unwrap, unwrap_body)] = requests.as_slice() else { panic!("{requests:?}") };
    // The SDK leaves the place of a version empty, which means the newest.
    assert!(wrap.starts_with(&format!("POST {VAULT}/keys/kek//wrapkey?api-version=")), "{wrap}");
    assert_eq!(*wrap_body, json!({ "alg": "RSA-OAEP-256", "value": SEVENS }));
    assert!(unwrap.starts_with(&format!("POST {VAULT}/keys/kek/{VERSION}/unwrapkey?api-version=")), "{unwrap}");
    assert_eq!(*unwrap_body, json!({ "alg": "RSA-OAEP-256", "value": blob }));
}

#[tokio::test]
async fn the_digest_of_the_context_is_sent_to_azure_with_aes_gcm() {
    let made = json!({ "kid": kid(), "value": SEVENS, "iv": "AAAAAAAAAAAAAAAA", "tag": "AAAAAAAAAAAAAAAAAAAAAA", "aad": DIGEST });
    let (kms, canned) = kek(vec![(200, made), (200, json!({ "kid": kid(), "value": SEVENS }))]);
    let kms = kms.with_algorithm(AzureAlgorithm::A256Gcm);
    let wrapped = kms.wrap_dek(&sevens(), &here()).await.unwrap();
    assert_eq!(wrapped.blob(), [[0; 12].as_slice(), &[7; 32], &[0; 16]].concat());
    kms.unwrap_dek(&wrapped, &here()).await.unwrap();
    let requests = canned.requests.lock().unwrap();
    assert_eq!(requests[0].1, json!({ "alg": "A256GCM", "value": SEVENS, "aad": DIGEST }));
    let expected = json!({ "alg": "A256GCM", "value": SEVENS, "aad": DIGEST, "iv": "AAAAAAAAAAAAAAAA", "tag": "AAAAAAAAAAAAAAAAAAAAAA" });
    assert_eq!(requests[1].1, expected);
}

#[tokio::test]
async fn an_answer_of_azure_that_is_none_to_the_question_is_not_used() {
    let blob = "A".repeat(342);
    let table = [
        (json!({ "kid": kid(), "value": blob }), "ok"),
        (json!({ "kid": kid().replace("clinic", "other"), "value": blob }), "corrupt"),
        (json!({ "kid": kid().replace("kek/", "kek2/"), "value": blob }), "corrupt"),
        (json!({ "kid": format!("{VAULT}/keys/kek"), "value": blob }), "corrupt"),
        (json!({ "value": blob }), "corrupt"),
        (json!({ "kid": kid() }), "corrupt"),
        (json!({ "kid": kid(), "value": "AAAA" }), "corrupt"),
        (json!({ "kid": kid(), "value": "no base64!" }), "corrupt"),
    ];
    for (answer, kind) in table {
        let (kms, _) = kek(vec![(200, answer.clone())]);
        let made = kms.wrap_dek(&sevens(), &here()).await;
        assert_eq!(made.as_ref().map_or_else(|error| error.kind(), |_| "ok"), kind, "{answer}");
    }
    let table = [
        (json!({ "kid": kid(), "value": SEVENS }), "ok"),
        (json!({ "kid": kid().replace("78de", "0000"), "value": SEVENS }), "corrupt"),
        (json!({ "value": SEVENS }), "corrupt"),
        (json!({ "kid": kid() }), "corrupt"),
        (json!({ "kid": kid(), "value": "AAAA" }), "refused"),
    ];
    for (answer, kind) in table {
        let (kms, _) = kek(vec![(200, answer.clone())]);
        let opened = kms.unwrap_dek(&wrapped(), &here()).await;
        assert_eq!(opened.as_ref().map_or_else(|error| error.kind(), |_| "ok"), kind, "{answer}");
    }
}

#[tokio::test]
async fn a_vault_of_azure_without_soft_deletion_is_not_told_to_delete() {
    let key = |level: &str| json!({ "key": { "kid": kid(), "kty": "RSA" }, "attributes": { "recoveryLevel": level, "recoverableDays": 7 } });
    let whole = phi_keys::KekTarget::Kek;
    for level in ["Purgeable", "SomethingNew"] {
        let (kms, canned) = kek(vec![(200, key(level))]);
        let error = kms.schedule_destruction(&whole, core::time::Duration::ZERO).await.unwrap_err();
        assert_eq!((error.kind(), canned.requests.lock().unwrap().len()), ("unsupported", 1), "{level}");
    }
    let (kms, _) = kek(vec![(200, key("Recoverable+Purgeable"))]);
    let error = kms.schedule_destruction(&whole, core::time::Duration::from_secs(8 * 86_400)).await.unwrap_err();
    assert_eq!(error.kind(), "misconfigured");
}

#[tokio::test]
async fn a_proxys_answer_is_judged_by_its_status_and_not_kept() {
    for (status, kind) in [(502, "unavailable"), (403, "access_denied"), (407, "failed"), (413, "too_large")] {
        let (kms, _) = kek(vec![(status, json!("<html>a proxy</html>"))]);
        let error = kms.unwrap_dek(&wrapped(), &here()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{status}");
        assert!(!format!("{error:?}").contains("html"), "{error:?}");
    }
}

#[tokio::test]
async fn a_challenge_for_another_domain_gets_no_token() {
    let canned = Arc::new(Canned::default());
    let mut options = AzureKms::client_options();
    options.client_options.transport = Some(Transport::new(canned.clone()));
    let client = KeyClient::new("https://clinic.example", Arc::new(Token), Some(options)).unwrap();
    let error = AzureKms::new(client, "kek").unwrap().wrap_dek(&sevens(), &here()).await.unwrap_err();
    assert_eq!(error.kind(), "failed", "{error:?}");
    assert!(canned.requests.lock().unwrap().is_empty());
}
