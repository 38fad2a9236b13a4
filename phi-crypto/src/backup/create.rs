//! Making a backup.

use core::time::Duration;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use phi_keys::backend::NotApproved;
use phi_keys::{KeyId, Scope};
use phi_types::{Action, Activity, Clock, Outcome, SystemClock, Timestamp};
use ring::digest;
use tokio::runtime::Handle;
use zeroize::Zeroizing;

use super::disk::{self, Hashing, Staging};
use super::job::{self, Meter, OnProgress, Progress};
use super::manifest::{self, Content, Entry, Manifest, Part, Place};
use super::source::{self, Found, Kind, Unwanted};
use super::{BackupError, disk::random_id};
use crate::file::{FileError, FileSealer};
use crate::{Context, ScopedSealer, Sealer};

/// A part takes no further file once it holds so many bytes.
const PART: u64 = 64 << 20;
/// How often a file that changes is read.
const ATTEMPTS: usize = 3;

/// What to save, and how.
///
/// ```
/// # use phi_keys::{EphemeralKeyring, Keys, MemoryKeyStore};
/// use phi_crypto::backup::{Backup, Recovery};
/// use phi_crypto::{Opener, Sealer};
/// use phi_keys::Scope;
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let keys = Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate()?).build().await?;
/// # let folder = tempfile::tempdir()?;
/// # let (data, backup, scratch) = (folder.path().join("data"), folder.path().join("saved"), folder.path().join("drill"));
/// # std::fs::create_dir(&data)?;
/// # std::fs::write(data.join("note"), "Ada Lovelace")?;
/// let scope = Scope::group("backup");
/// let made = Backup::of_folder(&data).write_to(&backup, &Sealer::builder(keys.clone()).build(), &scope).await?;
///
/// // Later, and again and again: does it come back, and how long does that take?
/// let drill = Recovery::of(&backup).expect_digest(made.digest);
/// let drill = drill.drill_in(&scratch, &Opener::builder(keys).build(), &scope).await?;
/// assert_eq!(drill.files, 1);
/// # Ok(()) }
/// ```
#[must_use = "nothing is saved before `write_to`"]
pub struct Backup {
    source: Source,
    keys: Unwanted,
    links: Unwanted,
    scratch: Option<PathBuf>,
    progress: Option<OnProgress>,
    clock: Arc<dyn Clock>,
}

enum Source {
    Folder(PathBuf),
    Database(PathBuf),
}

impl Backup {
    /// Everything below a folder. SQLite databases in it are saved as of one moment, also while they are written to; any
    /// other file should have no writer meanwhile.
    pub fn of_folder(folder: impl Into<PathBuf>) -> Self {
        Self::of(Source::Folder(folder.into()))
    }

    /// One SQLite database as of one moment, also while it is written to. The copy holds what the database holds, and
    /// nothing that was deleted; in tables without an `INTEGER PRIMARY KEY` rows may be numbered anew, as by `VACUUM`.
    pub fn of_database(path: impl Into<PathBuf>) -> Self {
        Self::of(Source::Database(path.into()))
    }

