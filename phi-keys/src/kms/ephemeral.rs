//! A KEK that dies with the process.

use core::fmt;
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use phi_types::{Clock, SystemClock, Timestamp};

use super::{
    Capabilities, Carrier, ContextBinding, Kek, KekAct, KekChange, KekState, KekStatus, KekTarget, KekVersion,
    KekVersions, Kms, KmsAdmin, KmsError, KmsFuture, RootPin, WrapContext, Wrapped,
};
use crate::backend::Backend;
use crate::id::Fingerprint;
use crate::random::NoRandomness;

/// A random KEK in memory, with versions and states as a real KMS has them. What is wrapped under it cannot be unwrapped
/// after the process ends: for tests, examples and stores that are themselves in memory.
pub struct EphemeralKeyring {
    kek_id: String,
    clock: Arc<dyn Clock>,
    backend: Backend,
    state: Mutex<State>,
    pin: Mutex<Option<Fingerprint>>,
}

struct State {
    life: Life,
    /// Oldest first, at least one.
    versions: Vec<Version>,
}

struct Version {
    kek: Kek,
    created: Timestamp,
    life: Life,
}

/// Whether something may be used, and until when.
#[derive(Clone, Copy)]
struct Life {
    state: KekState,
    destruction: Option<Timestamp>,
}

impl EphemeralKeyring {
    /// A fresh random KEK.
    ///
    /// # Errors
    /// [`NoRandomness`] when the operating system gives none.
    pub fn generate() -> Result<Self, NoRandomness> {
        Self::named("ephemeral", SystemClock::new())
    }

    /// A fresh random KEK with a name of its own, to have several. The clock says when a scheduled destruction is due.
    ///
    /// # Errors
    /// [`NoRandomness`] when the operating system gives none.
    pub fn named(kek_id: impl Into<String>, clock: impl Clock) -> Result<Self, NoRandomness> {
        Self::make(Backend::ring(), kek_id.into(), Arc::new(clock))
    }

    /// A fresh random KEK on a backend.
    ///
    /// # Errors
    /// [`NoRandomness`] when the backend gives none.
    pub fn generate_on(backend: Backend) -> Result<Self, NoRandomness> {
        Self::make(backend, "ephemeral".into(), Arc::new(SystemClock::new()))
    }

    fn make(backend: Backend, kek_id: String, clock: Arc<dyn Clock>) -> Result<Self, NoRandomness> {
        let first = Version { kek: Kek::generate(backend, 1)?, created: clock.now(), life: Life::ENABLED };
        let state = State { life: Life::ENABLED, versions: vec![first] };
        Ok(Self { kek_id, clock, backend, state: Mutex::new(state), pin: Mutex::new(None) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the life of a target that is not destroyed.
    fn change(
        &self,
        act: KekAct,
        target: &KekTarget,
        next: impl FnOnce(Life) -> Result<Life, KmsError>,
    ) -> Result<KekChange, KmsError> {
        let mut state = self.state();
        let life = match target {
            KekTarget::Kek => &mut state.life,
            KekTarget::Version(name) => {
                let named = |version: &&mut Version| version.kek.version.to_string() == *name;
                &mut state.versions.iter_mut().find(named).ok_or(KmsError::UnknownVersion)?.life
            }
        };
        let now = life.at(self.clock.now());
        if now.state == KekState::Destroyed {
            return Err(KmsError::Destroyed);
        }
        *life = next(now)?;
        let change = KekChange::new(&*self.kek_id, act, target.version().map(str::to_owned), life.state);
        Ok(match life.destruction {
            Some(at) => change.with_destruction(at),
            None => change,
        })
    }
}

impl Life {
    const ENABLED: Self = Self { state: KekState::Enabled, destruction: None };
    const DISABLED: Self = Self { state: KekState::Disabled, destruction: None };

    fn at(self, now: Timestamp) -> Self {
        if self.destruction.is_some_and(|at| at <= now) { Self { state: KekState::Destroyed, ..self } } else { self }
    }

    fn check(self, now: Timestamp) -> Result<(), KmsError> {
        match self.at(now).state {
            KekState::Enabled => Ok(()),
            KekState::Disabled => Err(KmsError::Disabled),
            KekState::PendingDestruction => Err(KmsError::PendingDestruction),
            KekState::Destroyed => Err(KmsError::Destroyed),
            KekState::Unusable => Err(KmsError::failed("the KEK is unusable")),
        }
    }
}

impl Kms for EphemeralKeyring {
    fn kek_id(&self) -> &str {
        &self.kek_id
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(ContextBinding::Native).with_named_version().with_admin().with_backend(self.backend)
    }

    fn wrap_dek<'a>(&'a self, carrier: &'a Carrier, context: &'a WrapContext) -> KmsFuture<'a, Wrapped> {
        Box::pin(async move {
            let (state, now) = (self.state(), self.clock.now());
            state.life.check(now)?;
            let newest = state.versions.last().ok_or(KmsError::UnknownVersion)?;
            newest.life.check(now)?;
            newest.kek.wrap(self.backend, &self.kek_id, carrier, context)
        })
    }

    fn unwrap_dek<'a>(&'a self, wrapped: &'a Wrapped, context: &'a WrapContext) -> KmsFuture<'a, Carrier> {
        Box::pin(async move {
            if wrapped.kek_id() != self.kek_id {
                return Err(KmsError::OtherKek);
            }
            let (state, now) = (self.state(), self.clock.now());
            state.life.check(now)?;
            let named = |version: &&Version| version.kek.version.to_string() == wrapped.kek_version();
            let version = state.versions.iter().find(named).ok_or(KmsError::UnknownVersion)?;
            version.life.check(now)?;
            version.kek.unwrap(self.backend, wrapped, context)
        })
    }

    fn status(&self) -> KmsFuture<'_, KekStatus> {
        Box::pin(async move {
            let (state, now) = (self.state(), self.clock.now());
            let newest = state.versions.last().ok_or(KmsError::UnknownVersion)?;
            let whole = state.life.at(now);
            let life = if whole.state.is_usable() { newest.life.at(now) } else { whole };
            let status = KekStatus::new(life.state, Some(newest.kek.version.to_string()));
            Ok(match life.destruction {
                Some(at) => status.with_destruction(at),
                None => status,
            })
        })
    }

    fn version_state<'a>(&'a self, version: &'a str) -> KmsFuture<'a, Option<KekState>> {
        Box::pin(async move {
            let (state, now) = (self.state(), self.clock.now());
            let whole = state.life.at(now).state;
            let named = state.versions.iter().find(|one| one.kek.version.to_string() == version);
            let own = named.map_or(KekState::Destroyed, |version| version.life.at(now).state);
            Ok(Some(if whole.is_usable() { own } else { whole }))
        })
    }

    fn root_pin(&self) -> Option<&dyn RootPin> {
        Some(self)
    }
}

