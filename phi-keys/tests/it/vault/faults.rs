//! Everything that a server can do to its client, as the simulator does it.

use core::time::Duration;

use kms_sim::{Fault, FaultKind};
use phi_keys::{KekState, Kms, KmsError};

use super::{builder, carrier, here, kms, root, start};

#[tokio::test]
async fn every_fault_of_vault_is_an_error_of_its_kind_and_passes() {
    let table: &[(FaultKind, &str)] = &[
        (FaultKind::Throttle { retry_after: Some(2) }, "throttled"),
        (FaultKind::Throttle { retry_after: None }, "throttled"),
        (FaultKind::Internal, "unavailable"),
        (FaultKind::Unavailable, "unavailable"),
        (FaultKind::Sealed, "unavailable"),
        (FaultKind::Forbidden, "access_denied"),
        (FaultKind::ExpiredToken, "access_denied"),
        (FaultKind::NotFound, "not_found"),
        (FaultKind::Drop, "unavailable"),
        (FaultKind::LostAnswer, "unavailable"),
        (FaultKind::Garbage, "corrupt"),
        (FaultKind::Truncated, "corrupt"),
    ];
    let vault = start().await;
    let (kms, carrier) = (kms(&vault), carrier());
    let wrapped = kms.wrap_dek(&carrier, &here()).await.unwrap();
    for (kind, expected) in table {
        for operation in ["encrypt", "decrypt", "rewrap", "read_key"] {
            vault.control().inject(Fault::new(*kind).on(operation));
            let error = match operation {
                "encrypt" => kms.wrap_dek(&carrier, &here()).await.unwrap_err(),
                "decrypt" => kms.unwrap_dek(&wrapped, &here()).await.unwrap_err(),
                "rewrap" => kms.rewrap(&wrapped, &here()).await.unwrap_err(),
                _ => match kms.status().await {
                    Err(error) => error,
                    Ok(status) => {
                        assert_eq!((*expected, status.state), ("not_found", KekState::Destroyed));
                        continue;
                    }
                },
            };
            assert_eq!(error.kind(), *expected, "{kind:?} on {operation}: {error:?}");
            if let FaultKind::Throttle { retry_after } = kind {
                assert_eq!(error.retry_after(), retry_after.map(|s| Duration::from_secs(s.into())));
            }
        }
        assert!(vault.control().faults().is_empty(), "{kind:?} was met");
        assert_eq!(kms.unwrap_dek(&wrapped, &here()).await.unwrap().expose(), carrier.expose(), "after {kind:?}");
    }
}

#[tokio::test]
async fn vault_that_is_sealed_is_asked_again_and_answers_when_it_is_not() {
    let vault = start().await;
    let kms = kms(&vault);
    vault.control().switch("sealed", true).unwrap();
    for _ in 0..2 {
        assert!(matches!(kms.wrap_dek(&carrier(), &here()).await, Err(KmsError::Unavailable(_))));
        assert!(matches!(kms.status().await, Err(KmsError::Unavailable(_))));
    }
    vault.control().switch("sealed", false).unwrap();
    kms.wrap_dek(&carrier(), &here()).await.unwrap();
}

#[tokio::test]
async fn vault_that_takes_too_long_is_not_waited_for() {
    let vault = start().await;
    let kms = builder(&vault).timeout(Duration::from_millis(500)).build().unwrap();
    let wrapped = kms.wrap_dek(&carrier(), &here()).await.unwrap();
    vault.control().inject(Fault::new(FaultKind::Latency { ms: 60_000 }).on("decrypt"));
    assert!(matches!(kms.unwrap_dek(&wrapped, &here()).await, Err(KmsError::Unavailable(_))));
    kms.unwrap_dek(&wrapped, &here()).await.unwrap();
}

#[tokio::test]
async fn the_time_limit_also_holds_for_a_callers_own_vault_client() {
    let vault = start().await;
    // Makes sure that there is a provider of rustls, without which the client library panics.
    let _ = kms(&vault);
    let mut settings = vaultrs::client::VaultClientSettingsBuilder::default();
    settings.address(vault.url()).token(super::fact(&vault, "token"));
    let client = vaultrs::client::VaultClient::new(settings.build().unwrap()).unwrap();
    let builder = phi_keys::vault::VaultKms::builder(super::fact(&vault, "key")).client(client);
    let kms = builder.timeout(Duration::from_millis(500)).build().unwrap();
    kms.status().await.unwrap();
    vault.control().inject(Fault::new(FaultKind::Latency { ms: 60_000 }).on("read_key"));
    assert!(matches!(kms.status().await, Err(KmsError::Unavailable(_))));
}

