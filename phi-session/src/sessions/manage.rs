//! Ends, lists and sweeps sessions.

use phi_types::Actor;

use super::Sessions;
#[cfg(feature = "tower")]
use crate::TokenHash;
use crate::{EndReason, PublicId, Selector, Session, SessionError, SessionInfo, Tombstone};

/// Rows that one sweep takes at a time, so that no write lock is held for long.
const BATCH: u32 = 500;

impl Sessions {
    /// Ends the session at its user's wish. It stays ended whatever else is under way.
    ///
    /// # Errors
    /// [`SessionError::Store`] when the store failed: tell the user that the session may still be live.
    /// [`SessionError::Record`] when the session ended but the log could not be told; a later
    /// [`sweep`](Self::sweep) tells it.
    pub async fn logout(&self, session: &Session) -> Result<(), SessionError> {
        let tombstone = Tombstone::new(EndReason::Logout, self.now()).by(session.user().to_string());
        self.end(Selector::One(session.public_id()), tombstone, None).await.map(|_| ())
    }

    /// As [`logout`](Self::logout), for a session that cannot be used now because it lies in the future: by the time that
    /// a clock has caught up it would be live again.
    #[cfg(feature = "tower")]
    pub(crate) async fn logout_by_hash(&self, hash: TokenHash) -> Result<(), SessionError> {
        match self.0.store.load(hash).await? {
            Some(stored) if stored.row.token_hash == hash && self.vouches_for(&stored) => {
                let tombstone = Tombstone::new(EndReason::Logout, self.now()).by(stored.row.user.to_string());
                self.end(Selector::One(stored.row.public_id), tombstone, None).await.map(|_| ())
            }
            _ => Ok(()),
        }
    }

    /// Ends a session by its public id; says whether it was live.
    ///
    /// # Errors
    /// As [`logout`](Self::logout).
    pub async fn revoke(&self, id: PublicId, by: &Actor) -> Result<bool, SessionError> {
        self.end_by(Selector::One(id), by).await.map(|count| count > 0)
    }

    /// Ends all of a user's sessions and says how many: when an account is disabled, deleted or taken over.
    ///
    /// # Errors
    /// As [`logout`](Self::logout).
    pub async fn revoke_user(&self, user: &Actor, by: &Actor) -> Result<u64, SessionError> {
        self.end_by(Selector::User(user.clone()), by).await
    }

    /// Ends all sessions of this session's user but this one, and says how many: after a change of a factor.
    ///
    /// # Errors
    /// As [`logout`](Self::logout).
    pub async fn revoke_others(&self, session: &Session) -> Result<u64, SessionError> {
        self.end_by(Selector::Others(session.user().clone(), session.public_id()), session.user()).await
    }

    /// Ends every session of the store, and says how many.
    ///
    /// # Errors
    /// As [`logout`](Self::logout).
    pub async fn revoke_all(&self, by: &Actor) -> Result<u64, SessionError> {
        self.end_by(Selector::All, by).await
    }

    /// The user's live sessions, the oldest first, at most 1,000. A row without our MAC is left out and counted.
    ///
    /// # Errors
    /// [`SessionError::Store`] or [`SessionError::Record`].
    pub async fn list(&self, user: &Actor) -> Result<Vec<SessionInfo>, SessionError> {
        self.select(Selector::User(user.clone())).await
    }

    /// Everybody's live sessions, for an administrator, the oldest first, at most 1,000.
    ///
    /// # Errors
    /// [`SessionError::Store`] or [`SessionError::Record`].
    pub async fn list_all(&self) -> Result<Vec<SessionInfo>, SessionError> {
        self.select(Selector::All).await
    }

    /// Reports sessions that expired without a further request, repeats reports that were lost, and removes what is
    /// long over. Call it about once a minute; it says how many ends it reported.
    ///
    /// Nothing depends on it for access: an expired session is dead whether it was swept or not.
    ///
    /// # Errors
    /// [`SessionError::Store`] or [`SessionError::Record`]; what was not reported is reported by a later call.
    pub async fn sweep(&self) -> Result<u64, SessionError> {
        self.flush_tallies().await?;
        let mut reported = 0;
        loop {
            let swept = self.0.store.sweep(self.now(), BATCH).await?;
            for ended in &swept.ended {
                self.report_end(ended, None).await?;
                reported += 1;
            }
            if swept.ended.is_empty() && swept.deleted == 0 {
                return Ok(reported);
            }
        }
    }

    async fn end_by(&self, selector: Selector, by: &Actor) -> Result<u64, SessionError> {
        let tombstone = Tombstone::new(EndReason::Revoked, self.now()).by(by.to_string());
        self.end(selector, tombstone, Some(by)).await
    }

    async fn end(&self, selector: Selector, tombstone: Tombstone, by: Option<&Actor>) -> Result<u64, SessionError> {
        let ended = self.0.store.end(selector, tombstone).await?;
        let mut count = 0;
        for ended in &ended {
            self.report_end(ended, by).await?;
            count += 1;
        }
        Ok(count)
    }

    async fn select(&self, selector: Selector) -> Result<Vec<SessionInfo>, SessionError> {
        let rows = self.0.store.list(&selector).await?;
        let now = self.now();
        let mut out = Vec::with_capacity(rows.len());
        for stored in &rows {
            if self.vouches_for(stored) {
                out.extend(self.info(stored, now));
            } else {
                self.tally(&self.0.forged).await?;
            }
        }
        Ok(out)
    }
}
