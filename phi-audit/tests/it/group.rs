//! Group commit: nothing acknowledged is lost or doubled, whoever gives up in between.

use core::num::NonZeroU32;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use phi_audit::{
    AuditLog, AuditStore, Counts, EntryRow, Error, Filter, Hash, Head, Integration, PendingRow, Problem, Query,
    SqliteAuditStore, StoreError, StoreFuture, Tile, TileId, WriterId,
};
use phi_keys::{
    Change, Committed, EphemeralKeyring, KeyId, KeyRow, KeyStore, Keys, MemoryKeyStore, Residue, Slot,
    StoreFuture as KeyFuture,
};
use phi_types::{Detail, ManualClock};
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
    /// A call, and the log of another process that goes ahead right before it reaches the database.
    meanwhile: Mutex<Option<(&'static str, AuditLog)>>,
    /// The most numbers that were looked up at once.
    widest: AtomicU64,
}

impl Gated {
    async fn meanwhile(&self, call: &str) {
        let other = self.meanwhile.lock().unwrap().take_if(|(before, _)| *before == call);
        if let Some((_, other)) = other {
            other.recorder().record(read(1_000)).await.unwrap();
            other.checkpoint().await.unwrap();
        }
    }
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
        Box::pin(async move {
            self.0.meanwhile(if limit == 1 { "anything pending" } else { "pending" }).await;
            self.0.inner.pending(limit).await
        })
    }
    fn counts(&self) -> StoreFuture<'_, Counts> {
        self.0.inner.counts()
    }
    fn head(&self) -> StoreFuture<'_, Head> {
        Box::pin(async move {
            self.0.meanwhile("head").await;
            self.0.inner.head().await
        })
    }
    fn claim(&self) -> StoreFuture<'_, Head> {
        Box::pin(async move {
            self.0.meanwhile("claim").await;
            self.0.inner.claim().await
        })
    }
    fn integrate<'a>(&'a self, step: &'a Integration) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.0.meanwhile("integrate").await;
            self.0.inner.integrate(step).await
        })
    }
    fn tiles<'a>(&'a self, ids: &'a [TileId]) -> StoreFuture<'a, Vec<Tile>> {
        self.0.inner.tiles(ids)
    }
    fn entries(&self, start: u64, limit: u32) -> StoreFuture<'_, Vec<EntryRow>> {
        self.0.inner.entries(start, limit)
    }
    fn placed(&self, writer: WriterId, first: u64, last: u64) -> StoreFuture<'_, Vec<(u64, u64, Hash)>> {
        self.0.widest.fetch_max(last - first, Ordering::SeqCst);
        self.0.inner.placed(writer, first, last)
    }
    fn query<'a>(&'a self, filter: &'a Filter) -> StoreFuture<'a, Vec<(u64, Vec<u8>)>> {
        self.0.inner.query(filter)
    }
    fn publish<'a>(&'a self, head: &'a Head, note: &'a str) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.0.meanwhile("publish").await;
            self.0.inner.publish(head, note).await
        })
    }
    fn checkpoints(&self, after: Option<u64>, limit: u32) -> StoreFuture<'_, Vec<(u64, String)>> {
        self.0.inner.checkpoints(after, limit)
    }
    fn latest_checkpoint(&self) -> StoreFuture<'_, Option<(u64, String)>> {
        Box::pin(async move {
            self.0.meanwhile("latest").await;
            self.0.inner.latest_checkpoint().await
        })
    }
}

async fn gated() -> (Clinic, AuditLog, Arc<Gated>) {
    gate(Clinic::new().await).await
}

