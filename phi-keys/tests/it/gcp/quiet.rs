//! What is logged and printed.

use std::fmt::Write as _;

use base64ct::{Base64, Encoding};
use kms_sim::{Fault, FaultKind};
use phi_keys::Kms;

use super::{carrier, here, kms, start, there};
use crate::logged::Log;

#[tokio::test]
async fn carriers_of_gcp_are_neither_logged_nor_printed() {
    let (log, _guard) = Log::start();
    let gcp = start().await;
    let (kms, carrier) = (kms(&gcp).await, carrier());
    let wrapped = kms.wrap_dek(&carrier, &here()).await.unwrap();
    let mut printed = format!("{kms:?}");
    kms.unwrap_dek(&wrapped, &here()).await.unwrap();
    let refused = kms.unwrap_dek(&wrapped, &there()).await.unwrap_err();
    write!(printed, "{refused} {refused:?}").unwrap();
    for kind in [FaultKind::Garbage, FaultKind::Truncated, FaultKind::Drop, FaultKind::Forbidden, FaultKind::CorruptCrc]
    {
        gcp.control().inject(Fault::new(kind).on("decrypt"));
        let error = kms.unwrap_dek(&wrapped, &here()).await.unwrap_err();
        write!(printed, "{error} {error:?} {:?}", std::error::Error::source(&error).map(ToString::to_string)).unwrap();
    }
    let logged = log.text();
    assert!(!logged.is_empty(), "the client library logs, and was listened to");
    let secrets = [
        Base64::encode_string(carrier.expose()),
        Base64::encode_string(here().digest()),
        Base64::encode_string(wrapped.blob()),
        format!("{:?}", carrier.expose()),
    ];
    for secret in &secrets {
        assert!(!logged.contains(secret) && !printed.contains(secret), "leaked: {}", &secret[..4]);
    }
}
