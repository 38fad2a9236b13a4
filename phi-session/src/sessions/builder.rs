//! How a [`Sessions`] comes into being: without a token key or a recorder there is no `build`.

use core::fmt;
use core::sync::atomic::AtomicI64;
use std::sync::Arc;

use phi_types::{Clock, Recorder, SystemClock};

use super::events::Tally;
use super::{Inner, Sessions};
use crate::{Policy, SessionStore, TokenKey};

/// Stands for what has not been given yet.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Missing;

/// Collects the parts of a [`Sessions`].
pub struct SessionsBuilder<K, R> {
    store: Box<dyn SessionStore>,
    key: K,
    recorder: R,
    policy: Policy,
    clock: Arc<dyn Clock>,
}

impl SessionsBuilder<Missing, Missing> {
    pub(super) fn new(store: Box<dyn SessionStore>) -> Self {
        Self { store, key: Missing, recorder: Missing, policy: Policy::default(), clock: Arc::new(SystemClock::new()) }
    }
}

impl<K, R> SessionsBuilder<K, R> {
    /// The key under which tokens are hashed and rows are signed.
    #[must_use]
    pub fn token_key(self, key: TokenKey) -> SessionsBuilder<TokenKey, R> {
        SessionsBuilder { store: self.store, key, recorder: self.recorder, policy: self.policy, clock: self.clock }
    }

    /// Where logins, logouts, logoffs and refusals are recorded. [`phi_types::NoRecorder`] has to be chosen by name.
    #[must_use]
    pub fn recorder(self, recorder: impl Recorder) -> SessionsBuilder<K, Box<dyn Recorder>> {
        let recorder = Box::new(recorder);
        SessionsBuilder { store: self.store, key: self.key, recorder, policy: self.policy, clock: self.clock }
    }

    /// The times after which sessions end; [`Policy::default`] unless given.
    #[must_use]
    pub fn policy(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    /// The source of time; [`SystemClock`] unless given.
    #[must_use]
    pub fn clock(self, clock: impl Clock) -> Self {
        Self { clock: Arc::new(clock), ..self }
    }
}

impl SessionsBuilder<TokenKey, Box<dyn Recorder>> {
    /// The service.
    #[must_use]
    pub fn build(self) -> Sessions {
        Sessions(Arc::new(Inner {
            store: self.store,
            key: self.key,
            policy: self.policy,
            clock: self.clock,
            recorder: self.recorder,
            offset: AtomicI64::new(i64::MIN),
            unknown: Tally::new("session.unknown_token"),
            forged: Tally::new("session.forged_row"),
            skewed: Tally::new("session.clock_fault"),
        }))
    }
}

impl<K, R> fmt::Debug for SessionsBuilder<K, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionsBuilder")
            .field("store", &self.store)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
