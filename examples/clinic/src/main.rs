//! The whole family in one axum application: patients kept sealed, readers known, idle users signed off, the audit log
//! proven, identifiers kept out of logs. `cargo run -p clinic` sets itself up and shows all of it.

mod app;
mod auth;
mod cli;
mod clock;
mod db;
mod demo;
mod failure;
mod fhir;
mod folder;
mod hex;
mod import;
mod leak;
mod log;
mod pages;
mod population;
mod random;
mod records;
mod report;
mod routes;
mod server;
mod tour;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    let options = cli::Options::parse();
    match Box::pin(demo::run(options)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nowhere is left to report to when standard error is closed.
            let _ = writeln!(std::io::stderr(), "clinic: {failure}");
            ExitCode::FAILURE
        }
    }
}
