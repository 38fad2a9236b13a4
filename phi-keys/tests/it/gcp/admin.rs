//! Versions: added, switched off, destroyed after a while, and restored.

use core::time::Duration;

use phi_keys::{KekAct, KekState, KekTarget, Kms, KmsAdmin, KmsError, Rewrap, conformance};

use super::{carrier, fact, here, kms, kms_of, start};
use crate::simulated::version;

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn administration_of_gcp_conforms() {
    let gcp = start().await;
    for key in ["key", "hsm_key"] {
        conformance::kms_admin(&kms_of(&gcp, fact(&gcp, key)).await).await.unwrap();
    }
}

#[tokio::test]
async fn a_rotated_gcp_key_wraps_under_its_new_version_and_a_rewrap_moves_there() {
    let gcp = start().await;
    let (kms, carrier) = (kms(&gcp).await, carrier());
    let old = kms.wrap_dek(&carrier, &here()).await.unwrap();
    assert_eq!(old.kek_version(), "1");
    let change = kms.rotate().await.unwrap();
    assert_eq!((change.act, change.version.as_deref(), change.state), (KekAct::Rotate, Some("2"), KekState::Enabled));
    assert_eq!(kms.status().await.unwrap().version.as_deref(), Some("2"));
    let Rewrap::ThroughClient(new) = kms.rewrap(&old, &here()).await.unwrap() else { panic!("not through here") };
    assert_eq!(new.kek_version(), "2");
    for wrapped in [old, new] {
        assert_eq!(kms.unwrap_dek(&wrapped, &here()).await.unwrap().expose(), carrier.expose());
    }
}

#[tokio::test]
async fn versions_of_a_gcp_key_are_listed_in_their_order_over_several_pages() {
    let gcp = start().await;
    let kms = kms(&gcp).await;
    for _ in 0..104 {
        let _ = kms.rotate().await.unwrap();
    }
    let versions = kms.versions().await.unwrap();
    let names: Vec<String> = versions.versions.iter().map(|version| version.name.clone()).collect();
    assert_eq!(names, (1..=105).map(|number| number.to_string()).collect::<Vec<_>>());
    assert!(versions.versions.iter().all(|version| version.created.is_some() && version.state == KekState::Enabled));
}

#[tokio::test]
async fn a_gcp_version_goes_through_all_its_states() {
    let gcp = start().await;
    let kms = kms(&gcp).await;
    let wrapped = kms.wrap_dek(&carrier(), &here()).await.unwrap();
    let one = version("1");
    let error = async || kms.unwrap_dek(&wrapped, &here()).await.unwrap_err().kind();

    assert_eq!(kms.disable(&one).await.unwrap().state, KekState::Disabled);
    assert_eq!(error().await, "disabled");
    assert_eq!(kms.wrap_dek(&carrier(), &here()).await.unwrap_err().kind(), "disabled", "the primary version wraps");
    assert_eq!(kms.status().await.unwrap().state, KekState::Disabled);

    let change = kms.schedule_destruction(&one, DAY * 30).await.unwrap();
    assert_eq!((change.act, change.state), (KekAct::ScheduleDestruction, KekState::PendingDestruction));
    assert_eq!(error().await, "pending_destruction");
    assert_eq!(kms.wrap_dek(&carrier(), &here()).await.unwrap_err().kind(), "pending_destruction");
    assert_eq!(kms.status().await.unwrap().destruction, change.destruction);
    assert!(change.destruction.is_some());
    for refused in [kms.enable(&one).await, kms.disable(&one).await, kms.schedule_destruction(&one, DAY).await] {
        assert_eq!(refused.unwrap_err().kind(), "pending_destruction");
    }

    assert_eq!(kms.cancel_destruction(&one).await.unwrap().state, KekState::Disabled, "as Google restores it");
    assert_eq!(kms.enable(&one).await.unwrap().state, KekState::Enabled);
    kms.unwrap_dek(&wrapped, &here()).await.unwrap();

    let _ = kms.schedule_destruction(&one, DAY).await.unwrap();
    gcp.control().advance(DAY * 31);
    assert_eq!(error().await, "destroyed");
    assert_eq!(kms.cancel_destruction(&one).await.unwrap_err().kind(), "destroyed");
    assert_eq!(kms.status().await.unwrap().state, KekState::Destroyed);
    assert_eq!(kms.versions().await.unwrap().versions[0].state, KekState::Destroyed);
}

#[tokio::test]
async fn what_gcp_cannot_do_is_said_before_it_is_asked() {
    let gcp = start().await;
    let kms = kms(&gcp).await;
    let whole = KekTarget::Kek;
    let refused = [
        kms.disable(&whole).await,
        kms.enable(&whole).await,
        kms.schedule_destruction(&whole, DAY).await,
        kms.cancel_destruction(&whole).await,
    ];
    for refused in refused {
        assert!(matches!(refused, Err(KmsError::Unsupported(_))), "{refused:?}");
    }
    for name in ["0", "one", "1/../2", ""] {
        assert!(matches!(kms.disable(&version(name)).await, Err(KmsError::UnknownVersion)), "{name}");
    }
    assert!(gcp.control().calls().is_empty());
    assert!(matches!(kms.disable(&version("9")).await, Err(KmsError::UnknownVersion)));
    let late = kms.schedule_destruction(&version("1"), DAY * 30 + Duration::from_nanos(1)).await;
    assert!(matches!(late, Err(KmsError::Misconfigured(_))), "{late:?}");
    assert_eq!(gcp.control().calls_of("destroy_version"), 0);
}
