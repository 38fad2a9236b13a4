//! The parts of a clinic, put together: what `main` of any application of this kind looks like.

use std::sync::Arc;

use phi_audit::{AuditLog, SqliteAuditStore};
use phi_keys::{Keys, LocalKeyring, Rewrapped, SqliteKeyStore};
use phi_session::{Policy, Sessions, SqliteSessionStore, TokenKey};
use phi_types::{Action, Activity, Actor, Clock, Outcome};
use sqlx::SqlitePool;

use crate::auth::{Accounts, Credentials, Role};
use crate::db;
use crate::failure::{Doing, Failure};
use crate::folder::{Folder, Lock};
use crate::records::Records;

/// The name of the audit log, unique in the world; a deployment takes one of its own domain.
const ORIGIN: &str = "clinic.example/audit";
/// Whose keys these are.
pub(crate) const TENANT: &str = "clinic";

/// An open clinic. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) db: SqlitePool,
    pub(crate) keys: Keys,
    pub(crate) audit: AuditLog,
    pub(crate) sessions: Sessions,
    pub(crate) accounts: Accounts,
    pub(crate) records: Records,
    pub(crate) clock: Arc<dyn Clock>,
    keyring: LocalKeyring,
}

impl App {
    /// Opens the clinic of a folder, setting it up when it is new.
    pub(crate) async fn open(folder: &Folder, lock: &Lock, clock: Arc<dyn Clock>) -> Result<Self, Failure> {
        let keyring = folder.open_keyring(lock)?;
        let anchor = folder.open_anchor()?;
        let db = db::open(&folder.database()).await?;
        let keys = Keys::builder(SqliteKeyStore::new(db.clone()))
            .kek(keyring.clone())
            .anchor(anchor)
            .tenant(TENANT)
            .clock(Arc::clone(&clock))
            .build()
            .await
            .doing("opening the key store")?;
        let audit = AuditLog::builder(SqliteAuditStore::new(db.clone()))
            .keys(keys.clone())
            .origin(ORIGIN)
            .high_water_mark(folder.high_water_mark())
            .clock(Arc::clone(&clock))
            .open()
            .await
            .doing("opening the audit log")?;
        let store = SqliteSessionStore::open(db.clone()).await.doing("opening the session store")?;
        let token_key = TokenKey::from_bytes(keys.session_key().await.doing("obtaining the session key")?);
        let sessions = Sessions::builder(store)
            .token_key(token_key.doing("obtaining the session key")?)
            .policy(Policy::default())
            .clock(Arc::clone(&clock))
            .recorder(audit.recorder())
            .build();
        let accounts = Accounts::new(db.clone(), &keys, Arc::clone(&clock));
        let records = Records::new(db.clone(), keys.clone());
        Ok(Self { db, keys, audit, sessions, accounts, records, clock, keyring })
    }

    /// Records what happened; what it describes must not happen when this fails.
    pub(crate) async fn record(&self, activity: Activity) -> Result<(), Failure> {
        self.audit.recorder().record(activity).await.doing("recording an event")
    }

    /// Gives somebody a new password and a new code secret, and ends whatever the old ones opened.
    pub(crate) async fn issue_account(&self, login: &'static str, role: Role) -> Result<Credentials, Failure> {
        const DOING: &str = "issuing an account";
        let (user, setup) = (Actor::human(login).doing(DOING)?, Actor::service("clinic-setup").doing(DOING)?);
        let issued = Activity::new("account.issue", Action::Update, Outcome::Success, self.clock.now())
            .by(setup.clone())
            .with("account", login)
            .with("role", role.as_str());
        self.record(issued).await?;
        let credentials = self.accounts.issue(login, role).await?;
        self.sessions.revoke_user(&user, &setup).await.doing(DOING)?;
        Ok(credentials)
    }

    /// The key-encryption key that wraps now.
    pub(crate) fn kek(&self) -> String {
        format!("{} version {}", self.keyring.id(), self.keyring.version())
    }

    /// Makes a new version of the key-encryption key and puts every domain key under it.
    pub(crate) async fn rotate_kek(&self) -> Result<Rewrapped, Failure> {
        self.keyring.rotate().doing("rotating the keyring")?;
        self.keys.rewrap().await.doing("rewrapping the domain keys")
    }
}
