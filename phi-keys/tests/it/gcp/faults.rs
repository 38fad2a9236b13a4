//! Everything that a service and a network can do to their client, as the simulator does it.

use core::time::Duration;

use kms_sim::{Fault, FaultKind};
use phi_keys::{KekState, Kms, KmsError};

use super::{carrier, fact, here, kms, start};

#[tokio::test]
async fn every_fault_of_gcp_is_an_error_of_its_kind_is_tried_once_and_passes() {
    let table: &[(FaultKind, &str)] = &[
        (FaultKind::Throttle { retry_after: Some(2) }, "throttled"),
        (FaultKind::Throttle { retry_after: None }, "throttled"),
        (FaultKind::Internal, "unavailable"),
        (FaultKind::Unavailable, "unavailable"),
        (FaultKind::Forbidden, "access_denied"),
        (FaultKind::ExpiredToken, "unauthenticated"),
        (FaultKind::NotFound, "not_found"),
        (FaultKind::Drop, "unavailable"),
        (FaultKind::LostAnswer, "unavailable"),
        (FaultKind::Garbage, "corrupt"),
        (FaultKind::Truncated, "corrupt"),
    ];
    let gcp = start().await;
    let (kms, carrier) = (kms(&gcp).await, carrier());
    let wrapped = kms.wrap_dek(&carrier, &here()).await.unwrap();
    for (kind, expected) in table {
        for operation in ["encrypt", "decrypt", "get_key"] {
            gcp.control().reset_calls();
            gcp.control().inject(Fault::new(*kind).on(operation));
            let error = match operation {
                "encrypt" => kms.wrap_dek(&carrier, &here()).await.unwrap_err(),
                "decrypt" => kms.unwrap_dek(&wrapped, &here()).await.unwrap_err(),
                _ => kms.status().await.unwrap_err(),
            };
            assert_eq!(error.kind(), *expected, "{kind:?} on {operation}: {error:?}");
            assert_eq!(gcp.control().calls_of(operation), 1, "{kind:?}: no retry of the SDK's own");
            if let FaultKind::Throttle { retry_after } = kind {
                assert_eq!(error.retry_after(), retry_after.map(|s| Duration::from_secs(s.into())));
            }
        }
        assert!(gcp.control().faults().is_empty(), "{kind:?} was met");
        assert_eq!(kms.unwrap_dek(&wrapped, &here()).await.unwrap().expose(), carrier.expose(), "after {kind:?}");
    }
}

#[tokio::test]
async fn an_answer_of_gcp_whose_checksum_is_wrong_or_that_verified_none_is_corrupt() {
    let gcp = start().await;
    let (kms, carrier) = (kms(&gcp).await, carrier());
    let wrapped = kms.wrap_dek(&carrier, &here()).await.unwrap();
    for kind in [FaultKind::CorruptCrc, FaultKind::CorruptBytes, FaultKind::Unverified] {
        gcp.control().inject(Fault::new(kind).on("encrypt"));
        assert!(matches!(kms.wrap_dek(&carrier, &here()).await, Err(KmsError::Corrupt)), "{kind:?}");
    }
    for kind in [FaultKind::CorruptCrc, FaultKind::CorruptBytes] {
        gcp.control().inject(Fault::new(kind).on("decrypt"));
        assert!(matches!(kms.unwrap_dek(&wrapped, &here()).await, Err(KmsError::Corrupt)), "{kind:?}");
    }
    assert!(gcp.control().faults().is_empty());
    kms.unwrap_dek(&wrapped, &here()).await.unwrap();
}

#[tokio::test]
async fn gcp_that_takes_too_long_is_not_waited_for() {
    let gcp = start().await;
    let kms = kms(&gcp).await.with_timeout(Duration::from_millis(500));
    let wrapped = kms.wrap_dek(&carrier(), &here()).await.unwrap();
    gcp.control().inject(Fault::new(FaultKind::Latency { ms: 60_000 }).on("decrypt"));
    assert!(matches!(kms.unwrap_dek(&wrapped, &here()).await, Err(KmsError::Unavailable(_))));
    kms.unwrap_dek(&wrapped, &here()).await.unwrap();
}

#[tokio::test]
async fn a_port_without_gcp_behind_it_is_unavailable() {
    let gone = {
        let gcp = start().await;
        kms(&gcp).await
    };
    assert!(matches!(gone.wrap_dek(&carrier(), &here()).await, Err(KmsError::Unavailable(_))));
    assert!(matches!(gone.status().await, Err(KmsError::Unavailable(_))));
}

#[tokio::test]
async fn gcp_that_does_not_know_the_caller_says_so() {
    let gcp = start().await;
    let kms = kms(&gcp).await;
    gcp.control().switch("require_token", true).unwrap();
    assert!(matches!(kms.wrap_dek(&carrier(), &here()).await, Err(KmsError::Unauthenticated(_))));
    gcp.control().switch("require_token", false).unwrap();
    kms.wrap_dek(&carrier(), &here()).await.unwrap();
}

#[tokio::test]
async fn the_state_of_a_gcp_version_is_told_where_it_cannot_be_asked() {
    let gcp = start().await;
    let kms = kms(&gcp).await;
    let wrapped = kms.wrap_dek(&carrier(), &here()).await.unwrap();
    gcp.control().change_version("phi-kek", "1", "disable").unwrap();
    assert!(matches!(kms.unwrap_dek(&wrapped, &here()).await, Err(KmsError::Disabled)));
    gcp.control().change_version("phi-kek", "1", "destroy").unwrap();
    for forbidden in [FaultKind::Forbidden, FaultKind::Unavailable] {
        gcp.control().inject(Fault::new(forbidden).on("get_version"));
        assert!(matches!(kms.unwrap_dek(&wrapped, &here()).await, Err(KmsError::Destroyed)), "{forbidden:?}");
    }
    assert!(gcp.control().faults().is_empty(), "it was asked");
    assert_eq!(gcp.control().calls_of("get_version"), 2, "and only then");
    // Who asks for nothing else needs to be told, and is.
    for (fault, denied) in [(FaultKind::Forbidden, true), (FaultKind::Unavailable, false)] {
        gcp.control().inject(Fault::new(fault).on("get_version"));
        let error = kms.version_state("1").await.unwrap_err();
        assert_eq!((error.is_denial(), error.is_transient()), (denied, !denied), "{error}");
    }
    assert_eq!(kms.version_state("1").await.unwrap(), Some(KekState::Destroyed));
    assert!(fact(&gcp, "key").ends_with("/phi-kek"));
}
