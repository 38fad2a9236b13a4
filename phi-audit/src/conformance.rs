//! The tests that every [`AuditStore`] must pass.
//!
//! ```
//! # #[cfg(feature = "sqlite")]
//! # mod example {
//! use phi_audit::{Nonconformance, SqliteAuditStore, conformance};
//!
//! async fn my_store_conforms(pool: sqlx::SqlitePool) -> Result<(), Nonconformance> {
//!     conformance::check(&SqliteAuditStore::new(pool)).await
//! }
//! # }
//! ```

use core::fmt;
use std::error::Error as StdError;

use phi_types::Timestamp;

use crate::store::{Columns, Filter, Integration};
use crate::tree::TreeBuilder;
use crate::{AuditStore, EntryRow, Hash, PendingRow, Pseudonym, QuarantineReason, StoreError, TileId, WriterId};

/// What a store does wrong.
#[derive(Debug)]
pub struct Nonconformance {
    what: &'static str,
    source: Option<StoreError>,
}

impl fmt::Display for Nonconformance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store does not conform: {}", self.what)
    }
}

impl StdError for Nonconformance {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|error| error as _)
    }
}

impl From<StoreError> for Nonconformance {
    fn from(error: StoreError) -> Self {
        Self { what: "an operation that must succeed failed", source: Some(error) }
    }
}

fn ensure(fits: bool, what: &'static str) -> Result<(), Nonconformance> {
    if fits { Ok(()) } else { Err(Nonconformance { what, source: None }) }
}

const A: WriterId = WriterId::from_bytes([0xa; 16]);
const B: WriterId = WriterId::from_bytes([0xb; 16]);

/// Checks an empty store. It is not empty afterwards.
///
/// # Errors
/// [`Nonconformance`] says what the store does wrong.
pub async fn check(store: &dyn AuditStore) -> Result<(), Nonconformance> {
    store.prepare().await?;
    store.prepare().await?;
    let head = store.head().await?;
    ensure(
        (head.size, head.root, head.mac) == (0, Hash::empty(), [0; 32]),
        "a new log has no entries and the root of nothing",
    )?;
    appends(store).await?;
    integrates(store).await?;
    queries(store).await?;
    publishes(store).await
}

fn pending(writer: WriterId, sequence: u64, content: u8) -> PendingRow {
    PendingRow::new(0, writer, sequence, vec![content; 40], vec![content; 32])
}

async fn appends(store: &dyn AuditStore) -> Result<(), Nonconformance> {
    let rows: Vec<_> = (0..300).map(|sequence| pending(A, sequence, 1)).chain([pending(B, 0, 2)]).collect();
    store.append(&rows).await?;
    store.append(rows.get(10..20).unwrap_or_default()).await?;
    ensure(store.counts().await?.pending == 301, "a row that is there with the same MAC counts as added, once")?;
    let conflict = [pending(B, 1, 2), pending(B, 0, 3)];
    ensure(
        matches!(store.append(&conflict).await, Err(StoreError::Conflict)),
        "another row of the same number is a conflict",
    )?;
    let read = store.pending(400).await?;
    ensure(read.len() == 301, "rows are added all or none")?;
    let same = |read: &[PendingRow], rows: &[PendingRow]| {
        let part = |row: &PendingRow| (row.writer, row.sequence, row.entry.clone(), row.mac.clone());
        read.len() >= rows.len() && read.iter().zip(rows).all(|(read, row)| part(read) == part(row))
    };
    ensure(same(&read, &rows), "pending rows come back whole, in the order in which they were added")?;
    ensure(read.is_sorted_by_key(|row| row.row), "pending rows are numbered in their order")?;
    ensure(store.pending(7).await?.len() == 7, "no more pending rows come back than asked for")
}

/// The columns of entry `index`: some absent, so that absence has to survive.
fn columns(index: u64) -> Columns {
    let mut columns = Columns::new(A, index, 1_000 + i64::try_from(index).unwrap_or(0), format!("kind.{}", index % 2));
    columns.actor = index.is_multiple_of(3).then(|| "human:a".to_owned());
    columns.subject = index.is_multiple_of(5).then(|| vec![7; 32]);
    columns.session = index.is_multiple_of(7).then(|| "s".to_owned());
    columns
}

