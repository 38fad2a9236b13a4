//! What the tests of the simulated key services share.

use std::sync::Arc;

use kms_sim::Simulator;
use phi_keys::{Carrier, KekTarget, WrapContext};
use rustls::crypto::{CryptoProvider, ring};
use serde_json::Value;

use crate::child;

pub(crate) fn fact<'a>(service: &'a Simulator, name: &str) -> &'a str {
    service.fact(name).unwrap()
}

pub(crate) const fn here() -> WrapContext {
    WrapContext::from_digest([1; 32])
}

pub(crate) const fn there() -> WrapContext {
    WrapContext::from_digest([2; 32])
}

pub(crate) fn carrier() -> Carrier {
    Carrier::generate().unwrap()
}

pub(crate) fn version(name: &str) -> KekTarget {
    KekTarget::Version(name.to_owned())
}

/// What a script of the simulator answers that drives the vendor's Python SDK; `None` where `PHI_TEST_PYTHON` names no Python to
/// run it.
pub(crate) async fn python(service: &Simulator, script: &str, action: &str, request: &Value) -> Option<Value> {
    let python = crate::component::given("sdk", "PHI_TEST_PYTHON")?;
    let output = tokio::process::Command::new(python)
        .arg("-B")
        .arg(format!("{}/sim/tests/sdk/{script}", env!("CARGO_MANIFEST_DIR")))
        .args([service.facts().to_string().as_str(), action, &request.to_string()])
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[cfg(all(feature = "gcp", feature = "vault"))]
#[tokio::test]
async fn keks_of_two_providers_stand_in_for_each_other() {
    let (vault, gcp) = (crate::vault::start().await, crate::gcp::start().await);
    let (one, other) = (crate::vault::kms(&vault), crate::gcp::kms(&gcp).await);
    crate::conformance::keys_under_two(Arc::new(one), Arc::new(other)).await;
}

const CHILD: &str = "PHI_KEYS_TEST_PROVIDER";

/// Runs `use_it` in a child of [`works_with_any_or_no_provider`], which has a process-wide TLS provider of its own; does nothing
/// elsewhere.
pub(crate) async fn in_child_with_a_provider(use_it: impl AsyncFn()) {
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
    use_it().await;
    if case == "after" {
        assert!(few.install_default().is_err(), "too late, and no panic");
    }
    assert_eq!(suites() == Some(1), case == "before", "a provider that was there stays");
    use_it().await;
}

/// Runs the test `test` of this program with no provider, with one, and with one that comes too late: there is one for all
/// tests of a process.
pub(crate) fn works_with_any_or_no_provider(test: &str) {
    for case in ["none", "before", "after"] {
        child::succeeds(test, &|command| {
            command.env(CHILD, case);
        });
    }
}
