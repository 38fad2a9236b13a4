//! Restoring a backup, and proving that it restores.

use core::time::Duration;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use phi_keys::Scope;
use phi_types::{Action, Activity, Clock, Outcome, SystemClock, Timestamp};
use ring::digest;
use tokio::runtime::Handle;
use zeroize::Zeroizing;

use super::disk::{self, Hashing, Staging};
use super::job::{self, Meter, OnProgress, Progress};
use super::manifest::{self, Content, Entry, Manifest};
use super::{BackupError, source};
use crate::file::{FileError, FileHead, FileOpener};
use crate::{Context, Opener};

/// A backup that is to be restored, or drilled.
#[must_use = "nothing is restored before `restore_to` or `drill_in`"]
pub struct Recovery {
    backup: PathBuf,
    expected: Option<[u8; 32]>,
    progress: Option<OnProgress>,
    clock: Arc<dyn Clock>,
}

impl Recovery {
    /// The backup in a folder.
    pub fn of(backup: impl Into<PathBuf>) -> Self {
        Self { backup: backup.into(), expected: None, progress: None, clock: Arc::new(SystemClock::new()) }
    }

    /// Refuses any other backup than the one whose [digest](super::Saved::digest) was noted: an older one, for instance,
    /// which is as authentic.
    pub const fn expect_digest(mut self, digest: [u8; 32]) -> Self {
        self.expected = Some(digest);
        self
    }

    /// Calls back as the work proceeds.
    pub fn on_progress(mut self, progress: impl FnMut(Progress) + Send + 'static) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    /// Another clock than the system's.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Restores everything into a new folder, which appears when all of it was opened, compared with the manifest and made
    /// durable, and every database passed its integrity check.
    ///
    /// Key tables are in no backup: put them back from their own copy before the application opens a restored database.
    ///
    /// # Errors
    /// [`BackupError`]. Nothing is left at `target` then.
    pub async fn restore_to(
        self,
        target: impl Into<PathBuf>,
        opener: &Opener,
        scope: &Scope,
    ) -> Result<Recovered, BackupError> {
        self.run(target.into(), opener, scope, Staging::commit).await
    }

    /// Restores everything as [`restore_to`](Self::restore_to) does, measures how long that takes, and removes it again.
    /// `scratch` is a folder that does not exist and lies where restored data would be as well protected.
    ///
    /// # Errors
    /// [`BackupError`], which is what a drill is for.
    pub async fn drill_in(
        self,
        scratch: impl Into<PathBuf>,
        opener: &Opener,
        scope: &Scope,
    ) -> Result<Drilled, BackupError> {
        self.run(scratch.into(), opener, scope, |staging| {
            drop(staging);
            Ok(())
        })
        .await
        .map(Drilled)
    }

    async fn run(
        self,
        target: PathBuf,
        opener: &Opener,
        scope: &Scope,
        end: fn(Staging) -> Result<(), BackupError>,
    ) -> Result<Recovered, BackupError> {
        let Self { backup, expected, progress, clock } = self;
        let open = Open { opener: opener.clone(), scope: scope.clone(), runtime: Handle::current() };
        job::run(progress, move |meter| {
            let began = clock.monotonic();
            let (manifest, digest) = open.manifest(&backup)?;
            if expected.is_some_and(|expected| expected != digest) {
                return Err(BackupError::OtherBackup);
            }
            let staging = Staging::new(&target)?;
            let mut reader = Reader { backup, manifest, open, meter, buffer: Zeroizing::new(vec![0; 64 << 10]) };
            let bytes = reader.restore(staging.path())?;
            let took = clock.monotonic().saturating_sub(began);
            end(staging)?;
            let files = reader.manifest.entries.iter().filter(|entry| entry.place().is_some()).count();
            let (created, parts) = (reader.manifest.created, reader.manifest.parts.len());
            Ok(Recovered { digest, created, files, bytes, parts, took })
        })
        .await
    }
}

impl core::fmt::Debug for Recovery {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Recovery").field("expected", &self.expected.is_some()).finish_non_exhaustive()
    }
}

