//! The service that ties the state machine to a store, a key, a clock and a recorder.
//!
//! ```
//! use phi_session::state::Presence;
//! use phi_session::{Aal, Login, MemorySessionStore, Method, Sessions, TokenKey};
//! use phi_types::{Actor, NoRecorder};
//! use zeroize::Zeroizing;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let sessions = Sessions::builder(MemorySessionStore::new())
//!     .token_key(TokenKey::from_bytes(Zeroizing::new([7; 32]))?) // from a key store, not from a constant
//!     .recorder(NoRecorder) // phi-audit's recorder in an application
//!     .build();
//!
//! let osei = Actor::human("dr.osei@clinic.example")?;
//! let first = sessions.login(Login::new(osei, Aal::One, Method::Password), None).await?;
//! let second = sessions.step_up(&first.session, Aal::Two, Method::Totp).await?;
//!
//! assert!(sessions.authenticate(&first.token, Presence::User).await.is_err());
//! let session = sessions.authenticate(&second.token, Presence::User).await?;
//! session.require(Aal::Two)?;
//! sessions.logout(&session).await?;
//! # Ok(())
//! # }
//! ```

mod authenticate;
mod builder;
mod events;
mod issue;
mod manage;

use core::fmt;
use core::sync::atomic::{AtomicI64, Ordering};
use std::sync::Arc;

use phi_types::{Clock, Recorder, Timestamp};

pub use builder::{Missing, SessionsBuilder};
pub use issue::{Change, Issued, Login};

use crate::{Policy, SessionStore, TokenKey};
use events::Tally;

/// The sessions of an application. Cheap to clone; clones are the same service.
#[derive(Clone)]
pub struct Sessions(Arc<Inner>);

struct Inner {
    store: Box<dyn SessionStore>,
    key: TokenKey,
    policy: Policy,
    clock: Arc<dyn Clock>,
    recorder: Box<dyn Recorder>,
    /// The largest difference of wall and monotonic clock that was seen, in microseconds.
    offset: AtomicI64,
    unknown: Tally,
    forged: Tally,
    skewed: Tally,
}

impl Sessions {
    /// Starts with a store; a token key and a recorder have to follow.
    #[must_use]
    pub fn builder(store: impl SessionStore) -> SessionsBuilder<Missing, Missing> {
        SessionsBuilder::new(Box::new(store))
    }

    /// The policy that is in force.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.0.policy
    }

    /// The time that deadlines are compared with: the wall clock, but never behind what it once showed plus the
    /// monotonic time since. So a clock that is set back extends no session.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let Inner { clock, offset, .. } = &*self.0;
        // The wall clock first: a pause between both calls can then only make the difference smaller.
        let wall = clock.now().as_unix_micros();
        let monotonic = i64::try_from(clock.monotonic().as_micros()).unwrap_or(i64::MAX);
        let seen = wall.saturating_sub(monotonic);
        let mut largest = offset.load(Ordering::Relaxed);
        if seen > largest {
            largest = offset.fetch_max(seen, Ordering::Relaxed).max(seen);
        }
        Timestamp::from_unix_micros(monotonic.saturating_add(largest))
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("policy", &self.0.policy).field("store", &self.0.store).finish_non_exhaustive()
    }
}
