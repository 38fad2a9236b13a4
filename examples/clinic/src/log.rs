//! The log: JSON lines in the data folder, redacted before any layer sees them.

use phi_redact::{Redact, RedactMakeWriter, RedactPolicy};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::failure::{Doing, Failure};
use crate::folder::Folder;

/// Fields that never hold patients' data; every other field loses its value.
const SAFE: [&str; 6] = ["method", "route", "status", "error", "column", "bundles"];

/// Sets up the log of this process.
pub(crate) fn start(folder: &Folder) -> Result<(), Failure> {
    let file = std::sync::Mutex::new(folder.open_log()?);
    let json = tracing_subscriber::fmt()
        .json()
        .with_max_level(LevelFilter::INFO)
        .with_span_events(FmtSpan::NONE)
        // A full disk is reported once, by whoever needs the disk.
        .log_internal_errors(false)
        .with_writer(RedactMakeWriter::new(file))
        .finish();
    Redact::new(json, RedactPolicy::strict().safe(SAFE)).install().doing("setting up the log")?;
    // What a panic says goes to standard error.
    phi_redact::install_panic_hook();
    Ok(())
}
