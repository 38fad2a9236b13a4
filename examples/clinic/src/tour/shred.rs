//! A patient forgotten.

use axum::http::StatusCode;
use sqlx::Row;

use super::Tour;
use super::made_up::MadeUp;
use super::step::{Measured, Miss, expect};
use crate::failure::Doing;
use crate::leak::read_unclosed;
use crate::records::By;

impl Tour<'_> {
    pub(super) async fn shred(&mut self) {
        let shredded = self.shred_one().await;
        self.line("164.310(d)(2)(i)", "one patient's key destroyed", shredded);
        let forgotten = self.restored().await;
        self.line("164.310(d)(2)(i)", "a backup from before that restored, on a copy", forgotten);
    }

    /// On a patient made up for it, so that the tour can be taken again without using the clinic's patients up.
    async fn shred_one(&mut self) -> Measured {
        let MadeUp { known, subject } = MadeUp::store(self.app, &mut self.needles).await?;
        let chart = format!("/patients/{}", subject.expose());
        let reply = self.clinician.browser.get(&chart).await?;
        expect(reply.status == StatusCode::OK, format!("the chart was answered {} before", reply.status))?;
        let wrapped = self.newest_wrapped_key().await?;
        expect(self.files_hold(&wrapped)?, "the wrapped key was not found where it should be before")?;

        self.backup().await?;
        let number = known.mrn.expose();
        let form = [("mrn", number.as_str()), ("again", number.as_str())];
        let page = self.officer.browser.post("/keys/shred", &form).await?;
        expect(page.status == StatusCode::OK, format!("the officer was answered {}", page.status))?;
        let done = page.told().trim_end_matches('.').to_owned();
        self.recorded(&["key.shred_begin", "key.shred"]).await?;
        self.shredded = Some(subject.clone());

        let reply = self.clinician.browser.get(&chart).await?;
        expect(reply.status == StatusCode::GONE, format!("the chart was answered {} afterwards", reply.status))?;
        expect(
            self.app.records.find(By::Mrn, known.mrn.expose()).await?.is_empty(),
            "the record number still finds the patient",
        )?;
        expect(done.starts_with("Destroyed: 1 key and 3 index tags; nothing of them is left"), &done)?;
        expect(!self.files_hold(&wrapped)?, "bytes of the wrapped key are still in the database or its log")?;
        Ok("on the officer's page, 1 key and 3 index tags, gone from the database and its write-ahead log; \
            chart answered 410, search finds nobody"
            .to_owned())
    }

    /// The wrapped bytes of the data key that was made last.
    async fn newest_wrapped_key(&self) -> Result<Vec<u8>, Miss> {
        let query = "SELECT wrapped FROM phi_keys_row WHERE kind = 2 ORDER BY rowid DESC LIMIT 1";
        let row = sqlx::query(query).fetch_one(&self.app.db).await.doing("reading a key row")?;
        Ok(row.try_get("wrapped").doing("reading a key row")?)
    }

    /// Whether the database or a journal of it holds these bytes.
    fn files_hold(&self, needle: &[u8]) -> Result<bool, Miss> {
        let database = self.folder.database();
        for end in ["", "-wal", "-journal"] {
            let mut path = database.clone().into_os_string();
            path.push(end);
            let Ok(bytes) = read_unclosed(path.as_ref()) else { continue };
            if bytes.windows(needle.len()).any(|part| part == needle) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
