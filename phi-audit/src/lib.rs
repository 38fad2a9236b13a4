//! An audit log that cannot be altered unnoticed (45 CFR 164.312(b), (c)(1)).
//!
//! Every activity becomes an entry of fixed bytes, durable before the caller goes on. Entries are the leaves of an
//! RFC 6962 Merkle tree whose root is signed as a C2SP checkpoint, so that anybody with the public key can tell, offline
//! and without trusting the database, whether an entry was edited, removed, added or moved.
//!
//! ```
//! use phi_audit::{AuditLog, Query, SqliteAuditStore};
//! use phi_keys::{EphemeralKeyring, Keys, MemoryKeyStore};
//! use phi_types::{Action, Activity, Actor, Clock, Outcome, Purpose, Recorder, SubjectId, SystemClock};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.path().join("clinic.db")).create_if_missing(true);
//! # let pool = sqlx::SqlitePool::connect_with(options).await?;
//! # let keys = Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate()?).build().await?;
//! let audit = AuditLog::builder(SqliteAuditStore::new(pool))
//!     .keys(keys)
//!     .origin("clinic.example/audit")
//!     .high_water_mark(folder.path().join("audit.mark"))
//!     .open()
//!     .await?;
//! println!("pin this key: {}", audit.verifier_key());
//!
//! let patient = SubjectId::new("patient-7431")?;
//! let read = Activity::new("record.read", Action::Read, Outcome::Success, SystemClock::new().now())
//!     .by(Actor::human("dr.osei@clinic.example")?)
//!     .about(patient.clone())
//!     .for_purpose(Purpose::Treatment);
//! audit.recorder().record(read).await?;
//!
//! let checkpoint = audit.checkpoint().await?;
//! let page = audit.query(&Query::new().subject(&patient)).await?;
//! assert_eq!(page.events.len(), 1);
//! assert!(audit.verify().await?.is_consistent());
//! # Ok(()) }
//! ```
//!
//! # Features
//! - `sqlite`: [`SqliteAuditStore`], a store in the application's own SQLite database.
//! - `tower`: [`AuditLayer`], which makes touches durable before a response body leaves, and [`AuditGuard`].
//! - `axum`: [`AuditGuard`] as an extractor.
//! - `cli`: the program `phi-audit`, which verifies a database offline.
//! - `test-util`: [`conformance`], the tests that every [`AuditStore`] must pass.
//!
//! # How it fails
//! - An activity that cannot be made durable is an error of `record`: what it describes must not happen, or its result
//!   must not leave. Through [`AuditLayer`] the client gets 503 and no content.
//! - A store that could lose what it acknowledges is refused when the log is opened.
//! - A database whose tree holds less than was signed, or something else, is not opened and not signed again. Whether the
//!   entries are still those of the tree is what [`AuditLog::verify`] and the offline verifier tell.
//! - A pending row that does not come from a writer of this log goes into quarantine: it stays readable there, is
//!   counted in [`Status::quarantined`], and an `audit.quarantine` entry says so.
//! - Events that were acknowledged and have gone missing raise [`Error::AcknowledgedMissing`].
//! - After a crash, what a writer did after its last entry is unknown; [`Report::unknown_ends`] counts such writers.
//!
//! # Security
//! | who writes to the database | without a copy of a checkpoint elsewhere | with one (`--at-least`, high-water mark) |
//! |---|---|---|
//! | edits, removes, moves, adds signed entries | noticed, first wrong entry named | noticed |
//! | rewrites entries and tree together, and removes checkpoints | noticed by signatures and the MAC of the head | noticed |
//! | removes the end of the log, or puts an old copy back | not noticed | noticed |
//! | alters or inserts pending rows | quarantined | quarantined |
//! | puts entries into the tree, above the newest checkpoint | noticed by the MAC of the head, and not signed | same |
//! | removes entries at the end, above the newest checkpoint | noticed by the writer while it runs | same |
//! | removes pending rows | noticed by the writer while it runs, or as a gap when later rows of it remain | same |
//!
//! Whoever holds the audit key can write any history that was not yet copied elsewhere. Pseudonyms are PHI still: they
//! link all entries of a patient, and whoever has the key can test guesses. Kinds, details, session ids and the ids of
//! workforce members are stored as given, so no PHI belongs in them. Everything else that is promised is in `SPEC.md`.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod checkpoint;
#[cfg(feature = "test-util")]
pub mod conformance;
mod ecdsa;
mod entry;
mod error;
mod hash;
mod keys;
mod log;
mod mark;
mod note;
mod proof;
mod query;
mod sequencer;
mod store;
mod tree;
#[cfg(test)]
mod vectors;
mod verify;
#[cfg(feature = "tower")]
mod web;
mod writer;

pub use checkpoint::Checkpoint;
#[cfg(feature = "test-util")]
pub use conformance::Nonconformance;
pub use entry::{EntryError, Event, EventActor, MAX_ENTRY, Pseudonym, WriterId};
pub use error::Error;
pub use hash::Hash;
pub use log::{AuditLog, AuditLogBuilder, Status, Verification};
pub use note::{InvalidNote, VerifierKey};
pub use proof::Proof;
pub use query::{Found, Page, Query};
#[cfg(feature = "sqlite")]
pub use store::sqlite::SqliteAuditStore;
pub use store::{
    AuditStore, Columns, Counts, EntryRow, Filter, Head, Integration, PendingRow, QuarantineReason, StoreError,
    StoreFuture,
};
pub use tree::{InvalidProof, Tile, TileId, verify_consistency, verify_inclusion};
pub use verify::{Finding, Freshness, Problem, Report, verify_store};
#[cfg(feature = "axum")]
pub use web::AuditLayerMissing;
#[cfg(feature = "tower")]
pub use web::{AuditBody, AuditGuard, AuditLayer, AuditService, OpenSignal, Refusal};
