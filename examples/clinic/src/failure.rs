//! What can go wrong, one clear line each.

use core::fmt;
use std::error::Error;
use std::io;

use crate::fhir::Fault;

type Source = Box<dyn Error + Send + Sync>;

/// Why the program or a request could not go on. `Display` is one line that names the mend; it holds no PHI and no path.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A bundle was refused; `bundle` counts the files of the folder from 1, `path` is a short hash of its path.
    Bundle { bundle: usize, of: usize, path: String, fault: Fault },
    /// A bundle could not be read.
    BundleUnreadable { bundle: usize, path: String, source: io::Error },
    /// The folder of bundles could not be read.
    ImportFolder(io::Error),
    /// The folder of bundles holds none.
    NoBundles,
    /// The data folder or a file in it could not be used.
    Folder { what: &'static str, source: io::Error },
    /// A secret file can be read by others.
    Exposed { what: &'static str },
    /// There is a keyring, but nothing that opens it.
    KeyFileMissing,
    /// There is data, but no keyring.
    KeyringMissing,
    /// There is data, but not what the key store must not forget.
    AnchorMissing,
    /// The disk is full, or refuses to write.
    DiskFull,
    /// As [`DiskFull`](Self::DiskFull), at a bundle.
    BundleDiskFull { bundle: usize, of: usize, path: String },
    /// The database was written by a later version of the clinic.
    NewerDatabase { found: i64, known: i64 },
    /// Another program listens on the port.
    PortBusy(u16),
    /// The tour found a safeguard that does not hold.
    TourFailed(usize),
    /// Anything else: what was being done, and why it failed.
    While { doing: &'static str, source: Source },
}

impl Failure {
    /// For `map_err`: a file of the data folder could not be used.
    pub(crate) fn file(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| if is_disk_full(&source) { Self::DiskFull } else { Self::Folder { what, source } }
    }

    /// The error of a crate of the family that this is about.
    pub(crate) fn cause<E: Error + 'static>(&self) -> Option<&E> {
        match self {
            Self::While { source, .. } => source.downcast_ref(),
            _ => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bundle { bundle, of, path, fault } => write!(
                f,
                "bundle {bundle} of {of} (path {path}): {fault}. Nothing of it was stored; run again to go on from here"
            ),
            Self::BundleUnreadable { bundle, path, source } => {
                write!(f, "bundle {bundle} (path {path}) cannot be read ({}); check its permissions", source.kind())
            }
            Self::ImportFolder(source) => {
                write!(f, "the import folder cannot be read ({}); check --import", source.kind())
            }
            Self::NoBundles => f.write_str("the import folder holds no .json files; check --import"),
            Self::Folder { what, source } => {
                write!(f, "{what} cannot be used ({}); check --data-dir and its permissions", source.kind())
            }
            Self::Exposed { what } => {
                write!(f, "{what} can be read by other users; run `chmod 600` on it, and treat what it holds as seen")
            }
            Self::KeyFileMissing => f.write_str(
                "the key file of the keyring is gone; put back the file <data folder>.key, or set CLINIC_PASSPHRASE if the keyring has one",
            ),
            Self::KeyringMissing => f.write_str(
                "the data folder holds a database but no keyring; put the keyring back, nothing can be opened without it",
            ),
            Self::AnchorMissing => f.write_str(
                "the data folder holds a database but no keys.anchor; put it back, without it a restored database could bring destroyed keys back",
            ),
            Self::DiskFull => f.write_str(
                "the disk is full or refuses to write; make room and run again, what was imported before is kept",
            ),
            Self::BundleDiskFull { bundle, of, path } => write!(
                f,
                "bundle {bundle} of {of} (path {path}): the disk is full or refuses to write; make room and run again to go on \
                 with this bundle, those before it are kept"
            ),
            Self::NewerDatabase { found, known } => write!(
                f,
                "the database has version {found}, newer than {known}: use a later version of the clinic"
            ),
            Self::PortBusy(port) => {
                write!(f, "port {port} on 127.0.0.1 is taken; choose another with --port, or 0 for a free one")
            }
            Self::TourFailed(lines) => write!(f, "{lines} safeguards of the tour failed; see the report"),
            Self::While { doing, source } => {
                let mut told = source.to_string();
                write!(f, "failed {doing}: {told}")?;
                let mut cause = source.source();
                while let Some(inner) = cause {
                    let text = inner.to_string();
                    // Some errors repeat in their text what caused them.
                    if !told.contains(&text) {
                        write!(f, ": {text}")?;
                        told = text;
                    }
                    cause = inner.source();
                }
                Ok(())
            }
        }
    }
}

impl Error for Failure {}

/// Says what was being done when something failed, and recognises a full disk wherever it shows.
pub(crate) trait Doing<T> {
    fn doing(self, what: &'static str) -> Result<T, Failure>;
}

impl<T, E: Into<Source>> Doing<T> for Result<T, E> {
    fn doing(self, doing: &'static str) -> Result<T, Failure> {
        self.map_err(|error| {
            let source = error.into();
            if is_disk_full(&*source) { Failure::DiskFull } else { Failure::While { doing, source } }
        })
    }
}

/// Whether an error, or what caused it, is a device that takes no more bytes. `SQLITE_FULL` is 13; quotas and file size
/// limits reach SQLite as a failed write, `SQLITE_IOERR_WRITE` 778.
fn is_disk_full(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(sqlx::Error::Database(database)) = error.downcast_ref()
            && matches!(database.code().as_deref(), Some("13" | "778" | "1034" | "1546" | "4874"))
        {
            return true;
        }
        if let Some(io) = error.downcast_ref::<io::Error>()
            && matches!(
                io.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
            )
        {
            return true;
        }
        cause = error.source();
    }
    false
}
