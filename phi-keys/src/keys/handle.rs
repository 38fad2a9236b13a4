//! Leases on keys.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use phi_types::{Clock, Timestamp};
use zeroize::Zeroizing;

use super::name::Name;
use super::sync::{AtomicBool, AtomicU64, Ordering};
use crate::backend::Backend;
use crate::derive::{KEY_LEN, Label};
use crate::error::Expired;
use crate::id::{FullId, KeyId};
use crate::scope::Scope;

/// A lease is renewed ahead of its end once less than this part of it is left.
const AHEAD: u32 = 5;
/// How long a key whose lease could not be renewed is used until that is tried again.
const STEP: Duration = Duration::from_secs(5);

/// A time, or a deadline, on both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    monotonic: Duration,
    /// Monotonic time may stand still while the machine is suspended; the wall clock does not.
    wall: Timestamp,
}

impl Moment {
    pub(super) fn plus(self, by: Duration) -> Self {
        Self { monotonic: self.monotonic.saturating_add(by), wall: self.wall.saturating_add(by) }
    }

    /// On each clock the earlier one.
    pub(super) fn earlier(self, other: Self) -> Self {
        Self { monotonic: self.monotonic.min(other.monotonic), wall: self.wall.min(other.wall) }
    }

    /// Whether this deadline has come on either clock.
    pub(super) fn has_come(self, now: Self) -> bool {
        now.monotonic >= self.monotonic || now.wall >= self.wall
    }
}

/// Ends leases: by its clock, and all at once by its generation.
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) lease: Duration,
    /// What derives from the keys.
    backend: Backend,
    generation: AtomicU64,
}

impl Gate {
    #[cfg(test)]
    pub(super) fn new(clock: Arc<dyn Clock>, lease: Duration) -> Arc<Self> {
        Self::on(Backend::ring(), clock, lease)
    }

    pub(super) fn on(backend: Backend, clock: Arc<dyn Clock>, lease: Duration) -> Arc<Self> {
        Arc::new(Self { clock, lease, backend, generation: AtomicU64::new(0) })
    }

    pub(super) fn now(&self) -> Moment {
        Moment { monotonic: self.clock.monotonic(), wall: self.clock.now() }
    }

    /// The lease that begins now. Taken *before* the store is read, so that nobody outlives a shred by more than a lease.
    pub(super) fn begin(&self) -> Lease {
        let generation = self.generation();
        let now = self.now();
        let ahead = now.monotonic.saturating_add(self.lease - self.lease / AHEAD);
        Lease { generation, ahead, end: now.plus(self.lease) }
    }

    /// A short lease on what could not be read again, until `limit` at most.
    fn step(&self, now: Moment, limit: Moment) -> Lease {
        let end = now.plus(STEP.min(self.lease)).earlier(limit);
        // Not ahead of its end: each attempt may take as long as what is down lets it wait.
        Lease { generation: self.generation(), ahead: end.monotonic, end }
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
    /// When it is time to renew it, so that nobody needs to wait at its end.
    ahead: Duration,
    end: Moment,
}

impl Lease {
    /// The same lease, which ends at `limit` at the latest.
    pub(super) fn until(self, limit: Moment) -> Self {
        let end = self.end.earlier(limit);
        Self { ahead: self.ahead.min(end.monotonic), end, ..self }
    }
}

/// A key that was unwrapped. Wiped when the last handle is dropped. What a lookup reads comes first, so that it is together.
#[repr(C)]
pub(super) struct Cell {
    /// How often it was handed out.
    pub(super) uses: AtomicU64,
    /// Whether somebody is renewing the lease ahead of its end.
    renewing: AtomicBool,
    pub(super) lease: Lease,
    /// Of the scope whose key it is; that of no scope for a domain key.
    pub(super) name: Name,
    pub(super) full_id: FullId,
    gate: Arc<Gate>,
    pub(super) key: Zeroizing<[u8; KEY_LEN]>,
    /// When the lease ends with which it was read; a lease that was stretched in an outage ends later.
    pub(super) until: Moment,
}

impl Cell {
    pub(super) fn new(key: Zeroizing<[u8; KEY_LEN]>, full_id: FullId, gate: &Arc<Gate>, lease: Lease) -> Arc<Self> {
        Arc::new(Self::until(Name::NONE, key, full_id, gate, lease, lease.end))
    }

    /// The key of a scope below another key, beyond whose own time no outage stretches it.
    pub(super) fn below(
        parent: &Self,
        scope: &Scope,
        key: Zeroizing<[u8; KEY_LEN]>,
        full_id: FullId,
        gate: &Arc<Gate>,
        lease: Lease,
    ) -> Arc<Self> {
        let until = lease.end.earlier(parent.until);
        Arc::new(Self::until(Name::of(scope), key, full_id, gate, lease, until))
    }

