//! Many carriers in one request.

use kms_sim::{Fault, FaultKind};
use phi_keys::{Binding, Kms, KmsError, Wrapped};

use super::{carrier, here, kms, start, there};

#[tokio::test]
async fn vault_unwraps_many_in_one_request_and_each_fails_alone() {
    let vault = start().await;
    let kms = kms(&vault);
    let carriers = [carrier(), carrier(), carrier()];
    let mut wrapped = Vec::new();
    for carrier in &carriers {
        wrapped.push(kms.wrap_dek(carrier, &here()).await.unwrap());
    }
    let foreign = Wrapped::new("vault:elsewhere", "1", Binding::Native, wrapped[0].blob().to_vec()).unwrap();
    let (here, there) = (here(), there());
    vault.control().reset_calls();
    let opened = kms
        .unwrap_many(&[
            (&wrapped[0], &here),
            (&foreign, &here),
            (&wrapped[1], &there),
            (&wrapped[2], &here),
            (&wrapped[1], &here),
        ])
        .await
        .unwrap();
    assert_eq!(vault.control().calls_of("decrypt"), 1);
    assert_eq!(opened.len(), 5);
    assert_eq!(opened[0].as_ref().unwrap().expose(), carriers[0].expose());
    assert!(matches!(opened[1], Err(KmsError::OtherKek)));
    assert!(matches!(opened[2], Err(KmsError::Refused)));
    assert_eq!(opened[3].as_ref().unwrap().expose(), carriers[2].expose());
    assert_eq!(opened[4].as_ref().unwrap().expose(), carriers[1].expose());
}

#[tokio::test]
async fn vault_unwraps_more_than_fit_into_one_request_and_none_without_one() {
    let vault = start().await;
    let (kms, carrier, here) = (kms(&vault), carrier(), here());
    let wrapped = kms.wrap_dek(&carrier, &here).await.unwrap();
    vault.control().reset_calls();
    assert!(kms.unwrap_many(&[]).await.unwrap().is_empty());
    let foreign = Wrapped::new("vault:elsewhere", "1", Binding::Native, wrapped.blob().to_vec()).unwrap();
    let refused = kms.unwrap_many(&[(&foreign, &here)]).await.unwrap();
    assert!(matches!(refused[..], [Err(KmsError::OtherKek)]));
    assert_eq!(vault.control().calls_of("decrypt"), 0);
    let opened = kms.unwrap_many(&vec![(&wrapped, &here); 300]).await.unwrap();
    assert_eq!((opened.len(), vault.control().calls_of("decrypt")), (300, 2));
    assert!(opened.iter().all(|opened| opened.as_ref().is_ok_and(|opened| opened.expose() == carrier.expose())));
}

#[tokio::test]
async fn a_batch_that_vault_refuses_as_a_whole_is_one_error() {
    let vault = start().await;
    let (kms, here) = (kms(&vault), here());
    let wrapped = kms.wrap_dek(&carrier(), &here).await.unwrap();
    for (kind, expected) in [
        (FaultKind::Throttle { retry_after: Some(1) }, "throttled"),
        (FaultKind::Forbidden, "access_denied"),
        (FaultKind::Garbage, "corrupt"),
        (FaultKind::Truncated, "corrupt"),
        (FaultKind::Drop, "unavailable"),
    ] {
        vault.control().inject(Fault::new(kind).on("decrypt"));
        assert_eq!(kms.unwrap_many(&[(&wrapped, &here)]).await.unwrap_err().kind(), expected, "{kind:?}");
    }
}
