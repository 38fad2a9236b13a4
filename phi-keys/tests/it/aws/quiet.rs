//! What is logged and printed.

use std::fmt::Write as _;

use base64ct::{Base64, Encoding};
use phi_keys::aws::AwsKms;
use phi_keys::{Binding, Carrier, Kms, Wrapped};
use serde_json::json;
use zeroize::Zeroizing;

use super::emulator::{client, here};
use super::wire::{ARN, enabled, failing};
use crate::logged::Log;
use crate::wire::server;

#[tokio::test]
async fn neither_carriers_nor_contexts_of_aws_are_logged_or_printed() {
    let (log, _guard) = Log::start();
    let carrier =
        Carrier::from_bytes(Zeroizing::new(*b"a carrier of thirty-two bytes...".as_slice().first_chunk().unwrap()));
    let blob = b"the bytes that were wrapped".to_vec();
    let (plaintext, ciphertext) = (Base64::encode_string(carrier.expose()), Base64::encode_string(&blob));
    let sealed = json!({ "KeyId": ARN, "SourceKeyId": ARN, "CiphertextBlob": ciphertext });
    let opened = json!({ "KeyId": ARN, "Plaintext": plaintext, "CiphertextBlob": ciphertext });
    let answers = vec![
        enabled(),
        (200, opened.clone()),
        (200, sealed.clone()),
        (200, opened),
        (200, sealed),
        (200, json!(format!("{{\"Plaintext\":\"{plaintext}\""))),
        (400, failing("AccessDeniedException")),
        (503, json!(plaintext)),
    ];
    let (url, _requests) = server(answers);
    let kms = AwsKms::open(client(&url, "us-east-1"), ARN).await.unwrap();
    let (made, _) = kms.generate(&here()).await.unwrap();
    let wrapped = kms.wrap_dek(&made, &here()).await.unwrap();
    assert_eq!(kms.unwrap_dek(&wrapped, &here()).await.unwrap().expose(), carrier.expose());
    let moved = kms.rewrap(&wrapped, &here()).await.unwrap();
    let mut printed = format!("{kms:?} {moved:?} {made:?}");
    let wrapped = Wrapped::new(kms.kek_id(), "", Binding::Native, blob.clone()).unwrap();
    for kind in ["corrupt", "access_denied", "unavailable"] {
        let error = kms.unwrap_dek(&wrapped, &here()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
        write!(printed, "{error} {error:?} {:?}", std::error::Error::source(&error).map(ToString::to_string)).unwrap();
    }
    let logged = log.text();
    assert!(logged.contains("aws_smithy_runtime"), "the client library logs, and was listened to");
    let digest: String = here().digest().iter().map(|byte| format!("{byte:02x}")).collect();
    let secrets = [
        plaintext,
        ciphertext,
        digest,
        "a carrier of thirty".to_owned(),
        "the bytes that were".to_owned(),
        format!("{:?}", carrier.expose()),
        format!("{blob:?}"),
        "test/secret".to_owned(),
    ];
    for secret in &secrets {
        assert!(!logged.contains(secret.as_str()) && !printed.contains(secret.as_str()), "leaked: {}", &secret[..4]);
    }
}

/// What the SDK does not print must still be signed, or AWS would refuse it; the emulators do not look.
#[tokio::test]
async fn the_signature_of_a_request_to_aws_covers_its_body() {
    let (url, requests) = server(vec![enabled()]);
    AwsKms::open(client(&url, "us-east-1"), ARN).await.unwrap();
    let request = requests.recv().unwrap();
    let authorization = request.header("authorization").unwrap();
    let part = |name: &str| authorization.split(name).nth(1).unwrap().split(',').next().unwrap().to_owned();
    let (signed, signature) = (part("SignedHeaders="), part("Signature="));
    let (date, hex) = (request.header("x-amz-date").unwrap(), |bytes: &[u8]| -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    });

    // Signature version 4, as AWS documents it.
    let sha256 = |text: &str| hex(ring::digest::digest(&ring::digest::SHA256, text.as_bytes()).as_ref());
    let headers = signed.split(';').map(|name| format!("{name}:{}\n", request.header(name).unwrap()));
    let canonical = format!("POST\n/\n\n{}\n{signed}\n{}", headers.collect::<String>(), sha256(&request.text));
    let scope = format!("{}/us-east-1/kms/aws4_request", &date[..8]);
    let told = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", sha256(&canonical));
    let mac = |key: &[u8], text: &str| {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key);
        ring::hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
    };
    let key = scope.split('/').fold(b"AWS4test/secret".to_vec(), |key, part| mac(&key, part));
    assert_eq!(signature, hex(&mac(&key, &told)));
}
