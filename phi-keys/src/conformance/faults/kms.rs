//! A KMS that fails as it is told.

use core::future::pending;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zeroize::Zeroizing;

use crate::kms::{
    Capabilities, Carrier, KekState, KekStatus, Kms, KmsError, KmsFuture, Rewrap, RootPin, WrapContext, Wrapped,
};
use crate::overlap::give_way;

/// What a call to a KMS does instead of what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KmsFault {
    /// A 5xx.
    Down,
    /// Asks for fewer calls, and for so long a rest.
    Throttled(Option<Duration>),
    /// Refuses the caller.
    Denied,
    /// Says that the KEK is switched off.
    Disabled,
    /// An answer arrives damaged.
    Damaged,
    /// Does what it is asked, and the answer is lost on its way, as after a timeout.
    Lost,
    /// Answers late.
    Slow,
    /// Never answers.
    Hang,
    /// Answers something that has the right form and is wrong; to a question for a status, a version that does not exist; for the
    /// state of a version, that it knows none of this name.
    Garbage,
    /// Answers with what belongs to the call before; to a question for a status, that of a KEK which is switched off, whose version
    /// is not told. Never twice in a row: a KMS that swaps the wrapped carrier and then, to
    /// match, the unwrapped one cannot be found out by anybody.
    Another,
}

impl KmsFault {
    /// Every fault, [`Hang`](Self::Hang) last: without a [`Timeout`](crate::Timeout) it stops whoever calls.
    pub const ALL: &'static [Self] = &[
        Self::Slow,
        Self::Down,
        Self::Throttled(None),
        Self::Denied,
        Self::Disabled,
        Self::Damaged,
        Self::Lost,
        Self::Garbage,
        Self::Another,
        Self::Hang,
    ];
}

/// A version that no KEK has.
const NO_VERSION: &str = "conformance-no-such-version";

/// A KMS in front of another one, which counts the calls and fails as a script says. For tests of what stands above a KMS.
///
/// ```
/// use std::sync::Arc;
/// use phi_keys::conformance::{FaultyKms, KmsFault};
/// use phi_keys::{EphemeralKeyring, Kms, KmsError};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let kms = FaultyKms::new(Arc::new(EphemeralKeyring::generate()?));
/// kms.script([None, Some(KmsFault::Disabled)]);
/// assert!(kms.status().await.is_ok());
/// assert!(matches!(kms.status().await, Err(KmsError::Disabled)));
/// assert_eq!(kms.calls(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct FaultyKms {
    kms: Arc<dyn Kms>,
    script: Mutex<VecDeque<Option<KmsFault>>>,
    always: Mutex<Option<KmsFault>>,
    calls: AtomicU64,
    before: Mutex<Option<(Zeroizing<[u8; 32]>, Wrapped)>>,
    swapped: AtomicBool,
    hangs: AtomicBool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FaultyKms {
    /// Passes every call on until it is told otherwise.
    #[must_use]
    pub fn new(kms: Arc<dyn Kms>) -> Self {
        let (script, always, before) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self {
            kms,
            script,
            always,
            calls: AtomicU64::new(0),
            before,
            swapped: AtomicBool::default(),
            hangs: AtomicBool::default(),
        }
    }

    /// What the next calls do, one for each; `None` is a call that works.
    pub fn script(&self, faults: impl IntoIterator<Item = Option<KmsFault>>) {
        *locked(&self.script) = faults.into_iter().collect();
    }

    /// Takes the rest of the script away.
    pub fn pause(&self) -> VecDeque<Option<KmsFault>> {
        core::mem::take(&mut locked(&self.script))
    }

    /// What every call does beyond the script.
    pub fn set(&self, fault: Option<KmsFault>) {
        *locked(&self.always) = fault;
    }

    /// How many calls there were: wrapping, unwrapping, rewrapping and each question for a status are one.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// Whether a call hangs that was not asked about yet.
    pub(in crate::conformance) fn hangs(&self) -> bool {
        self.hangs.swap(false, Ordering::SeqCst)
    }

    async fn next(&self) -> Result<Option<KmsFault>, KmsError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let scripted = locked(&self.script).pop_front();
        let fault = scripted.unwrap_or(*locked(&self.always));
        match fault {
            Some(KmsFault::Down) => Err(KmsError::unavailable("503")),
            Some(KmsFault::Throttled(after)) => Err(KmsError::Throttled { after }),
            Some(KmsFault::Denied) => Err(KmsError::access_denied("403")),
            Some(KmsFault::Disabled) => Err(KmsError::Disabled),
            Some(KmsFault::Damaged) => Err(KmsError::Corrupt),
            Some(KmsFault::Slow) => {
                for _ in 0..10 {
                    give_way().await;
                }
                Ok(None)
            }
            Some(KmsFault::Hang) => {
                self.hangs.store(true, Ordering::SeqCst);
                pending().await
            }
            Some(KmsFault::Another) if self.swapped.swap(true, Ordering::SeqCst) => Ok(None),
            Some(KmsFault::Another | KmsFault::Garbage | KmsFault::Lost) | None => Ok(fault),
        }
    }

    /// Remembers this answer and gives the one before.
    fn swap(
        &self,
        fault: Option<KmsFault>,
        carrier: &Carrier,
        wrapped: &Wrapped,
    ) -> Option<(Zeroizing<[u8; 32]>, Wrapped)> {
        if fault != Some(KmsFault::Another) {
            self.swapped.store(false, Ordering::SeqCst);
        }
        locked(&self.before).replace((Zeroizing::new(*carrier.expose()), wrapped.clone()))
    }

    /// What is answered in place of what was wrapped.
    fn wrapped(&self, fault: Option<KmsFault>, carrier: &Carrier, good: Wrapped) -> Result<Wrapped, KmsError> {
        let before = self.swap(fault, carrier, &good);
        match (fault, before) {
            (Some(KmsFault::Lost), _) => Err(KmsError::unavailable("no answer in time")),
            (Some(KmsFault::Another), Some((_, wrapped))) => Ok(wrapped),
            (Some(_), _) => garbage(&good),
            (None, _) => Ok(good),
        }
    }
}