impl KmsAdmin for EphemeralKeyring {
    fn versions(&self) -> KmsFuture<'_, KekVersions> {
        Box::pin(async move {
            let (state, now) = (self.state(), self.clock.now());
            let version = |version: &Version| {
                KekVersion::new(version.kek.version.to_string(), version.life.at(now).state, Some(version.created))
            };
            Ok(KekVersions::new(&*self.kek_id, state.versions.iter().map(version).collect()))
        })
    }

    fn rotate(&self) -> KmsFuture<'_, KekChange> {
        Box::pin(async move {
            let (mut state, now) = (self.state(), self.clock.now());
            state.life.check(now)?;
            let newest = state.versions.last().map_or(0, |version| version.kek.version);
            let next = newest.checked_add(1).ok_or(KmsError::Unsupported("hold more than 2^32 versions"))?;
            state.versions.push(Version { kek: Kek::generate(self.backend, next)?, created: now, life: Life::ENABLED });
            Ok(KekChange::new(&*self.kek_id, KekAct::Rotate, Some(next.to_string()), KekState::Enabled))
        })
    }

    fn disable<'a>(&'a self, target: &'a KekTarget) -> KmsFuture<'a, KekChange> {
        Box::pin(async move {
            self.change(KekAct::Disable, target, |life| match life.destruction {
                Some(_) => Err(KmsError::PendingDestruction),
                None => Ok(Life::DISABLED),
            })
        })
    }

    fn enable<'a>(&'a self, target: &'a KekTarget) -> KmsFuture<'a, KekChange> {
        Box::pin(async move {
            self.change(KekAct::Enable, target, |life| match life.destruction {
                Some(_) => Err(KmsError::PendingDestruction),
                None => Ok(Life::ENABLED),
            })
        })
    }

    fn schedule_destruction<'a>(&'a self, target: &'a KekTarget, window: Duration) -> KmsFuture<'a, KekChange> {
        Box::pin(async move {
            let destruction = Some(self.clock.now().saturating_add(window));
            let pending = Life { state: KekState::PendingDestruction, destruction };
            self.change(KekAct::ScheduleDestruction, target, |_| Ok(pending))
        })
    }

    fn cancel_destruction<'a>(&'a self, target: &'a KekTarget) -> KmsFuture<'a, KekChange> {
        Box::pin(async move {
            // As the clouds do: what was to be destroyed comes back disabled.
            self.change(KekAct::CancelDestruction, target, |life| match life.destruction {
                Some(_) => Ok(Life::DISABLED),
                None => Ok(life),
            })
        })
    }
}

impl RootPin for EphemeralKeyring {
    fn pinned(&self) -> Result<Option<Fingerprint>, KmsError> {
        Ok(*self.pin.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn pin(&self, fingerprint: Fingerprint) -> Result<(), KmsError> {
        const MEND: &str = "the keyring pins the root key of another key store, use one for each store";
        let mut pin = self.pin.lock().unwrap_or_else(PoisonError::into_inner);
        if *pin.get_or_insert(fingerprint) == fingerprint { Ok(()) } else { Err(KmsError::Misconfigured(MEND)) }
    }
}

impl fmt::Debug for EphemeralKeyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EphemeralKeyring({})", self.kek_id)
    }
}
