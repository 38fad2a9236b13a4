//! Encrypted backups of folders and SQLite databases, and restore drills: a backup that was never restored is a hope.
//!
//! [`Backup`] writes a new folder of sealed files (format F2) with neutral names: the files' contents in parts, and a
//! manifest with their names, sizes and digests. [`Recovery`] restores it into a new folder or drills that, which ends with
//! an activity for the audit log that holds the measured recovery time.
//!
//! - **All or nothing.** A backup or a restored folder appears when all of it is written, compared and durable. A process
//!   that is killed leaves a folder whose name begins with `.phi-backup-`, and which has no manifest.
//! - **No keys.** Key tables in a backup would bring shredded keys back, so databases that hold `phi_keys_…` tables are
//!   refused, or saved [without them](Backup::without_key_tables). Restoring needs the key store that is in use, or its
//!   own copies. While a backup is wanted, its [keys](Saved::kids) must not be destroyed; to be rid of all its copies,
//!   destroy them.
//! - **Databases as of one moment**, also while they are written to (`VACUUM INTO`). Other files are read as they are, and
//!   one that changes while it is read is an error.
//! - **Links are never followed.** A symbolic link is refused or [left out](Backup::skipping_links).
//! - **Names are PHI.** They are in the sealed manifest alone; errors name entries by number. What shows is how many parts
//!   there are, how long they are, and their keys.
//!
//! An older backup is as authentic as the newest. Keep the [digest](Saved::digest) elsewhere, in the audit log for
//! instance, and [expect](Recovery::expect_digest) it.
//!
//! 45 CFR 164.308(a)(7)(ii) asks for a data backup plan (A), a disaster recovery plan (B), and testing (D).

mod create;
mod disk;
mod error;
mod job;
mod manifest;
mod recover;
mod source;

pub use create::{Backup, Saved};
pub use error::BackupError;
pub use job::Progress;
pub use recover::{Drilled, Recovered, Recovery};