async fn integrates(store: &dyn AuditStore) -> Result<(), Nonconformance> {
    let stale = store.head().await?;
    let head = store.claim().await?;
    ensure(head.fence > stale.fence && head.size == 0, "a claim raises the fence and nothing else")?;
    let rows = store.pending(400).await?;
    let mut tree = TreeBuilder::default();
    let mut entries = Vec::new();
    for (index, row) in (0..).zip(rows.iter().take(300)) {
        tree.append(&Hash::leaf(&row.entry));
        entries.push(EntryRow::new(index, row.entry.clone(), columns(index)));
    }
    let root = tree.root().map_err(|_| Nonconformance { what: "the tree is incomplete", source: None })?;
    let tiles = tree.take_changed();
    let consumed: Vec<_> = rows.iter().map(|row| row.row).collect();
    let set_aside: Vec<_> = rows.last().map(|row| (row.clone(), QuarantineReason::Forged)).into_iter().collect();
    let mut step =
        Integration { from: stale, size: 300, root, mac: [5; 32], entries, tiles, consumed, quarantined: set_aside };
    ensure(
        matches!(store.integrate(&step).await, Err(StoreError::Fenced)),
        "a step of an earlier claimant is fenced off",
    )?;
    ensure(store.entries(0, 1).await?.is_empty(), "a step that is fenced off leaves nothing behind")?;
    step.from = head;
    store.integrate(&step).await?;
    let now = store.head().await?;
    ensure(
        (now.size, now.root, now.fence, now.mac) == (300, root, head.fence, [5; 32]),
        "the head is that of the last step",
    )?;
    ensure(matches!(store.integrate(&step).await, Err(StoreError::Fenced)), "a step is applied once")?;
    let counts = store.counts().await?;
    ensure(
        counts.quarantined == 1 && counts.pending == rows.len().saturating_sub(301) as u64,
        "consumed rows are gone, quarantined ones kept",
    )?;
    let read = store.entries(290, 100).await?;
    ensure(step.entries.get(290..) == Some(&read[..]), "entries come back whole, with absent columns absent")?;
    for tile in &step.tiles {
        ensure(store.tiles(&[tile.id()]).await?.contains(tile), "tiles come back whole")?;
    }
    ensure(store.tiles(&[TileId::new(3, 9)]).await?.is_empty(), "a tile that is not there does not come back")?;
    let placed = store.placed(A, 10, 12).await?;
    let leaf = Hash::leaf(&[1; 40]);
    ensure(
        placed == [(10, 10, leaf), (11, 11, leaf), (12, 12, leaf)],
        "placed entries are found by writer and number",
    )?;
    ensure(store.placed(B, 0, 100).await?.is_empty(), "another writer's numbers are not found")
}

async fn queries(store: &dyn AuditStore) -> Result<(), Nonconformance> {
    let found = async |filter: Filter| -> Result<Vec<u64>, StoreError> {
        Ok(store.query(&filter).await?.into_iter().map(|(index, _)| index).collect())
    };
    let all = || Filter { limit: 1_000, ..Filter::default() };
    let expected = |keep: &dyn Fn(u64) -> bool| (0..300).rev().filter(|index| keep(*index)).collect::<Vec<_>>();
    ensure(found(all()).await? == expected(&|_| true), "without a condition everything is found, newest first")?;
    ensure(found(Filter { limit: 3, ..all() }).await? == [299, 298, 297], "no more is found than asked for")?;
    ensure(found(Filter { before: Some(2), ..all() }).await? == [1, 0], "a page ends before its index")?;
    let subject = Some(Pseudonym::from_bytes([7; 32]));
    ensure(found(Filter { subject, ..all() }).await? == expected(&|i| i.is_multiple_of(5)), "subjects are found")?;
    let actor = Some("human:a".to_owned());
    ensure(
        found(Filter { actor: actor.clone(), ..all() }).await? == expected(&|i| i.is_multiple_of(3)),
        "actors are found",
    )?;
    let session = Some("s".to_owned());
    ensure(found(Filter { session, ..all() }).await? == expected(&|i| i.is_multiple_of(7)), "sessions are found")?;
    let kind = Some("kind.1".to_owned());
    ensure(found(Filter { kind, actor, ..all() }).await? == expected(&|i| i % 6 == 3), "conditions combine")?;
    let time = |micros| Some(Timestamp::from_unix_micros(micros));
    let between = Filter { from: time(1_010), until: time(1_012), ..all() };
    ensure(found(between).await? == [11, 10], "times are found from their start up to, not with, their end")
}

async fn publishes(store: &dyn AuditStore) -> Result<(), Nonconformance> {
    ensure(store.latest_checkpoint().await?.is_none(), "a new log has no checkpoint")?;
    let head = store.head().await?;
    store.publish(&head, "first").await?;
    store.publish(&head, "second").await?;
    let first = (head.size, "first".to_owned());
    ensure(store.latest_checkpoint().await? == Some(first.clone()), "the first checkpoint of a size stays")?;
    ensure(store.checkpoints(None, 10).await? == [first], "checkpoints are listed")?;
    ensure(store.checkpoints(Some(head.size), 10).await?.is_empty(), "only larger checkpoints are listed")?;
    store.claim().await?;
    ensure(
        matches!(store.publish(&head, "third").await, Err(StoreError::Fenced)),
        "a checkpoint of an earlier claimant is fenced off",
    )
}