#[tokio::test]
async fn a_port_without_vault_behind_it_is_unavailable() {
    let gone = {
        let vault = start().await;
        kms(&vault)
    };
    assert!(matches!(gone.wrap_dek(&carrier(), &here()).await, Err(KmsError::Unavailable(_))));
    assert!(matches!(gone.health().await, Err(KmsError::Unavailable(_))));
}

#[tokio::test]
async fn vault_that_names_another_version_than_it_used_is_not_believed() {
    let vault = start().await;
    let (kms, carrier) = (kms(&vault), carrier());
    let wrapped = kms.wrap_dek(&carrier, &here()).await.unwrap();
    vault.control().inject(Fault::new(FaultKind::OtherVersion).times(2));
    assert!(matches!(kms.wrap_dek(&carrier, &here()).await, Err(KmsError::Corrupt)));
    assert!(matches!(kms.rewrap(&wrapped, &here()).await, Err(KmsError::Corrupt)));
}

#[tokio::test]
async fn a_vault_key_that_is_deleted_or_made_anew_is_noticed() {
    let vault = start().await;
    let (kms, root) = (kms(&vault), root(&vault));
    let _ = phi_keys::KmsAdmin::rotate(&root).await.unwrap();
    let wrapped = kms.wrap_dek(&carrier(), &here()).await.unwrap();
    let remote = vaultrs::client::VaultClient::new(
        vaultrs::client::VaultClientSettingsBuilder::default()
            .address(vault.url())
            .token(super::fact(&vault, "root_token"))
            .build()
            .unwrap(),
    )
    .unwrap();
    let (mount, key) = (super::fact(&vault, "mount"), super::fact(&vault, "key"));
    let mut options = vaultrs::api::transit::requests::UpdateKeyConfigurationRequest::builder();
    vaultrs::transit::key::update(&remote, mount, key, Some(options.deletion_allowed(true))).await.unwrap();
    vaultrs::transit::key::delete(&remote, mount, key).await.unwrap();
    assert!(matches!(kms.unwrap_dek(&wrapped, &here()).await, Err(KmsError::NotFound)));
    assert_eq!(kms.status().await.unwrap().state, KekState::Destroyed);
    assert!(matches!(kms.wrap_dek(&carrier(), &here()).await, Err(KmsError::AccessDenied(_))), "may not create");

    // Who may create makes it anew by wrapping; the time when its first version was made gives it away.
    root.status().await.unwrap_or_else(|error| panic!("gone is a status: {error}"));
    vault.control().advance(Duration::from_secs(1));
    assert!(matches!(root.wrap_dek(&carrier(), &here()).await, Err(KmsError::Failed(_))));
    assert_eq!(root.status().await.unwrap().state, KekState::Destroyed, "the key that was known");
    assert_eq!(root.version_state("1").await.unwrap(), Some(KekState::Destroyed));
}

#[tokio::test]
async fn a_version_of_a_vault_key_that_is_disabled_or_gone_says_so() {
    let vault = start().await;
    let (kms, root) = (kms(&vault), root(&vault));
    let wrapped = kms.wrap_dek(&carrier(), &here()).await.unwrap();
    let _ = phi_keys::KmsAdmin::rotate(&root).await.unwrap();
    let key = super::fact(&vault, "key");
    vault.control().change_version(key, "1", "disable").unwrap();
    assert!(matches!(kms.unwrap_dek(&wrapped, &here()).await, Err(KmsError::Disabled)));
    assert!(matches!(kms.rewrap(&wrapped, &here()).await, Err(KmsError::Disabled)));
    assert_eq!(kms.version_state("1").await.unwrap(), Some(KekState::Disabled));
    vault.control().change_version(key, "1", "enable").unwrap();
    kms.unwrap_dek(&wrapped, &here()).await.unwrap();
    vault.control().change_version(key, "1", "destroy").unwrap();
    assert!(matches!(kms.unwrap_dek(&wrapped, &here()).await, Err(KmsError::UnknownVersion)));
    assert_eq!(kms.version_state("1").await.unwrap(), Some(KekState::Destroyed));
    assert_eq!(kms.version_state("2").await.unwrap(), Some(KekState::Enabled));
}