    fn of(source: Source) -> Self {
        Self {
            source,
            keys: Unwanted::Refuse,
            links: Unwanted::Refuse,
            scratch: None,
            progress: None,
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// Leaves the key tables (`phi_keys_…`) out of databases that hold them, which are refused otherwise: a copy of them
    /// would make shredded data readable again. Keep copies of the key tables apart, for as long as shredding allows.
    pub const fn without_key_tables(mut self) -> Self {
        self.keys = Unwanted::LeaveOut;
        self
    }

    /// Leaves symbolic links out and counts them; a folder that holds one is refused otherwise. They are never followed.
    pub const fn skipping_links(mut self) -> Self {
        self.links = Unwanted::LeaveOut;
        self
    }

    /// Where copies of databases are made while they are saved; beside each database unless set. They are in clear, so the
    /// place must be as well protected as the databases.
    pub fn scratch(mut self, folder: impl Into<PathBuf>) -> Self {
        self.scratch = Some(folder.into());
        self
    }

    /// Calls back as the backup proceeds.
    pub fn on_progress(mut self, progress: impl FnMut(Progress) + Send + 'static) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    /// Another clock than the system's.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Writes the backup into a new folder, which appears when everything in it is durable.
    ///
    /// The work is done on a thread of tokio's for blocking work. When the future is dropped it ends and leaves nothing.
    ///
    /// # Errors
    /// [`BackupError`], of which [`NotApproved`](FileError::NotApproved) comes before anything is read or written, where the
    /// keys of the sealer are on a validated module. Nothing is left at `target` then; a process that was killed may leave a folder whose name begins
    /// with `.phi-backup-`, which is none.
    pub async fn write_to(
        self,
        target: impl Into<PathBuf>,
        sealer: &Sealer,
        scope: &Scope,
    ) -> Result<Saved, BackupError> {
        // Before a database is copied in clear for a backup that cannot be sealed.
        sealer.backend().admit(NotApproved::FileSealing).map_err(FileError::from)?;
        let Self { source, keys, links, scratch, progress, clock } = self;
        let (target, sealer, scope, runtime) = (target.into(), sealer.clone(), scope.clone(), Handle::current());
        job::run(progress, move |meter| {
            let began = clock.monotonic();
            let (found, skipped_links) = match &source {
                Source::Folder(folder) => {
                    refuse_inside(folder, &target)?;
                    let (found, skipped) = source::walk(folder, links)?;
                    (runtime.block_on(source::tell_databases(found))?, skipped)
                }
                Source::Database(path) => (vec![source::database(path)?], 0),
            };
            let mut writer = Writer {
                staging: Staging::new(&target)?,
                manifest: Manifest { id: random_id()?, created: clock.now(), parts: Vec::new(), entries: Vec::new() },
                open: None,
                buffer: Zeroizing::new(vec![0; 64 << 10]),
                meter,
                seal: Seal { sealer, scope, runtime },
                scratch,
                keys,
            };
            writer.meter.start(found.iter().map(|found| found.metadata.len()).sum());
            for (number, found) in found.iter().enumerate() {
                writer.save(number, found)?;
            }
            let mut saved = writer.finish()?;
            saved.skipped_links = skipped_links;
            saved.took = clock.monotonic().saturating_sub(began);
            Ok(saved)
        })
        .await
    }
}

impl core::fmt::Debug for Backup {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Backup").field("keys", &self.keys).field("links", &self.links).finish_non_exhaustive()
    }
}

/// A target within the folder would be saved into itself.
fn refuse_inside(folder: &Path, target: &Path) -> Result<(), BackupError> {
    let step = BackupError::io("finding the folder");
    let folder = folder.canonicalize().map_err(&step)?;
    let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let parent = parent.canonicalize().map_err(&step)?;
    if parent.starts_with(folder) { Err(BackupError::Inside) } else { Ok(()) }
}

/// A backup was made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "note the digest, and record the activity"]
#[non_exhaustive]
pub struct Saved {
    /// SHA-256 of the sealed manifest. Kept elsewhere, it tells this backup from an older or another one.
    pub digest: [u8; 32],
    /// When the backup was begun.
    pub created: Timestamp,
    /// Files and databases.
    pub files: usize,
    /// Bytes of them.
    pub bytes: u64,
    /// Sealed files, the manifest not counted.
    pub parts: usize,
    /// The keys that open the backup; while it is wanted, they must not be destroyed.
    pub kids: Vec<KeyId>,
    /// Symbolic links that were left out.
    pub skipped_links: usize,
    /// How long it took.
    pub took: Duration,
}

impl Saved {
    /// The entry for the audit log.
    #[must_use]
    pub fn activity(&self, at: Timestamp) -> Activity {
        Activity::new("backup.create", Action::Create, Outcome::Success, at)
            .with("manifest", self.digest.to_vec())
            .with("files", self.files as u64)
            .with("bytes", self.bytes)
            .with("parts", self.parts as u64)
            .with("skipped_links", self.skipped_links as u64)
            .with("took_ms", u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Where keys come from while it lasts.
struct Seal {
    sealer: Sealer,
    scope: Scope,
    runtime: Handle,
}

impl Seal {
    /// A sealed file whose lease is renewed as long as it takes.
    fn file(&self, path: &Path, place: &Context<'_>) -> Result<FileSealer<Hashing<File>>, BackupError> {
        let sealer: ScopedSealer =
            self.runtime.block_on(self.sealer.for_scope(&self.scope)).map_err(BackupError::Keys)?;
        let sink = disk::create_private(path).map_err(BackupError::io("making a part of the backup"))?;
        let mut file = sealer.file(Hashing::new(sink), place)?;
        let runtime = self.runtime.clone();
        file.renew_with(move |renewal| runtime.block_on(renewal));
        Ok(file)
    }
}

/// Makes a sealed file durable.
fn close(file: FileSealer<Hashing<File>>) -> Result<Part, BackupError> {
    let (length, kid) = (file.position(), file.kid());
    let (sink, sealed, sha256) = file.finish()?.finish();
    sink.sync_all().map_err(BackupError::io("making a part of the backup durable"))?;
    Ok(Part { length, sealed, kid, sha256 })
}

struct Writer {
    staging: Staging,
    manifest: Manifest,
    open: Option<FileSealer<Hashing<File>>>,
    buffer: Zeroizing<Vec<u8>>,
    meter: Meter,
    seal: Seal,
    scratch: Option<PathBuf>,
    keys: Unwanted,
}

impl Writer {
    fn save(&mut self, number: usize, found: &Found) -> Result<(), BackupError> {
        let content = match found.kind {
            Kind::Folder => Content::Folder,
            Kind::File => Content::File(self.save_file(number, found)?),
            Kind::Database => {
                let copy = source::snapshot(&found.at, self.scratch.as_deref(), self.keys);
                let copy = self.seal.runtime.clone().block_on(copy)?;
                Content::Database(self.save_bytes(&copy.file)?)
            }
        };
        let (mode, modified) = (source::mode(&found.metadata), source::modified(&found.metadata));
        self.manifest.entries.push(Entry { path: found.path.clone(), mode, modified, content });
        Ok(())
    }

    /// Bytes of an attempt that came too late stay in the part, and nothing refers to them.
    fn save_file(&mut self, number: usize, found: &Found) -> Result<Place, BackupError> {
        let step = BackupError::io("reading a file");
        for _ in 0..ATTEMPTS {
            let file = File::open(&found.at).map_err(&step)?;
            let before = file.metadata().map_err(&step)?;
            if !source::is_same(&found.metadata, &before) {
                return Err(BackupError::Changed { entry: number });
            }
            let place = self.save_bytes(&file)?;
            let after = file.metadata().map_err(&step)?;
            if place.length == after.len() && before.modified().ok() == after.modified().ok() {
                return Ok(place);
            }
        }
        Err(BackupError::Changed { entry: number })
    }

    fn save_bytes(&mut self, mut file: &File) -> Result<Place, BackupError> {
        let number = self.manifest.parts.len();
        let mut part = match self.open.take() {
            Some(part) => part,
            None => {
                let path = self.staging.path().join(manifest::part_name(number));
                self.seal.file(&path, &manifest::part_place(&self.manifest.id(), number))?
            }
        };
        let offset = part.position();
        let mut hash = digest::Context::new(&digest::SHA256);
        loop {
            let read = match file.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(BackupError::io("reading a file")(error)),
            };
            let bytes = self.buffer.get(..read).unwrap_or_default();
            hash.update(bytes);
            part.write_all(bytes).map_err(BackupError::io("writing a part of the backup"))?;
            self.meter.did(read as u64)?;
        }
        let length = part.position() - offset;
        let number = u32::try_from(number).map_err(|_| BackupError::NoSpace)?;
        if part.position() >= PART {
            self.manifest.parts.push(close(part)?);
        } else {
            self.open = Some(part);
        }
        Ok(Place { part: number, offset, length, sha256: disk::array(hash) })
    }

    fn finish(mut self) -> Result<Saved, BackupError> {
        if let Some(part) = self.open.take() {
            self.manifest.parts.push(close(part)?);
        }
        let path = self.staging.path().join(manifest::MANIFEST);
        let mut file = self.seal.file(&path, &manifest::manifest_place())?;
        let listed = Zeroizing::new(self.manifest.encode());
        file.write_all(&listed).map_err(BackupError::io("writing the manifest"))?;
        let written = close(file)?;
        self.staging.commit()?;

        let Manifest { created, parts, entries, .. } = self.manifest;
        let mut kids: Vec<KeyId> = parts.iter().chain([&written]).map(|part| part.kid).collect();
        kids.sort_unstable();
        kids.dedup();
        let places: Vec<&Place> = entries.iter().filter_map(Entry::place).collect();
        Ok(Saved {
            digest: written.sha256,
            created,
            files: places.len(),
            bytes: places.iter().map(|place| place.length).sum(),
            parts: parts.len(),
            kids,
            skipped_links: 0,
            took: Duration::ZERO,
        })
    }
}
