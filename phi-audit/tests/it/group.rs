//! Group commit: nothing acknowledged is lost or doubled, whoever gives up in between.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use phi_audit::{
    AuditLog, AuditStore, Counts, EntryRow, Filter, Hash, Head, Integration, PendingRow, Query, SqliteAuditStore,
    StoreError, StoreFuture, Tile, TileId, WriterId,
};
use phi_types::Detail;
use tokio::sync::Semaphore;

use crate::support::{Clinic, ORIGIN, read};

/// SQLite behind a gate that can be shut and can fail.
#[derive(Debug)]
struct Gated {
    inner: SqliteAuditStore,
    gate: Semaphore,
    appends: AtomicU64,
    /// Appends that fail without reaching the database.
    fail_before: AtomicU64,
    /// Appends that reach it but report a failure.
    fail_after: AtomicU64,
}

#[derive(Debug, Clone)]
struct Shared(Arc<Gated>);

fn take(counter: &AtomicU64) -> bool {
    counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

impl AuditStore for Shared {
    fn prepare(&self) -> StoreFuture<'_, ()> {
        self.0.inner.prepare()
    }
    fn append<'a>(&'a self, rows: &'a [PendingRow]) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.0.appends.fetch_add(1, Ordering::SeqCst);
            let _open = self.0.gate.acquire().await.unwrap();
            if take(&self.0.fail_before) {
                return Err(StoreError::backend("disk full"));
            }
            self.0.inner.append(rows).await?;
            if take(&self.0.fail_after) { Err(StoreError::backend("connection lost")) } else { Ok(()) }
        })
    }
    fn pending(&self, limit: u32) -> StoreFuture<'_, Vec<PendingRow>> {
        self.0.inner.pending(limit)
    }
    fn counts(&self) -> StoreFuture<'_, Counts> {
        self.0.inner.counts()
    }
    fn head(&self) -> StoreFuture<'_, Head> {
        self.0.inner.head()
    }
    fn claim(&self) -> StoreFuture<'_, Head> {
        self.0.inner.claim()
    }
    fn integrate<'a>(&'a self, step: &'a Integration) -> StoreFuture<'a, ()> {
        self.0.inner.integrate(step)
    }
    fn tiles<'a>(&'a self, ids: &'a [TileId]) -> StoreFuture<'a, Vec<Tile>> {
        self.0.inner.tiles(ids)
    }
    fn entries(&self, start: u64, limit: u32) -> StoreFuture<'_, Vec<EntryRow>> {
        self.0.inner.entries(start, limit)
    }
    fn placed(&self, writer: WriterId, first: u64, last: u64) -> StoreFuture<'_, Vec<(u64, u64, Hash)>> {
        self.0.inner.placed(writer, first, last)
    }
    fn query<'a>(&'a self, filter: &'a Filter) -> StoreFuture<'a, Vec<(u64, Vec<u8>)>> {
        self.0.inner.query(filter)
    }
    fn publish<'a>(&'a self, head: &'a Head, note: &'a str) -> StoreFuture<'a, ()> {
        self.0.inner.publish(head, note)
    }
    fn checkpoints(&self, after: Option<u64>, limit: u32) -> StoreFuture<'_, Vec<(u64, String)>> {
        self.0.inner.checkpoints(after, limit)
    }
    fn latest_checkpoint(&self) -> StoreFuture<'_, Option<(u64, String)>> {
        self.0.inner.latest_checkpoint()
    }
}

async fn gated() -> (Clinic, AuditLog, Arc<Gated>) {
    let clinic = Clinic::new().await;
    let gated = Arc::new(Gated {
        inner: SqliteAuditStore::new(clinic.pool.clone()),
        gate: Semaphore::new(1),
        appends: AtomicU64::new(0),
        fail_before: AtomicU64::new(0),
        fail_after: AtomicU64::new(0),
    });
    let log = AuditLog::builder(Shared(Arc::clone(&gated)))
        .keys(clinic.keys.clone())
        .origin(ORIGIN)
        .high_water_mark(clinic.mark())
        .open()
        .await
        .unwrap();
    gated.appends.store(0, Ordering::SeqCst);
    (clinic, log, gated)
}

