//! The key that protects all keys.

use axum::http::StatusCode;
use phi_audit::Query;
use phi_types::Actor;

use super::step::{Measured, Miss, expect};
use super::{Tour, Watch};
use crate::failure::Doing;

impl Tour<'_> {
    pub(super) async fn keys(&mut self) {
        let rotated = self.rotate().await;
        self.line("164.312(a)(2)(iv)", "the key-encryption key rotated", rotated);
    }

    async fn rotate(&mut self) -> Measured {
        let watch = Watch::start();
        let before = self.app.kek();
        let page = self.officer.browser.post("/keys/rotate", &[]).await?;
        let took = watch.millis();
        expect(page.status == StatusCode::OK, format!("the officer was answered {}", page.status))?;
        let done = page.told().trim_end_matches('.').to_owned();
        let rewrapped = done.split(' ').next().and_then(|number| number.parse::<u64>().ok()).unwrap_or_default();
        expect(rewrapped > 0, "no key was rewrapped")?;
        let now = self.app.kek();
        expect(now != before && done.contains(&now), format!("{now} is not a new version"))?;
        self.recorded(&["key.rewrap_begin", "key.rewrap"]).await?;
        let chart = format!("/patients/{}", self.subject().await?.expose());
        let reply = self.clinician.browser.get(&chart).await?;
        expect(reply.status == StatusCode::OK, format!("the chart was answered {} afterwards", reply.status))?;
        self.app.keys.domain_key(phi_keys::KeyUse::Data).await.doing("using a rewrapped key")?;
        Ok(format!("on the officer's page, {done}, in {took}; charts open as before"))
    }

    /// Whether the newest entries of these kinds are by the security officer.
    pub(super) async fn recorded(&self, kinds: &[&str]) -> Result<(), Miss> {
        let officer = Actor::human(self.officer.credentials.login).doing("naming an account")?;
        for kind in kinds {
            let query = Query::new().kind(*kind).actor(&officer).limit(1);
            let found = self.app.audit.query(&query).await.doing("reading the audit log")?.events;
            expect(
                found.iter().any(|found| found.event.session.is_some()),
                format!("no entry {kind} names the officer"),
            )?;
        }
        Ok(())
    }
}
