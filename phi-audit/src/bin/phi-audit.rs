//! `phi-audit`: verifies an audit log offline, with nothing but its public key.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use phi_audit::{Checkpoint, Freshness, Problem, Report, SqliteAuditStore, VerifierKey, verify_store};

const CODES: &str = "Exit codes:
  0  consistent (and, with --at-least, fresh)
  1  not consistent: edited, missing, reordered, added, truncated, rewritten or badly signed
  2  not verified: a wrong argument, or a file that cannot be read
  3  rolled back: consistent or not, it does not contain the checkpoint of --at-least";

/// Entries from which progress is shown.
const LARGE: u64 = 50_000;

/// Verifies an audit log offline.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Checks every entry, the tree, the derived columns and every checkpoint, and names the first wrong entry.
    #[command(after_help = CODES)]
    Verify {
        /// The SQLite database, or a copy of it. It is opened for reading only.
        database: PathBuf,
        /// The verifier key that was printed when the log was opened: name+hash+base64.
        #[arg(long)]
        key: VerifierKey,
        /// A file with a checkpoint from elsewhere (such as the high-water mark) that the log must contain.
        #[arg(long, value_name = "FILE")]
        at_least: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let Arguments { command: Command::Verify { database, key, at_least } } = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&error),
    };
    match runtime.block_on(verify(&database, &key, at_least.as_deref())) {
        Ok(report) => {
            // Nobody to tell when standard output is closed; the exit code still says it.
            let _ = io::stdout().write_all(text(&report).as_bytes());
            ExitCode::from(code(&report))
        }
        Err(error) => refuse(&*error),
    }
}

type Failure = Box<dyn std::error::Error>;

async fn verify(database: &Path, key: &VerifierKey, at_least: Option<&Path>) -> Result<Report, Failure> {
    let known = match at_least {
        Some(path) => {
            let note = std::fs::read_to_string(path).map_err(|error| format!("the file of --at-least: {error}"))?;
            Some(Checkpoint::open(&note, key).map_err(|error| format!("the checkpoint of --at-least: {error}"))?)
        }
        None => None,
    };
    let store = SqliteAuditStore::open_read_only(database).await?;
    let quiet = !io::stderr().is_terminal();
    let mut last = 0;
    let report = verify_store(&store, key, known, &mut |done, total| {
        let percent = done.saturating_mul(100).checked_div(total).unwrap_or(100);
        // A terminal gets a moving line; a file or pipe a line for every tenth.
        if total >= LARGE && (!quiet || percent / 10 > last / 10) {
            last = percent;
            let end = if quiet || done == total { "\n" } else { "\r" };
            let _ = write!(io::stderr(), "verified {done} of {total} entries ({percent} %){end}");
        }
    })
    .await?;
    Ok(report)
}

fn code(report: &Report) -> u8 {
    match report.freshness {
        Freshness::Refuted => 3,
        _ if report.is_consistent() => 0,
        _ => 1,
    }
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    // Writing into a String cannot fail.
    let _ = writeln!(text, "entries      {}", report.size);
    let _ = writeln!(text, "root         {}", report.root);
    let signed = report.signed.as_ref().map_or(0, Checkpoint::size);
    let _ = writeln!(text, "checkpoints  {} valid, the newest of {signed} entries", report.checkpoints);
    if report.unsigned() > 0 {
        let _ = writeln!(text, "unsigned     {} entries are not under a signature yet", report.unsigned());
    }
    let _ = writeln!(text, "writers      {}, {} of them without a recorded end", report.writers, report.unknown_ends);
    if report.pending > 0 {
        let _ = writeln!(text, "pending      {} events are not in the tree yet and were not checked", report.pending);
    }
    if report.quarantined > 0 {
        let _ = writeln!(text, "quarantined  {} rows were set aside by the application", report.quarantined);
    }
    for finding in &report.findings {
        let _ = writeln!(text, "wrong        {finding}");
    }
    let verdict = match (report.first_wrong(), report.freshness) {
        (None, Freshness::AtLeast(size)) => format!("consistent; contains the known checkpoint of {size} entries"),
        (None, _) => "consistent; freshness not proven (give --at-least a checkpoint from elsewhere)".to_owned(),
        (Some(first), _) => {
            let rolled = report
                .findings
                .iter()
                .find(|finding| matches!(finding.problem, Problem::RolledBack { .. } | Problem::Fork { .. }));
            format!("NOT CONSISTENT: {}", rolled.unwrap_or(first))
        }
    };
    let _ = writeln!(text, "{verdict}");
    text
}

fn refuse(error: &dyn std::error::Error) -> ExitCode {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let _ = write!(text, ": {error}");
        source = error.source();
    }
    let _ = writeln!(io::stderr(), "phi-audit: {text}");
    ExitCode::from(2)
}
