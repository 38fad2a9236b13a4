//! Everything that a service and a network can do to their client, as the simulator does it.

use core::time::Duration;

use kms_sim::{Fault, FaultKind};
use phi_keys::{KekState, Kms, KmsError};

use super::{carrier, here, kms, start};

#[tokio::test]
async fn every_fault_of_azure_is_an_error_of_its_kind_is_tried_once_and_passes() {
    let table: &[(FaultKind, &str)] = &[
        (FaultKind::Throttle { retry_after: Some(2) }, "throttled"),
        (FaultKind::Throttle { retry_after: None }, "throttled"),
        (FaultKind::Internal, "unavailable"),
        (FaultKind::Unavailable, "unavailable"),
        (FaultKind::Forbidden, "access_denied"),
        (FaultKind::NotFound, "not_found"),
        (FaultKind::Drop, "unavailable"),
        (FaultKind::LostAnswer, "unavailable"),
        (FaultKind::Garbage, "corrupt"),
        (FaultKind::Truncated, "corrupt"),
    ];
    let azure = start().await;
    let (kms, carrier) = (kms(&azure), carrier());
    let wrapped = kms.wrap_dek(&carrier, &here()).await.unwrap();
    for (kind, expected) in table {
        for operation in ["wrap_key", "unwrap_key", "get_key"] {
            azure.control().reset_calls();
            azure.control().inject(Fault::new(*kind).on(operation));
            let error = match operation {
                "wrap_key" => kms.wrap_dek(&carrier, &here()).await.unwrap_err(),
                "unwrap_key" => kms.unwrap_dek(&wrapped, &here()).await.unwrap_err(),
                _ => kms.status().await.unwrap_err(),
            };
            // The key is there, so it is the version that is not.
            let expected =
                if (*expected, operation) == ("not_found", "unwrap_key") { "unknown_version" } else { expected };
            assert_eq!(error.kind(), expected, "{kind:?} on {operation}: {error:?}");
            assert_eq!(azure.control().calls_of(operation), 1, "{kind:?}: no retry of the SDK's own");
            if let FaultKind::Throttle { retry_after } = kind {
                assert_eq!(error.retry_after(), retry_after.map(|s| Duration::from_secs(s.into())));
            }
        }
        assert!(azure.control().faults().is_empty(), "{kind:?} was met");
        assert_eq!(kms.unwrap_dek(&wrapped, &here()).await.unwrap().expose(), carrier.expose(), "after {kind:?}");
    }
}

#[tokio::test]
async fn a_token_of_azure_that_ends_is_replaced_once() {
    let azure = start().await;
    let (kms, carrier) = (kms(&azure), carrier());
    let wrapped = kms.wrap_dek(&carrier, &here()).await.unwrap();
    azure.control().inject(Fault::new(FaultKind::ExpiredToken).on("unwrap_key"));
    assert_eq!(kms.unwrap_dek(&wrapped, &here()).await.unwrap().expose(), carrier.expose());
    azure.control().inject(Fault::new(FaultKind::ExpiredToken).on("unwrap_key").times(2));
    assert!(matches!(kms.unwrap_dek(&wrapped, &here()).await, Err(KmsError::Unauthenticated(_))));
    kms.unwrap_dek(&wrapped, &here()).await.unwrap();
}

#[tokio::test]
async fn a_login_of_azure_that_fails_tells_refusal_from_outage() {
    let azure = start().await;
    for (kind, expected) in [
        (FaultKind::Unavailable, "unavailable"),
        (FaultKind::Drop, "unavailable"),
        (FaultKind::Throttle { retry_after: Some(1) }, "unavailable"),
        (FaultKind::Forbidden, "unauthenticated"),
    ] {
        let kms = kms(&azure);
        azure.control().inject(Fault::new(kind).on("token"));
        let error = kms.wrap_dek(&carrier(), &here()).await.unwrap_err();
        assert_eq!(error.kind(), expected, "{kind:?}: {error:?}");
        assert!(azure.control().faults().is_empty());
        kms.wrap_dek(&carrier(), &here()).await.unwrap();
    }
}

#[tokio::test]
async fn azure_that_takes_too_long_is_not_waited_for() {
    let azure = start().await;
    let patient = kms(&azure);
    let wrapped = patient.wrap_dek(&carrier(), &here()).await.unwrap();
    let kms = patient.clone().with_timeout(Duration::from_millis(500));
    for operation in ["unwrap_key", "get_key", "list_versions"] {
        azure.control().inject(Fault::new(FaultKind::Latency { ms: 60_000 }).on(operation));
    }
    assert!(matches!(kms.unwrap_dek(&wrapped, &here()).await, Err(KmsError::Unavailable(_))));
    assert!(matches!(kms.status().await, Err(KmsError::Unavailable(_))));
    assert!(matches!(phi_keys::KmsAdmin::versions(&kms).await, Err(KmsError::Unavailable(_))));
    patient.unwrap_dek(&wrapped, &here()).await.unwrap();
}

#[tokio::test]
async fn a_port_without_azure_behind_it_is_unavailable() {
    let gone = {
        let azure = start().await;
        kms(&azure)
    };
    assert!(matches!(gone.wrap_dek(&carrier(), &here()).await, Err(KmsError::Unavailable(_))));
    assert!(matches!(gone.status().await, Err(KmsError::Unavailable(_))));
}

#[tokio::test]
async fn a_deleted_azure_key_is_missing_to_whoever_may_not_see_deleted_keys() {
    let azure = start().await;
    let kms = kms(&azure);
    let _ = phi_keys::KmsAdmin::schedule_destruction(&kms, &phi_keys::KekTarget::Kek, Duration::ZERO).await.unwrap();
    assert_eq!(kms.status().await.unwrap().state, KekState::PendingDestruction);
    azure.control().inject(Fault::new(FaultKind::Forbidden).on("get_deleted_key"));
    assert!(matches!(kms.status().await, Err(KmsError::NotFound)));
    assert!(azure.control().faults().is_empty());
}
