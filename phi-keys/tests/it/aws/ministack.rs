use super::emulator::{self, Emulator};

const VARIABLE: &str = "PHI_TEST_MINISTACK_URL";

#[tokio::test]
async fn a_store_is_opened_again() {
    let Some(ministack) = Emulator::named("ministack", VARIABLE) else { return };
    emulator::a_store_is_opened_again(&ministack).await;
}

#[tokio::test]
async fn a_wrong_context_or_binding_is_refused() {
    let Some(ministack) = Emulator::named("ministack", VARIABLE) else { return };
    emulator::a_wrong_context_or_binding_is_refused(&ministack).await;
}

#[tokio::test]
async fn an_alias_is_resolved_once() {
    let Some(ministack) = Emulator::named("ministack", VARIABLE) else { return };
    emulator::an_alias_is_resolved_once(&ministack, &format!("alias/phi-{}", std::process::id())).await;
}

#[tokio::test]
async fn what_cannot_be_a_kek_says_so() {
    let Some(ministack) = Emulator::named("ministack", VARIABLE) else { return };
    emulator::what_cannot_be_a_kek_says_so(&ministack).await;
}

#[tokio::test]
async fn a_key_that_is_not_enabled_is_named_for_it() {
    let Some(ministack) = Emulator::named("ministack", VARIABLE) else { return };
    emulator::a_key_that_is_not_enabled_is_named_for_it(&ministack).await;
}

/// ministack names the key material, as AWS does.
#[tokio::test]
async fn a_relabelled_version_is_refused() {
    use phi_keys::{Kms, KmsError};

    let Some(ministack) = Emulator::named("ministack", VARIABLE) else { return };
    let kms = ministack.kek().await;
    let (_, wrapped) = kms.generate(&emulator::here()).await.unwrap();
    assert!(!wrapped.kek_version().is_empty());
    assert_eq!(kms.status().await.unwrap().version.as_deref(), Some(wrapped.kek_version()));
    let lie = emulator::relabelled(&wrapped, kms.kek_id(), "another");
    assert!(matches!(kms.unwrap_dek(&lie, &emulator::here()).await, Err(KmsError::UnknownVersion)));
}

#[cfg(feature = "test-util")]
#[tokio::test]
async fn the_known_gaps_are_all_that_deviates() {
    let Some(ministack) = Emulator::named("ministack", VARIABLE) else { return };
    super::gaps::assert(&ministack, super::gaps::MINISTACK).await;
}

#[cfg(feature = "test-util")]
#[tokio::test]
async fn keys_conform() {
    let Some(ministack) = Emulator::named("ministack", VARIABLE) else { return };
    emulator::keys_conform(&ministack).await;
}
