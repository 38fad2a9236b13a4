//! Resealing stored values: re-encryption under newer keys, in another suite, or with newer index tags.
//!
//! ```
//! # #[cfg(feature = "sqlite")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use phi_crypto::reseal::{Column, ResealJob, RowKey, Table};
//! use phi_crypto::{BlindIndex, Field, IndexSpec, Opener, Sealer, Suite, Transform};
//! # use phi_crypto::SubjectId;
//! # use phi_keys::{EphemeralKeyring, Keys, MemoryKeyStore};
//! # use phi_types::NoRecorder;
//! # let folder = tempfile::tempdir()?;
//! # let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}/clinic.db?mode=rwc", folder.path().display())).await?;
//! # sqlx::query("CREATE TABLE patients (id TEXT PRIMARY KEY, ssn BLOB, ssn_tag BLOB)").execute(&pool).await?;
//! # let keys = Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate()?).build().await?;
//! # let ada = SubjectId::new("ada")?;
//! # let sealer = Sealer::builder(keys.clone()).build().for_scope(&(&ada).into()).await?;
//! # let ssn = sealer.seal("078-05-1120", &SSN.record_id(&ada))?;
//! # sqlx::query("INSERT INTO patients VALUES ('ada', ?, NULL)").bind(ssn).execute(&pool).await?;
//! # let recorder = NoRecorder;
//!
//! const SSN: Field = Field::new("Patient", "ssn");
//! const BY_SSN: IndexSpec = BlindIndex::exact("Patient", "ssn", "by_ssn", Transform::Digits);
//!
//! let sealer = Sealer::builder(keys.clone()).suite(Suite::ChaCha20Poly1305).build();
//! let patients = Table::new("patients", RowKey::text("id"))
//!     .subject("id")
//!     .column(Column::new("ssn", SSN).index("ssn_tag", BY_SSN));
//! let mut job = ResealJob::builder("2026-11 suite 2", sealer, Opener::builder(keys).build(), recorder)
//!     .table(patients)
//!     .open(pool)
//!     .await?;
//! while let Some(progress) = job.next_chunk().await? {
//!     println!("{progress}");
//! }
//! assert_eq!((job.progress().counts.resealed, job.progress().counts.tags), (1, 1));
//! # Ok(()) }
//! # #[cfg(not(feature = "sqlite"))]
//! # fn main() {}
//! ```
//!
//! # What it does
//! Reads the rows of each table in the order of their keys, and looks at each sealed value and each tag: what is not
//! sealed under the newest key of its scope, in the sealer's suite, is opened and sealed again, and a tag of an earlier
//! version, or a missing one, is computed again. The rows of a chunk change in one transaction with the checkpoint, each
//! in one `UPDATE` and only where it is still as it was read. Whoever changes a row meanwhile wins; the job reads that row
//! again.
//!
//! So a job that is killed at any moment goes on where it was, at worst by one chunk, and no row is ever half done. Two
//! processes that run one job cannot both take it further, and do no harm.
//!
//! Rows that are put in behind the job while it runs are sealed by others. Start it when every process has the new key:
//! after the longest lease. Then [`ResealJob::references`] says whether anything still needs an old key; if it does,
//! [restart](ResealJobBuilder::restart) the job. The finished job is what [`Keys::retire`](phi_keys::Keys::retire) counts
//! references with; for an index domain key, which no tag names, it takes the finished job itself: see [`References`].
//! While an earlier index domain key still opens, every indexed value is opened to compare its tag.
//!
//! # What it gives away
//! The old bytes stay in free pages, write-ahead logs, replicas and backups until those are overwritten. The checkpoint
//! holds the key of the last row, as the table itself does.
//!
//! # How it fails
//! A row that does not open is left as it is, counted, and named to the caller; nothing else happens to it. Of a shredded
//! patient only left-over tags are touched, which are removed. When a key, the database or the audit log does not answer,
//! the job stops, and goes on later.

mod ahead;
mod error;
mod job;
mod layout;
mod progress;
mod references;
mod renew;
mod store;
mod table;

pub use error::ResealError;
pub use job::{ResealJob, ResealJobBuilder};
pub use progress::{Counts, LeftBecause, LeftRow, Progress};
pub use references::References;
pub use store::Database;
pub use table::{Column, RowKey, Table};
