//! KEKs in Google Cloud KMS, through Google's own SDK.
//!
//! A KEK is a key of the purpose `ENCRYPT_DECRYPT`, of any protection level. The digest of the context is its additional
//! authenticated data: nothing else but the carrier leaves the process. Every request carries CRC-32C checksums which the service
//! must say that it verified, and every answer's checksum is verified here.
//!
//! ```no_run
//! use phi_keys::gcp::GcpKms;
//! use phi_keys::{Fingerprint, Keys, MemoryKeyStore};
//!
//! # async fn run(store: MemoryKeyStore, fingerprint: Fingerprint) -> Result<(), Box<dyn std::error::Error>> {
//! let kek = GcpKms::from_env("projects/clinic/locations/europe-west3/keyRings/phi/cryptoKeys/kek").await?;
//! let keys = Keys::builder(store).kek(kek).fingerprint(fingerprint).build().await?;
//! # let _ = keys;
//! # Ok(())
//! # }
//! ```
//!
//! With a client of one's own, which names another endpoint, proxy or credentials:
//!
//! ```
//! use phi_keys::Kms;
//! use phi_keys::gcp::GcpKms;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # // In Google's place: a simulator, which wants no credentials.
//! # let gcp = kms_sim::Simulator::start(kms_sim::Service::Gcp, 0).await?;
//! # let (endpoint, name) = (gcp.url(), gcp.fact("key").unwrap());
//! # let credentials = google_cloud_auth::credentials::anonymous::Builder::new().build();
//! let client = GcpKms::client_builder().with_endpoint(endpoint).with_credentials(credentials).build().await?;
//! let kek = GcpKms::new(client, name)?;
//! assert!(kek.status().await?.state.is_usable());
//! # Ok(())
//! # }
//! ```
//!
//! The permissions that it takes, on the key: `cloudkms.cryptoKeyVersions.useToEncrypt` to wrap,
//! `cloudkms.cryptoKeyVersions.useToDecrypt` to unwrap, both to rewrap, `cloudkms.cryptoKeys.get` and
//! `cloudkms.cryptoKeyVersions.get` for the status of key and versions, which [`Keys::poll_status`](crate::Keys::poll_status) needs,
//! and to say why a key cannot be used; for [`KmsAdmin`](crate::KmsAdmin) also
//! `cloudkms.cryptoKeys.update` and `cloudkms.cryptoKeyVersions.list`, `.create`, `.update`, `.destroy` and `.restore`.
//!
//! # How it fails
//! With a [`KmsError`](crate::KmsError) by the code of Google's answer. The SDK's own retries are off, so that one call here is one
//! call there; retry outside, where a budget can be kept. A request may take ten seconds unless
//! [set](GcpKms::with_timeout). Nothing is sent when the KEK is opened: whether the key exists shows in
//! [`status`](crate::Kms::status). Needs the tokio runtime with its timer.
//!
//! # Security
//! Encryption's answer names the version that wrapped, decryption's does not: the version in a wrapped carrier tells what has to be
//! rewrapped, and is authenticated by the key row around it, not by Google. A rewrap passes through this process, since the service
//! has none. The SDK does not wipe its buffers, so a carrier may stay in freed memory. HTTPS runs on the process's rustls provider,
//! which becomes *ring* if there is none yet.
//!
//! # Evidence
//! Run against a contract simulator with real cryptography, which Google's Python client drives too, by `cargo xtask test keys`. Not
//! run against Google Cloud; `cargo xtask live gcp` does that with a key of yours.

mod admin;
mod checksum;
mod error;
mod kms;
mod name;
mod open;

pub use kms::GcpKms;
