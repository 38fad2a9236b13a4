//! What is logged and printed.

use std::fmt::Write as _;

use base64ct::{Base64, Encoding};
use kms_sim::{Fault, FaultKind};
use phi_keys::Kms;

use super::{app_role, builder, carrier, fact, here, start, there};
use crate::logged::Log;

#[tokio::test]
async fn neither_tokens_nor_carriers_of_vault_are_logged_or_printed() {
    let (log, _guard) = Log::start();
    let vault = start().await;
    let kms = builder(&vault).auth(app_role(&vault)).build().unwrap();
    let carrier = carrier();
    let wrapped = kms.wrap_dek(&carrier, &here()).await.unwrap();
    let mut printed = format!("{kms:?} {:?}", builder(&vault));
    kms.unwrap_dek(&wrapped, &here()).await.unwrap();
    let refused = kms.unwrap_dek(&wrapped, &there()).await.unwrap_err();
    write!(printed, "{refused} {refused:?}").unwrap();
    for kind in [FaultKind::Garbage, FaultKind::Truncated, FaultKind::Drop, FaultKind::Forbidden, FaultKind::Internal] {
        vault.control().inject(Fault::new(kind).on("decrypt"));
        let error = kms.unwrap_dek(&wrapped, &here()).await.unwrap_err();
        write!(printed, "{error} {error:?}").unwrap();
    }

    let logged = log.text();
    assert!(logged.contains("transit/decrypt"), "the client library logs, and was listened to");
    let secrets = [
        fact(&vault, "token").to_owned(),
        fact(&vault, "role_id").to_owned(),
        fact(&vault, "secret_id").to_owned(),
        "hvs.".to_owned(),
        Base64::encode_string(carrier.expose()),
        Base64::encode_string(here().digest()),
        String::from_utf8(wrapped.blob().to_vec()).unwrap(),
    ];
    for secret in &secrets {
        assert!(!logged.contains(secret) && !printed.contains(secret), "leaked: {}", &secret[..4]);
    }
}
