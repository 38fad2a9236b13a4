//! Logins and rotations: everything that hands out a new token.

use std::sync::Arc;

use phi_types::{Actor, Timestamp};

use super::Sessions;
use crate::state::begin;
use crate::{
    Aal, AuthEvent, Denied, EndReason, Method, PublicId, Rotated, Row, Selector, Session, SessionError, Stamp,
    StoreError, Token, TokenHash, Tombstone,
};

/// A user whose authentication the application has verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    user: Actor,
    aal: Aal,
    method: Method,
    tenant: Option<String>,
    role: Option<String>,
}

impl Login {
    /// This user proved this level with this authenticator, just now.
    #[must_use]
    pub const fn new(user: Actor, aal: Aal, method: Method) -> Self {
        Self { user, aal, method, tenant: None, role: None }
    }

    /// In which organisation of a shared installation.
    #[must_use]
    pub fn in_tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// In which role.
    #[must_use]
    pub fn with_role(mut self, role: impl Into<String>) -> Self {
        self.role = Some(role.into());
        self
    }
}

/// A change of what a session may do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// The session now acts in this role, or in none.
    Role(Option<String>),
    /// The session now holds this grant, by a reference without PHI, or none.
    Grant(Option<String>),
}

/// A new token and the session that it opens.
#[derive(Debug)]
#[non_exhaustive]
pub struct Issued {
    /// For the cookie, and for nothing else.
    pub token: Token,
    /// The session.
    pub session: Session,
}

impl Sessions {
    /// Begins a session. The session of the token that the request presented, if any, ends: nobody can plant a token
    /// and wait for its victim to sign in.
    ///
    /// Where several factors are verified in one request, sign in with the first and step up with the second.
    ///
    /// # Errors
    /// [`SessionError`]; no session begins then. [`SessionError::Unproven`] when the method cannot prove the level.
    pub async fn login(&self, login: Login, presented: Option<&Token>) -> Result<Issued, SessionError> {
        self.login_over(login, presented.map(|token| self.0.key.hash(token))).await
    }

    pub(crate) async fn login_over(&self, login: Login, old: Option<TokenHash>) -> Result<Issued, SessionError> {
        if !AuthEvent::prove(&[AuthEvent::new(login.aal, login.method, self.now())], login.aal) {
            return Err(SessionError::Unproven);
        }
        let old = match old.map(|old| self.0.store.load(old)) {
            Some(loading) => match loading.await {
                // A damaged row opens nothing; it must not keep its user from signing in again.
                Err(StoreError::Corrupt) => None,
                other => other?,
            },
            None => None,
        };
        if let Some(old) = old {
            let tombstone = Tombstone::new(EndReason::Replaced, self.now());
            for ended in self.0.store.end(Selector::One(old.row.public_id), tombstone).await? {
                self.report_end(&ended, None).await?;
            }
        }
        let token = Token::generate()?;
        let now = self.now();
        let (absolute_deadline, idle_deadline) = begin(now, &self.0.policy);
        let row = Row {
            public_id: PublicId::generate()?,
            token_hash: self.0.key.hash(&token),
            user: login.user,
            tenant: login.tenant,
            role: login.role,
            created: now,
            absolute_deadline,
            auth: vec![AuthEvent::new(login.aal, login.method, now)],
            grant: None,
            version: 1,
            mac: [0; 32],
        };
        let (row, stamp) = self.sign(row, now, idle_deadline);
        let evicted = Tombstone::new(EndReason::Evicted, now);
        let limit = self.0.policy.max_sessions();
        let evicted = self.0.store.create(Arc::clone(&row), stamp, now, limit, evicted).await?;
        let recorded = async {
            for ended in &evicted {
                self.report_end(ended, None).await?;
            }
            let activity = self.activity("session.login", &row);
            self.record(activity.with("aal", u64::from(login.aal.level())).with("method", login.method.amr())).await
        };
        if let Err(error) = recorded.await {
            return self.withdraw(&row, error).await;
        }
        self.issued(token, row, stamp, now)
    }