/// A backup was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a restore belongs into the audit log"]
#[non_exhaustive]
pub struct Recovered {
    /// SHA-256 of the sealed manifest.
    pub digest: [u8; 32],
    /// When the backup was begun: what changed since is not in it.
    pub created: Timestamp,
    /// Files and databases.
    pub files: usize,
    /// Bytes of them.
    pub bytes: u64,
    /// Sealed files, the manifest not counted.
    pub parts: usize,
    /// From the first byte read to the last one durable.
    pub took: Duration,
}

impl Recovered {
    /// The entry for the audit log.
    #[must_use]
    pub fn activity(&self, at: Timestamp) -> Activity {
        self.activity_of("backup.restore", at)
    }

    fn activity_of(&self, kind: &'static str, at: Timestamp) -> Activity {
        Activity::new(kind, Action::Execute, Outcome::Success, at)
            .with("manifest", self.digest.to_vec())
            .with("created", self.created)
            .with("files", self.files as u64)
            .with("bytes", self.bytes)
            .with("parts", self.parts as u64)
            .with("recovery_ms", u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX))
    }
}

/// A backup was restored to prove that it can be, and removed again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a drill that nobody recorded proves nothing to an auditor"]
pub struct Drilled(Recovered);

impl core::ops::Deref for Drilled {
    type Target = Recovered;

    fn deref(&self) -> &Recovered {
        &self.0
    }
}

impl Drilled {
    /// The entry for the audit log: a `backup.drill` with the measured recovery time.
    #[must_use]
    pub fn activity(&self, at: Timestamp) -> Activity {
        self.0.activity_of("backup.drill", at)
    }
}

/// Where keys come from while it lasts.
struct Open {
    opener: Opener,
    scope: Scope,
    runtime: Handle,
}

impl Open {
    /// A file of the backup, with the lease renewed as long as it takes.
    fn file(&self, path: &Path, place: &Context<'_>) -> Result<FileOpener<Hashing<Chained>>, BackupError> {
        let mut source = File::open(path).map_err(BackupError::io("reading the backup"))?;
        let mut begin = Vec::with_capacity(FileHead::LEN);
        let head = (&mut source).take(FileHead::LEN as u64).read_to_end(&mut begin);
        head.map_err(BackupError::io("reading the backup"))?;
        let kid = FileHead::parse(&begin)?.kid();
        let opener = self.runtime.block_on(self.opener.for_kids(&self.scope, [kid])).map_err(BackupError::Keys)?;
        let mut file = opener.file(Hashing::new(std::io::Cursor::new(begin).chain(source)), place)?;
        let runtime = self.runtime.clone();
        file.renew_with(move |renewal| runtime.block_on(renewal));
        Ok(file)
    }

    fn manifest(&self, backup: &Path) -> Result<(Manifest, [u8; 32]), BackupError> {
        let path = backup.join(manifest::MANIFEST);
        if !path.exists() {
            return Err(BackupError::NoManifest);
        }
        let mut file = self.file(&path, &manifest::manifest_place())?;
        let mut listed = Zeroizing::new(Vec::new());
        file.read_to_end(&mut listed).map_err(BackupError::io("reading the manifest"))?;
        let (_, _, digest) = file.into_inner().finish();
        Ok((Manifest::decode(&listed)?, digest))
    }
}

type Chained = std::io::Chain<std::io::Cursor<Vec<u8>>, File>;

struct Reader {
    backup: PathBuf,
    manifest: Manifest,
    open: Open,
    meter: Meter,
    buffer: Zeroizing<Vec<u8>>,
}

impl Reader {
    /// Writes everything below a folder, and says how many bytes files had.
    fn restore(&mut self, folder: &Path) -> Result<u64, BackupError> {
        let entries = core::mem::take(&mut self.manifest.entries);
        self.meter.start(entries.iter().filter_map(Entry::place).map(|place| place.length).sum());
        let mut by_part: BTreeMap<u32, Vec<&Entry>> = BTreeMap::new();
        for entry in &entries {
            match entry.place() {
                Some(place) => by_part.entry(place.part).or_default().push(entry),
                None => {
                    let path = folder.join(&entry.path);
                    let made = disk::private(&mut fs::DirBuilder::new()).create(path);
                    made.map_err(BackupError::io("making a folder"))?;
                }
            }
        }
        // Parts without files are compared as well: a backup is whole or it is not.
        let parts = u32::try_from(self.manifest.parts.len()).unwrap_or(u32::MAX);
        for number in 0..parts {
            let mut within = by_part.remove(&number).unwrap_or_default();
            within.sort_by_key(|entry| entry.place().map(|place| place.offset));
            self.part(number as usize, &within, folder)?;
        }
        for (number, entry) in entries.iter().enumerate() {
            let path = folder.join(&entry.path);
            if matches!(entry.content, Content::Database(_)) && !self.open.runtime.block_on(source::is_sound(&path))? {
                return Err(BackupError::Unsound { entry: number });
            }
        }
        // Children first, so that a folder's time is not changed by what is done within.
        for entry in entries.iter().rev() {
            settle(&folder.join(&entry.path), entry).map_err(BackupError::io("restoring times and modes"))?;
        }
        let bytes = entries.iter().filter_map(Entry::place).map(|place| place.length).sum();
        self.manifest.entries = entries;
        Ok(bytes)
    }

