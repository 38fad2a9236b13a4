//! Versions that are added and switched off, and keys that are deleted and recovered.

use core::time::Duration;

use phi_keys::azure::AzureAlgorithm;
use phi_keys::{KekAct, KekState, KekTarget, Kms, KmsAdmin, KmsError, conformance};

use super::{carrier, client, here, kms, start, start_hsm, symmetric};
use crate::simulated::version;

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn administration_of_azure_conforms() {
    conformance::kms_admin(&kms(&start().await)).await.unwrap();
    let hsm = start_hsm().await;
    for algorithm in [AzureAlgorithm::A256Gcm, AzureAlgorithm::A256Kw] {
        conformance::kms_admin(&symmetric(&hsm, algorithm)).await.unwrap();
    }
}

#[tokio::test]
async fn versions_of_an_azure_key_are_listed_over_several_pages() {
    let hsm = start_hsm().await;
    let kms = symmetric(&hsm, AzureAlgorithm::A256Kw);
    let mut made = vec![kms.status().await.unwrap().version.unwrap()];
    for _ in 0..30 {
        made.push(kms.rotate().await.unwrap().version.unwrap());
    }
    hsm.control().reset_calls();
    let versions = kms.versions().await.unwrap();
    let names: Vec<String> = versions.versions.iter().map(|version| version.name.clone()).collect();
    assert_eq!(names, made);
    assert_eq!(hsm.control().calls_of("list_versions"), 2);
    assert!(versions.versions.iter().all(|version| version.created.is_some() && version.state == KekState::Enabled));
}

#[tokio::test]
async fn an_azure_version_is_switched_off_and_on_alone() {
    let azure = start().await;
    let kms = kms(&azure);
    let old = kms.wrap_dek(&carrier(), &here()).await.unwrap();
    let _ = kms.rotate().await.unwrap();
    let new = kms.wrap_dek(&carrier(), &here()).await.unwrap();
    let one = version(old.kek_version());
    let change = kms.disable(&one).await.unwrap();
    assert_eq!((change.act, change.state), (KekAct::Disable, KekState::Disabled));
    assert_eq!(change.version.as_deref(), Some(old.kek_version()));
    assert!(matches!(kms.unwrap_dek(&old, &here()).await, Err(KmsError::Disabled)));
    assert!(matches!(kms.rewrap(&old, &here()).await, Err(KmsError::Disabled)));
    kms.unwrap_dek(&new, &here()).await.unwrap();
    let states: Vec<KekState> = kms.versions().await.unwrap().versions.iter().map(|version| version.state).collect();
    assert_eq!(states, [KekState::Disabled, KekState::Enabled]);
    assert_eq!(kms.status().await.unwrap().state, KekState::Enabled, "the newest wraps");
    assert_eq!(kms.enable(&one).await.unwrap().state, KekState::Enabled);
    kms.unwrap_dek(&old, &here()).await.unwrap();

    let _ = kms.disable(&version(new.kek_version())).await.unwrap();
    assert!(matches!(kms.wrap_dek(&carrier(), &here()).await, Err(KmsError::Disabled)));
    assert_eq!(kms.status().await.unwrap().state, KekState::Disabled);
}

#[tokio::test]
async fn an_azure_key_is_deleted_recovered_and_purged_as_a_whole() {
    let azure = start().await;
    let kms = kms(&azure);
    let wrapped = kms.wrap_dek(&carrier(), &here()).await.unwrap();
    let change = kms.schedule_destruction(&KekTarget::Kek, DAY * 90).await.unwrap();
    assert_eq!((change.act, change.state), (KekAct::ScheduleDestruction, KekState::PendingDestruction));
    assert!(change.destruction.is_some() && change.version.is_none());
    let status = kms.status().await.unwrap();
    assert_eq!((status.state, status.destruction), (KekState::PendingDestruction, change.destruction));
    let kinds = [
        kms.unwrap_dek(&wrapped, &here()).await.map(drop).unwrap_err(),
        kms.wrap_dek(&carrier(), &here()).await.map(drop).unwrap_err(),
        kms.rotate().await.map(drop).unwrap_err(),
        kms.schedule_destruction(&KekTarget::Kek, DAY).await.map(drop).unwrap_err(),
        kms.enable(&version(wrapped.kek_version())).await.map(drop).unwrap_err(),
    ];
    assert!(kinds.iter().all(|error| matches!(error, KmsError::PendingDestruction)), "{kinds:?}");

    let kept = kms.cancel_destruction(&KekTarget::Kek).await.unwrap();
    assert_eq!((kept.act, kept.state), (KekAct::CancelDestruction, KekState::Enabled));
    kms.unwrap_dek(&wrapped, &here()).await.unwrap();
    assert!(
        matches!(kms.cancel_destruction(&KekTarget::Kek).await, Err(KmsError::NotFound)),
        "nothing is to be taken back"
    );

    let _ = kms.schedule_destruction(&KekTarget::Kek, DAY).await.unwrap();
    client(&azure).purge_deleted_key("phi-kek", None).await.unwrap();
    assert!(matches!(kms.unwrap_dek(&wrapped, &here()).await, Err(KmsError::NotFound)));
    assert!(matches!(kms.status().await, Err(KmsError::NotFound)));
}

#[tokio::test]
async fn what_azure_cannot_do_is_said_before_it_is_asked() {
    let azure = start().await;
    let kms = kms(&azure);
    let one = version(&"0".repeat(32));
    let refused = [
        kms.disable(&KekTarget::Kek).await,
        kms.enable(&KekTarget::Kek).await,
        kms.schedule_destruction(&one, DAY).await,
        kms.cancel_destruction(&one).await,
    ];
    for refused in refused {
        assert!(matches!(refused, Err(KmsError::Unsupported(_))), "{refused:?}");
    }
    assert!(matches!(kms.disable(&version("../x")).await, Err(KmsError::UnknownVersion)));
    assert!(azure.control().calls().is_empty());
    assert!(matches!(kms.disable(&one).await, Err(KmsError::UnknownVersion)));
    let late = kms.schedule_destruction(&KekTarget::Kek, DAY * 90 + Duration::from_nanos(1)).await;
    assert!(matches!(late, Err(KmsError::Misconfigured(_))), "{late:?}");
    assert_eq!(azure.control().calls_of("delete_key"), 0);
}