    /// Notes a further authentication of the session's user and replaces the token; the old one is dead at once. The
    /// idle deadline starts anew, the absolute deadline stays.
    ///
    /// `aal` is the level that the session has proved *with* this authenticator: a one-time code after a password is
    /// [`Aal::Two`].
    ///
    /// # Errors
    /// [`SessionError`]; [`SessionError::Conflict`] when another request rotated the session first,
    /// [`SessionError::Unproven`] when the session's methods cannot prove the level.
    pub async fn step_up(&self, session: &Session, aal: Aal, method: Method) -> Result<Issued, SessionError> {
        let now = self.now();
        let mut row = Row::clone(&session.row);
        AuthEvent::add(&mut row.auth, AuthEvent::new(aal, method, now));
        if !AuthEvent::prove(&row.auth, aal) {
            return Err(SessionError::Unproven);
        }
        let details =
            |activity: phi_types::Activity| activity.with("aal", u64::from(aal.level())).with("method", method.amr());
        self.rotate(session, row, now, "session.step_up", details).await
    }

    /// Changes what the session may do and replaces the token; the old one is dead at once.
    ///
    /// # Errors
    /// [`SessionError`]; [`SessionError::Conflict`] when another request rotated the session first.
    pub async fn change(&self, session: &Session, change: Change) -> Result<Issued, SessionError> {
        let mut row = Row::clone(&session.row);
        let (what, to) = match change {
            Change::Role(role) => {
                row.role.clone_from(&role);
                ("role", role)
            }
            Change::Grant(grant) => {
                row.grant.clone_from(&grant);
                ("grant", grant)
            }
        };
        let details = |activity: phi_types::Activity| activity.with(what, to.unwrap_or_else(|| "none".to_owned()));
        self.rotate(session, row, self.now(), "session.change", details).await
    }

    async fn rotate(
        &self,
        session: &Session,
        mut row: Row,
        now: Timestamp,
        kind: &'static str,
        details: impl FnOnce(phi_types::Activity) -> phi_types::Activity + Send,
    ) -> Result<Issued, SessionError> {
        if now >= session.left.deadline {
            return Err(Denied::Unknown.into());
        }
        let (old, version) = (row.token_hash, row.version);
        let token = Token::generate()?;
        row.token_hash = self.0.key.hash(&token);
        row.version = version.saturating_add(1);
        let idle = now.saturating_add(self.0.policy.idle()).min(row.absolute_deadline);
        let (row, stamp) = self.sign(row, now, idle);
        match self.0.store.rotate(old, version, Arc::clone(&row), stamp, now).await? {
            Rotated::Won => {}
            Rotated::Lost => return Err(SessionError::Conflict),
            Rotated::Gone => return Err(Denied::Unknown.into()),
        }
        let activity = details(self.activity(kind, &row));
        if let Err(error) = self.record(activity).await {
            return self.withdraw(&row, error).await;
        }
        self.issued(token, row, stamp, now)
    }

    fn sign(&self, mut row: Row, now: Timestamp, idle_deadline: Timestamp) -> (Arc<Row>, Stamp) {
        row.mac = self.0.key.row_mac(&row);
        let mut stamp = Stamp { last_activity: now, idle_deadline, mac: [0; 32] };
        stamp.mac = self.0.key.stamp_mac(&row, &stamp);
        (Arc::new(row), stamp)
    }

    fn issued(&self, token: Token, row: Arc<Row>, stamp: Stamp, now: Timestamp) -> Result<Issued, SessionError> {
        let stored = crate::Stored { row, stamp, ended: None };
        let session = self.view(&stored, now).map_err(|_| Denied::ClockFault)?;
        Ok(Issued { token, session })
    }

    /// Ends what could not be recorded. Its token has not left and never will, so the session is unreachable even if
    /// the store fails now.
    async fn withdraw(&self, row: &Row, error: SessionError) -> Result<Issued, SessionError> {
        let tombstone = Tombstone::new(EndReason::Unrecorded, self.now());
        self.0.store.end(Selector::One(row.public_id), tombstone).await?;
        Err(error)
    }
}
