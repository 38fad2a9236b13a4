//! Finding and opening a chart, and what is known of it afterwards.

use axum::http::StatusCode;
use phi_audit::Query;
use phi_types::SubjectId;

use super::step::{Measured, Miss, expect};
use super::{CLINICIAN, Tour, Watch};
use crate::failure::Doing;
use crate::records::By;

/// A text as it stands in a page.
pub(super) fn shown(text: &str) -> String {
    maud::html! { (text) }.into_string()
}

impl Tour<'_> {
    pub(super) async fn charts(&mut self) {
        let found = self.search().await;
        self.line("164.312(a)(2)(iv)", "search among sealed numbers through blind indexes", found);
        let opened = self.open_chart().await;
        self.line("164.312(b)", "a chart opened", opened);
        let roles = self.roles().await;
        self.line("164.502(b)", "each role at the other's pages", roles);
        let browser = self.browser_headers().await;
        self.line("164.310(b)", "what the browser may keep and run", browser);
    }

    async fn search(&mut self) -> Measured {
        let chart = format!("/patients/{}", self.subject().await?.expose());
        let watch = Watch::start();
        let digits: String = self.patient.ssn.expose().chars().filter(char::is_ascii_digit).collect();
        for (by, number) in [("mrn", self.patient.mrn.expose()), ("ssn", self.patient.ssn.expose()), ("ssn", &digits)] {
            let reply = self.clinician.browser.post("/search", &[("by", by), ("number", number)]).await?;
            expect(reply.body.contains(&chart), format!("the {by} was not found ({})", reply.status))?;
        }
        let took = watch.millis();
        for (by, number) in [("mrn", self.patient.mrn.expose()), ("ssn", &digits)] {
            let mut part = number.clone();
            part.pop();
            let reply = self.clinician.browser.post("/search", &[("by", by), ("number", &part)]).await?;
            expect(reply.status == StatusCode::OK, format!("a part of the {by} was answered {}", reply.status))?;
            // It may be the whole number of somebody else.
            expect(!reply.body.contains(&chart), format!("a part of the {by} found its patient"))?;
        }
        Ok(format!(
            "by record number and by social security number, 3 searches in {took}; part of a number does not find its patient"
        ))
    }

    /// The random record id of the patient of the tour.
    pub(super) async fn subject(&self) -> Result<SubjectId, Miss> {
        let found = self.app.records.find(By::Mrn, self.patient.mrn.expose()).await?;
        found.into_iter().next().ok_or_else(|| Miss("the patient of the tour is not there".to_owned()))
    }

    pub(super) async fn accesses(&self, subject: &SubjectId) -> Result<usize, Miss> {
        let page = self.app.audit.query(&Query::new().subject(subject).limit(1_000)).await;
        Ok(page.doing("reading the audit log")?.events.len())
    }

    async fn open_chart(&mut self) -> Measured {
        let subject = self.subject().await?;
        let before = self.accesses(&subject).await?;
        let watch = Watch::start();
        let chart = self.clinician.browser.get(&format!("/patients/{}", subject.expose())).await?;
        let took = watch.millis();
        expect(chart.status == StatusCode::OK, format!("answered {}", chart.status))?;
        expect(chart.body.contains(&shown(self.patient.mrn.expose())), "the chart does not show the record number")?;
        let after = self.accesses(&subject).await?;
        expect(after == before + 1, format!("{} entries instead of one", after - before))?;

        let about = self.officer.browser.post("/audit", &[("mrn", self.patient.mrn.expose())]).await?;
        expect(about.body.contains(CLINICIAN), "the security officer's page does not name the clinician")?;
        expect(
            !about.body.contains(&shown(self.patient.name.expose())),
            "the security officer's page names the patient",
        )?;

        self.app.audit.checkpoint().await.doing("signing the audit log")?;
        let page =
            self.app.audit.query(&Query::new().subject(&subject).limit(1)).await.doing("reading the audit log")?;
        let found = page.events.first().ok_or_else(|| Miss("no entry".to_owned()))?;
        let proof = self.app.audit.prove(found.index).await.doing("proving an entry")?;
        let bytes = self.app.audit.entry(found.index).await.doing("reading an entry")?;
        expect(proof.verify(&bytes).is_ok(), "the proof of the entry does not hold")?;
        Ok(format!(
            "shown in {took}, recorded before it was sent; entry {} proven under a signed checkpoint",
            found.index
        ))
    }

    async fn roles(&mut self) -> Measured {
        let mut tried = 0;
        for path in ["/audit", "/sessions", "/keys"] {
            let reply = self.clinician.browser.get(path).await?;
            expect(reply.status == StatusCode::FORBIDDEN, format!("{path} was answered {}", reply.status))?;
            tried += 1;
        }
        // Nobody's number: were it obeyed, nobody would be destroyed.
        let twice = [("mrn", "nobody"), ("again", "nobody")];
        for (path, form) in [("/keys/rotate", &[][..]), ("/keys/shred", &twice)] {
            let reply = self.clinician.browser.post(path, form).await?;
            expect(reply.status == StatusCode::FORBIDDEN, format!("{path} was answered {}", reply.status))?;
            tried += 1;
        }
        let chart = format!("/patients/{}", self.subject().await?.expose());
        for path in ["/search", &chart] {
            let reply = self.officer.browser.get(path).await?;
            expect(reply.status == StatusCode::FORBIDDEN, format!("a chart was answered {}", reply.status))?;
            tried += 1;
        }
        let refused = self.app.audit.query(&Query::new().kind("access.refused").limit(1_000)).await;
        let refused = refused.doing("reading the audit log")?.events.len();
        expect(refused >= tried, "the refusals are not in the audit log")?;
        Ok(format!("{tried} refusals of {tried}, all in the audit log"))
    }

    async fn browser_headers(&mut self) -> Measured {
        let chart = format!("/patients/{}", self.subject().await?.expose());
        let reply = self.clinician.browser.get(&chart).await?;
        expect(reply.status == StatusCode::OK, format!("answered {}", reply.status))?;
        for (name, value) in [
            ("cache-control", "no-store"),
            ("content-security-policy", "default-src 'none'"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
        ] {
            expect(reply.header(name).contains(value), format!("{name} is {:?}", reply.header(name)))?;
        }
        expect(!reply.body.contains("<script"), "the page has a script")?;
        Ok("nothing is stored, no script runs, addresses name no patient".to_owned())
    }
}