    fn part(&mut self, number: usize, entries: &[&Entry], folder: &Path) -> Result<(), BackupError> {
        let damaged = |error: BackupError| match error {
            BackupError::File(FileError::LeaseEnded | FileError::NoRandomness) => error,
            BackupError::File(_) => BackupError::Damaged { part: number },
            BackupError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                BackupError::Damaged { part: number }
            }
            other => other,
        };
        let path = self.backup.join(manifest::part_name(number));
        let id = self.manifest.id();
        let place = manifest::part_place(&id, number);
        let mut part = self.open.file(&path, &place).map_err(damaged)?;
        let mut at = 0;
        for entry in entries {
            let Some(place) = entry.place() else { continue };
            // Two files never share bytes; what lies between two of them belongs to neither.
            let gap = place.offset.checked_sub(at).ok_or(BackupError::Unsupported)?;
            self.copy(&mut part, gap, None).map_err(damaged)?;
            let path = folder.join(&entry.path);
            let mut file = disk::create_private(&path).map_err(BackupError::io("writing a restored file"))?;
            let sha256 = self.copy(&mut part, place.length, Some(&mut file)).map_err(damaged)?;
            if sha256 != place.sha256 {
                return Err(BackupError::Damaged { part: number });
            }
            file.sync_all().map_err(BackupError::io("making a restored file durable"))?;
            at = place.offset + place.length;
        }
        self.copy(&mut part, u64::MAX, None).map_err(damaged)?;
        let (_, sealed, sha256) = part.into_inner().finish();
        let expected = self.manifest.parts.get(number).map(|part| (part.sealed, part.sha256));
        if expected == Some((sealed, sha256)) { Ok(()) } else { Err(BackupError::Damaged { part: number }) }
    }

    /// Copies so many bytes, or as many as there are, and hashes them.
    fn copy(&mut self, from: &mut impl Read, length: u64, mut to: Option<&mut File>) -> Result<[u8; 32], BackupError> {
        let mut hash = digest::Context::new(&digest::SHA256);
        let mut left = length;
        while left > 0 {
            let size = self.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let room = self.buffer.get_mut(..size).unwrap_or_default();
            let read = from.read(room).map_err(BackupError::io("reading the backup"))?;
            let bytes = self.buffer.get(..read).unwrap_or_default();
            if read == 0 {
                if length == u64::MAX {
                    break;
                }
                return Err(BackupError::File(FileError::Truncated));
            }
            hash.update(bytes);
            if let Some(file) = &mut to {
                file.write_all(bytes).map_err(BackupError::io("writing a restored file"))?;
                self.meter.did(read as u64)?;
            }
            left -= read as u64;
        }
        Ok(disk::array(hash))
    }
}

/// Gives a restored file or folder its time and mode, and makes a folder's names durable.
fn settle(path: &Path, entry: &Entry) -> std::io::Result<()> {
    if entry.content == Content::Folder {
        disk::sync_folder(path)?;
    }
    let since = Duration::from_micros(entry.modified.unsigned_abs());
    let modified = if entry.modified < 0 { UNIX_EPOCH.checked_sub(since) } else { UNIX_EPOCH.checked_add(since) };
    if cfg!(unix) || entry.content != Content::Folder {
        let file = File::open(path)?;
        if let Some(modified) = modified {
            file.set_modified(modified)?;
        }
        #[cfg(unix)]
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(entry.mode & 0o777))?;
    }
    Ok(())
}
