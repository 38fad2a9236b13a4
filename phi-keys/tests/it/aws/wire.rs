//! Single answers, given by a server of the test's own: what is asked, how often, and what becomes of each error.

use std::net::TcpListener;
use std::sync::mpsc;

use aws_credential_types::credential_fn::provide_credentials_fn;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_kms::Client;
use aws_sdk_kms::config::{BehaviorVersion, Config, Region};
use phi_keys::aws::AwsKms;
use phi_keys::{Carrier, Kms, KmsAdmin, Rewrap, Wrapped};
use serde_json::{Value, json};

use super::emulator::{client, here};
use crate::wire::{Request, server};

pub(super) const ARN: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

pub(super) fn enabled() -> (u16, Value) {
    let metadata = json!({ "KeyId": "1234abcd", "Arn": ARN, "KeyState": "Enabled", "KeyUsage": "ENCRYPT_DECRYPT",
        "KeySpec": "SYMMETRIC_DEFAULT", "CurrentKeyMaterialId": "material-2" });
    (200, json!({ "KeyMetadata": metadata }))
}

/// Operation and body of the next request.
fn asked(requests: &mpsc::Receiver<Request>) -> (String, Value) {
    let request = requests.recv().unwrap();
    assert_eq!(request.line, "POST / HTTP/1.1");
    (request.header("x-amz-target").unwrap().to_owned(), request.body)
}

pub(super) fn failing(code: &str) -> Value {
    json!({ "__type": code, "message": "as told" })
}

async fn kek(answers: Vec<(u16, Value)>) -> (AwsKms, mpsc::Receiver<Request>) {
    let all = std::iter::once(enabled()).chain(answers).collect();
    let (url, requests) = server(all);
    let kms = AwsKms::open(client(&url, "us-east-1"), ARN).await.unwrap();
    assert_eq!(asked(&requests).0, "TrentService.DescribeKey");
    (kms, requests)
}

fn wrapped(version: &str) -> Wrapped {
    Wrapped::new(format!("aws-kms:{ARN}"), version, phi_keys::Binding::Native, vec![1, 2, 3]).unwrap()
}