async fn gate(clinic: Clinic) -> (Clinic, AuditLog, Arc<Gated>) {
    let gated = Arc::new(Gated {
        inner: SqliteAuditStore::new(clinic.pool.clone()),
        gate: Semaphore::new(1),
        appends: AtomicU64::new(0),
        fail_before: AtomicU64::new(0),
        fail_after: AtomicU64::new(0),
        meanwhile: Mutex::new(None),
        widest: AtomicU64::new(0),
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

#[tokio::test]
async fn another_process_that_goes_ahead_is_no_rollback() {
    for call in ["latest", "anything pending", "claim", "pending", "integrate", "head", "publish"] {
        let (clinic, log, gated) = gated().await;
        let other = clinic.open().await;
        log.checkpoint().await.unwrap();
        log.recorder().record(read(1)).await.unwrap();
        *gated.meanwhile.lock().unwrap() = Some((call, other));
        let checkpoint = log.checkpoint().await.unwrap_or_else(|error| panic!("before {call}: {error}"));
        assert!(gated.meanwhile.lock().unwrap().is_none(), "{call} was called");
        assert!(checkpoint.size() >= 5, "before {call}");
        assert_complete(&log, [1, 1_000]).await;
    }
}

#[tokio::test]
async fn an_alarm_that_cannot_be_written_down_is_raised_again() {
    let (clinic, log, gated) = gated().await;
    log.recorder().record(read(1)).await.unwrap();
    clinic.run("UPDATE phi_audit_pending SET mac = zeroblob(32)").await;
    gated.fail_before.store(1, Ordering::SeqCst);
    assert!(matches!(log.checkpoint().await, Err(Error::Store(_))));
    assert_eq!(log.status().await.unwrap().missing, 1);
    assert!(matches!(log.checkpoint().await, Err(Error::AcknowledgedMissing { count: 1 })));
    for kind in ["audit.quarantine", "audit.missing"] {
        assert_eq!(log.query(&Query::new().kind(kind)).await.unwrap().events.len(), 1, "{kind}");
    }
    log.checkpoint().await.unwrap();
    assert_eq!(log.status().await.unwrap().missing, 1, "counted once");
}

#[tokio::test]
async fn events_that_the_next_identity_says_were_acknowledged_are_missed() {
    let (clinic, log, gated) = gated().await;
    for number in 1..=3 {
        log.recorder().record(read(number)).await.unwrap();
    }
    // The end of what one identity wrote, so that no later number of it shows a gap.
    clinic.run("DELETE FROM phi_audit_pending WHERE sequence > 2").await;
    gated.fail_before.store(1, Ordering::SeqCst);
    log.recorder().record(read(4)).await.unwrap_err();
    log.recorder().record(read(5)).await.unwrap();
    drop(log);
    // The process ends before it could raise the alarm itself.
    let report = clinic.open().await.verify().await.unwrap();
    let problem = &report.first_wrong().unwrap().problem;
    assert!(matches!(problem, Problem::Gap { first: 3, last: 4, .. }), "{problem:?}");
}

/// A key store that can go down.
#[derive(Debug)]
struct Down {
    inner: MemoryKeyStore,
    down: Arc<AtomicBool>,
}

impl KeyStore for Down {
    fn prepare(&self) -> KeyFuture<'_, ()> {
        self.inner.prepare()
    }
    fn commit<'a>(&'a self, change: &'a Change) -> KeyFuture<'a, Committed> {
        self.inner.commit(change)
    }
    fn slot<'a>(&'a self, slot: &'a Slot) -> KeyFuture<'a, Vec<KeyRow>> {
        if self.down.load(Ordering::SeqCst) {
            return Box::pin(async { Err(phi_keys::StoreError::unavailable("down")) });
        }
        self.inner.slot(slot)
    }
    fn by_kid(&self, kid: KeyId) -> KeyFuture<'_, Option<KeyRow>> {
        self.inner.by_kid(kid)
    }
    fn domain_rows(&self) -> KeyFuture<'_, Vec<KeyRow>> {
        self.inner.domain_rows()
    }
    fn tombstones(&self) -> KeyFuture<'_, Vec<KeyRow>> {
        self.inner.tombstones()
    }

    fn data_rows<'a>(
        &'a self,
        tenant: &'a str,
        after: Option<&'a KeyRow>,
        limit: NonZeroU32,
    ) -> KeyFuture<'a, Vec<KeyRow>> {
        self.inner.data_rows(tenant, after, limit)
    }

    fn purge(&self) -> KeyFuture<'_, Vec<Residue>> {
        self.inner.purge()
    }
}

#[tokio::test]
async fn a_group_on_its_way_does_not_wait_for_keys() {
    let (clock, down) = (ManualClock::at_unix_seconds(0), Arc::new(AtomicBool::new(false)));
    let store = Down { inner: MemoryKeyStore::new(), down: Arc::clone(&down) };
    let kek = EphemeralKeyring::generate().unwrap();
    let keys = Keys::builder(store).kek(kek).clock(clock.clone()).build().await.unwrap();
    let (_clinic, log, gated) = gate(Clinic { keys, ..Clinic::new().await }).await;
    let shut = gated.gate.acquire().await.unwrap();
    let recorder = log.recorder();
    let mut context = Context::from_waker(Waker::noop());
    let mut first = recorder.record(read(1));
    assert!(first.as_mut().poll(&mut context).is_pending());
    drop(first);
    drop(shut);
    clock.advance(Duration::from_secs(1_000_000));
    down.store(true, Ordering::SeqCst);
    log.recorder().record(read(2)).await.unwrap_err();
    let ended = tokio::time::timeout(Duration::from_secs(20), log.checkpoint()).await.expect("it does not spin");
    ended.unwrap_err();
    down.store(false, Ordering::SeqCst);
    assert_complete(&log, [1]).await;
}

#[tokio::test]
async fn a_replayed_row_does_not_make_the_whole_past_of_its_writer_be_read() {
    let (clinic, log, gated) = gated().await;
    log.recorder().record(read(0)).await.unwrap();
    clinic.run("CREATE TABLE kept AS SELECT writer, sequence, entry, mac FROM phi_audit_pending").await;
    for number in 1..3_000 {
        log.recorder().record(read(number)).await.unwrap();
    }
    log.checkpoint().await.unwrap();
    log.recorder().record(read(3_000)).await.unwrap();
    clinic.run("INSERT INTO phi_audit_pending (writer, sequence, entry, mac) SELECT * FROM kept").await;
    gated.widest.store(0, Ordering::SeqCst);
    log.query(&Query::new()).await.unwrap();
    assert!(gated.widest.load(Ordering::SeqCst) < 2_000);
    assert_complete(&log, 0..=3_000).await;
}
