//! Rotation, and versions that are switched off.

use core::time::Duration;

use phi_keys::{KekState, KekTarget, Kms, KmsAdmin, KmsError, conformance};

use super::{carrier, here, kms, root, start};
use crate::simulated::version;

#[tokio::test]
async fn administration_of_vault_conforms() {
    let vault = start().await;
    conformance::kms_admin(&root(&vault)).await.unwrap();
}

#[tokio::test]
async fn versions_of_a_vault_key_are_disabled_from_the_oldest_and_enabled_from_the_newest() {
    let vault = start().await;
    let root = root(&vault);
    let first = root.wrap_dek(&carrier(), &here()).await.unwrap();
    for _ in 0..2 {
        let _ = root.rotate().await.unwrap();
    }
    assert!(matches!(root.disable(&version("2")).await, Err(KmsError::Unsupported(_))), "1 would go as well");
    assert!(matches!(root.disable(&version("3")).await, Err(KmsError::Unsupported(_))), "the newest wraps");
    assert!(matches!(root.disable(&version("4")).await, Err(KmsError::UnknownVersion)));
    assert!(matches!(root.disable(&version("one")).await, Err(KmsError::UnknownVersion)));
    for name in ["1", "2"] {
        assert_eq!(root.disable(&version(name)).await.unwrap().state, KekState::Disabled);
        assert_eq!(root.disable(&version(name)).await.unwrap().state, KekState::Disabled, "again");
    }
    assert!(matches!(root.unwrap_dek(&first, &here()).await, Err(KmsError::Disabled)));
    let states: Vec<_> = root.versions().await.unwrap().versions.into_iter().map(|v| (v.name, v.state)).collect();
    let expected = [("1", KekState::Disabled), ("2", KekState::Disabled), ("3", KekState::Enabled)];
    assert_eq!(states, expected.map(|(name, state)| (name.to_owned(), state)));

    assert!(matches!(root.enable(&version("1")).await, Err(KmsError::Unsupported(_))), "2 would come as well");
    for name in ["2", "1", "1"] {
        assert_eq!(root.enable(&version(name)).await.unwrap().state, KekState::Enabled);
    }
    root.unwrap_dek(&first, &here()).await.unwrap();
}

#[tokio::test]
async fn what_vault_cannot_take_back_is_left_to_its_own_tools() {
    let vault = start().await;
    let root = root(&vault);
    for target in [KekTarget::Kek, version("1")] {
        let destroyed = root.schedule_destruction(&target, Duration::from_secs(86_400)).await;
        assert!(matches!(destroyed, Err(KmsError::Unsupported(_))));
        assert!(matches!(root.cancel_destruction(&target).await, Err(KmsError::Unsupported(_))));
    }
    assert!(matches!(root.disable(&KekTarget::Kek).await, Err(KmsError::Unsupported(_))));
    assert!(matches!(root.enable(&KekTarget::Kek).await, Err(KmsError::Unsupported(_))));
}

#[tokio::test]
async fn the_everyday_token_cannot_administer_vault() {
    let vault = start().await;
    let kms = kms(&vault);
    assert!(matches!(kms.rotate().await, Err(KmsError::AccessDenied(_))));
    assert_eq!(kms.versions().await.unwrap().versions.len(), 1, "it may look");
}