#[tokio::test]
async fn every_error_is_asked_for_once_and_named() {
    let table = [
        (400, "ThrottlingException", "throttled"),
        // A quota that is used up for good, such as that of rotations.
        (400, "LimitExceededException", "failed"),
        (500, "KMSInternalException", "unavailable"),
        (503, "", "unavailable"),
        (400, "com.amazonaws.kms#AccessDeniedException", "access_denied"),
        (400, "ExpiredTokenException", "unauthenticated"),
        (400, "UnrecognizedClientException", "unauthenticated"),
        (400, "InvalidSignatureException", "unauthenticated"),
        (403, "SignatureDoesNotMatch", "unauthenticated"),
        (400, "RequestExpired", "unauthenticated"),
        (400, "NotFoundException", "not_found"),
        (400, "DisabledException", "disabled"),
        (400, "InvalidCiphertextException", "refused"),
        (400, "IncorrectKeyException", "other_kek"),
        (400, "InvalidKeyUsageException", "misconfigured"),
        (400, "UnsupportedOperationException", "unsupported"),
        (400, "SomethingNew", "failed"),
    ];
    for (status, code, kind) in table {
        let (kms, requests) = kek(vec![(status, failing(code)), (status, failing(code))]).await;
        let error = kms.unwrap_dek(&wrapped(""), &here()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{code}");
        // What a machine gets whose clock is wrong looks like credentials that are.
        let mend = "renew the credentials, and check the clock of this machine";
        assert_eq!(error.to_string().contains(mend), kind == "unauthenticated", "{code}: {error}");
        assert_eq!(asked(&requests).0, "TrentService.Decrypt");
        assert!(requests.try_recv().is_err(), "{code}: no retry of the SDK's own");
    }
}

#[tokio::test]
async fn a_key_of_another_region_is_not_asked_for() {
    let (url, requests) = server(vec![enabled()]);
    let error = AwsKms::open(client(&url, "eu-central-1"), ARN).await.unwrap_err();
    assert_eq!(error.kind(), "misconfigured");
    assert!(error.to_string().contains("region of the key"), "{error}");
    assert!(requests.try_recv().is_err());
    AwsKms::open(client(&url, "eu-central-1"), "1234abcd-12ab-34cd-56ef-1234567890ab").await.unwrap();
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    use aws_sdk_kms::config::timeout::TimeoutConfig;

    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let limit = TimeoutConfig::builder().operation_timeout(core::time::Duration::from_millis(200)).build();
    let configuration = client(&url, "us-east-1").config().to_builder().timeout_config(limit).build();
    let error = AwsKms::open(Client::from_conf(configuration), ARN).await.unwrap_err();
    assert_eq!(error.kind(), "unavailable");
}

#[tokio::test]
async fn a_list_of_rotations_without_an_end_is_not_followed() {
    let page =
        |marker: &str| (200, json!({ "Rotations": [{ "KeyId": ARN }], "Truncated": true, "NextMarker": marker }));
    let (kms, requests) = kek(vec![page("a"), page("b"), page("b"), page("b")]).await;
    assert_eq!(KmsAdmin::versions(&kms).await.unwrap_err().kind(), "corrupt");
    assert_eq!(requests.iter().take(3).count(), 3);
    assert!(requests.try_recv().is_err(), "no fourth request");
    let last = (200, json!({ "Rotations": [{ "KeyId": ARN }], "Truncated": false }));
    let (kms, _requests) = kek(vec![page("a"), last]).await;
    assert_eq!(KmsAdmin::versions(&kms).await.unwrap().versions.len(), 2);
}

#[tokio::test]
async fn a_wrong_state_is_asked_for() {
    let state = |state: &str| (200, json!({ "KeyMetadata": { "KeyId": "x", "Arn": ARN, "KeyState": state } }));
    let table = [
        ("PendingDeletion", "pending_destruction", "cancel its destruction"),
        ("Disabled", "disabled", "enable it"),
        ("PendingImport", "not_ready", "import its key material"),
        ("Creating", "not_ready", "wait"),
        ("Unavailable", "not_ready", "connect the custom key store"),
        ("Enabled", "failed", "the source of this error"),
    ];
    for (told, kind, mend) in table {
        let (kms, _requests) = kek(vec![(400, failing("KMSInvalidStateException")), state(told)]).await;
        let error = kms.unwrap_dek(&wrapped(""), &here()).await.unwrap_err();
        assert!(error.kind() == kind && error.to_string().contains(mend), "{told}: {error}");
    }
}

#[tokio::test]
async fn an_answer_that_is_none_to_the_question_is_not_used() {
    let plaintext = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let decrypted = |arn: &str, plaintext: &str, material: &str| {
        (200, json!({ "KeyId": arn, "Plaintext": plaintext, "KeyMaterialId": material }))
    };
    let other = ARN.replace("1234abcd-", "99999999-");
    let table = [
        (decrypted(ARN, plaintext, "material-1"), "ok"),
        (decrypted(&other, plaintext, "material-1"), "corrupt"),
        (decrypted(ARN, "AAEC", "material-1"), "refused"),
        (decrypted(ARN, plaintext, "material-2"), "unknown_version"),
        ((200, json!({})), "corrupt"),
        ((200, json!("this is no JSON")), "corrupt"),
    ];
    for (answer, kind) in table {
        let (kms, _requests) = kek(vec![answer.clone()]).await;
        let opened = kms.unwrap_dek(&wrapped("material-1"), &here()).await;
        assert_eq!(opened.as_ref().map_or_else(|error| error.kind(), |_| "ok"), kind, "{answer:?}");
        let text = format!("{opened:?}");
        assert!(!text.contains("AAECAw") && !text.contains("this is no JSON"), "{text}");
    }
}

#[tokio::test]
async fn only_the_digest_of_the_context_leaves() {
    let digest = "ab".repeat(32);
    let context = json!({ "phi-context": digest });
    let blob = (
        200,
        json!({ "KeyId": ARN, "CiphertextBlob": "AQID", "Plaintext": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "KeyMaterialId": "material-2", "SourceKeyId": ARN, "SourceKeyMaterialId": "material-1", "DestinationKeyMaterialId": "material-2" }),
    );
    let (kms, requests) = kek(vec![blob.clone(), blob.clone(), blob.clone(), blob]).await;
    let fields = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();

    let (_, made) = kms.generate(&here()).await.unwrap();
    assert_eq!(made.kek_version(), "material-2");
    let (operation, body) = asked(&requests);
    assert_eq!((operation.as_str(), &body["EncryptionContext"]), ("TrentService.GenerateDataKey", &context));
    assert_eq!((fields(&body).len(), &body["KeyId"], &body["KeySpec"]), (3, &json!(ARN), &json!("AES_256")));

    assert_eq!(kms.wrap_dek(&Carrier::generate().unwrap(), &here()).await.unwrap().kek_version(), "");
    let (operation, body) = asked(&requests);
    assert_eq!((operation.as_str(), &body["EncryptionContext"]), ("TrentService.Encrypt", &context));
    assert_eq!((fields(&body).len(), &body["KeyId"]), (3, &json!(ARN)));

    kms.unwrap_dek(&wrapped("material-2"), &here()).await.unwrap();
    let (operation, body) = asked(&requests);
    assert_eq!((operation.as_str(), &body["EncryptionContext"]), ("TrentService.Decrypt", &context));
    assert_eq!((fields(&body).len(), &body["KeyId"]), (4, &json!(ARN)), "the key is pinned");

    let moved = kms.rewrap(&wrapped("material-1"), &here()).await.unwrap();
    assert!(matches!(&moved, Rewrap::ServerSide(wrapped) if wrapped.kek_version() == "material-2"), "{moved:?}");
    let (operation, body) = asked(&requests);
    assert_eq!(operation, "TrentService.ReEncrypt");
    assert_eq!((&body["SourceEncryptionContext"], &body["DestinationEncryptionContext"]), (&context, &context));
    assert_eq!((&body["SourceKeyId"], &body["DestinationKeyId"]), (&json!(ARN), &json!(ARN)));
}

#[tokio::test]
async fn nobody_there_and_nobody_known_are_told_apart() {
    let free = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    // HTTPS too: nothing panics.
    for url in [format!("http://{free}"), format!("https://{free}")] {
        let error = AwsKms::open(client(&url, "us-east-1"), ARN).await.unwrap_err();
        assert_eq!(error.kind(), "unavailable", "{error:?}");
    }
    let configuration = || {
        let configuration = Config::builder().behavior_version(BehaviorVersion::latest());
        let configuration = configuration.region(Region::new("us-east-1")).http_client(AwsKms::https_client());
        configuration.endpoint_url(format!("http://{free}"))
    };
    let without = configuration().build();
    let failing = provide_credentials_fn(|| async { Err(CredentialsError::not_loaded("no credentials here")) });
    let failing = configuration().credentials_provider(failing).build();
    for (configuration, kind) in [(without, "failed"), (failing, "unauthenticated")] {
        let error = AwsKms::open(Client::from_conf(configuration), ARN).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
    }
}
