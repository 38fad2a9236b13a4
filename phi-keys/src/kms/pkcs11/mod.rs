//! KEKs and signing keys in a token that speaks PKCS#11 (OASIS, 2.40 and 3.x): a hardware security module, a smart card, or
//! SoftHSM2.
//!
//! A KEK is one or more AES-256 keys of one label. Their ids (`CKA_ID`, 1 to 8 bytes, read as a number) are its versions: the
//! highest one wraps, each unwraps what it wrapped. Carriers are wrapped by `CKM_AES_GCM` with the digest of the context as
//! additional data, or, where token or key have no GCM, by `CKM_AES_KEY_WRAP_PAD`, which binds the context by key derivation
//! alone.
//!
//! ```no_run
//! use phi_keys::pkcs11::{Pkcs11Config, Pkcs11Pool};
//! use phi_keys::{Fingerprint, Keys, MemoryKeyStore};
//! use secrecy::SecretString;
//!
//! # async fn run(pin: SecretString, store: MemoryKeyStore, fingerprint: Fingerprint) -> Result<(), Box<dyn std::error::Error>> {
//! let pool = Pkcs11Pool::open(Pkcs11Config::new("/usr/lib/softhsm/libsofthsm2.so", "clinic", pin)).await?;
//! let kek = pool.kek("phi-kek").await?;
//! let keys = Keys::builder(store).kek(kek).fingerprint(fingerprint).build().await?;
//! # let _ = keys;
//! // Signing keys live in the same token.
//! let signer = pool.signer("phi-checkpoints").await?;
//! # let _ = signer;
//! pool.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! KEK and signing key are made once, here or with the token's own tools:
//!
//! ```
//! use phi_keys::pkcs11::{Pkcs11Config, Pkcs11Pool};
//! use phi_keys::{Kms, Signer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # // A token in software, where there is one.
//! # let given = |name: &str| std::env::var(format!("PHI_TEST_PKCS11_{name}")).ok();
//! # let (Some(module), Some(token), Some(pin)) = (given("MODULE"), given("TOKEN"), given("PIN")) else { return Ok(()) };
//! # let of_this_run = |name: &str| format!("{name}-{}", std::process::id());
//! # let (kek, checkpoints) = (of_this_run("kek"), of_this_run("checkpoints"));
//! let pool = Pkcs11Pool::open(Pkcs11Config::new(module, token, pin.into())).await?;
//! let kek = pool.create_kek(&kek).await?;
//! let signer = pool.create_p256_signer(&checkpoints).await?;
//!
//! assert!(kek.status().await?.state.is_usable());
//! let signature = signer.sign(b"a checkpoint").await?;
//! signer.public_key().verify(b"a checkpoint", &signature)?;
//! pool.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! # How it fails
//! With a [`Pkcs11Error`], which becomes a [`KmsError`](crate::KmsError). A lost session is opened again once within the same
//! request; a PIN that was refused is not tried again by the same pool, because tokens lock themselves after a few attempts; a
//! call that a token never answers keeps its thread, so put a time limit around it. A process that is forked opens a pool of
//! its own.
//!
//! A signing key is Ed25519 or ECDSA on P-256. A signature is returned only after it verified under the public key. Checkpoints of
//! `phi-audit` take either.
//!
//! # Security
//! Being logged in belongs to the process: all code in it can use every private object of the token, and so can whoever may
//! replace the module's file. While a carrier is wrapped by key wrap it exists for a moment as a readable object of the session;
//! a token that keeps every key unreadable refuses that and needs GCM. A wrapped carrier uses a random 96-bit IV directly under
//! the KEK (or the token's own IV), which bounds a version to 2^32 carriers. A switched-off version is one whose `CKA_DECRYPT`
//! or `CKA_UNWRAP` is false; who may log in may switch it on again.
//!
//! # Evidence
//! Run against SoftHSM2, a real implementation of PKCS#11 in software, by `cargo xtask test keys`; OpenSC's client looks at the keys
//! there, makes one and signs with one. Not run against hardware.

mod config;
mod error;
mod kms;
mod login;
mod module;
mod pool;
mod signer;
mod versions;
mod wrap;

pub use config::Pkcs11Config;
pub use error::Pkcs11Error;
pub use kms::Pkcs11Kms;
pub use pool::Pkcs11Pool;
pub use signer::Pkcs11Signer;
