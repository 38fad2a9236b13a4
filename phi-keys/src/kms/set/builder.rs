use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use phi_types::{Clock, SystemClock};

use super::health::Health;
use super::unwrap::Hedge;
use super::{Inner, KekPolicy, KekSet, Member, OnTerminal};
use crate::error::Error;
use crate::kms::observer::Watch;
use crate::kms::{Kms, KmsObserver, Sleeper};

/// Puts a [`KekSet`] together; made by [`KekSet::builder`].
#[must_use]
pub struct KekSetBuilder {
    policy: KekPolicy,
    keks: Vec<Arc<dyn Kms>>,
    on_terminal: OnTerminal,
    hedge: Option<Hedge>,
    clock: Option<Arc<dyn Clock>>,
    observer: Option<Arc<dyn KmsObserver>>,
}

impl KekSetBuilder {
    pub(super) const fn new(policy: KekPolicy) -> Self {
        Self { policy, keks: Vec::new(), on_terminal: OnTerminal::Stop, hedge: None, clock: None, observer: None }
    }

    /// Adds a KEK. The first one is asked before the others.
    pub fn kek(mut self, kms: impl Kms) -> Self {
        self.keks.push(Arc::new(kms));
        self
    }

    /// What a terminal error of one KEK means for the others; [`OnTerminal::Stop`] unless given.
    pub const fn on_terminal(mut self, on_terminal: OnTerminal) -> Self {
        self.on_terminal = on_terminal;
        self
    }

    /// Asks a second KEK to unwrap as soon as the first one takes longer than 95 of 100 of its recent answers did, and uses
    /// the answer that comes first. `initial` is that time until sixteen answers were measured. Off unless given.
    pub fn hedge(mut self, initial: Duration, sleeper: impl Sleeper) -> Self {
        self.hedge = Some(Hedge { initial, sleeper: Arc::new(sleeper) });
        self
    }

    /// Where time comes from; the operating system unless given.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Who is told when a KEK is passed over, hedged or left without a copy.
    pub fn observer(mut self, observer: Arc<dyn KmsObserver>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// The set.
    ///
    /// # Errors
    /// [`Error::Config`] without a KEK, with more than 255, or with two of one name.
    pub fn build(self) -> Result<KekSet, Error> {
        let Self { policy, keks, on_terminal, hedge, clock, observer } = self;
        if keks.is_empty() {
            return Err(Error::Config("no KEK was given: add a keyring or a KMS with `kek`"));
        }
        if keks.len() > 255 {
            return Err(Error::Config("a domain key is wrapped under at most 255 KEKs"));
        }
        if keks.iter().enumerate().any(|(at, kek)| keks.iter().take(at).any(|other| other.kek_id() == kek.kek_id())) {
            return Err(Error::Config("two KEKs have the same id: give each keyring or KMS once"));
        }
        let members = keks.into_iter().map(|kms| Arc::new(Member { kms, health: Health::default() })).collect();
        let clock = clock.unwrap_or_else(|| Arc::new(SystemClock::new()));
        Ok(KekSet(Arc::new(Inner { members, policy, on_terminal, hedge, clock, watch: Watch(observer) })))
    }
}

impl fmt::Debug for KekSetBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KekSetBuilder")
            .field("policy", &self.policy)
            .field("keks", &self.keks)
            .field("on_terminal", &self.on_terminal)
            .field("hedge", &self.hedge)
            .finish_non_exhaustive()
    }
}
