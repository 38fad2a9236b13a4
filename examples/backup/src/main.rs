//! Encrypted backups and restore drills from the command line; see its README.

mod cli;
mod keys;
mod show;

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use phi_crypto::backup::{Backup, BackupError, Recovery};
use phi_crypto::{Opener, Sealer};
use phi_keys::Scope;
use phi_types::{Clock as _, SystemClock};

use crate::cli::{Command, Options, RecoverOptions};
use crate::show::{Bar, hex};

/// Backups have a data key of their own, which is destroyed when the last of them is to be unreadable.
fn scope() -> Scope {
    Scope::group("backup")
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Options::parse().command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nowhere is left to report to when standard error is closed.
            let _ = show::failure(&*error);
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<(), Box<dyn Error>> {
    match command {
        Command::Backup { keys, from, to, without_key_tables, skip_links } => {
            let sealer = Sealer::builder(keys::create_or_open(&keys).await?).build();
            let bar = Bar::new("saving");
            let mut backup = if from.is_dir() { Backup::of_folder(from) } else { Backup::of_database(from) };
            if without_key_tables {
                backup = backup.without_key_tables();
            }
            if skip_links {
                backup = backup.skipping_links();
            }
            let saved = backup.on_progress(bar.callback()).write_to(to, &sealer, &scope()).await;
            bar.finish();
            let saved = reported("backup.create", saved)?;
            let digest = hex(&saved.digest);
            let said =
                format!("{} files of {} bytes saved in {:.1?}; digest {digest}", saved.files, saved.bytes, saved.took);
            show::result(&said, &saved.activity(now()))?;
        }
        Command::Drill { recover, scratch } => {
            let (recovery, opener, bar) = prepare(&recover, "drilling").await?;
            let drilled = recovery.drill_in(scratch, &opener, &scope()).await;
            bar.finish();
            let drilled = reported("backup.drill", drilled)?;
            let said =
                format!("{} files of {} bytes would be back in {:.1?}", drilled.files, drilled.bytes, drilled.took);
            show::result(&said, &drilled.activity(now()))?;
        }
        Command::Restore { recover, to } => {
            let (recovery, opener, bar) = prepare(&recover, "restoring").await?;
            let restored = recovery.restore_to(to, &opener, &scope()).await;
            bar.finish();
            let restored = reported("backup.restore", restored)?;
            let said =
                format!("{} files of {} bytes restored in {:.1?}", restored.files, restored.bytes, restored.took);
            show::result(&said, &restored.activity(now()))?;
        }
    }
    Ok(())
}

async fn prepare(options: &RecoverOptions, what: &'static str) -> Result<(Recovery, Opener, Bar), Box<dyn Error>> {
    let opener = Opener::builder(keys::open(&options.keys).await?).build();
    let bar = Bar::new(what);
    let mut recovery = Recovery::of(&options.backup).on_progress(bar.callback());
    if let Some(digest) = options.expect {
        recovery = recovery.expect_digest(digest.0);
    }
    Ok((recovery, opener, bar))
}

/// A failure belongs into the audit log as well.
fn reported<T>(kind: &'static str, result: Result<T, BackupError>) -> Result<T, Box<dyn Error>> {
    if let Err(error) = &result {
        writeln!(std::io::stdout(), "{}", show::json(&error.activity(kind, now())))?;
    }
    Ok(result?)
}

fn now() -> phi_types::Timestamp {
    SystemClock::new().now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line_of_the_audit_log() {
        let line = show::json(&BackupError::NoManifest.activity("backup.drill", phi_types::Timestamp::UNIX_EPOCH));
        assert_eq!(
            line,
            r#"{"kind":"backup.drill","outcome":"failed","at":"1970-01-01T00:00:00.000000Z","reason":"no_manifest"}"#
        );
    }
}