/// The numbers of the read events in the log, in its order.
async fn numbers(log: &AuditLog) -> Vec<u64> {
    log.checkpoint().await.unwrap();
    let (mut query, mut numbers) = (Query::new().kind("record.read").limit(1_000), Vec::new());
    loop {
        let page = log.query(&query).await.unwrap();
        numbers.extend(page.events.iter().map(|found| match found.event.detail("number") {
            Some(Detail::Count(number)) => *number,
            _ => panic!("every read has a number"),
        }));
        match page.next {
            Some(next) => query = query.before(next),
            None => return numbers,
        }
    }
}

async fn assert_complete(log: &AuditLog, expected: impl IntoIterator<Item = u64>) {
    let found = numbers(log).await;
    let distinct: BTreeSet<u64> = found.iter().copied().collect();
    assert_eq!(distinct.len(), found.len(), "nothing is doubled");
    assert_eq!(distinct, expected.into_iter().collect(), "nothing is lost");
    let report = log.verify().await.unwrap();
    assert_eq!(report.findings, []);
    assert_eq!(log.status().await.unwrap().missing, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_recorders_share_commits() {
    let (_clinic, log, gated) = gated().await;
    let tasks: Vec<_> = (0..400_u64)
        .map(|task| {
            let recorder = log.recorder();
            tokio::spawn(async move {
                for step in 0..5 {
                    recorder.record(read(task * 5 + step)).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let appends = gated.appends.load(Ordering::SeqCst);
    assert!((8..=400).contains(&appends), "2,000 events in {appends} commits of at most 256");
    assert_complete(&log, 0..2_000).await;
}

#[tokio::test]
async fn a_committer_that_goes_away_takes_nobody_with_it() {
    let (_clinic, log, gated) = gated().await;
    let recorder = log.recorder();
    let shut = gated.gate.acquire().await.unwrap();
    let mut context = Context::from_waker(Waker::noop());
    // The first becomes the committer and stands at the gate, the second joins, and the first gives up.
    let mut first = recorder.record(read(1));
    assert!(first.as_mut().poll(&mut context).is_pending());
    let mut second = recorder.record(read(2));
    assert!(second.as_mut().poll(&mut context).is_pending());
    drop(first);
    assert!(matches!(second.as_mut().poll(&mut context), Poll::Pending));
    drop(shut);
    second.await.unwrap();
    assert_complete(&log, [1, 2]).await;
}

#[tokio::test]
async fn a_committer_that_goes_away_after_its_commit_doubles_nothing() {
    let (clinic, log, gated) = gated().await;
    let recorder = log.recorder();
    let shut = gated.gate.acquire().await.unwrap();
    let mut first = recorder.record(read(1));
    assert!(first.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(shut);
    // It sees the database, but is dropped before it can say so; sometimes the sequencer has even taken the row.
    for _ in 0..3 {
        let _ = first.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }
    drop(first);
    clinic.open().await.checkpoint().await.unwrap();
    recorder.record(read(2)).await.unwrap();
    assert_complete(&log, [1, 2]).await;
}

#[tokio::test]
async fn a_failed_append_is_told_to_everybody_and_leaves_no_gap() {
    let (_clinic, log, gated) = gated().await;
    log.recorder().record(read(1)).await.unwrap();
    gated.fail_before.store(1, Ordering::SeqCst);
    let error = log.recorder().record(read(2)).await.unwrap_err();
    assert!(std::error::Error::source(&error).is_some());
    log.recorder().record(read(3)).await.unwrap();
    assert_complete(&log, [1, 3]).await;
    // A new identity that closes the one before.
    let report = log.verify().await.unwrap();
    assert_eq!((report.writers, report.unknown_ends), (2, 1));
}

#[tokio::test]
async fn an_append_of_unknown_outcome_is_an_error_although_it_may_be_there() {
    let (_clinic, log, gated) = gated().await;
    gated.fail_after.store(1, Ordering::SeqCst);
    log.recorder().record(read(1)).await.unwrap_err();
    log.recorder().record(read(2)).await.unwrap();
    assert_complete(&log, [1, 2]).await;
}
