//! Leases on keys.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::Arc;

use phi_types::{Clock, Timestamp};
use zeroize::Zeroizing;

use crate::derive::{self, KEY_LEN, Label};
use crate::error::Expired;
use crate::id::{FullId, KeyId};

/// Ends leases: by its clock, and all at once by its generation.
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) lease: Duration,
    generation: AtomicU64,
}

impl Gate {
    pub(super) fn new(clock: Arc<dyn Clock>, lease: Duration) -> Arc<Self> {
        Arc::new(Self { clock, lease, generation: AtomicU64::new(0) })
    }

    /// The lease that begins now. Taken *before* the store is read, so that nobody outlives a shred by more than a lease.
    pub(super) fn begin(&self) -> Lease {
        Lease {
            generation: self.generation(),
            monotonic: self.clock.monotonic().saturating_add(self.lease),
            wall: self.clock.now().saturating_add(self.lease),
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Ends every lease that was given before.
    pub(super) fn end_all(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }
}

/// How long a key may be used.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lease {
    pub(super) generation: u64,
    monotonic: Duration,
    /// Monotonic time may stand still while the machine is suspended; the wall clock does not.
    wall: Timestamp,
}

/// A key that was unwrapped. Wiped when the last handle is dropped.
pub(super) struct Cell {
    pub(super) key: Zeroizing<[u8; KEY_LEN]>,
    pub(super) full_id: FullId,
    gate: Arc<Gate>,
    lease: Lease,
}

impl Cell {
    pub(super) fn new(key: Zeroizing<[u8; KEY_LEN]>, full_id: FullId, gate: &Arc<Gate>, lease: Lease) -> Arc<Self> {
        Arc::new(Self { key, full_id, gate: Arc::clone(gate), lease })
    }

    /// Whether the lease's time has not come, whatever the generation.
    pub(super) fn in_time(&self) -> bool {
        self.time_left_at().is_some()
    }

    /// The monotonic time, unless the lease's time has come.
    fn time_left_at(&self) -> Option<Duration> {
        let now = self.gate.clock.monotonic();
        (now < self.lease.monotonic && self.gate.clock.now() < self.lease.wall).then_some(now)
    }
}

/// A cell with the generation in which it was handed out.
#[derive(Clone)]
pub(super) struct Handle {
    pub(super) cell: Arc<Cell>,
    pub(super) generation: u64,
}

impl Handle {
    fn is_live(&self) -> bool {
        self.live_at().is_some()
    }

    fn live_at(&self) -> Option<Duration> {
        if self.generation == self.cell.gate.generation() { self.cell.time_left_at() } else { None }
    }

    fn derive(&self, label: Label, info: &[u8]) -> Result<Zeroizing<[u8; KEY_LEN]>, Expired> {
        if self.is_live() { Ok(derive::expand(&self.cell.key, label, info)) } else { Err(Expired) }
    }
}

macro_rules! handle {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(pub(super) Handle);

        impl $name {
            /// The short name of the key, which headers carry.
            #[must_use]
            pub fn kid(&self) -> KeyId {
                self.0.cell.full_id.kid()
            }

            /// The committing name of the key.
            #[must_use]
            pub fn full_id(&self) -> FullId {
                self.0.cell.full_id
            }

            /// Derives a key: `HKDF-Expand-SHA-256(key, label ‖ info, 32)`, see [`derive::expand`].
            ///
            /// What is derived must not outlive the lease: check [`is_live`](Self::is_live) before each use of it.
            ///
            /// # Errors
            /// [`Expired`] when the lease has ended.
            pub fn derive(&self, label: Label, info: &[u8]) -> Result<Zeroizing<[u8; KEY_LEN]>, Expired> {
                self.0.derive(label, info)
            }

            /// Whether the lease lasts: its time has not come and nothing was shredded since. Costs one atomic load and
            /// two readings of the clock.
            #[must_use]
            pub fn is_live(&self) -> bool {
                self.0.is_live()
            }

            /// As [`is_live`](Self::is_live), with the monotonic time that was read for it: who bounds the age of what was
            /// derived needs no further reading of the clock.
            #[must_use]
            pub fn live_at(&self) -> Option<Duration> {
                self.0.live_at()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.kid())
            }
        }
    };
}

handle! {
    /// A lease on the data key of one scope. Every shred of any subject ends all of them; the next request for a key that
    /// is still there is answered from memory.
    DataKey
}

handle! {
    /// A lease on a domain key.
    DomainKey
}
