//! A copy of the clinic, for what must not be done to the clinic itself: its clock is moved and its files are attacked.

use core::time::Duration;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use axum::http::StatusCode;
use phi_audit::Query;
use phi_types::Clock;

use super::step::{Measured, Miss, expect};
use super::{Person, Tour, client::Client};
use crate::app::App;
use crate::clock::OffsetClock;
use crate::failure::{Doing, Failure};
use crate::folder::Folder;
use crate::server::{Port, Server};

/// Longer than a one-time code counts, so that the next one is a new one.
pub(super) const NEXT_CODE: Duration = Duration::from_secs(90);

/// The running copy.
pub(super) struct Copy {
    pub(super) folder: Folder,
    pub(super) app: App,
    pub(super) clock: Arc<OffsetClock>,
    server: Server,
}

impl Tour<'_> {
    pub(super) async fn copy(&mut self) {
        let copy = match self.make_copy().await {
            Ok(copy) => copy,
            Err(failure) => return self.line("164.308(a)(7)(ii)(A)", "a copy of the clinic", Err(failure.into())),
        };
        let idle = self.idle(&copy).await;
        self.line("164.312(a)(2)(iii)", "a workstation left alone", idle);
        self.tamper(&copy).await;
        let locked = self.guessing(&copy).await;
        self.line("164.308(a)(5)(ii)(D)", "a password guessed at", locked);
        let folder = copy.folder.clone();
        match copy.server.stop().await {
            Ok(()) => self.restore(&folder).await,
            Err(failure) => self.line("164.312(c)(1)", "the copy stopped", Err(failure.into())),
        }
    }

    /// Where the copy is, within the data folder.
    pub(super) fn copy_root(&self) -> std::path::PathBuf {
        self.folder.root().join("tour-copy")
    }

    pub(super) fn remove_copy(&self) -> Result<(), Failure> {
        match fs::remove_dir_all(self.copy_root()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Failure::file("the tour's copy")(error)),
            _ => Ok(()),
        }
    }

    async fn make_copy(&mut self) -> Result<Copy, Failure> {
        // What a tour that was killed left behind.
        self.remove_copy()?;
        let root = self.copy_root();
        let folder = Folder::prepare(&root)?;
        fs::copy(self.folder.keyring(), folder.keyring()).map_err(Failure::file("the copy's keyring"))?;
        // Mark and anchor first: the database must not be older than they are.
        fs::copy(self.folder.high_water_mark(), folder.high_water_mark()).map_err(Failure::file("the copy's mark"))?;
        fs::copy(self.folder.key_anchor(), folder.key_anchor()).map_err(Failure::file("the copy's anchor"))?;
        for database in [folder.database(), root.join("backup.db")] {
            self.copy_database(&database).await?;
        }
        let clock = Arc::new(OffsetClock::default());
        let app = App::open(&folder, self.lock, Arc::clone(&clock) as Arc<dyn Clock>).await?;
        let server = Server::start(app.clone(), Port::take(0).await?)?;
        self.clinician.browser = Client::new(server.port())?;
        self.officer.browser = Client::new(server.port())?;
        Ok(Copy { folder, app, clock, server })
    }

    pub(super) async fn copy_database(&self, to: &Path) -> Result<(), Failure> {
        Folder::claim(to, "the copy's database")?;
        let to = to.to_str().ok_or("its path is not UTF-8").doing("copying the database")?;
        sqlx::query("VACUUM INTO ?").bind(to).execute(&self.app.db).await.doing("copying the database")?;
        Ok(())
    }

    async fn idle(&mut self, copy: &Copy) -> Measured {
        let idle = copy.app.sessions.policy().idle();
        // Activity is written down when it is this much newer, and a busy machine takes its time.
        let early = copy.app.sessions.policy().coalescing_window() + Duration::from_secs(5);
        self.clinician.sign_in_anew(copy).await?;
        copy.clock.advance(idle.saturating_sub(early));
        let before = self.clinician.browser.get("/search").await?;
        expect(before.status == StatusCode::OK, format!("answered {} before its time", before.status))?;
        copy.clock.advance(idle);
        let after = self.clinician.browser.get("/search").await?;
        expect(after.location() == "/login", format!("answered {} after its time", after.status))?;
        let recorded = copy.app.audit.query(&Query::new().kind("session.expired_idle")).await;
        expect(recorded.doing("reading the audit log")?.events.len() == 1, "the sign-off is not in the audit log")?;
        Ok(format!(
            "signed in after {} s, signed off after {} s, and recorded",
            idle.saturating_sub(early).as_secs(),
            idle.as_secs()
        ))
    }

    async fn guessing(&mut self, copy: &Copy) -> Measured {
        let Person { credentials, browser } = &mut self.officer;
        let mut guesses = 0;
        for _ in 0..5 {
            let reply = browser.post("/login", &[("login", credentials.login), ("password", "guess")]).await?;
            expect(reply.status == StatusCode::UNAUTHORIZED, format!("a guess was answered {}", reply.status))?;
            guesses += 1;
        }
        let right = [("login", credentials.login), ("password", credentials.password.expose())];
        let locked = browser.post("/login", &right).await?;
        expect(locked.status == StatusCode::UNAUTHORIZED, "the account was not locked")?;
        copy.clock.advance(Duration::from_secs(15 * 60));
        let open = browser.post("/login", &right).await?;
        expect(open.location() == "/login/code", "the account stayed locked")?;
        Ok(format!("after {guesses} guesses even the right password was refused, for 15 minutes"))
    }
}

impl Person {
    /// Signs in with a code that was not used yet, and fails if that does not open anything.
    pub(super) async fn sign_in_anew(&mut self, copy: &Copy) -> Result<(), Miss> {
        copy.clock.advance(NEXT_CODE);
        self.sign_in(copy.clock.now()).await?;
        let home = self.browser.get("/").await?;
        expect(home.location() != "/login" && home.location() != "/login/code", "signing in did not work")
    }
}
