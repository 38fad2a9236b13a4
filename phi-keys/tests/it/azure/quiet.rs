//! What is logged and printed.

use std::fmt::Write as _;

use base64ct::{Base64UrlUnpadded, Encoding};
use kms_sim::{Fault, FaultKind};
use phi_keys::Kms;

use super::{carrier, fact, here, kms, start};
use crate::logged::Log;

#[tokio::test]
async fn neither_tokens_nor_carriers_of_azure_are_logged_or_printed() {
    let (log, _guard) = Log::start();
    let azure = start().await;
    let (kms, carrier) = (kms(&azure), carrier());
    let wrapped = kms.wrap_dek(&carrier, &here()).await.unwrap();
    let mut printed = format!("{kms:?}");
    kms.unwrap_dek(&wrapped, &here()).await.unwrap();
    for kind in [FaultKind::Garbage, FaultKind::Truncated, FaultKind::Drop, FaultKind::Forbidden, FaultKind::Internal] {
        azure.control().inject(Fault::new(kind).on("unwrap_key"));
        let error = kms.unwrap_dek(&wrapped, &here()).await.unwrap_err();
        write!(printed, "{error} {error:?} {:?}", std::error::Error::source(&error).map(ToString::to_string)).unwrap();
    }
    let logged = log.text();
    assert!(logged.contains("unwrapkey"), "the client library logs, and was listened to");
    let secrets = [
        fact(&azure, "client_secret").to_owned(),
        "eyJ0eXAi".to_owned(),
        Base64UrlUnpadded::encode_string(carrier.expose()),
        Base64UrlUnpadded::encode_string(wrapped.blob()),
        format!("{:?}", carrier.expose()),
    ];
    for secret in &secrets {
        assert!(!logged.contains(secret) && !printed.contains(secret), "leaked: {}", &secret[..4]);
    }
}
