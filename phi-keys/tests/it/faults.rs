//! A KMS that fails as it is told, and time that passes when it is slept.

use core::future::{Future, pending};
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use phi_keys::{
    Binding, Capabilities, Carrier, ContextBinding, EphemeralKeyring, KekState, KekStatus, Kms, KmsError, KmsEvent,
    KmsFuture, KmsObserver, Rewrap, RootPin, Sleeper, WrapContext, Wrapped,
};
use phi_types::ManualClock;
use zeroize::Zeroizing;

const ANYWHERE: WrapContext = WrapContext::from_digest([0; 32]);

/// What a call does instead of what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A 5xx.
    Down,
    Throttled(Option<Duration>),
    Denied,
    Disabled,
    Damaged,
    /// Answers late.
    Slow,
    /// Never answers.
    Hang,
    /// Answers something that has the right form and is wrong.
    Garbage,
    /// Answers with what belongs to the call before. Never twice in a row: a KMS that swaps the wrapped carrier and then, to
    /// match, the unwrapped one cannot be found out by anybody.
    Another,
}

pub(crate) const ALL: [Fault; 9] = [
    Fault::Slow,
    Fault::Down,
    Fault::Throttled(None),
    Fault::Denied,
    Fault::Disabled,
    Fault::Damaged,
    Fault::Hang,
    Fault::Garbage,
    Fault::Another,
];

#[derive(Debug)]
pub(crate) struct Faulty {
    pub(crate) kms: EphemeralKeyring,
    script: Mutex<VecDeque<Option<Fault>>>,
    pub(crate) always: Mutex<Option<Fault>>,
    calls: AtomicU64,
    before: Mutex<Option<(Zeroizing<[u8; 32]>, Wrapped)>>,
    swapped: AtomicBool,
    /// Binds no context, as RSA does not.
    loose: bool,
}

impl Faulty {
    pub(crate) fn named(name: &str) -> Arc<Self> {
        Arc::new(Self::with(name, false))
    }

    /// A KMS that takes no context: what it wrapped for one key it unwraps for any.
    pub(crate) fn loose(name: &str) -> Arc<Self> {
        Arc::new(Self::with(name, true))
    }

    fn with(name: &str, loose: bool) -> Self {
        let kms = EphemeralKeyring::named(name, ManualClock::at_unix_seconds(0)).unwrap();
        let (script, always, before) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { kms, script, always, calls: AtomicU64::new(0), before, swapped: AtomicBool::new(false), loose }
    }

    /// What the next calls do.
    pub(crate) fn script(&self, faults: impl IntoIterator<Item = Option<Fault>>) {
        *self.script.lock().unwrap() = faults.into_iter().collect();
    }

    /// Answers well until [`resume`](Self::resume), which goes on with the rest of the script.
    pub(crate) fn pause(&self) -> VecDeque<Option<Fault>> {
        core::mem::take(&mut self.script.lock().unwrap())
    }

    pub(crate) fn resume(&self, rest: VecDeque<Option<Fault>>) {
        *self.script.lock().unwrap() = rest;
    }

    pub(crate) fn set(&self, fault: Option<Fault>) {
        *self.always.lock().unwrap() = fault;
    }

    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    async fn next(&self) -> Result<Option<Fault>, KmsError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let scripted = self.script.lock().unwrap().pop_front();
        let fault = scripted.unwrap_or(*self.always.lock().unwrap());
        match fault {
            Some(Fault::Down) => Err(KmsError::unavailable("503")),
            Some(Fault::Throttled(after)) => Err(KmsError::Throttled { after }),
            Some(Fault::Denied) => Err(KmsError::access_denied("403")),
            Some(Fault::Disabled) => Err(KmsError::Disabled),
            Some(Fault::Damaged) => Err(KmsError::Corrupt),
            Some(Fault::Slow) => {
                for _ in 0..10 {
                    tokio::task::yield_now().await;
                }
                Ok(None)
            }
            Some(Fault::Hang) => pending().await,
            Some(Fault::Another) if self.swapped.swap(true, Ordering::SeqCst) => Ok(None),
            Some(Fault::Another | Fault::Garbage) | None => Ok(fault),
        }
    }

    fn garbage(&self) -> Wrapped {
        self.labelled(&Wrapped::new(self.kms.kek_id(), "1", Binding::Native, vec![0x5a; 89]).unwrap())
    }

    /// With the binding that this KMS has.
    fn labelled(&self, wrapped: &Wrapped) -> Wrapped {
        let binding = if self.loose { Binding::Derivation } else { Binding::Native };
        Wrapped::new(wrapped.kek_id(), wrapped.kek_version(), binding, wrapped.blob().to_vec()).unwrap()
    }

    async fn wrap(&self, carrier: &Carrier, context: &WrapContext) -> Result<Wrapped, KmsError> {
        let context = if self.loose { &ANYWHERE } else { context };
        Ok(self.labelled(&self.kms.wrap_dek(carrier, context).await?))
    }

    async fn unwrap(&self, wrapped: &Wrapped, context: &WrapContext) -> Result<Carrier, KmsError> {
        let context = if self.loose { &ANYWHERE } else { context };
        let (id, version) = (wrapped.kek_id(), wrapped.kek_version());
        let native = Wrapped::new(id, version, Binding::Native, wrapped.blob().to_vec()).unwrap();
        self.kms.unwrap_dek(&native, context).await
    }

    /// Remembers this answer and gives the one before.
    fn swap(
        &self,
        fault: Option<Fault>,
        carrier: &Carrier,
        wrapped: &Wrapped,
    ) -> Option<(Zeroizing<[u8; 32]>, Wrapped)> {
        if fault != Some(Fault::Another) {
            self.swapped.store(false, Ordering::SeqCst);
        }
        self.before.lock().unwrap().replace((Zeroizing::new(*carrier.expose()), wrapped.clone()))
    }
}

