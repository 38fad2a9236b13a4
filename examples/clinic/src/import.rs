//! Bundles in, one after another, each whole or not at all. Stopped and started again, it goes on where it stopped.

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use phi_audit::AuditLog;
use phi_types::Clock;
use ring::digest::{SHA256, digest};

use crate::failure::Failure;
use crate::fhir::{Bundle, Fault, Identifier};
use crate::records::{Records, Stored};
use crate::{hex, population};

/// Where bundles come from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// The `*.json` files of a folder, in the order of their names.
    Folder(Vec<PathBuf>),
    /// Made-up patients: the same seed gives the same ones.
    MadeUp { seed: u64, count: u64 },
}

/// What an import did.
#[derive(Debug, Default)]
pub(crate) struct Imported {
    pub(crate) bundles: usize,
    pub(crate) before: usize,
    pub(crate) patients: usize,
    pub(crate) documents: usize,
}

impl Source {
    /// Lists a folder, so that an unreadable or empty one is noticed before anything is set up.
    pub(crate) fn folder(path: &Path) -> Result<Self, Failure> {
        let mut files = Vec::new();
        for entry in fs::read_dir(path).map_err(Failure::ImportFolder)? {
            let path = entry.map_err(Failure::ImportFolder)?.path();
            if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json")) {
                files.push(path);
            }
        }
        files.sort_unstable();
        if files.is_empty() { Err(Failure::NoBundles) } else { Ok(Self::Folder(files)) }
    }

    /// Reads bundle after bundle: `None` when one cannot be read.
    pub(crate) fn each(&self) -> Box<dyn Iterator<Item = Result<Item, Failure>> + Send + '_> {
        match self {
            Self::Folder(files) => Box::new(files.iter().enumerate().map(|(index, path)| Item::read(index + 1, path))),
            Self::MadeUp { seed, count } => Box::new(
                population::bundles(*seed, *count).enumerate().map(|(index, bytes)| Ok(Item::made(index + 1, bytes))),
            ),
        }
    }

    /// A record number to try the search with. Those of imported patients are nobody's to print.
    pub(crate) fn made_up_number(&self) -> Option<String> {
        match self {
            Self::Folder(_) => None,
            Self::MadeUp { .. } => {
                let (bundle, _) = self.each().next()?.ok()?.read.ok()?;
                Some(bundle.patients.first()?.identifiers.get(Identifier::Mrn)?.expose().clone())
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Folder(files) => files.len(),
            Self::MadeUp { count, .. } => usize::try_from(*count).unwrap_or(usize::MAX),
        }
    }
}

/// One bundle of a source. Its name in messages is its number and a hash: file names hold family names.
pub(crate) struct Item {
    pub(crate) number: usize,
    pub(crate) path: String,
    pub(crate) read: Result<(Bundle, Vec<u8>), Fault>,
}

impl Item {
    fn read(number: usize, path: &Path) -> Result<Self, Failure> {
        let hash = path_hash(path);
        let unreadable =
            |source: io::Error| Failure::BundleUnreadable { bundle: number, path: path_hash(path), source };
        let read = File::open(path).and_then(Bundle::read).map_err(unreadable)?;
        Ok(Self { number, path: hash, read })
    }

    fn made(number: usize, bytes: Vec<u8>) -> Self {
        Self { number, path: "made up".to_owned(), read: Bundle::parse(&bytes).map(|bundle| (bundle, bytes)) }
    }
}

/// Eight hexadecimal digits of the path's SHA-256: enough to find the file by, nothing to read.
fn path_hash(path: &Path) -> String {
    let hash = hex::encode(digest(&SHA256, path.as_os_str().as_bytes()).as_ref());
    hash.get(..8).unwrap_or_default().to_owned()
}

/// Imports every bundle that was not imported before. Stops at the first that is refused; what came before it is kept.
pub(crate) async fn import(
    source: &Source,
    records: &Records,
    audit: &AuditLog,
    clock: &dyn Clock,
) -> Result<Imported, Failure> {
    let recorder = audit.recorder();
    // What an import that was stopped has stored and not recorded.
    records.settle(audit, clock).await?;
    let mut done = Imported::default();
    let bar = progress(source.len());
    for item in source.each() {
        let item = item?;
        let refuse = |fault| Failure::Bundle { bundle: item.number, of: source.len(), path: item.path.clone(), fault };
        let (bundle, bytes) = item.read.map_err(&refuse)?;
        let stored = records.store(&bundle, &bytes, &*recorder, clock).await.map_err(|failure| match failure {
            Failure::DiskFull => {
                Failure::BundleDiskFull { bundle: item.number, of: source.len(), path: item.path.clone() }
            }
            other => other,
        });
        match stored? {
            Stored::New(subjects) => {
                done.patients += subjects.len();
                let documents = bundle.patients.iter().map(|patient| patient.documents.len()).sum::<usize>();
                done.documents += documents + bundle.shared.len();
            }
            Stored::Before => done.before += 1,
            Stored::Refused(fault) => return Err(refuse(fault)),
        }
        done.bundles += 1;
        bar.inc(1);
    }
    bar.finish_and_clear();
    // Everything was imported that is to be: whoever is left over does not come in any more.
    records.give_up(&*recorder, clock).await?;
    Ok(done)
}

/// To standard error, and only when that is a terminal.
fn progress(bundles: usize) -> ProgressBar {
    let bar = ProgressBar::new(bundles as u64);
    if let Ok(style) = ProgressStyle::with_template("importing {bar:40} {pos} of {len} bundles, {eta} left") {
        bar.set_style(style);
    }
    bar
}

#[cfg(test)]
#[path = "import_tests.rs"]
mod tests;
