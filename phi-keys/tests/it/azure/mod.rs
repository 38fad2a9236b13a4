//! The adapter of Azure Key Vault and Managed HSM against the contract simulator.

mod admin;
mod environment;
mod faults;
mod keys;
mod provider;
mod quiet;
mod sdk;
mod wire;

use core::time::Duration;
use std::sync::Arc;

use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::credentials::{Secret, TokenCredential};
use azure_core::http::{ClientOptions, HttpClient, Transport};
use azure_identity::{ClientSecretCredential, ClientSecretCredentialOptions};
use azure_security_keyvault_keys::KeyClient;
use kms_sim::{Service, Simulator};
use phi_keys::azure::{AzureAlgorithm, AzureKms};

use crate::component;
pub(crate) use crate::simulated::{carrier, fact, here, there};

/// The simulator makes an RSA key on its first use, which takes long on a machine with other work.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) async fn start() -> Simulator {
    component::used("azure");
    Simulator::start(Service::Azure, 0).await.unwrap()
}

pub(crate) async fn start_hsm() -> Simulator {
    component::used("azure");
    Simulator::start(Service::AzureHsm, 0).await.unwrap()
}

/// A client that trusts the simulator's authority and signs in to its token endpoint.
pub(crate) fn client(azure: &Simulator) -> KeyClient {
    let mut options = AzureKms::client_options();
    let authority = reqwest::Certificate::from_pem(azure.authority_pem().unwrap().unwrap().as_bytes()).unwrap();
    let http: Arc<dyn HttpClient> =
        Arc::new(reqwest::Client::builder().tls_certs_only([authority]).no_proxy().build().unwrap());
    let mut cloud = CustomConfiguration::default();
    azure.url().clone_into(&mut cloud.authority_host);
    let client_options = ClientOptions {
        transport: Some(Transport::new(http)),
        cloud: Some(Arc::new(CloudConfiguration::Custom(cloud))),
        ..options.client_options.clone()
    };
    let (tenant, id) = (fact(azure, "tenant"), fact(azure, "client_id").to_owned());
    let secret = Secret::new(fact(azure, "client_secret").to_owned());
    let sign_in = ClientSecretCredentialOptions { client_options: client_options.clone() };
    let credential: Arc<dyn TokenCredential> = ClientSecretCredential::new(tenant, id, secret, Some(sign_in)).unwrap();
    options.client_options = client_options;
    // The simulator is no host of its resource's domain.
    options.verify_challenge_resource = Some(false);
    KeyClient::new(azure.url(), credential, Some(options)).unwrap()
}

/// With an RSA key.
pub(crate) fn kms(azure: &Simulator) -> AzureKms {
    AzureKms::new(client(azure), fact(azure, "key")).unwrap().with_timeout(PATIENCE)
}

/// With the symmetric key of a Managed HSM.
pub(crate) fn symmetric(hsm: &Simulator, algorithm: AzureAlgorithm) -> AzureKms {
    AzureKms::new(client(hsm), fact(hsm, "oct_key")).unwrap().with_algorithm(algorithm).with_timeout(PATIENCE)
}
