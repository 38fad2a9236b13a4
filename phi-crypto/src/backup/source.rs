//! What is saved: the files of a folder, and databases as of one moment.

use std::collections::HashSet;
use std::fs::{self, File, Metadata};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, SqliteConnection};

use super::BackupError;
use super::disk::{UNFINISHED, random_id};
use super::manifest::is_plain;

/// How a database file begins.
const SQLITE: &[u8] = b"SQLite format 3\0";
/// Bytes of the smallest page of a database; that of every other is a multiple of it.
const SMALLEST_PAGE: u64 = 512;
/// What lies beside a database in use, and is part of no copy of it.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Whether something that cannot be saved stops the backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unwanted {
    Refuse,
    LeaveOut,
}

/// Something to be saved.
pub(super) struct Found {
    pub(super) path: String,
    pub(super) at: PathBuf,
    pub(super) kind: Kind,
    pub(super) metadata: Metadata,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Folder,
    File,
    Database,
}

/// Everything below a folder in the order of the paths, and how many links were left out.
pub(super) fn walk(folder: &Path, links: Unwanted) -> Result<(Vec<Found>, usize), BackupError> {
    let (mut found, mut folders, mut skipped) = (Vec::new(), vec![(String::new(), folder.to_owned())], 0);
    while let Some((prefix, at)) = folders.pop() {
        for entry in fs::read_dir(&at).map_err(BackupError::io("reading a folder"))? {
            let entry = entry.map_err(BackupError::io("reading a folder"))?;
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| is_plain(name)) else {
                return Err(BackupError::Name { entry: found.len() });
            };
            if name.starts_with(UNFINISHED) {
                continue;
            }
            // Of the link itself, never of what it leads to.
            let metadata = entry.metadata().map_err(BackupError::io("reading a folder"))?;
            let path = format!("{prefix}{name}");
            if metadata.is_symlink() {
                match links {
                    Unwanted::Refuse => return Err(BackupError::Link { entry: found.len() }),
                    Unwanted::LeaveOut => skipped += 1,
                }
                continue;
            }
            let kind = if metadata.is_dir() {
                folders.push((format!("{path}/"), entry.path()));
                Kind::Folder
            } else if metadata.is_file() {
                // Until `tell_databases` has looked.
                Kind::File
            } else {
                return Err(BackupError::Special { entry: found.len() });
            };
            found.push(Found { path, at: entry.path(), kind, metadata });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok((found, skipped))
}

/// Finds out which of the files are databases, and leaves out what lies beside them.
///
/// Nothing of a database is opened here but by SQLite itself: closing any descriptor of a file takes away the POSIX locks of the
/// whole process on it, and with them those of an application that has the database open and saves itself.
pub(super) async fn tell_databases(found: Vec<Found>) -> Result<Vec<Found>, BackupError> {
    let files = found.iter().filter(|found| found.kind == Kind::File);
    // A file's name is longer than that of what it lies beside, which is looked at first.
    let mut by_length = files.map(|found| (found.path.clone(), &found.at, found.metadata.len())).collect::<Vec<_>>();
    by_length.sort_by_key(|(path, ..)| path.len());
    let (mut databases, mut beside) = (HashSet::new(), HashSet::new());
    for (path, at, length) in by_length {
        let base = COMPANIONS.iter().find_map(|suffix| path.strip_suffix(suffix));
        if base.is_some_and(|base| databases.contains(base)) {
            beside.insert(path);
        } else if is_database(at, length).await? {
            databases.insert(path);
        }
    }
    let kept = found.into_iter().filter(|found| !beside.contains(&found.path));
    Ok(kept
        .map(|found| if databases.contains(&found.path) { Found { kind: Kind::Database, ..found } } else { found })
        .collect())
}

/// One database, which is found whatever its place.
pub(super) fn database(path: &Path) -> Result<Found, BackupError> {
    let step = BackupError::io("reading the database");
    let metadata = fs::metadata(path).map_err(&step)?;
    let name = path.file_name().and_then(|name| name.to_str()).filter(|name| is_plain(name));
    let name = name.ok_or(BackupError::Name { entry: 0 })?;
    Ok(Found { path: name.to_owned(), at: path.to_owned(), kind: Kind::Database, metadata })
}

async fn is_database(path: &Path, length: u64) -> Result<bool, BackupError> {
    // A database in use consists of whole pages; one that was cut off is nobody's to lock.
    if length == 0 || !length.is_multiple_of(SMALLEST_PAGE) {
        let mut begin = Vec::with_capacity(SQLITE.len());
        let file = File::open(path).map_err(BackupError::io("reading a file"))?;
        file.take(SQLITE.len() as u64).read_to_end(&mut begin).map_err(BackupError::io("reading a file"))?;
        return Ok(begin == SQLITE);
    }
    let asked = async {
        let options = SqliteConnectOptions::new().filename(path).read_only(true).disable_statement_logging();
        let mut file = options.connect().await?;
        let answer = sqlx::query("PRAGMA schema_version").fetch_one(&mut file).await;
        file.close().await?;
        answer
    };
    match asked.await {
        // SQLITE_NOTADB
        Err(error) if error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "26") => {
            Ok(false)
        }
        // What else is wrong with a database is said when it is copied.
        _ => Ok(true),
    }
}

