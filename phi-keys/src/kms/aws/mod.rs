//! KEKs in AWS KMS, through Amazon's own SDK.
//!
//! A KEK is a symmetric encryption key (`SYMMETRIC_DEFAULT`). The digest of the context is its encryption context, which AWS
//! authenticates and writes into CloudTrail: nothing else leaves the process. Carriers are made by `GenerateDataKey`, whose answer
//! names the key material; a rewrap is one `ReEncrypt`, in which the carrier does not leave AWS.
//!
//! ```no_run
//! use phi_keys::aws::AwsKms;
//! use phi_keys::{Fingerprint, Keys, MemoryKeyStore};
//!
//! # async fn run(store: MemoryKeyStore, fingerprint: Fingerprint) -> Result<(), Box<dyn std::error::Error>> {
//! let kek = AwsKms::from_env("arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab").await?;
//! let keys = Keys::builder(store).kek(kek).fingerprint(fingerprint).build().await?;
//! # let _ = keys;
//! # Ok(())
//! # }
//! ```
//!
//! With a client of one's own, which names another endpoint, proxy or credentials:
//!
//! ```
//! use aws_sdk_kms::config::{BehaviorVersion, Config, Region};
//! use phi_keys::Kms;
//! use phi_keys::aws::AwsKms;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # // In Amazon's place: an emulator, where one runs.
//! # let Ok(endpoint) = std::env::var("PHI_TEST_MOTO_URL") else { return Ok(()) };
//! # let credentials = aws_sdk_kms::config::Credentials::new("test", "test/secret", None, None, "test");
//! let config = Config::builder()
//!     .behavior_version(BehaviorVersion::latest())
//!     .http_client(AwsKms::https_client())
//!     .endpoint_url(endpoint)
//!     .region(Region::new("eu-central-1"))
//!     .credentials_provider(credentials)
//!     .build();
//! let client = aws_sdk_kms::Client::from_conf(config);
//! # // moto makes no key for encryption unless told to.
//! # let made = client.create_key().key_usage(aws_sdk_kms::types::KeyUsageType::EncryptDecrypt).send().await?;
//! # let arn = made.key_metadata().and_then(|key| key.arn()).ok_or("no ARN")?;
//! let kek = AwsKms::open(client, arn).await?;
//! assert!(kek.status().await?.state.is_usable());
//! # Ok(())
//! # }
//! ```
//!
//! The permissions that it takes, on the key's ARN: `kms:DescribeKey` always; `kms:GenerateDataKey` and `kms:Encrypt` to wrap;
//! `kms:Decrypt` to unwrap; `kms:ReEncryptFrom` and `kms:ReEncryptTo` to rewrap; for [`KmsAdmin`](crate::KmsAdmin)
//! `kms:ListKeyRotations`, `kms:RotateKeyOnDemand`, `kms:DisableKey`, `kms:EnableKey`, `kms:ScheduleKeyDeletion` and
//! `kms:CancelKeyDeletion`.
//!
//! # How it fails
//! With a [`KmsError`](crate::KmsError) by the code of AWS's answer. The SDK's own retries are off, so that one call here is one
//! call there; retry outside, where a budget can be kept. An alias is resolved once, when the KEK is opened: when it moves to
//! another key later, what is wrapped stays with the old one, and a process that starts then answers
//! [`KmsError::OtherKek`](crate::KmsError::OtherKek).
//!
//! # Security
//! Every unwrap pins the key, so that bytes under another key of the account are refused. The name of a KEK leaves out the region of a
//! multi-Region key, because its replicas hold the same key material: each of them unwraps what another one wrapped. The SDK does not
//! wipe its buffers, so a carrier may stay in freed memory. At the level TRACE it prints requests whole; here it prints neither
//! carriers nor contexts, unless its own `LOG_SIGNABLE_BODY` or `LOG_SENSITIVE_BODIES` is set in the environment. HTTPS runs on *ring* with the machine's root certificates, whatever
//! provider the process has chosen for rustls, or none.
//!
//! # Evidence
//! Run against moto and ministack, two emulators, by `cargo xtask test keys`; what each of them does otherwise than AWS is listed in
//! `tests/it/aws/gaps.rs` and asserted. Not run against AWS; `cargo xtask live aws` does
//! that with a key of yours.

mod admin;
mod error;
mod kms;
mod open;

pub use kms::AwsKms;
