//! A KMS that fails as it is told, and time that passes when it is slept.

use core::future::Future;
use core::pin::Pin;
use core::time::Duration;
use std::sync::{Arc, Mutex};

use phi_keys::conformance::FaultyKms;
pub(crate) use phi_keys::conformance::KmsFault as Fault;
use phi_keys::{
    Binding, Capabilities, Carrier, ContextBinding, EphemeralKeyring, Kms, KmsEvent, KmsFuture, KmsObserver, Rewrap,
    Sleeper, WrapContext, Wrapped,
};
use phi_types::ManualClock;

use crate::forward::forward;

const ANYWHERE: WrapContext = WrapContext::from_digest([0; 32]);

pub(crate) const ALL: &[Fault] = Fault::ALL;

/// A KEK as a KMS has it that rewraps by itself.
#[derive(Debug)]
struct Remote {
    kms: Arc<EphemeralKeyring>,
    /// Binds no context, as RSA does not: what it wrapped for one key it unwraps for any.
    loose: bool,
}

impl Remote {
    fn context<'a>(&self, context: &'a WrapContext) -> &'a WrapContext {
        if self.loose { &ANYWHERE } else { context }
    }
}

/// With another binding.
fn labelled(wrapped: &Wrapped, binding: Binding) -> Wrapped {
    Wrapped::new(wrapped.kek_id(), wrapped.kek_version(), binding, wrapped.blob().to_vec()).unwrap()
}

impl Kms for Remote {
    forward!(self.kms: kek_id, status, version_state, root_pin);

    fn capabilities(&self) -> Capabilities {
        if self.loose { Capabilities::new(ContextBinding::None) } else { self.kms.capabilities() }
    }

    fn wrap_dek<'a>(&'a self, carrier: &'a Carrier, context: &'a WrapContext) -> KmsFuture<'a, Wrapped> {
        Box::pin(async move {
            let wrapped = self.kms.wrap_dek(carrier, self.context(context)).await?;
            Ok(if self.loose { labelled(&wrapped, Binding::Derivation) } else { wrapped })
        })
    }

    fn unwrap_dek<'a>(&'a self, wrapped: &'a Wrapped, context: &'a WrapContext) -> KmsFuture<'a, Carrier> {
        Box::pin(async move { self.kms.unwrap_dek(&labelled(wrapped, Binding::Native), self.context(context)).await })
    }

    fn rewrap<'a>(&'a self, wrapped: &'a Wrapped, context: &'a WrapContext) -> KmsFuture<'a, Rewrap> {
        Box::pin(async move {
            let carrier = self.unwrap_dek(wrapped, context).await?;
            self.wrap_dek(&carrier, context).await.map(Rewrap::ServerSide)
        })
    }
}

/// A KEK that fails as it is told, and that can be administered behind its back.
#[derive(Debug)]
pub(crate) struct Faulty {
    pub(crate) kms: Arc<EphemeralKeyring>,
    faulty: FaultyKms,
}

impl Faulty {
    pub(crate) fn named(name: &str) -> Arc<Self> {
        Self::with(name, false)
    }

    /// A KMS that takes no context.
    pub(crate) fn loose(name: &str) -> Arc<Self> {
        Self::with(name, true)
    }

    fn with(name: &str, loose: bool) -> Arc<Self> {
        let kms = Arc::new(EphemeralKeyring::named(name, ManualClock::at_unix_seconds(0)).unwrap());
        let faulty = FaultyKms::new(Arc::new(Remote { kms: Arc::clone(&kms), loose }));
        Arc::new(Self { kms, faulty })
    }
}

impl core::ops::Deref for Faulty {
    type Target = FaultyKms;

    fn deref(&self) -> &FaultyKms {
        &self.faulty
    }
}

impl Kms for Faulty {
    forward!(self.faulty: kek_id, capabilities, wrap_dek, unwrap_dek, rewrap, status, version_state, root_pin);
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
