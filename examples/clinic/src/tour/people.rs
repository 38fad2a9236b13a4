//! Imports, failed sign-ins, and the end of somebody's access.

use core::time::Duration;

use axum::http::StatusCode;
use phi_audit::Query;

use super::Tour;
use super::step::{Measured, Miss, expect};
use crate::failure::Doing;
use crate::import::Imported;
use crate::records::InClear;

impl Tour<'_> {
    /// Not what the import meant to do counts, but what is in the rows.
    pub(super) async fn imported(&self, (imported, took): (&Imported, Duration)) -> Measured {
        let Imported { bundles, before, patients, documents } = imported;
        expect(*bundles > 0, "no bundle was imported")?;
        let stored = self.app.records.sealed_values().await?;
        let stored = stored.map_err(|InClear(column)| Miss(format!("{column} holds a value that is not sealed")))?;
        let (values, bodies) = (stored.identifiers, stored.documents);
        expect(
            values > 0 && bodies >= *documents as u64,
            format!("{values} identifiers and {bodies} documents stored"),
        )?;
        Ok(format!(
            "{bundles} bundles ({before} known before), {patients} new patients, {documents} new documents in {:.1} s; \
             {values} identifiers and {bodies} documents in the database, all sealed",
            took.as_secs_f64()
        ))
    }

    pub(super) async fn people(&mut self) {
        let watched = self.failed_sign_ins().await;
        self.line("164.308(a)(5)(ii)(C)", "failed sign-ins watched", watched);
        let revoked = self.revoke().await;
        self.line("164.308(a)(3)(ii)(C)", "a session ended by the security officer", revoked);
        let signed_out = self.sign_out().await;
        self.line("164.312(a)(1)", "signed out, and the old cookie tried again", signed_out);
        let verified = self.verify().await;
        self.line("164.312(c)(1)", "the whole audit log verified", verified);
    }

    async fn failed_sign_ins(&mut self) -> Measured {
        let login = self.clinician.credentials.login;
        let mut browser = self.fresh_browser()?;
        let wrong = browser.post("/login", &[("login", login), ("password", "open sesame")]).await?;
        let nobody = browser.post("/login", &[("login", "nobody.here"), ("password", "open sesame")]).await?;
        expect(
            wrong.status == StatusCode::UNAUTHORIZED && wrong.body == nobody.body,
            "the answers tell accounts apart",
        )?;
        let found = self.app.audit.query(&Query::new().kind("login.refused").limit(1_000)).await;
        let found = found.doing("reading the audit log")?.events.len();
        expect(found >= 4, format!("only {found} refusals in the audit log"))?;
        Ok(format!("{found} refusals in the audit log; a wrong password and an unknown account are answered alike"))
    }

    async fn revoke(&mut self) -> Measured {
        let list = self.officer.browser.get("/sessions").await?;
        let clinician = phi_types::Actor::human(self.clinician.credentials.login).doing("naming an account")?;
        let live = self.app.sessions.list(&clinician).await.doing("listing sessions")?;
        for session in &live {
            let id = session.public_id.to_string();
            expect(list.body.contains(&id), "the list lacks a session")?;
            self.officer.browser.post("/sessions/revoke", &[("session", &id)]).await?;
        }
        expect(!live.is_empty(), "the clinician had no session")?;
        let reply = self.clinician.browser.get("/search").await?;
        expect(reply.location() == "/login", format!("the next page was answered {}", reply.status))?;
        Ok(format!("{} sessions ended by their public ids; the next page led to the sign-in", live.len()))
    }

    async fn sign_out(&mut self) -> Measured {
        let browser = &mut self.clinician.browser;
        let (login, password) = (self.clinician.credentials.login, self.clinician.credentials.password.expose());
        browser.post("/login", &[("login", login), ("password", password)]).await?;
        let cookie = browser.cookie().map(str::to_owned);
        expect(cookie.is_some(), "signing in gave no cookie")?;
        let reply = browser.post("/logout", &[]).await?;
        expect(reply.header("clear-site-data").contains("cookies"), "the browser was not told to forget")?;
        expect(browser.cookie().is_none(), "the cookie was not taken back")?;
        browser.set_cookie(cookie);
        let again = browser.get("/login/code").await?;
        expect(again.location() == "/login", format!("the old cookie was answered {}", again.status))?;
        Ok("refused".to_owned())
    }

    async fn verify(&mut self) -> Measured {
        let watch = super::Watch::start();
        self.app.audit.checkpoint().await.doing("signing the audit log")?;
        let report = self.app.audit.verify().await.doing("verifying the audit log")?;
        if let Some(wrong) = report.first_wrong() {
            return Err(Miss(wrong.to_string()));
        }
        let page = self.officer.browser.get("/audit").await?;
        expect(page.body.contains("consistent under"), "the security officer's page does not say so")?;
        Ok(format!(
            "{} entries under {} signed checkpoints, none wrong, in {}",
            report.size,
            report.checkpoints,
            watch.millis()
        ))
    }
}
