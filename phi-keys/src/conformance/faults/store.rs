//! A store, and an anchor beside it, whose writes fail as they are told.

use core::num::NonZeroU32;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::anchor::{AnchorError, AnchorFuture, StoreAnchor};
use crate::id::KeyId;
use crate::overlap::give_way;
use crate::scope::KeyUse;
use crate::store::{Change, Committed, KeyRow, KeyStore, Remains, Residue, Slot, StoreError, StoreFuture};

/// How a write to a store fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreFault {
    /// Nothing is written, and an error is reported.
    Before,
    /// It is written, and an error is reported nevertheless.
    After,
    /// The process is killed, with the write not done.
    KilledBefore,
    /// The process is killed, with the write done.
    KilledAfter,
}

impl StoreFault {
    /// Every fault.
    pub const ALL: &'static [Self] = &[Self::Before, Self::After, Self::KilledBefore, Self::KilledAfter];
}

/// What the processes of a test share: what goes wrong next, and how many writes and reads there were.
#[derive(Debug, Default)]
pub(in crate::conformance) struct Script {
    next: Mutex<VecDeque<Option<StoreFault>>>,
    writes: AtomicU64,
    reads: AtomicU64,
}

impl Script {
    pub(in crate::conformance) fn new(faults: impl IntoIterator<Item = Option<StoreFault>>) -> Arc<Self> {
        let next = Mutex::new(faults.into_iter().collect());
        Arc::new(Self { next, writes: AtomicU64::new(0), reads: AtomicU64::new(0) })
    }

    pub(in crate::conformance) fn clear(&self) {
        // Nothing panics under this lock.
        self.next.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(in crate::conformance) fn writes(&self) -> u64 {
        self.writes.load(Ordering::SeqCst)
    }

    /// Reads of the store, not of the anchor.
    pub(in crate::conformance) fn reads(&self) -> u64 {
        self.reads.load(Ordering::SeqCst)
    }
}

/// The way of one process to what it writes to: a store, or an anchor. It gives way to other tasks before each call.
#[derive(Debug)]
pub(in crate::conformance) struct Way<W> {
    to: W,
    script: Arc<Script>,
    dead: Arc<AtomicBool>,
}

impl Way<Arc<dyn KeyStore>> {
    pub(in crate::conformance) fn new(to: Arc<dyn KeyStore>, script: Arc<Script>) -> Self {
        Self { to, script, dead: Arc::default() }
    }

    /// The same process's way to its anchor.
    pub(in crate::conformance) fn anchor<A: StoreAnchor>(&self, to: A) -> Way<A> {
        Way { to, script: Arc::clone(&self.script), dead: Arc::clone(&self.dead) }
    }
}

impl<W: Sync> Way<W> {
    async fn alive(&self) -> Result<(), &'static str> {
        give_way().await;
        if self.dead.load(Ordering::SeqCst) { Err("killed") } else { Ok(()) }
    }

    /// Whether the write is to be done, and whether it is then reported as done.
    async fn next(&self) -> Result<(bool, bool), &'static str> {
        self.alive().await?;
        self.script.writes.fetch_add(1, Ordering::SeqCst);
        let fault = self.script.next.lock().unwrap_or_else(PoisonError::into_inner).pop_front().flatten();
        if matches!(fault, Some(StoreFault::KilledBefore | StoreFault::KilledAfter)) {
            self.dead.store(true, Ordering::SeqCst);
        }
        Ok(match fault {
            None => (true, true),
            Some(StoreFault::Before | StoreFault::KilledBefore) => (false, false),
            Some(StoreFault::After | StoreFault::KilledAfter) => (true, false),
        })
    }
}

impl<W: KeyStore> Way<W> {
    async fn read(&self) -> Result<&W, StoreError> {
        self.script.reads.fetch_add(1, Ordering::SeqCst);
        self.alive().await.map(|()| &self.to).map_err(StoreError::unavailable)
    }
}

impl<W: KeyStore> KeyStore for Way<W> {
    fn prepare(&self) -> StoreFuture<'_, ()> {
        self.to.prepare()
    }

    fn commit<'a>(&'a self, change: &'a Change) -> StoreFuture<'a, Committed> {
        Box::pin(async move {
            let (done, reported) = self.next().await.map_err(StoreError::unavailable)?;
            let outcome = if done { Some(self.to.commit(change).await?) } else { None };
            outcome.filter(|_| reported).ok_or_else(|| StoreError::unavailable("the disk failed"))
        })
    }

    fn slot<'a>(&'a self, slot: &'a Slot) -> StoreFuture<'a, Vec<KeyRow>> {
        Box::pin(async move { self.read().await?.slot(slot).await })
    }

    fn scopes<'a>(&'a self, tenant: &'a str, key_use: KeyUse, scopes: &'a [[u8; 32]]) -> StoreFuture<'a, Vec<KeyRow>> {
        Box::pin(async move { self.read().await?.scopes(tenant, key_use, scopes).await })
    }

    fn by_kid(&self, kid: KeyId) -> StoreFuture<'_, Option<KeyRow>> {
        Box::pin(async move { self.read().await?.by_kid(kid).await })
    }

    fn domain_rows(&self) -> StoreFuture<'_, Vec<KeyRow>> {
        Box::pin(async move { self.read().await?.domain_rows().await })
    }

    fn tombstones(&self) -> StoreFuture<'_, Vec<KeyRow>> {
        Box::pin(async move { self.read().await?.tombstones().await })
    }

    fn data_rows<'a>(
        &'a self,
        tenant: &'a str,
        after: Option<&'a KeyRow>,
        limit: NonZeroU32,
    ) -> StoreFuture<'a, Vec<KeyRow>> {
        Box::pin(async move { self.read().await?.data_rows(tenant, after, limit).await })
    }

    fn remains<'a>(&'a self, slot: &'a Slot) -> StoreFuture<'a, Remains> {
        Box::pin(async move { self.read().await?.remains(slot).await })
    }

    fn purge(&self) -> StoreFuture<'_, Vec<Residue>> {
        Box::pin(async move { self.read().await?.purge().await })
    }
}

impl<W: StoreAnchor> StoreAnchor for Way<W> {
    fn read(&self, from: u64) -> AnchorFuture<'_, Vec<Vec<u8>>> {
        Box::pin(async move {
            self.alive().await.map_err(AnchorError::unavailable)?;
            self.to.read(from).await
        })
    }

    fn append<'a>(&'a self, records: &'a [Vec<u8>]) -> AnchorFuture<'a, ()> {
        Box::pin(async move {
            let (done, reported) = self.next().await.map_err(AnchorError::unavailable)?;
            if done {
                self.to.append(records).await?;
            }
            if reported { Ok(()) } else { Err(AnchorError::unavailable("the disk failed")) }
        })
    }
}
