//! Contract simulators of three key services, with real cryptography, for testing what talks to them.
//!
//! No real HashiCorp Vault, Google Cloud KMS or Azure Key Vault can be had inside a test. These simulators follow the
//! services' public contracts closely enough that the vendors' own SDKs work against them, and fail for cryptographic
//! reasons: a wrong context does not decrypt because another key was derived, not because two strings were compared.
//! What is followed and what is left out is listed in the crate's README.
//!
//! ```
//! use kms_sim::{Fault, FaultKind, Service, Simulator};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let vault = Simulator::start(Service::Vault, 0).await?;
//! assert!(vault.url().starts_with("http://127.0.0.1:"));
//! assert!(vault.fact("root_token").is_some());
//!
//! // The next two decryptions are throttled.
//! vault.control().inject(Fault::new(FaultKind::Throttle { retry_after: Some(1) }).on("decrypt").times(2));
//! assert_eq!(vault.control().calls_of("decrypt"), 0);
//! # Ok(())
//! # }
//! ```
//!
//! # How it fails
//! [`Simulator::start`] fails when its port cannot be had. Everything after that is an answer of the simulated service.
//!
//! # Security
//! For tests only: keys live in memory, control needs no credentials, and everything listens on `127.0.0.1` alone.

mod aead;
mod azure;
mod backend;
mod call;
mod control;
mod encoding;
mod env;
mod gate;
mod gcp;
mod reply;
mod rsa_key;
mod server;
mod tls;
mod vault;

pub use control::{Control, Fault, FaultKind};
pub use server::{Service, Simulator};
