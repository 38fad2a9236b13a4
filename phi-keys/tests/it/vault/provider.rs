//! The process-wide TLS provider, of which there is one for all tests of a process: each case has a child of its own.

use std::process::Command;
use std::sync::Arc;

use phi_keys::Kms;
use rustls::crypto::{CryptoProvider, ring};

use super::{carrier, here, kms, start};

const CHILD: &str = "PHI_KEYS_TEST_PROVIDER";

/// Runs in the child.
#[tokio::test]
async fn child_with_a_provider_for_vault() {
    let Ok(case) = std::env::var(CHILD) else { return };
    // Told apart from the one that would be installed by what it offers.
    let few = CryptoProvider {
        cipher_suites: ring::default_provider().cipher_suites[..1].to_vec(),
        ..ring::default_provider()
    };
    let suites = || CryptoProvider::get_default().map(|provider: &Arc<CryptoProvider>| provider.cipher_suites.len());
    assert_eq!(suites(), None);
    if case == "before" {
        few.clone().install_default().unwrap();
    }
    let vault = start().await;
    let kms = kms(&vault);
    kms.wrap_dek(&carrier(), &here()).await.unwrap();
    if case == "after" {
        assert!(few.install_default().is_err(), "too late, and no panic");
    }
    assert_eq!(suites() == Some(1), case == "before", "a provider that was there stays");
    super::kms(&vault).wrap_dek(&carrier(), &here()).await.unwrap();
}

#[test]
fn vault_works_with_any_or_no_provider_of_the_process() {
    for case in ["none", "before", "after"] {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["vault::provider::child_with_a_provider_for_vault", "--exact"])
            .env(CHILD, case)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{case}: {said}");
    }
}
