//! Keys for envelope encryption: where they live, how they are wrapped, leased, rotated and destroyed.
//!
//! A key encryption key (KEK) stays in a KMS or a protected file. It wraps *domain keys*, one for each tenant and use; a
//! domain key wraps *data keys*, one for each patient or group of records. So the KMS is asked a handful of times when a
//! process starts and never for each row, a KEK is rotated without touching data, and destroying one data key makes all of
//! one patient's data unreadable.
//!
//! ```
//! # #[cfg(not(feature = "local"))]
//! # fn main() {}
//! # #[cfg(feature = "local")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use phi_keys::derive::Label;
//! use phi_keys::{Keys, LocalKeyring, MemoryKeyStore, Scope, Unlock};
//! use phi_types::SubjectId;
//!
//! # let folder = tempfile::tempdir()?;
//! # let (path, key_path) = (folder.path().join("clinic.keyring"), folder.path().join("clinic.key"));
//! let keyring = LocalKeyring::create(path, Unlock::create_key_file(key_path)?)?;
//! let keys = Keys::builder(MemoryKeyStore::new()).kek(keyring).tenant("clinic").build().await?;
//!
//! let patient = Scope::subject(&SubjectId::new("22d6efc6")?);
//! let key = keys.data_key(&patient).await?;
//! let derived = key.derive(Label::FIELD, b"salt")?;
//! # let _ = derived;
//! # Ok(())
//! # }
//! ```
//!
//! | to | use |
//! |---|---|
//! | keep KEKs in a file | [`LocalKeyring`], protected by an [`Unlock`] |
//! | keep KEKs in AWS KMS | `aws::AwsKms` (feature `aws`) |
//! | keep KEKs in Azure Key Vault or Managed HSM | `azure::AzureKms` (feature `azure`) |
//! | keep KEKs in Google Cloud KMS | `gcp::GcpKms` (feature `gcp`) |
//! | keep KEKs in an HSM or another PKCS#11 token | `pkcs11::Pkcs11Pool` (feature `pkcs11`) |
//! | keep KEKs elsewhere | an implementation of [`Kms`]; of [`KmsAdmin`] to rotate, disable and destroy them |
//! | have several KEKs for the same keys | [`KekSet`] |
//! | survive a KMS that is busy, slow or down | [`Timeout`], [`Retry`], [`CircuitBreaker`], [`RateLimit`] around it |
//! | count and log KMS calls | [`Observed`], [`KmsObserver`]; to `tracing` with feature `tracing` and `TracingObserver` |
//! | wrap without being able to unwrap | [`WrapOnly`] |
//! | keep key rows | `SqliteKeyStore` (feature `sqlite`), `PostgresKeyStore` (feature `postgres`), [`MemoryKeyStore`], or an implementation of [`KeyStore`] |
//! | seal and open | [`Keys::data_key`], [`Keys::data_key_by_id`], or the `phi-crypto` crate |
//! | rotate a KEK | [`LocalKeyring::rotate`], then [`Keys::rewrap`] |
//! | drop an old version of a KEK | [`Keys::kek_versions`] says what is still needed; `Keys::retire_kek_version` for a keyring |
//! | change a keyring's passphrase | [`LocalKeyring::relock`] |
//! | rotate a domain or data key | [`Keys::rotate_domain_key`], [`Keys::rewrap_data_keys`], [`Keys::rotate_data_key`] |
//! | let every process know a domain key before one uses it | [`Keys::stage_domain_key`], then [`Keys::activate_domain_key`] |
//! | end an old key | [`Keys::retire`], then [`Keys::destroy`], with [`References`] to count what needs it |
//! | destroy a patient's keys | [`Keys::shred`], or `Keys::shred_in` and `Keys::shred_in_postgres` within a transaction |
//! | certify that they were destroyed | [`Keys::certify`], [`Certificate::verify`] |
//! | keep what was shredded from coming back with a backup | [`KeysBuilder::anchor`], [`FileAnchor`] |
//! | end access to keys in memory | [`Keys::revoke`], [`Keys::poll_status`]; between processes a [`RevocationChannel`], such as `PostgresRevocations` |
//! | sign checkpoints | [`Keys::signer`], or `pkcs11::Pkcs11Signer` |
//!
//! `SPEC.md` describes every byte that is written, with test vectors.
//!
//! # From a file to a KMS
//! The line that says where the KEK lives is all that changes:
//!
//! ```
//! # #[cfg(not(feature = "local"))]
//! # fn main() {}
//! # #[cfg(feature = "local")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use phi_keys::{Keys, LocalKeyring, Unlock};
//!
//! # let folder = tempfile::tempdir()?;
//! # let (path, key_path) = (folder.path().join("clinic.keyring"), folder.path().join("clinic.key"));
//! # let store = std::sync::Arc::new(phi_keys::MemoryKeyStore::new());
//! # let first = LocalKeyring::create(&path, Unlock::create_key_file(&key_path)?)?;
//! # let fingerprint = Keys::builder(std::sync::Arc::clone(&store)).kek(first).build().await?.fingerprint();
//! let kek = LocalKeyring::open(path, Unlock::key_file(key_path))?;
//! // The store's fingerprint was noted when it was made. A keyring pins it itself and could do without; a KMS cannot.
//! let keys = Keys::builder(store).kek(kek).fingerprint(fingerprint).build().await?;
//! # assert_eq!(keys.fingerprint(), fingerprint);
//! # Ok(())
//! # }
//! ```
//!
//! In AWS KMS it is `let kek = AwsKms::from_env("arn:aws:kms:…").await?;`; the page of each adapter has its own. A store that is there
//! already comes under the new KEK by [`Keys::rewrap`], with both KEKs in a [`KekSet`] meanwhile.
//!
//! # Features
//! - `local` (default): [`LocalKeyring`], the KEKs in a file.
//! - `aws`: the module `aws`, KEKs in AWS KMS through Amazon's SDK. HTTPS on *ring*; needs the tokio runtime.
//! - `azure`: the module `azure`, KEKs in Azure Key Vault or Managed HSM through Microsoft's SDK. HTTPS on *ring* unless the process has
//!   chosen another provider of rustls; needs the tokio runtime.
//! - `fips`: `Backend::fips()`, the AWS-LC FIPS module in place of *ring*; see [`backend`]. Needs CMake, Go, Perl and a C++
//!   compiler to build.
//! - `gcp`: the module `gcp`, KEKs in Google Cloud KMS through Google's SDK. HTTPS on *ring* unless the process has chosen another
//!   provider of rustls; needs the tokio runtime.
//! - `pkcs11`: the module `pkcs11`, KEKs and signing keys in a token. Loads a module (a shared library) that you name.
//! - `postgres`: `PostgresKeyStore`, `PostgresRevocations` and `Keys::shred_in_postgres`. Needs the tokio runtime, as sqlx does; encrypted connections
//!   need one of sqlx's TLS features, which the application enables.
//! - `sqlite`: `SqliteKeyStore` and `Keys::shred_in`. Needs the tokio runtime, as sqlx does.
//! - `tokio-time`: `TokioSleeper`, tokio's timer for the layers that wait.
//! - `tracing`: `TracingObserver`, what happens between this crate and its KMSs as events.
//! - `vault`: the module `vault`, a Transit key of HashiCorp Vault or OpenBao. Needs the tokio runtime.
//! - `test-util`: the `conformance` suites for implementations of [`Kms`], [`KeyStore`], [`StoreAnchor`], [`Signer`] and
//!   [`RevocationChannel`].
//!
//! # Evidence
//! What each adapter was run against, by `cargo xtask test keys` on every change:
//!
//! | adapter | run against | kind of evidence |
//! |---|---|---|
//! | [`LocalKeyring`] | itself | real |
//! | `aws` | moto and ministack | emulators; their gaps are listed in `tests/it/aws/gaps.rs` and asserted; not run against AWS |
//! | `azure` | a contract simulator with real cryptography, which Microsoft's Python client drives too | simulator; not run against Azure |
//! | `gcp` | a contract simulator with real cryptography, which Google's Python client drives too | simulator; not run against Google Cloud |
//! | `pkcs11` | SoftHSM2 | real, a token in software; not run against hardware |
//! | `vault` | a contract simulator with real cryptography, which Vault's Python client drives too | simulator; not run against a real Vault |
//!
//! # Cache
//! A key manager holds what it unwrapped, within bounds that all apply at once:
//!
//! | bound | default | what happens at it |
//! |---|---|---|
//! | [`lease`](KeysBuilder::lease) | 60 s | a data key leaves, and its row is read again; so is a domain key's |
//! | [`domain_key_age`](KeysBuilder::domain_key_age) | 1 h | a KMS is asked for the domain key again |
//! | [`cache_entries`](KeysBuilder::cache_entries) | 10,000 | a data key that was not used lately makes room |
//! | [`cache_bytes`](KeysBuilder::cache_bytes) | 16 MiB | the same |
//! | [`cache_uses`](KeysBuilder::cache_uses) | 2^20 | the data key's row is read again |
//! | [`refusal_age`](KeysBuilder::refusal_age) | 5 s | a KMS that refused is asked again; no more than 1,024 refusals are held |
//! | [`outage_grace`](KeysBuilder::outage_grace) | none | how long keys are used beyond their time while store or KMS do not answer |
//!
//! Of many tasks that want one cold key, one fetches it. In the last fifth of a lease, or when a domain key's age ends with the
//! next lease, one caller renews it while the others use what is there. Nothing runs by itself: [`Keys::poll_status`] ends
//! access within its interval of a KEK's being disabled, [`Keys::reap_expired`] wipes what expired from an idle process, and
//! [`Keys::follow_revocations`] does what other processes revoke; the caller drives each of them. [`Keys::revoke`] empties
//! the memory at once.
//!
//! Without the poller, access after a KEK was disabled ends when the domain key's age is over, at most a lease later for data
//! keys. The poller asks for each KEK, and where single versions can be disabled ([`Kms::version_state`]) for those that hold
//! a key in memory.
//!
//! # How it fails
//! Closed: when a key cannot be had, authenticated and placed, there is an [`Error`] and no key. An outage is never
//! remembered, so the next request tries again; a refusal by a KMS is, for 5 s. What is unwrapped already keeps working until
//! its lease ends (60 s unless set), also while the KMS is down: the domain keys stay in memory for their age, and an
//! unchanged row needs no KMS.
//!
//! - One of several KMSs that is busy or down: another one unwraps. One that says no, because its KEK was disabled or a
//!   permission taken away: that error, and no other KEK is asked unless [`OnTerminal::TryOthers`] was chosen.
//! - A KMS that answers with something else: nothing opens, and a copy of a key that its KMS cannot give back is never
//!   written.
//! - A row that was altered, forged or moved: [`Error::RowRejected`]. A domain key row that was removed:
//!   [`Error::Incomplete`].
//! - A tombstone that was removed: [`Error::Forgotten`]. A store that is older than its anchor: [`Error::RolledBack`]; a single
//!   row that is: [`Error::RowOutdated`]. With an anchor that takes nothing no row of a key is replaced, and every key can be had.
//! - A store that is not the pinned one: [`Error::RootMismatch`], [`Error::RootMissing`] or [`Error::RootNotPinned`].
//! - A keyring file that is missing, readable by others, cut off, altered, of a later version, or locked with another
//!   passphrase: a [`KeyringError`] each.
//! - Two writers: one wins, the other takes the winner's key. [`Error::Contended`] only after sixteen lost races.
//! - A process that dies: every write is one transaction or one atomic replacement, and every operation can be repeated.
//!
//! # Security
//! Whoever can **write the database** cannot make, alter or move a key row unnoticed. They can delete rows: a missing domain
//! key or tombstone is noticed when the store is opened, a missing data key shows as an unknown kid. They can put back rows
//! that they kept. With an anchor ([`KeysBuilder::anchor`]) an older copy of a row or of the whole store is refused by whoever has read the
//! anchor since, once in a lease at the latest, and neither a shredded nor a destroyed key comes back. Without one, a shredded key works again beside those who have the store open
//! already, an older copy of a row passes for the newest, and so does one of the whole store unless its generation was noted
//! elsewhere ([`KeysBuilder::at_least_generation`]). Whoever can **read the database and the keyring file** still
//! lacks the passphrase or key file; whoever has all three has every key.
//!
//! **Rewrapping** answers routine rotation. It is no recovery: who copied a wrapped key and its KEK keeps the key.
//!
//! **Shredding** ends live access at once in its key manager and within a lease in others, and removes the row from the
//! database file and its write-ahead log. It erases only once no older copy of the key tables is left in a backup, replica,
//! snapshot or on the free blocks of the disk.
//!
//! Raw key bytes are wiped when the last handle is dropped. The cipher backend (*ring*) does not wipe its key schedules, the
//! compiler may leave copies on the stack, and nothing is locked into memory.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod anchor;
pub mod backend;
#[cfg(feature = "test-util")]
pub mod conformance;
pub mod derive;
mod error;
pub mod f1;
mod id;
mod keys;
mod kms;
#[cfg(feature = "local")]
mod local;
#[doc(hidden)]
pub mod overlap;
mod random;
mod scope;
mod signer;
mod store;
pub mod tlv;

