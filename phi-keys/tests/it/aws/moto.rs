use super::emulator::{self, Emulator};

const VARIABLE: &str = "PHI_TEST_MOTO_URL";

#[tokio::test]
async fn a_store_is_opened_again() {
    let Some(moto) = Emulator::named("moto", VARIABLE) else { return };
    emulator::a_store_is_opened_again(&moto).await;
}

#[tokio::test]
async fn a_wrong_context_or_binding_is_refused() {
    let Some(moto) = Emulator::named("moto", VARIABLE) else { return };
    emulator::a_wrong_context_or_binding_is_refused(&moto).await;
}

#[tokio::test]
async fn an_alias_is_resolved_once() {
    let Some(moto) = Emulator::named("moto", VARIABLE) else { return };
    emulator::an_alias_is_resolved_once(&moto, &format!("alias/phi-{}", std::process::id())).await;
}

#[tokio::test]
async fn what_cannot_be_a_kek_says_so() {
    let Some(moto) = Emulator::named("moto", VARIABLE) else { return };
    emulator::what_cannot_be_a_kek_says_so(&moto).await;
}

#[tokio::test]
async fn a_key_that_is_not_enabled_is_named_for_it() {
    let Some(moto) = Emulator::named("moto", VARIABLE) else { return };
    emulator::a_key_that_is_not_enabled_is_named_for_it(&moto).await;
}

/// moto has a MAC, so that here every bit counts; it refuses another key's bytes for lack of permission.
#[tokio::test]
async fn every_flipped_bit_and_another_key_is_refused() {
    use phi_keys::{Kms, KmsError, Wrapped};

    let Some(moto) = Emulator::named("moto", VARIABLE) else { return };
    assert!(matches!(emulator::swapped(&moto).await, Err(KmsError::AccessDenied(_))));
    let kms = moto.kek().await;
    let (_, good) = kms.generate(&emulator::here()).await.unwrap();
    for byte in 0..good.blob().len() {
        let mut blob = good.blob().to_vec();
        blob[byte] ^= 1 << (byte % 8);
        let bad = Wrapped::new(good.kek_id(), good.kek_version(), good.binding(), blob).unwrap();
        assert!(kms.unwrap_dek(&bad, &emulator::here()).await.is_err(), "byte {byte}");
    }
}

#[cfg(feature = "test-util")]
#[tokio::test]
async fn the_known_gaps_are_all_that_deviates() {
    let Some(moto) = Emulator::named("moto", VARIABLE) else { return };
    super::gaps::assert(&moto, super::gaps::MOTO).await;
}

#[cfg(feature = "test-util")]
#[tokio::test]
async fn keys_conform() {
    let Some(moto) = Emulator::named("moto", VARIABLE) else { return };
    emulator::keys_conform(&moto).await;
    // ministack cannot rotate a key.
    let fresh = || async { phi_keys::MemoryKeyStore::new() };
    phi_keys::conformance::kek_rotation(fresh, std::sync::Arc::new(moto.kek().await)).await.unwrap();
}

/// Some sixteen thousand calls, a minute: one emulator has to be enough.
#[cfg(feature = "test-util")]
#[tokio::test]
async fn no_fault_of_a_call_loses_a_key() {
    let Some(moto) = Emulator::named("moto", VARIABLE) else { return };
    let fresh = || async { phi_keys::MemoryKeyStore::new() };
    phi_keys::conformance::kms_faults(fresh, std::sync::Arc::new(moto.kek().await)).await.unwrap();
}
