//! From a token to a session, or to the reason why not.

use std::sync::Arc;

use phi_types::Timestamp;

use super::Sessions;
use crate::state::{Presence, Verdict, evaluate, extend};
use crate::{
    Denied, EndReason, Selector, Session, SessionError, SessionInfo, Stamp, StoreError, Stored, Token, TokenHash,
    Tombstone, Touched,
};

/// What a loaded row is worth, before anything is written.
enum Judged {
    Live(Session),
    /// Live, and this is to be written first.
    Touch(Session, Stamp),
    /// Dead of time, and nobody has said so yet.
    Expired(Stored, EndReason),
    Denied(Denied),
}

impl Sessions {
    /// The live session of a token; extends it when `presence` is [`Presence::User`].
    ///
    /// # Errors
    /// [`SessionError::Denied`] when there is none; [`SessionError::Store`] or [`SessionError::Record`] when that
    /// cannot be known or an expiry that it met cannot be recorded.
    pub async fn authenticate(&self, token: &Token, presence: Presence) -> Result<Session, SessionError> {
        self.authenticate_hash(self.0.key.hash(token), presence).await
    }

    /// Looks again at a session that was live, without extending it: before every message of a WebSocket or another
    /// conversation that outlives a request.
    ///
    /// # Errors
    /// As [`authenticate`](Self::authenticate). A session whose token was rotated since is [`Denied::Unknown`].
    pub async fn recheck(&self, session: &Session) -> Result<Session, SessionError> {
        let stored = self.load(session.row.token_hash).await?;
        match self.judge(stored, session.row.token_hash, Presence::Passive) {
            Judged::Live(session) | Judged::Touch(session, _) => Ok(session),
            Judged::Expired(stored, reason) => self.expire(&stored, reason).await,
            Judged::Denied(denied) => Err(denied.into()),
        }
    }

    #[cfg(feature = "tower")]
    pub(crate) fn hash(&self, token: &str) -> Option<TokenHash> {
        Token::is_canonical(token).then(|| self.0.key.hash_text(token))
    }

    #[cfg(feature = "tower")]
    /// The session, if the store can say at once and nothing has to be written.
    pub(crate) fn authenticate_now(&self, hash: &TokenHash, presence: Presence) -> Option<Session> {
        match self.judge(self.0.store.load_now(hash)?, *hash, presence) {
            Judged::Live(session) => Some(session),
            _ => None,
        }
    }

    pub(crate) async fn authenticate_hash(&self, hash: TokenHash, presence: Presence) -> Result<Session, SessionError> {
        match self.judge(self.load(hash).await?, hash, presence) {
            Judged::Live(session) => Ok(session),
            Judged::Touch(session, stamp) => {
                match self.0.store.touch(hash, session.row.version, stamp, session.at).await? {
                    Touched::Live => Ok(session),
                    Touched::Gone => Err(Denied::Unknown.into()),
                }
            }
            Judged::Expired(stored, reason) => self.expire(&stored, reason).await,
            Judged::Denied(denied) => {
                match denied {
                    Denied::Unknown => self.tally(&self.0.unknown).await?,
                    Denied::Forged => self.tally(&self.0.forged).await?,
                    Denied::ClockFault => self.tally(&self.0.skewed).await?,
                    Denied::Missing | Denied::Malformed | Denied::Ended(_) => {}
                }
                Err(denied.into())
            }
        }
    }

    async fn load(&self, hash: TokenHash) -> Result<Option<Stored>, SessionError> {
        match self.0.store.load(hash).await {
            // A row that no version of this crate writes is as good as one with a wrong MAC.
            Err(StoreError::Corrupt) => {
                self.tally(&self.0.forged).await?;
                Err(Denied::Forged.into())
            }
            other => Ok(other?),
        }
    }

    /// Gives an expired row its tombstone. Of several requests that notice, one reports.
    async fn expire(&self, stored: &Stored, reason: EndReason) -> Result<Session, SessionError> {
        let tombstone = Tombstone::new(reason, self.now());
        for ended in self.0.store.end(Selector::One(stored.row.public_id), tombstone).await? {
            self.report_end(&ended, None).await?;
        }
        Err(Denied::Ended(reason).into())
    }

    fn judge(&self, stored: Option<Stored>, hash: TokenHash, presence: Presence) -> Judged {
        let Some(mut stored) = stored else { return Judged::Denied(Denied::Unknown) };
        if !self.vouches_for(&stored) || stored.row.token_hash != hash {
            return Judged::Denied(Denied::Forged);
        }
        let now = self.now();
        let policy = &self.0.policy;
        let touch = extend(&stored, now, presence, policy).map(|(last_activity, idle_deadline)| {
            let mut stamp = Stamp { last_activity, idle_deadline, mac: [0; 32] };
            stamp.mac = self.0.key.stamp_mac(&stored.row, &stamp);
            stored.stamp = stamp;
            stamp
        });
        match (self.view(&stored, now), touch) {
            (Ok(session), None) => Judged::Live(session),
            (Ok(session), Some(stamp)) => Judged::Touch(session, stamp),
            (Err(Verdict::Expired { reason, .. }), _) => Judged::Expired(stored, reason),
            (Err(Verdict::Ended(reason)), _) => Judged::Denied(Denied::Ended(reason)),
            (Err(Verdict::ClockFault | Verdict::Active(_)), _) => Judged::Denied(Denied::ClockFault),
        }
    }

    pub(super) fn vouches_for(&self, stored: &Stored) -> bool {
        self.0.store.in_process() || self.0.key.vouches_for(&stored.row, &stored.stamp)
    }

    pub(super) fn view(&self, stored: &Stored, now: Timestamp) -> Result<Session, Verdict> {
        match evaluate(stored, now, &self.0.policy) {
            Verdict::Active(left) => Ok(Session { row: Arc::clone(&stored.row), at: now, left }),
            other => Err(other),
        }
    }

    pub(super) fn info(&self, stored: &Stored, now: Timestamp) -> Option<SessionInfo> {
        let session = self.view(stored, now).ok()?;
        Some(SessionInfo {
            public_id: session.public_id(),
            user: session.user().clone(),
            tenant: session.row.tenant.clone(),
            role: session.row.role.clone(),
            aal: session.aal(),
            created: session.created(),
            last_activity: stored.stamp.last_activity,
            deadline: session.deadline(),
        })
    }
}