/// The time of the last change, in microseconds since 1970.
pub(super) fn modified(metadata: &Metadata) -> i64 {
    let Ok(time) = metadata.modified() else { return 0 };
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros),
    }
}

pub(super) fn mode(metadata: &Metadata) -> u32 {
    #[cfg(unix)]
    return std::os::unix::fs::MetadataExt::mode(metadata) & 0o777;
    #[cfg(not(unix))]
    return if metadata.permissions().readonly() { 0o400 } else { 0o600 };
}

/// Whether an open file is the one that was found, and no link was put in its place.
pub(super) fn is_same(found: &Metadata, opened: &Metadata) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        found.dev() == opened.dev() && found.ino() == opened.ino()
    }
    #[cfg(not(unix))]
    {
        found.is_file() && opened.is_file()
    }
}

/// A consistent copy of a database that may be in use, opened for reading. On Unix it has no name any more.
pub(super) struct Snapshot {
    pub(super) file: File,
    _removed: Removed,
}

/// Removes a file and what a database engine leaves beside it.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
        for suffix in COMPANIONS {
            let mut beside = self.0.as_os_str().to_owned();
            beside.push(suffix);
            let _ = fs::remove_file(beside);
        }
    }
}

/// Copies a database as of one moment, in pages that hold nothing deleted, into the `scratch` folder.
pub(super) async fn snapshot(path: &Path, scratch: Option<&Path>, keys: Unwanted) -> Result<Snapshot, BackupError> {
    let scratch = scratch.or(path.parent()).unwrap_or_else(|| Path::new("."));
    let mark: String = random_id()?.iter().map(|byte| format!("{byte:02x}")).collect();
    let copy = scratch.join(format!("{UNFINISHED}{mark}"));
    let text = copy.to_str().ok_or(BackupError::Name { entry: 0 })?;
    // Made first, so that nobody else can read it while it fills.
    drop(super::disk::create_private(&copy).map_err(BackupError::io("making the copy of a database"))?);
    let removed = Removed(copy.clone());

    let mut source = connect(path).await?;
    sqlx::query("VACUUM INTO ?1").bind(text).execute(&mut source).await.map_err(database_error)?;
    source.close().await.map_err(database_error)?;
    without_keys(&copy, keys).await?;

    let file = File::open(&copy).map_err(BackupError::io("reading the copy of a database"))?;
    // A process that is killed leaves no copy of the database behind.
    #[cfg(unix)]
    fs::remove_file(&copy).map_err(BackupError::io("removing the name of the copy of a database"))?;
    Ok(Snapshot { file, _removed: removed })
}

/// Key tables outlive a shred in every copy, so a backup takes none.
async fn without_keys(copy: &Path, keys: Unwanted) -> Result<(), BackupError> {
    let mut copy = connect_to_copy(copy).await?;
    let query = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'phi\\_keys\\_%' ESCAPE '\\'";
    let tables: Vec<String> = sqlx::query_scalar(query).fetch_all(&mut copy).await.map_err(database_error)?;
    if !tables.is_empty() {
        if keys == Unwanted::Refuse {
            return Err(BackupError::HoldsKeys);
        }
        sqlx::query("PRAGMA foreign_keys = OFF").execute(&mut copy).await.map_err(database_error)?;
        for table in tables {
            let drop = format!("DROP TABLE \"{}\"", table.replace('"', "\"\""));
            sqlx::query(AssertSqlSafe(drop)).execute(&mut copy).await.map_err(database_error)?;
        }
        // The pages that they took are gone with this, not only free.
        sqlx::query("VACUUM").execute(&mut copy).await.map_err(database_error)?;
    }
    copy.close().await.map_err(database_error)
}

async fn connect(path: &Path) -> Result<SqliteConnection, BackupError> {
    let options = SqliteConnectOptions::new().filename(path).disable_statement_logging();
    options.connect().await.map_err(database_error)
}

/// A copy is nobody else's, and not worth a journal.
async fn connect_to_copy(path: &Path) -> Result<SqliteConnection, BackupError> {
    let options = SqliteConnectOptions::new().filename(path).disable_statement_logging();
    let options = options.journal_mode(SqliteJournalMode::Memory).pragma("secure_delete", "ON");
    options.connect().await.map_err(database_error)
}

/// Whether a restored database is what an engine can work with.
pub(super) async fn is_sound(path: &Path) -> Result<bool, BackupError> {
    let mut database = connect_to_copy(path).await?;
    let said: Vec<String> =
        sqlx::query_scalar("PRAGMA integrity_check").fetch_all(&mut database).await.map_err(database_error)?;
    database.close().await.map_err(database_error)?;
    Ok(said == ["ok"])
}

fn database_error(error: sqlx::Error) -> BackupError {
    // SQLITE_FULL
    let full = error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "13");
    if full { BackupError::NoSpace } else { BackupError::Database(error) }
}
