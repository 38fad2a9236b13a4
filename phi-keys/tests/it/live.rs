//! The suites against a KEK that the environment names, for `cargo xtask live`: a real account, or whatever answers in its place.

#[cfg(any(feature = "aws", feature = "azure", feature = "gcp", feature = "pkcs11", feature = "vault"))]
use {core::time::Duration, std::sync::Arc};

#[cfg(any(feature = "aws", feature = "azure", feature = "gcp", feature = "pkcs11", feature = "vault"))]
use phi_keys::{EphemeralKeyring, KmsAdmin, MemoryKeyStore, TokioSleeper, conformance};

#[cfg(any(feature = "aws", feature = "azure", feature = "gcp", feature = "pkcs11", feature = "vault"))]
use crate::conformance::{keys_under, keys_under_two};

const PROVIDER: &str = "PHI_LIVE";
/// How many seconds a change of the KEK takes to show everywhere.
#[cfg(any(feature = "aws", feature = "azure", feature = "gcp", feature = "pkcs11", feature = "vault"))]
const SETTLE: &str = "PHI_LIVE_SETTLE";

#[tokio::test(flavor = "multi_thread")]
async fn live_suite() {
    let Ok(provider) = std::env::var(PROVIDER) else {
        crate::component::not_run("live", "no account is named; `cargo xtask live <provider>` does");
        return;
    };
    match provider.as_str() {
        #[cfg(feature = "aws")]
        "aws" => run(phi_keys::aws::AwsKms::from_env(&needed("PHI_LIVE_AWS_KEY")).await.unwrap()).await,
        #[cfg(feature = "azure")]
        "azure" => run(azure()).await,
        #[cfg(feature = "gcp")]
        "gcp" => run(phi_keys::gcp::GcpKms::from_env(&needed("PHI_LIVE_GCP_KEY")).await.unwrap()).await,
        #[cfg(feature = "pkcs11")]
        "pkcs11" => run(pkcs11().await).await,
        #[cfg(feature = "vault")]
        "vault" => run(vault()).await,
        other => panic!("`{other}` is no provider of this build"),
    }
}

#[cfg(feature = "azure")]
fn azure() -> phi_keys::azure::AzureKms {
    use phi_keys::azure::{AzureAlgorithm, AzureKms};

    let algorithm = match given("PHI_LIVE_AZURE_ALGORITHM").as_deref() {
        None | Some("RSA-OAEP-256") => AzureAlgorithm::RsaOaep256,
        Some("A256GCM") => AzureAlgorithm::A256Gcm,
        Some("A256KW") => AzureAlgorithm::A256Kw,
        Some(other) => panic!("PHI_LIVE_AZURE_ALGORITHM is `{other}`; it can be RSA-OAEP-256, A256GCM or A256KW"),
    };
    AzureKms::from_env(&needed("PHI_LIVE_AZURE_KEY")).unwrap().with_algorithm(algorithm)
}

#[cfg(feature = "pkcs11")]
async fn pkcs11() -> phi_keys::pkcs11::Pkcs11Kms {
    use phi_keys::pkcs11::{Pkcs11Config, Pkcs11Pool};

    let pin = needed("PHI_LIVE_PKCS11_PIN").into();
    let config = Pkcs11Config::new(needed("PHI_LIVE_PKCS11_MODULE"), needed("PHI_LIVE_PKCS11_TOKEN"), pin);
    Pkcs11Pool::open(config).await.unwrap().kek(&needed("PHI_LIVE_PKCS11_KEY")).await.unwrap()
}

#[cfg(feature = "vault")]
fn vault() -> phi_keys::vault::VaultKms {
    use phi_keys::vault::{VaultAuth, VaultKms};

    let mut builder = VaultKms::builder(needed("PHI_LIVE_VAULT_KEY")).address(needed("PHI_LIVE_VAULT_ADDRESS"));
    builder = builder.auth(VaultAuth::token(needed("PHI_LIVE_VAULT_TOKEN").into()));
    if let Some(mount) = given("PHI_LIVE_VAULT_MOUNT") {
        builder = builder.mount(mount);
    }
    if let Some(namespace) = given("PHI_LIVE_VAULT_NAMESPACE") {
        builder = builder.namespace(namespace);
    }
    if let Some(file) = given("PHI_LIVE_VAULT_CA_FILE") {
        builder = builder.ca_file(file);
    }
    builder.build().unwrap()
}

#[cfg(any(feature = "azure", feature = "vault"))]
fn given(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(any(feature = "aws", feature = "azure", feature = "gcp", feature = "pkcs11", feature = "vault"))]
fn needed(name: &str) -> String {
    std::env::var(name).ok().filter(|value| !value.is_empty()).unwrap_or_else(|| panic!("set {name}"))
}

#[cfg(any(feature = "aws", feature = "azure", feature = "gcp", feature = "pkcs11", feature = "vault"))]
async fn run(kms: impl KmsAdmin) {
    let kms = Arc::new(kms);
    let broken = conformance::kms_violations(&kms).await;
    assert!(broken.is_empty(), "{broken:#?}");
    keys_under(Arc::clone(&kms) as _).await;
    keys_under_two(Arc::clone(&kms) as _, Arc::new(EphemeralKeyring::generate().unwrap())).await;

    // Adds versions, and switches the KEK off and on: only where somebody says that it is used for nothing else.
    if std::env::var("PHI_LIVE_ADMIN").is_ok_and(|said| said == "yes") {
        let seconds = std::env::var(SETTLE)
            .map_or(0, |given| given.parse().unwrap_or_else(|_| panic!("{SETTLE} is a number of seconds")));
        let kms = conformance::Settling::new(kms, Duration::from_secs(seconds), TokioSleeper::new());
        let broken = conformance::kms_admin_violations(&kms).await;
        assert!(broken.is_empty(), "{broken:#?}");
        conformance::kek_rotation(|| async { MemoryKeyStore::new() }, Arc::new(kms)).await.unwrap();
    }
}

/// That the suite runs against what the environment names, shown with a simulator in its place.
#[cfg(feature = "vault")]
#[tokio::test(flavor = "multi_thread")]
async fn live_suite_runs_against_the_vault_that_the_environment_names() {
    use kms_sim::{Fault, FaultKind, Service, Simulator};

    let vault = Simulator::start(Service::Vault, 0).await.unwrap();
    let suite = |token: &str, outcome: fn(&str, crate::child::Prepare<'_>)| {
        let prepare = |command: &mut std::process::Command| {
            command.env(PROVIDER, "vault").env("PHI_LIVE_VAULT_ADDRESS", vault.url());
            command.env("PHI_LIVE_VAULT_TOKEN", vault.fact(token).unwrap());
            command.env("PHI_LIVE_VAULT_KEY", vault.fact("key").unwrap()).env("PHI_LIVE_ADMIN", "yes").env(SETTLE, "0");
        };
        tokio::task::block_in_place(|| outcome("live::live_suite", &prepare));
    };
    suite("root_token", crate::child::succeeds);
    assert!(vault.control().calls_of("rotate_key") == 2, "administration was asked for");
    vault.control().inject(Fault::new(FaultKind::OtherPlaintext).on("decrypt"));
    suite("root_token", crate::child::fails);
    suite("wrap_only_token", crate::child::fails);
}
