//! KEKs in Azure Key Vault and Azure Managed HSM, through Microsoft's own SDK.
//!
//! In a vault a KEK is an RSA key, which wraps with `RSA-OAEP-256` and takes no context: the derivation of the carrier key binds it. In a
//! Managed HSM it may be an AES key of 256 bits, with [`A256Gcm`](AzureAlgorithm::A256Gcm) (the context's digest is additional
//! authenticated data) or [`A256Kw`](AzureAlgorithm::A256Kw). The version that wrapped is kept with the carrier, because no blob of
//! Azure's names it.
//!
//! ```no_run
//! use phi_keys::azure::AzureKms;
//! use phi_keys::{Fingerprint, Keys, MemoryKeyStore};
//!
//! # async fn run(store: MemoryKeyStore, fingerprint: Fingerprint) -> Result<(), Box<dyn std::error::Error>> {
//! let kek = AzureKms::from_env("https://clinic.vault.azure.net/keys/kek")?;
//! let keys = Keys::builder(store).kek(kek).fingerprint(fingerprint).build().await?;
//! # let _ = keys;
//! # Ok(())
//! # }
//! ```
//!
//! With a client of one's own, which names another transport, cloud or credential:
//!
//! ```
//! use azure_security_keyvault_keys::KeyClient;
//! use phi_keys::Kms;
//! use phi_keys::azure::AzureKms;
//!
//! # use std::sync::Arc;
//! # use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
//! # use azure_core::http::{ClientOptions, HttpClient, Transport};
//! # use azure_identity::{ClientSecretCredential, ClientSecretCredentialOptions};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # // In Azure's place: a simulator, to whose authority and sign-in the client is led.
//! # let azure = kms_sim::Simulator::start(kms_sim::Service::Azure, 0).await?;
//! # let fact = |name: &str| azure.fact(name).unwrap().to_owned();
//! # let (vault, name) = (azure.url(), fact("key"));
//! # let authority = reqwest::Certificate::from_pem(azure.authority_pem()?.unwrap().as_bytes())?;
//! let mut options = AzureKms::client_options();
//! # let http: Arc<dyn HttpClient> = Arc::new(reqwest::Client::builder().tls_certs_only([authority]).no_proxy().build()?);
//! # let mut cloud = CustomConfiguration::default();
//! # azure.url().clone_into(&mut cloud.authority_host);
//! # let cloud = Some(Arc::new(CloudConfiguration::Custom(cloud)));
//! # options.client_options = ClientOptions { transport: Some(Transport::new(http)), cloud, ..options.client_options };
//! # options.verify_challenge_resource = Some(false);
//! # let sign_in = Some(ClientSecretCredentialOptions { client_options: options.client_options.clone() });
//! # let (tenant, id, secret) = (fact("tenant"), fact("client_id"), fact("client_secret").into());
//! # let credential = ClientSecretCredential::new(&tenant, id, secret, sign_in)?;
//! let client = KeyClient::new(vault, credential, Some(options))?;
//! let kek = AzureKms::new(client, &name)?;
//! # let kek = kek.with_timeout(core::time::Duration::from_secs(120)); // until the simulator has made its RSA key
//! assert!(kek.status().await?.state.is_usable());
//! # Ok(())
//! # }
//! ```
//!
//! The permissions that it takes, on the key: `wrapKey` and `unwrapKey` (`encrypt` and `decrypt` with `A256Gcm`), `get` for the status and
//! to say why a key cannot be used; for [`KmsAdmin`](crate::KmsAdmin) also `list`, `rotate`, `update`, `delete` and `recover`.
//!
//! # How it fails
//! With a [`KmsError`](crate::KmsError) by the code of Azure's answer. The SDK's own retries are off in what is made here, so that one
//! call is one call there; retry outside, where a budget can be kept. A client of your own keeps the retries that it was made with.
//! One exception: the metadata service of a virtual machine, from which a managed identity gets its tokens, is asked up to seven
//! times, which Microsoft's library does not let be changed. A call, with the token that it may need, takes at most ten seconds
//! unless [set](AzureKms::with_timeout). Nothing is sent when the KEK is opened: whether the key exists shows in
//! [`status`](crate::Kms::status). A version outside its dates of validity still unwraps, and wraps no more. Needs the tokio runtime with
//! its timer.
//!
//! # Security
//! Whoever can read an RSA key's public part can wrap under it: pin the root key's fingerprint, as with every KMS that pins nothing. The
//! answer to an unwrap names the version that did it, and must name the one that was asked. A rewrap passes through this process, since
//! the service has none. The SDK does not wipe its buffers, so a carrier may stay in freed memory. HTTPS runs on the process's rustls
//! provider, which becomes *ring* if there is none yet.
//!
//! # Evidence
//! Run against a contract simulator with real cryptography, which Microsoft's Python client drives too, by `cargo xtask test keys`. Not
//! run against Azure; `cargo xtask live azure` does that with a key of yours.

mod admin;
mod algorithm;
mod error;
mod kms;
mod name;
mod open;

pub use algorithm::AzureAlgorithm;
pub use kms::AzureKms;
