//! Application-layer envelope encryption: seals single fields of records under keys of their patient, bound to their
//! place, and finds them again by blind index.
//!
//! ```
//! use phi_crypto::{Context, Opener, Sealed, Sealer, SubjectId};
//! use phi_keys::{EphemeralKeyring, Keys, MemoryKeyStore, Scope};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let keys = Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate()?).tenant("clinic").build().await?;
//! let (sealer, opener) = (Sealer::builder(keys.clone()).build(), Opener::builder(keys).build());
//!
//! let patient = SubjectId::new("7431")?;
//! let place = Context::new("Patient", "name").record_id(&patient);
//! let stored: Sealed<String> = sealer.for_scope(&Scope::subject(&patient)).await?.seal("Ada Lovelace", &place)?;
//!
//! let name = opener.for_scope(&Scope::subject(&patient)).await?.open(&stored, &place)?;
//! assert_eq!(name.expose(), "Ada Lovelace");
//! assert_eq!(format!("{name}"), "[PHI]");
//! # Ok(()) }
//! ```
//!
//! - [`Context`]: where a value belongs. It opens nowhere else.
//! - [`Sealer`] and [`Opener`]: asynchronous until the keys of a scope are there, synchronous from then on.
//! - [`Sealed<T>`]: a sealed value as a column or a field of a message.
//! - [`Record`]: a struct of sealed fields, with its names and indexes as constants.
//! - [`mod@file`]: files of any length, sealed and opened in constant memory, readable from any offset.
//! - `backup` (feature `backup`): encrypted backups of folders and databases, and restore drills.
//! - [`BlindIndex`]: search over sealed fields: equality, prefixes, several fields together; [`IndexPlan`] warns.
//! - `tls` (feature `tls`): servers and clients by one policy of versions and suites, client certificates, certificates
//!   that are replaced while connections are open.
//! - `reseal` (features `sqlite`, `postgres`): brings stored values under newer keys and indexes, resumable.
//! - `shred_subject` (feature `sqlite`) and `shred_subject_postgres` (feature `postgres`): ends access to a patient's data
//!   and removes its index tags, in one transaction.
//! - [`Padding`] hides how long values are, [`Sealer::hedged`] is for hosts that are restored from memory snapshots.
//!
//! The formats are those of `SPEC.md`, and frozen: a sealed field is 57 bytes longer than its plaintext, a file 96 bytes
//! and 0.1 %.
//!
//! # Features
//! - `derive`: `#[derive(Record)]`, from the crate `phi-derive`.
//! - `fips`: keys, values, files and indexes on the AWS-LC FIPS module, see [`phi_keys::backend`].
//! - `nfkc`: `Transform::NfkcLowercase`, for names that are written in several ways.
//! - `serde`: [`Sealed<T>`] as a serde value, and `Json` to seal any serde type.
//! - `sqlite`: [`Sealed<T>`] and [`Tag`] as SQLite columns, and `shred_subject`.
//! - `postgres`: [`Sealed<T>`] and [`Tag`] as PostgreSQL columns, and `shred_subject_postgres`.
//! - `tls`: the module `tls`, on rustls and ring.
//! - `tower`: `tls::Hsts`, a layer for HTTP servers.
//! - `backup`: the module `backup`. Needs the tokio runtime.
//! - `tokio`: [files](mod@file) through `AsyncRead`, `AsyncWrite` and `AsyncSeek`.
//!
//! # How it fails
//! Closed. When a key cannot be had, nothing is sealed or opened. What the cipher refuses is [`OpenError::Refused`], which
//! does not say why; everything else says what to mend: a column that holds a plaintext, a key of another patient, a lease
//! that has ended. No error holds a value, an identifier or a key.
//!
//! # Security
//! - A sealed value is confidential and bound to tenant, record type, field, subject and whatever else its [`Context`]
//!   names. It is not bound to time: bind the row version against the return of an older value.
//! - Nonces are 96 bits from the operating system for every message, or from the validated module of the keys, whose
//!   [backend](phi_keys::backend) says what differs. A forked process repeats none, and a cloned virtual
//!   machine none as far as its getrandom is reseeded (VMGenID, Linux 5.18 and later). Where it may not be, seal with
//!   [`Sealer::hedged`]. Bounds are in `SPEC.md` section 6.
//! - A stored value shows its length, or with [`Padding`] the length that it was padded to, and which values share a
//!   patient's key and an epoch of a writing process.
//! - A message key is unusable once the lease of its data key has ended, and is dropped by one of the next requests for a
//!   key. The cipher backend does not wipe its key schedules; plaintext buffers of this crate are wiped on the opening
//!   side.
//! - A blind index shows equality; read [its statement](BlindIndex#what-an-index-gives-away) before you declare one.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod aad;
#[cfg(test)]
mod backends;
#[cfg(feature = "backup")]
pub mod backup;
mod bytes;
mod cache;
#[cfg(test)]
#[path = "../tests/it/component.rs"]
mod component;
mod context;
pub mod file;
mod handles;
mod index;
mod open;
mod plaintext;
mod record;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub mod reseal;
mod seal;
mod sealed;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod shred;
mod threads;
#[cfg(feature = "tls")]
pub mod tls;

pub use context::{Context, ContextError, Field, RecordId};
pub use index::{
    BlindIndex, CompoundIndex, CompoundSpec, IndexError, IndexPlan, IndexSpec, IndexWarning, PartitionedIndex,
    PartitionedSpec, Tag, Tags, Transform,
};
pub use open::{OpenError, OpenManyError, OpenObserver, Opened, Opener, OpenerBuilder, Reseal, ScopedOpener};
pub use phi_keys::f1::{FormatError, Suite};
pub use phi_keys::{KeyId, Keys, Scope};
pub use phi_types::{Phi, SubjectId};
pub use plaintext::{DecodeError, EncodeError, Openable, Plaintext, Sealable};
#[cfg(feature = "serde")]
pub use plaintext::{Json, JsonRef};
pub use record::{Record, RecordError, RecordKey};
pub use seal::{Padding, ScopedSealer, SealError, Sealer, SealerBuilder};
pub use sealed::Sealed;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use shred::{IndexColumn, PendingSubjectShred, ShredError, SubjectShredded};
#[cfg(feature = "sqlite")]
pub use shred::{shred_subject, shred_subject_in};
#[cfg(feature = "postgres")]
pub use shred::{shred_subject_in_postgres, shred_subject_postgres};