#[cfg(unix)]
pub use anchor::FileAnchor;
pub use anchor::{AnchorError, AnchorFuture, StoreAnchor};
pub use error::{Error, Expired};
pub use id::{Fingerprint, FullId, KeyId};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use keys::PendingShred;
#[cfg(feature = "postgres")]
pub use keys::PostgresRevocations;
pub use keys::{
    Certificate, CertificateError, Completed, DataKey, DataRewrapped, DomainKey, Forgotten, HeldVersion, KekCheck,
    KekUse, KeyAct, KeyChange, Keys, KeysBuilder, References, ReferencesFuture, Replayed, Revocation,
    RevocationChannel, RevocationNotice, Revoked, Rewrapped, Shredded,
};
#[cfg(feature = "tokio-time")]
pub use kms::TokioSleeper;
#[cfg(feature = "tracing")]
pub use kms::TracingObserver;
#[cfg(feature = "aws")]
pub use kms::aws;
#[cfg(feature = "azure")]
pub use kms::azure;
#[cfg(feature = "gcp")]
pub use kms::gcp;
#[cfg(feature = "pkcs11")]
pub use kms::pkcs11;
#[cfg(feature = "vault")]
pub use kms::vault;
pub use kms::{
    Binding, Capabilities, Carrier, CircuitBreaker, CircuitOpen, ContextBinding, EphemeralKeyring, Jitter, KekAct,
    KekChange, KekPolicy, KekSet, KekSetBuilder, KekState, KekStatus, KekTarget, KekVersion, KekVersions, Kms,
    KmsAdmin, KmsCall, KmsError, KmsEvent, KmsFuture, KmsObserver, Observed, OnTerminal, RateLimit, Retry, RetryPolicy,
    Rewrap, RootPin, Sleeper, TimedOut, Timeout, WrapContext, WrapOnly, Wrapped, WrappedError,
};
#[cfg(feature = "local")]
pub use local::{KeyringError, LocalKeyring, Unlock};
pub use random::NoRandomness;
pub use scope::{KeyUse, Scope};
pub use signer::{BadSignature, Ed25519Signer, PublicKey, SignError, Signer, Signing};
#[cfg(feature = "postgres")]
pub use store::PostgresKeyStore;
#[cfg(feature = "sqlite")]
pub use store::SqliteKeyStore;
pub use store::{
    Change, Committed, KeyRow, KeyState, KeyStore, MemoryKeyStore, Remains, Residue, RowKind, Slot, StoreError,
    StoreFuture,
};
