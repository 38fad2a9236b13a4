//! Who comes in, and who does not.

use axum::http::StatusCode;
use phi_types::{Actor, Clock};

use super::step::{Measured, expect};
use super::{Person, Tour};
use crate::failure::Failure;

impl Tour<'_> {
    pub(super) async fn sign_in(&mut self) {
        let unique = self.shared_account().await;
        self.line("164.312(a)(2)(i)", "sign-in with a shared account name", unique);
        let two = self.two_factors().await;
        self.line("164.312(d)", "password alone, then with a one-time code", two);
        let replay = self.replayed_code().await;
        self.line("164.312(d)", "the same one-time code again, by somebody who saw it", replay);
        let foreign = self.foreign_form().await;
        self.line("164.312(a)(1)", "a form sent from another site's page", foreign);
    }

    async fn shared_account(&mut self) -> Measured {
        let mut browser = self.fresh_browser()?;
        let reply = browser.post("/login", &[("login", "admin"), ("password", "admin")]).await?;
        expect(reply.status == StatusCode::UNAUTHORIZED, format!("answered {}", reply.status))?;
        expect(Actor::human("admin").is_err(), "the name is taken for a person")?;
        Ok("refused, and `admin` cannot be the name of an actor at all".to_owned())
    }

    async fn two_factors(&mut self) -> Measured {
        let now = self.app.clock.now();
        let Person { credentials, browser } = &mut self.clinician;
        let form = [("login", credentials.login), ("password", credentials.password.expose())];
        let first = browser.post("/login", &form).await?;
        expect(first.location() == "/login/code", format!("the password was answered with {}", first.status))?;
        let after_password = browser.cookie().map(str::to_owned);
        let blocked = browser.get("/search").await?;
        expect(blocked.location() == "/login/code", "the password alone opened a page")?;
        self.used_code = credentials.totp.code(now);
        let second = browser.post("/login/code", &[("code", &self.used_code)]).await?;
        expect(second.location() == "/", format!("the code was answered with {}", second.status))?;
        expect(browser.cookie().map(str::to_owned) != after_password, "the session kept its token")?;
        let page = browser.get("/search").await?;
        expect(page.status == StatusCode::OK, format!("the page was answered with {}", page.status))?;
        let cookie = second.header("set-cookie");
        for attribute in ["__Host-sid=", "HttpOnly", "Secure", "SameSite=Strict", "Path=/"] {
            expect(cookie.contains(attribute), format!("the cookie lacks {attribute}"))?;
        }
        self.officer.sign_in(now).await?;
        Ok("password opened nothing; with the code in, under a new __Host- token".to_owned())
    }

    async fn replayed_code(&mut self) -> Measured {
        let mut browser = self.fresh_browser()?;
        let credentials = &self.clinician.credentials;
        let form = [("login", credentials.login), ("password", credentials.password.expose())];
        browser.post("/login", &form).await?;
        let reply = browser.post("/login/code", &[("code", &self.used_code)]).await?;
        expect(reply.status == StatusCode::UNAUTHORIZED, format!("answered {}", reply.status))?;
        let page = browser.get("/search").await?;
        expect(page.location() == "/login/code", "the replayed code opened a page")?;
        Ok("refused".to_owned())
    }

    async fn foreign_form(&mut self) -> Measured {
        let form = [("by", "mrn"), ("number", "1")];
        let browser = &mut self.clinician.browser;
        let reply = browser.post_from("/search", &form, "cross-site", "https://elsewhere.example").await?;
        expect(reply.status == StatusCode::FORBIDDEN, format!("answered {}", reply.status))?;
        let reply = browser.post_from("/search", &form, "same-site", "http://evil.localhost").await?;
        expect(reply.status == StatusCode::FORBIDDEN, format!("a sibling site was answered {}", reply.status))?;
        let kek = self.app.kek();
        for path in ["/keys/rotate", "/keys/shred", "/sessions/revoke"] {
            let browser = &mut self.officer.browser;
            let reply = browser.post_from(path, &[], "cross-site", "https://elsewhere.example").await?;
            expect(reply.status == StatusCode::FORBIDDEN, format!("{path} was answered {}", reply.status))?;
        }
        expect(self.app.kek() == kek, "a key was rotated")?;
        Ok("403 for another site and for a sibling domain, at a search and at what a security officer can do"
            .to_owned())
    }
}

impl Person {
    /// Both factors.
    pub(super) async fn sign_in(&mut self, now: phi_types::Timestamp) -> Result<(), Failure> {
        let form = [("login", self.credentials.login), ("password", self.credentials.password.expose())];
        self.browser.post("/login", &form).await?;
        self.browser.post("/login/code", &[("code", &self.credentials.totp.code(now))]).await?;
        Ok(())
    }
}
