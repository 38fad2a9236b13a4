//! Who is told what happens between this crate and its KMSs.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use super::KmsError;

/// Is told of calls and decisions, for metrics and logs. An event holds names of KEKs, kinds of calls, durations and
/// errors; never wrapped bytes, contexts or keys. It is called in the middle of an operation and must not block.
///
/// ```
/// use core::sync::atomic::{AtomicU64, Ordering};
/// use std::sync::Arc;
/// use phi_keys::{KmsEvent, KmsObserver};
///
/// let calls = Arc::new(AtomicU64::new(0));
/// let counter = Arc::clone(&calls);
/// let observer: Arc<dyn KmsObserver> = Arc::new(move |event: &KmsEvent<'_>| {
///     if let KmsEvent::Called { .. } = event {
///         counter.fetch_add(1, Ordering::Relaxed);
///     }
/// });
/// # let _ = observer;
/// ```
pub trait KmsObserver: Send + Sync + 'static {
    /// Something happened.
    fn observe(&self, event: &KmsEvent<'_>);
}

impl<F: Fn(&KmsEvent<'_>) + Send + Sync + 'static> KmsObserver for F {
    fn observe(&self, event: &KmsEvent<'_>) {
        self(event);
    }
}

/// Something that happened between this crate and its KMSs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum KmsEvent<'a> {
    /// A KMS was called and answered, or did not.
    Called {
        /// The KEK.
        kek_id: &'a str,
        /// What was asked.
        call: KmsCall,
        /// How long it took.
        elapsed: Duration,
        /// Why it failed, if it did.
        error: Option<&'a KmsError>,
    },
    /// A call was given up before the KMS answered: it took too long, another KEK was faster, or the caller went away.
    GivenUp {
        /// The KEK.
        kek_id: &'a str,
        /// What was asked.
        call: KmsCall,
        /// How long it was waited for.
        elapsed: Duration,
    },
    /// A call is made once more after a wait.
    Retried {
        /// The KEK.
        kek_id: &'a str,
        /// What is asked.
        call: KmsCall,
        /// How long it was waited.
        wait: Duration,
        /// Why the call before failed.
        error: &'a KmsError,
    },
    /// So many calls failed that the KMS is left alone for a while.
    CircuitOpened {
        /// The KEK.
        kek_id: &'a str,
        /// For how long.
        rest: Duration,
    },
    /// Another KEK is asked to unwrap, because this one failed.
    PassedOver {
        /// The KEK that failed.
        kek_id: &'a str,
        /// Why.
        error: &'a KmsError,
    },
    /// Another KEK is asked as well, because the one before takes longer than it usually does.
    Hedged {
        /// The KEK that is asked as well.
        kek_id: &'a str,
    },
    /// Keys left memory, because this version of this KEK says no and no other one could unwrap them.
    Forgotten {
        /// The KEK.
        kek_id: &'a str,
        /// The version, in the KMS's own words; empty where it named none.
        version: &'a str,
        /// How many domain keys.
        domain_keys: usize,
        /// How many data keys below them.
        data_keys: usize,
    },
    /// A key was written without a copy under this KEK. `Keys::complete` makes it later.
    CopyMissing {
        /// The KEK.
        kek_id: &'a str,
        /// Why.
        error: &'a KmsError,
    },
}

/// What a KMS is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KmsCall {
    /// [`Kms::wrap_dek`](super::Kms::wrap_dek).
    Wrap,
    /// [`Kms::unwrap_dek`](super::Kms::unwrap_dek).
    Unwrap,
    /// [`Kms::generate`](super::Kms::generate).
    Generate,
    /// [`Kms::rewrap`](super::Kms::rewrap).
    Rewrap,
    /// [`Kms::status`](super::Kms::status) and [`Kms::version_state`](super::Kms::version_state).
    Status,
}

impl KmsCall {
    /// The call in a word, for metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wrap => "wrap",
            Self::Unwrap => "unwrap",
            Self::Generate => "generate",
            Self::Rewrap => "rewrap",
            Self::Status => "status",
        }
    }
}

/// An observer, or none.
#[derive(Clone, Default)]
pub(super) struct Watch(pub(super) Option<Arc<dyn KmsObserver>>);

impl Watch {
    pub(super) fn tell(&self, event: &KmsEvent<'_>) {
        if let Some(observer) = &self.0 {
            observer.observe(event);
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "observed" } else { "unobserved" })
    }
}
