//! The demonstration from start to end: set up, import, tour, serve.

use std::io::{self, Write};
use std::sync::Arc;

use phi_types::{Clock, SystemClock};

use crate::app::App;
use crate::auth::{Credentials, Role};
use crate::cli::Options;
use crate::failure::{Doing, Failure};
use crate::folder::{Folder, Lock};
use crate::import::{Source, import};
use crate::server::{Port, Server};
use crate::{log, tour};

/// The population that is made up when none is imported.
const MADE_UP: Source = Source::MadeUp { seed: 2026, count: 25 };

pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    // Everything that can be refused is refused before anything is written.
    let source = options.import.as_deref().map_or(Ok(MADE_UP), Source::folder)?;
    let port = Port::take(options.port()).await?;
    let folder = Folder::prepare(&options.data_dir)?;
    let lock = folder.lock();
    log::start(&folder)?;

    let clock = SystemClock::new();
    let app = App::open(&folder, &lock, Arc::new(clock)).await?;
    let began = clock.monotonic();
    let imported = match import(&source, &app.records, &app.audit, &clock).await {
        Ok(imported) => imported,
        Err(failure) => {
            // Signs what was recorded of the bundles that came in. Why the import stopped is what the user has to mend.
            let _unsigned = app.audit.close().await;
            return Err(failure);
        }
    };
    let took = clock.monotonic().saturating_sub(began);
    tracing::info!(bundles = imported.bundles, "imported");

    let server = Server::start(app.clone(), port)?;
    let report = tour::take(&app, &folder, &lock, server.port(), &source, (&imported, took)).await?;
    if report.failed() > 0 || options.tour_only {
        server.stop().await?;
        return if report.failed() > 0 { Err(Failure::TourFailed(report.failed())) } else { Ok(()) };
    }
    let staff = [
        app.issue_account(tour::CLINICIAN, Role::Clinician).await?,
        app.issue_account(tour::OFFICER, Role::SecurityOfficer).await?,
    ];
    welcome(&server, &staff, &lock, &app, &source).doing("printing the credentials")?;
    drop(staff);
    server.until_told().await?;
    server.stop().await
}

/// Shown once: nothing keeps a password or a secret in clear, and the next start issues new ones.
fn welcome(server: &Server, staff: &[Credentials], lock: &Lock, app: &App, source: &Source) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "\nhttp://{}/  (Ctrl-C stops it)\n", server.address)?;
    for account in staff {
        writeln!(
            out,
            "{:<18}  account {}  password {}  authenticator secret {}  code now {}",
            account.role.label(),
            account.login,
            account.password.expose(),
            *account.totp.base32(),
            account.totp.code(app.clock.now()),
        )?;
    }
    match source.made_up_number() {
        Some(mrn) => writeln!(out, "\nA made-up patient to look for: record number {mrn}")?,
        None => writeln!(out, "\nLook for patients by the record numbers in your bundles; they are not printed.")?,
    }
    writeln!(out, "Key to verify the audit log with, offline: {}", app.audit.verifier_key())?;
    let opens = match lock {
        Lock::KeyFile(_) => "the key file beside the data folder",
        Lock::Passphrase(_) => "the passphrase in CLINIC_PASSPHRASE",
    };
    writeln!(out, "What opens the keyring: {opens}")?;
    out.flush()
}
