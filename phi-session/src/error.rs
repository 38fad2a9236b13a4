//! What can go wrong.
//!
//! ```
//! use phi_session::{Denied, SessionError};
//!
//! assert_eq!(SessionError::from(Denied::Missing).to_string(), "no live session: sign in");
//! ```

use core::fmt;
use std::error::Error;

use phi_types::RecordError;

use crate::{EndReason, RandomError, StoreError};

/// Why a request has no session.
///
/// `Display` says the same for all of them: which one it was is for the audit log, not for whoever tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Denied {
    /// It carried no token.
    Missing,
    /// It carried what is no token, or several different ones.
    Malformed,
    /// No live session has this token: it never existed, was rotated away, or ended and was swept.
    Unknown,
    /// The session ended.
    Ended(EndReason),
    /// The stored row does not carry our MAC.
    Forged,
    /// The stored row lies in the future, so a clock is wrong.
    ClockFault,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no live session: sign in")
    }
}

impl Error for Denied {}

/// Why [`Sessions`](crate::Sessions) did not do what it was asked. In every case: no session, no access.
#[derive(Debug)]
#[non_exhaustive]
pub enum SessionError {
    /// There is no live session.
    Denied(Denied),
    /// Another request rotated the session at the same time; that one's answer carries the new token.
    Conflict,
    /// The application claimed a level that its methods cannot prove, such as two factors by a password alone.
    Unproven,
    /// The store failed.
    Store(StoreError),
    /// The activity could not be made durable, so it did not take effect; an end of a session did.
    Record(RecordError),
    /// There were no random bytes for a token.
    Random(RandomError),
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(denied) => denied.fmt(f),
            Self::Conflict => f.write_str("another request changed the session at the same time: try again"),
            Self::Unproven => f.write_str(
                "these methods cannot prove this level: name every factor, a password at AAL1 and then the code at AAL2",
            ),
            Self::Store(error) => error.fmt(f),
            Self::Record(error) => error.fmt(f),
            Self::Random(error) => error.fmt(f),
        }
    }
}

impl Error for SessionError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Denied(_) | Self::Conflict | Self::Unproven => None,
            Self::Store(error) => error.source(),
            Self::Record(error) => error.source(),
            Self::Random(error) => error.source(),
        }
    }
}

impl From<Denied> for SessionError {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

impl From<StoreError> for SessionError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<RecordError> for SessionError {
    fn from(error: RecordError) -> Self {
        Self::Record(error)
    }
}

impl From<RandomError> for SessionError {
    fn from(error: RandomError) -> Self {
        Self::Random(error)
    }
}
