//! What somebody does who can write to the database and has no key.

use axum::http::StatusCode;
use phi_types::SubjectId;
use sqlx::Row;

use super::Tour;
use super::charts::shown;
use super::copy::Copy;
use super::step::{Measured, Miss, expect};
use crate::failure::Doing;

impl Tour<'_> {
    pub(super) async fn tamper(&mut self, copy: &Copy) {
        let session = self.forged_session(copy).await;
        self.line("164.312(d)", "a session row given another role", session);
        let field = self.altered_field(copy).await;
        self.line("164.312(c)(1)", "one bit of a sealed field changed", field);
        let moved = self.moved_field(copy).await;
        self.line("164.312(c)(1)", "another patient's sealed number put in its place", moved);
        let unwritable = self.unwritable_log(copy).await;
        self.line("164.312(b)", "a chart asked for while the audit log cannot be written", unwritable);
        let key = self.forged_key(copy).await;
        self.line("164.312(c)(2)", "one bit of a key row changed", key);
    }

    async fn forged_session(&mut self, copy: &Copy) -> Measured {
        self.clinician.sign_in_anew(copy).await?;
        let done = sqlx::query("UPDATE phi_session_rows SET role = 'security-officer' WHERE role = 'clinician'")
            .execute(&copy.app.db)
            .await
            .doing("forging a session")?;
        expect(done.rows_affected() > 0, "there was no row to forge")?;
        let reply = self.clinician.browser.get("/audit").await?;
        expect(reply.location() == "/login", format!("answered {}", reply.status))?;
        Ok("the session was refused, not promoted".to_owned())
    }

    async fn altered_field(&mut self, copy: &Copy) -> Measured {
        self.clinician.sign_in_anew(copy).await?;
        let subject = self.subject().await?;
        let name = self.column(copy, "SELECT name FROM clinic_patients WHERE id = ?", &subject).await?;
        let mut changed = name.clone();
        flip(&mut changed);
        set(copy, "UPDATE clinic_patients SET name = ? WHERE id = ?", &changed, &subject).await?;
        let refused = self.chart_status(&subject).await?;
        set(copy, "UPDATE clinic_patients SET name = ? WHERE id = ?", &name, &subject).await?;
        expect(refused == StatusCode::INTERNAL_SERVER_ERROR, format!("the chart was answered {refused}"))?;
        let restored = self.chart_status(&subject).await?;
        expect(restored == StatusCode::OK, format!("with the bit restored the chart was answered {restored}"))?;
        Ok("the chart was not shown; with the bit put back it was".to_owned())
    }

    async fn moved_field(&mut self, copy: &Copy) -> Measured {
        let subject = self.subject().await?;
        let own = self.column(copy, "SELECT mrn FROM clinic_patients WHERE id = ?", &subject).await?;
        let other = "SELECT mrn FROM clinic_patients WHERE id <> ? AND mrn IS NOT NULL LIMIT 1";
        let other = self.column(copy, other, &subject).await?;
        set(copy, "UPDATE clinic_patients SET mrn = ? WHERE id = ?", &other, &subject).await?;
        let refused = self.chart_status(&subject).await?;
        set(copy, "UPDATE clinic_patients SET mrn = ? WHERE id = ?", &own, &subject).await?;
        expect(refused == StatusCode::INTERNAL_SERVER_ERROR, format!("the chart was answered {refused}"))?;
        let restored = self.chart_status(&subject).await?;
        expect(restored == StatusCode::OK, format!("with the own number back the chart was answered {restored}"))?;
        Ok("the chart was not shown; with the own number put back it was".to_owned())
    }

    async fn unwritable_log(&mut self, copy: &Copy) -> Measured {
        const AWAY: &str = "ALTER TABLE phi_audit_pending RENAME TO phi_audit_away";
        const BACK: &str = "ALTER TABLE phi_audit_away RENAME TO phi_audit_pending";
        let subject = self.subject().await?;
        sqlx::query(AWAY).execute(&copy.app.db).await.doing("taking the log away")?;
        let refused = self.chart_status(&subject).await;
        sqlx::query(BACK).execute(&copy.app.db).await.doing("putting the log back")?;
        let refused = refused?;
        expect(refused == StatusCode::SERVICE_UNAVAILABLE, format!("the chart was answered {refused}"))?;
        let restored = self.chart_status(&subject).await?;
        expect(restored == StatusCode::OK, format!("with the log back the chart was answered {restored}"))?;
        Ok("withheld; with the log back it was shown".to_owned())
    }

    async fn forged_key(&mut self, copy: &Copy) -> Measured {
        let subject = self.subject().await?;
        let rows = sqlx::query("SELECT rowid, wrapped FROM phi_keys_row WHERE kind = 2").fetch_all(&copy.app.db).await;
        for row in rows.doing("reading key rows")? {
            let (id, mut wrapped): (i64, Vec<u8>) =
                (row.try_get("rowid").doing("reading a key row")?, row.try_get("wrapped").doing("reading a key row")?);
            flip(&mut wrapped);
            let query = sqlx::query("UPDATE phi_keys_row SET wrapped = ? WHERE rowid = ?");
            query.bind(wrapped).bind(id).execute(&copy.app.db).await.doing("forging a key row")?;
        }
        // Keys in memory are leased for a minute; the next sign-in is later than that. It needs a key of its own kind.
        copy.clock.advance(core::time::Duration::from_secs(120));
        let refused = self.chart_status(&subject).await?;
        expect(refused == StatusCode::SERVICE_UNAVAILABLE, format!("the chart was answered {refused}"))?;
        let found = copy.app.keys.data_key(&phi_keys::Scope::subject(&subject)).await.err();
        let reason = found.ok_or_else(|| Miss("the key was handed out".to_owned()))?;
        expect(matches!(reason, phi_keys::Error::RowRejected(_)), &reason)?;
        Ok("refused: the row does not carry the store root key's MAC".to_owned())
    }

    async fn chart_status(&mut self, subject: &SubjectId) -> Result<StatusCode, Miss> {
        let reply = self.clinician.browser.get(&format!("/patients/{}", subject.expose())).await?;
        let name = shown(self.patient.name.expose());
        expect(reply.status == StatusCode::OK || !reply.body.contains(&name), "the refusal names the patient")?;
        Ok(reply.status)
    }

    async fn column(&self, copy: &Copy, query: &'static str, subject: &SubjectId) -> Result<Vec<u8>, Miss> {
        let row = sqlx::query(query).bind(subject.expose()).fetch_one(&copy.app.db).await.doing("reading a column")?;
        Ok(row.try_get(0).doing("reading a column")?)
    }
}

async fn set(copy: &Copy, query: &'static str, value: &[u8], subject: &SubjectId) -> Result<(), Miss> {
    let query = sqlx::query(query).bind(value).bind(subject.expose());
    query.execute(&copy.app.db).await.doing("changing a column")?;
    Ok(())
}

/// One bit in the middle.
pub(super) fn flip(bytes: &mut [u8]) {
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 1;
    }
}
