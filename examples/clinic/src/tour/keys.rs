//! The key that protects all keys.

use axum::http::StatusCode;
use phi_types::Clock;

use super::step::{Measured, expect};
use super::{Tour, Watch};
use crate::failure::Doing;

impl Tour<'_> {
    pub(super) async fn keys(&mut self) {
        let rotated = self.rotate().await;
        self.line("164.312(a)(2)(iv)", "the key-encryption key rotated", rotated);
    }

    async fn rotate(&mut self) -> Measured {
        let watch = Watch::start();
        let report = self.app.rotate_kek().await?;
        let took = watch.millis();
        let (rewrapped, keks) = (report.rewrapped, report.keks.join(", "));
        expect(rewrapped > 0, "no key was rewrapped")?;
        self.app.record(report.activity(self.app.clock.now())).await?;
        let chart = format!("/patients/{}", self.subject().await?.expose());
        let reply = self.clinician.browser.get(&chart).await?;
        expect(reply.status == StatusCode::OK, format!("the chart was answered {} afterwards", reply.status))?;
        self.app.keys.domain_key(phi_keys::KeyUse::Data).await.doing("using a rewrapped key")?;
        Ok(format!("{rewrapped} domain keys now under {keks} in {took}; charts open as before"))
    }
}
