//! A session as the application sees it.
//!
//! ```
//! use core::time::Duration;
//! use phi_session::{Aal, Session, StepUp};
//!
//! fn prescribe(who: &Session) -> Result<(), StepUp> {
//!     who.require(Aal::Two)?;
//!     who.require_fresh(Aal::Two, Duration::from_secs(300))
//! }
//! ```

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use phi_types::{Actor, Timestamp};

use crate::state::Remaining;
use crate::{Aal, AuthEvent, PublicId, Row};

/// A session that was live when it was looked at. Cheap to clone; holds no secret that can be reached.
///
/// It is an observation, not a lease: keep it for one request, and ask [`Sessions::recheck`](crate::Sessions::recheck)
/// before each message of something that lasts longer.
#[derive(Clone)]
pub struct Session {
    pub(crate) row: Arc<Row>,
    pub(crate) at: Timestamp,
    pub(crate) left: Remaining,
}

impl Session {
    /// The name of the session that may be shown and logged.
    #[must_use]
    pub fn public_id(&self) -> PublicId {
        self.row.public_id
    }

    /// Whose session it is.
    #[must_use]
    pub fn user(&self) -> &Actor {
        &self.row.user
    }

    /// The organisation within a shared installation.
    #[must_use]
    pub fn tenant(&self) -> Option<&str> {
        self.row.tenant.as_deref()
    }

    /// The role that the application gave at login or by [`Change::Role`](crate::Change::Role).
    #[must_use]
    pub fn role(&self) -> Option<&str> {
        self.row.role.as_deref()
    }

    /// The extraordinary grant that the session holds, by its reference.
    #[must_use]
    pub fn grant(&self) -> Option<&str> {
        self.row.grant.as_deref()
    }

    /// When the user signed in.
    #[must_use]
    pub fn created(&self) -> Timestamp {
        self.row.created
    }

    /// Every authentication of the session, oldest first.
    #[must_use]
    pub fn auth_events(&self) -> &[AuthEvent] {
        &self.row.auth
    }

    /// The highest level that any authentication of the session proved.
    #[must_use]
    pub fn aal(&self) -> Option<Aal> {
        self.row.auth.iter().map(|event| event.aal).max()
    }

    /// The first instant at which the session is dead if no activity follows.
    #[must_use]
    pub fn deadline(&self) -> Timestamp {
        self.left.deadline
    }

    /// The time until the idle deadline, as of this request.
    #[must_use]
    pub fn idle_left(&self) -> Duration {
        self.left.idle
    }

    /// The time until the absolute deadline, as of this request.
    #[must_use]
    pub fn absolute_left(&self) -> Duration {
        self.left.absolute
    }

    /// Whether the user is to be warned that the session is about to end.
    #[must_use]
    pub fn warns(&self) -> bool {
        self.left.warn
    }

    /// Demands a level of authentication, however long ago.
    ///
    /// # Errors
    /// [`StepUp`] when no authentication of the session proved it.
    pub fn require(&self, aal: Aal) -> Result<(), StepUp> {
        self.check(aal, None)
    }

    /// Demands a level of authentication less than `max_age` ago (RFC 9470).
    ///
    /// # Errors
    /// [`StepUp`] when no authentication of the session proved it, or none within that time.
    pub fn require_fresh(&self, aal: Aal, max_age: Duration) -> Result<(), StepUp> {
        self.check(aal, Some(max_age))
    }

    fn check(&self, aal: Aal, max_age: Option<Duration>) -> Result<(), StepUp> {
        let fresh = |event: &AuthEvent| max_age.is_none_or(|max_age| self.at.saturating_since(event.at) < max_age);
        if self.row.auth.iter().any(|event| event.aal >= aal && fresh(event)) {
            Ok(())
        } else {
            Err(StepUp { aal, max_age })
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("public_id", &self.row.public_id)
            .field("user", &self.row.user)
            .field("aal", &self.aal())
            .field("deadline", &self.left.deadline)
            .finish_non_exhaustive()
    }
}

/// The session is live, but the user has to authenticate again or with more factors (RFC 9470).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StepUp {
    /// The level that is needed.
    pub aal: Aal,
    /// How recently, when that matters.
    pub max_age: Option<Duration>,
}

impl fmt::Display for StepUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this needs an authentication at {}", self.aal)?;
        match self.max_age {
            Some(max_age) => write!(f, " less than {} seconds ago", max_age.as_secs()),
            None => Ok(()),
        }
    }
}

impl core::error::Error for StepUp {}

/// A live session in a list. It cannot be used in place of a [`Session`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionInfo {
    /// The name by which [`Sessions::revoke`](crate::Sessions::revoke) ends it.
    pub public_id: PublicId,
    /// Whose it is.
    pub user: Actor,
    /// The organisation within a shared installation.
    pub tenant: Option<String>,
    /// The role of the session.
    pub role: Option<String>,
    /// The highest level that was proved.
    pub aal: Option<Aal>,
    /// When the user signed in.
    pub created: Timestamp,
    /// The last user activity that was written; up to one coalescing window old.
    pub last_activity: Timestamp,
    /// The first instant at which it is dead if no activity follows.
    pub deadline: Timestamp,
}
