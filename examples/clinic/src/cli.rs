//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// A clinic that keeps its patients' data sealed, knows who reads it, and shows that it does.
///
/// Sets itself up in one data folder, imports FHIR R4 bundles or makes up patients, shows every safeguard in a guided
/// tour through its own HTTP interface, and then serves on 127.0.0.1.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Options {
    /// Folder for the database, the keyring and the log; made when missing
    #[arg(long, value_name = "DIR", default_value = "clinic-data")]
    pub(crate) data_dir: PathBuf,
    /// Folder of FHIR R4 bundles (*.json) to import instead of made-up patients
    #[arg(long, value_name = "DIR")]
    pub(crate) import: Option<PathBuf>,
    /// TCP port on 127.0.0.1, 0 for a free one [default: 3000, or a free one with --tour-only]
    #[arg(long)]
    pub(crate) port: Option<u16>,
    /// End after the tour's report, with a failure when one of its lines failed
    #[arg(long)]
    pub(crate) tour_only: bool,
}

impl Options {
    /// A tour that ends by itself needs no port that anybody knows, and must not fail for want of one.
    pub(crate) fn port(&self) -> u16 {
        self.port.unwrap_or(if self.tour_only { 0 } else { 3000 })
    }
}