/// The labels of what was wrapped, and other bytes.
fn garbage(good: &Wrapped) -> Result<Wrapped, KmsError> {
    Wrapped::new(good.kek_id(), good.kek_version(), good.binding(), vec![0x5a; good.blob().len()])
        .and_then(|wrapped| wrapped.with_algorithm(good.algorithm()))
        .map_err(KmsError::failed)
}

impl Kms for FaultyKms {
    fn kek_id(&self) -> &str {
        self.kms.kek_id()
    }

    fn capabilities(&self) -> Capabilities {
        self.kms.capabilities()
    }

    fn wrap_dek<'a>(&'a self, carrier: &'a Carrier, context: &'a WrapContext) -> KmsFuture<'a, Wrapped> {
        Box::pin(async move {
            let fault = self.next().await?;
            let good = self.kms.wrap_dek(carrier, context).await?;
            self.wrapped(fault, carrier, good)
        })
    }

    fn unwrap_dek<'a>(&'a self, wrapped: &'a Wrapped, context: &'a WrapContext) -> KmsFuture<'a, Carrier> {
        Box::pin(async move {
            let fault = self.next().await?;
            let good = self.kms.unwrap_dek(wrapped, context).await?;
            let before = self.swap(fault, &good, wrapped);
            Ok(match (fault, before) {
                (Some(KmsFault::Lost), _) => return Err(KmsError::unavailable("no answer in time")),
                (Some(KmsFault::Another), Some((carrier, _))) => Carrier::from_bytes(carrier),
                (Some(_), _) => Carrier::from_bytes(Zeroizing::new([0x5a; 32])),
                (None, _) => good,
            })
        })
    }

    fn generate<'a>(&'a self, context: &'a WrapContext) -> KmsFuture<'a, (Carrier, Wrapped)> {
        Box::pin(async move {
            let fault = self.next().await?;
            let (carrier, good) = self.kms.generate(context).await?;
            let wrapped = self.wrapped(fault, &carrier, good)?;
            Ok((carrier, wrapped))
        })
    }

    fn rewrap<'a>(&'a self, wrapped: &'a Wrapped, context: &'a WrapContext) -> KmsFuture<'a, Rewrap> {
        Box::pin(async move {
            let fault = self.next().await?;
            let carrier = self.kms.unwrap_dek(wrapped, context).await?;
            Ok(match self.kms.rewrap(wrapped, context).await? {
                Rewrap::ServerSide(good) => Rewrap::ServerSide(self.wrapped(fault, &carrier, good)?),
                Rewrap::ThroughClient(good) => Rewrap::ThroughClient(self.wrapped(fault, &carrier, good)?),
            })
        })
    }

    fn status(&self) -> KmsFuture<'_, KekStatus> {
        Box::pin(async move {
            match self.next().await? {
                Some(KmsFault::Lost) => Err(KmsError::unavailable("no answer in time")),
                Some(KmsFault::Garbage) => Ok(KekStatus::new(KekState::Enabled, Some(NO_VERSION.to_owned()))),
                Some(KmsFault::Another) => Ok(KekStatus::new(KekState::Disabled, None)),
                _ => self.kms.status().await,
            }
        })
    }

    fn version_state<'a>(&'a self, version: &'a str) -> KmsFuture<'a, Option<KekState>> {
        Box::pin(async move {
            match self.next().await? {
                Some(KmsFault::Lost) => Err(KmsError::unavailable("no answer in time")),
                Some(KmsFault::Garbage) => Ok(None),
                Some(KmsFault::Another) => Ok(Some(KekState::Disabled)),
                _ => self.kms.version_state(version).await,
            }
        })
    }

    fn root_pin(&self) -> Option<&dyn RootPin> {
        self.kms.root_pin()
    }
}