    fn until(
        name: Name,
        key: Zeroizing<[u8; KEY_LEN]>,
        full_id: FullId,
        gate: &Arc<Gate>,
        lease: Lease,
        until: Moment,
    ) -> Self {
        let (uses, renewing) = (AtomicU64::new(1), AtomicBool::new(false));
        Self { uses, renewing, lease, name, full_id, gate: Arc::clone(gate), key, until }
    }

    /// The same key with another lease.
    fn with_lease(&self, lease: Lease) -> Arc<Self> {
        Arc::new(Self::until(self.name, self.key.clone(), self.full_id, &self.gate, lease, self.until))
    }

    /// The monotonic time, unless the lease's time has come, whatever the generation. A tick late at most: whoever waits for
    /// the end of a lease allows for more than that.
    fn time_left_at(&self, gate: &Gate) -> Option<Duration> {
        let (now, wall) = gate.clock.recent();
        (now < self.lease.end.monotonic && wall < self.lease.end.wall).then_some(now)
    }

    /// The same key for a few seconds more, if its time came less than `grace` ago.
    pub(super) fn stretched(&self, grace: Duration) -> Option<Arc<Self>> {
        let (now, limit) = (self.gate.now(), self.until.plus(grace));
        let may = !grace.is_zero() && !limit.has_come(now);
        may.then(|| self.with_lease(self.gate.step(now, limit)))
    }

    /// Whether it can be used no longer, even in an outage.
    pub(super) fn is_over(&self, now: Moment, grace: Duration) -> bool {
        self.lease.end.has_come(now) && self.until.plus(grace).has_come(now)
    }

    /// A handle on a key that is in a cache with this gate, if its time has not come. Called under the cache's lock, so that a
    /// revocation comes before (and the key is no longer there) or after (and ends the handle).
    pub(super) fn hand_out(self: &Arc<Self>, gate: &Gate) -> Option<Found> {
        let now = self.time_left_at(gate)?;
        let handle = Handle { cell: Arc::clone(self), generation: gate.generation() };
        if now < self.lease.ahead || self.renewing.swap(true, Ordering::AcqRel) {
            return Some(Found::Live(handle));
        }
        Some(Found::Ahead(handle, Renewal(Arc::clone(self))))
    }
}

/// What a cache has.
pub(super) enum Found {
    /// A key whose lease lasts.
    Live(Handle),
    /// The same, and the caller is the one who is to renew the lease before it ends.
    Ahead(Handle, Renewal),
}

impl Found {
    /// The key; who was to renew the lease leaves it to the next one.
    pub(super) fn into_handle(self) -> Handle {
        match self {
            Self::Live(handle) | Self::Ahead(handle, _) => handle,
        }
    }
}

/// The right to renew a lease ahead of its end, which one task has at a time. Dropping it lets another task try.
pub(super) struct Renewal(Arc<Cell>);

impl Drop for Renewal {
    fn drop(&mut self) {
        self.0.renewing.store(false, Ordering::Release);
    }
}

/// A cell with the generation in which it was handed out.
#[derive(Clone)]
pub(super) struct Handle {
    pub(super) cell: Arc<Cell>,
    pub(super) generation: u64,
}

impl Handle {
    pub(super) fn is_live(&self) -> bool {
        self.live_at().is_some()
    }

    fn live_at(&self) -> Option<Duration> {
        let gate = &self.cell.gate;
        if self.generation == gate.generation() { self.cell.time_left_at(gate) } else { None }
    }

    fn derive(&self, label: Label, info: &[u8]) -> Result<Zeroizing<[u8; KEY_LEN]>, Expired> {
        if self.is_live() { Ok(self.cell.gate.backend.expand(&self.cell.key, label, info)) } else { Err(Expired) }
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

            /// What computes under the key, and under what is derived from it.
            #[must_use]
            pub fn backend(&self) -> Backend {
                self.0.cell.gate.backend
            }

            /// Derives a key: `HKDF-Expand-SHA-256(key, label ‖ info, 32)`, see [`derive::expand`](crate::derive::expand).
            ///
            /// What is derived must not outlive the lease: check [`is_live`](Self::is_live) before each use of it.
            ///
            /// # Errors
            /// [`Expired`] when the lease has ended.
            pub fn derive(&self, label: Label, info: &[u8]) -> Result<Zeroizing<[u8; KEY_LEN]>, Expired> {
                self.0.derive(label, info)
            }

            /// Whether the lease lasts: its time has not come and nothing was shredded since. Costs one atomic load and
            /// one reading of the [recent](phi_types::Clock::recent) time.
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
