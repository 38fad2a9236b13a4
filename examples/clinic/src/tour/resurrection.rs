//! A database from before a patient's key was destroyed, put back.

use std::fs;

use phi_keys::{Error, FileAnchor, Keys, KeysBuilder, Scope, SqliteKeyStore};

use super::Tour;
use super::step::{Measured, Miss, expect};
use crate::app::TENANT;
use crate::failure::{Doing, Failure};
use crate::folder::Folder;

impl Tour<'_> {
    /// A backup of the database, as it is now, in a folder of its own.
    pub(super) async fn backup(&self) -> Result<(), Failure> {
        self.remove_copy()?;
        let copy = Folder::prepare(&self.copy_root())?;
        self.copy_database(&copy.database()).await
    }

    /// Only the database is from the backup. The anchor is where a backup of the database does not reach.
    pub(super) async fn restored(&self) -> Measured {
        let copy = Folder::prepare(&self.copy_root())?;
        for (from, to, what) in [
            (self.folder.keyring(), copy.keyring(), "the copy's keyring"),
            (self.folder.key_anchor(), copy.key_anchor(), "the copy's anchor"),
        ] {
            fs::copy(from, to).map_err(Failure::file(what))?;
        }
        let db = crate::db::open(&copy.database()).await?;
        let open = || -> Result<KeysBuilder, Failure> {
            let anchor = FileAnchor::open(copy.key_anchor()).doing("opening the copy's anchor")?;
            let store = SqliteKeyStore::new(db.clone());
            Ok(Keys::builder(store).kek(copy.open_keyring(self.lock)?).anchor(anchor).tenant(TENANT))
        };
        let refused = open()?.build().await;
        expect(matches!(refused, Err(Error::RolledBack { .. })), "the older store was opened")?;
        let keys = open()?.dangerous_accept_rollback().build().await.doing("accepting the older store")?;
        let replayed = keys.replayed().subjects;
        expect(replayed == 1, format!("{replayed} patients were forgotten again"))?;
        let subject = self.shredded.as_ref().ok_or_else(|| Miss("nobody was forgotten before".to_owned()))?;
        let key = keys.data_key(&Scope::subject(subject)).await;
        expect(matches!(key, Err(Error::Shredded)), "the patient's key is back")?;
        db.close().await;
        self.remove_copy()?;
        Ok("refused as older than its anchor; accepted on purpose, the patient's key was destroyed again".to_owned())
    }
}
