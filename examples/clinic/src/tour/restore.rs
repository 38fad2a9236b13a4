//! The copy's files, once it has stopped: an altered log, and an old database put back.

use std::fs;
use std::sync::Arc;

use phi_audit::{SqliteAuditStore, verify_store};
use phi_types::SystemClock;
use sqlx::Row;

use super::Tour;
use super::step::{Measured, Miss, expect};
use super::tampering::flip;
use crate::app::App;
use crate::failure::{Doing, Failure};
use crate::folder::Folder;

impl Tour<'_> {
    pub(super) async fn restore(&mut self, folder: &Folder) {
        let named = self.altered_entry(folder).await;
        self.line("164.312(c)(2)", "one bit of an audit entry changed", named);
        let noticed = self.rolled_back(folder).await;
        self.line("164.308(a)(7)(ii)(B)", "an old backup put back in place of the database", noticed);
    }

    /// The offline verifier reads the file alone; all it is told is the public key.
    async fn altered_entry(&self, folder: &Folder) -> Measured {
        let database = folder.database();
        let pool = crate::db::open(&database).await?;
        let size = "SELECT count(*) FROM phi_audit_entry";
        let size: i64 =
            sqlx::query(size).fetch_one(&pool).await.doing("counting entries")?.try_get(0).doing("counting entries")?;
        let index = size / 2;
        let row = sqlx::query("SELECT entry FROM phi_audit_entry WHERE idx = ?").bind(index).fetch_one(&pool).await;
        let mut entry: Vec<u8> = row.doing("reading an entry")?.try_get(0).doing("reading an entry")?;
        flip(&mut entry);
        let query = sqlx::query("UPDATE phi_audit_entry SET entry = ? WHERE idx = ?").bind(entry).bind(index);
        query.execute(&pool).await.doing("altering an entry")?;
        pool.close().await;

        let store = SqliteAuditStore::open_read_only(&database).await.doing("opening the log for verification")?;
        let report = verify_store(&store, self.app.audit.verifier_key(), None, &mut |_, _| {}).await;
        let report = report.doing("verifying the log")?;
        let wrong = report.first_wrong().ok_or_else(|| Miss("the verifier noticed nothing".to_owned()))?;
        expect(wrong.index == u64::try_from(index).ok(), format!("the verifier named {wrong}"))?;
        Ok(format!("the offline verifier named entry {index} of {size}"))
    }

    async fn rolled_back(&self, folder: &Folder) -> Measured {
        let database = folder.database();
        for end in ["-wal", "-shm"] {
            let mut path = database.clone().into_os_string();
            path.push(end);
            if let Err(error) = fs::remove_file(path)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                return Err(Failure::file("the copy's journal")(error).into());
            }
        }
        fs::rename(folder.root().join("backup.db"), &database).map_err(Failure::file("the backup"))?;
        match App::open(folder, self.lock, Arc::new(SystemClock::new())).await {
            Ok(_) => Err(Miss("the clinic started as if nothing had happened".to_owned())),
            Err(failure) => match failure.cause::<phi_audit::Error>() {
                Some(phi_audit::Error::RolledBack { stored, known }) => Ok(format!(
                    "the clinic refused to start: the log has {stored} entries, {known} by its high-water mark"
                )),
                _ => Err(Miss(format!("the clinic refused to start for another reason: {failure}"))),
            },
        }
    }
}