impl Kms for Faulty {
    fn kek_id(&self) -> &str {
        self.kms.kek_id()
    }

    fn capabilities(&self) -> Capabilities {
        if self.loose { Capabilities::new(ContextBinding::None) } else { self.kms.capabilities() }
    }

    fn wrap_dek<'a>(&'a self, carrier: &'a Carrier, context: &'a WrapContext) -> KmsFuture<'a, Wrapped> {
        Box::pin(async move {
            let fault = self.next().await?;
            let good = self.wrap(carrier, context).await?;
            let before = self.swap(fault, carrier, &good);
            Ok(match (fault, before) {
                (Some(Fault::Another), Some((_, wrapped))) => wrapped,
                (Some(_), _) => self.garbage(),
                (None, _) => good,
            })
        })
    }

    fn unwrap_dek<'a>(&'a self, wrapped: &'a Wrapped, context: &'a WrapContext) -> KmsFuture<'a, Carrier> {
        Box::pin(async move {
            let fault = self.next().await?;
            let good = self.unwrap(wrapped, context).await?;
            let before = self.swap(fault, &good, wrapped);
            Ok(match (fault, before) {
                (Some(Fault::Another), Some((carrier, _))) => Carrier::from_bytes(carrier),
                (Some(_), _) => Carrier::from_bytes(Zeroizing::new([0x5a; 32])),
                (None, _) => good,
            })
        })
    }

    fn rewrap<'a>(&'a self, wrapped: &'a Wrapped, context: &'a WrapContext) -> KmsFuture<'a, Rewrap> {
        // As a KMS does that rewraps by itself: one call.
        Box::pin(async move {
            let fault = self.next().await?;
            let carrier = self.unwrap(wrapped, context).await?;
            let good = self.wrap(&carrier, context).await?;
            let before = self.swap(fault, &carrier, &good);
            Ok(Rewrap::ServerSide(match (fault, before) {
                (Some(Fault::Another), Some((_, wrapped))) => wrapped,
                (Some(_), _) => self.garbage(),
                (None, _) => good,
            }))
        })
    }

    fn status(&self) -> KmsFuture<'_, KekStatus> {
        Box::pin(async move {
            self.next().await?;
            self.kms.status().await
        })
    }

    fn version_state<'a>(&'a self, version: &'a str) -> KmsFuture<'a, Option<KekState>> {
        Box::pin(async move {
            self.next().await?;
            self.kms.version_state(version).await
        })
    }

    fn root_pin(&self) -> Option<&dyn RootPin> {
        self.kms.root_pin()
    }
}

/// Sleeps by moving the clock.
#[derive(Debug, Clone)]
pub(crate) struct Hours {
    pub(crate) clock: ManualClock,
    slept: Arc<Mutex<Vec<Duration>>>,
}

impl Hours {
    pub(crate) fn new() -> Self {
        Self { clock: ManualClock::at_unix_seconds(0), slept: Arc::default() }
    }

    /// What was slept since the last time.
    pub(crate) fn slept(&self) -> Vec<Duration> {
        core::mem::take(&mut self.slept.lock().unwrap())
    }
}

impl Sleeper for Hours {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let this = self.clone();
        Box::pin(async move {
            this.clock.advance(duration);
            this.slept.lock().unwrap().push(duration);
        })
    }
}

/// Sleeps one poll for each millisecond, while the clock stands still: long enough for slow answers to come first or not.
#[derive(Debug, Clone)]
pub(crate) struct Polls;

impl Sleeper for Polls {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            for _ in 0..duration.as_millis() {
                tokio::task::yield_now().await;
            }
        })
    }
}

/// Writes events down.
#[derive(Debug, Default)]
pub(crate) struct Log(Mutex<Vec<String>>);

impl Log {
    pub(crate) fn take(&self) -> Vec<String> {
        core::mem::take(&mut self.0.lock().unwrap())
    }
}

impl KmsObserver for Log {
    fn observe(&self, event: &KmsEvent<'_>) {
        let line = match event {
            KmsEvent::Called { kek_id, call, error, .. } => {
                format!("{kek_id} {} {}", call.as_str(), error.map_or("done", |error| error.kind()))
            }
            KmsEvent::GivenUp { kek_id, call, elapsed } => {
                format!("{kek_id} {} given up after {elapsed:?}", call.as_str())
            }
            KmsEvent::Retried { kek_id, wait, error, .. } => format!("{kek_id} again after {wait:?}: {}", error.kind()),
            KmsEvent::CircuitOpened { kek_id, rest } => format!("{kek_id} rests {rest:?}"),
            KmsEvent::PassedOver { kek_id, error } => format!("{kek_id} passed over: {}", error.kind()),
            KmsEvent::Hedged { kek_id } => format!("{kek_id} hedged"),
            KmsEvent::CopyMissing { kek_id, error } => format!("{kek_id} missing: {}", error.kind()),
            other => format!("{other:?}"),
        };
        self.0.lock().unwrap().push(line);
    }
}
