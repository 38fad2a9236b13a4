//! Rows put into a store, and what is in them.

use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::Poll;
use std::sync::Arc;

use super::world::Fresh;
use super::{Must, Violation, rule};
use crate::kms::Wrapped;
use crate::store::{Change, Committed, KeyRow, KeyState, KeyStore, RowKind, Slot};

pub(super) const WHOLE: &str = "a store gives back every row that was written to it";

/// Whether a version that is named is the one that wraps by what the KEK says of itself. Some KMSs name none in what they wrap,
/// some none in their status: then there is nothing to compare.
pub(super) fn is_newest(named: &str, wraps: Option<&str>) -> bool {
    named.is_empty() || wraps.is_none_or(|wraps| wraps == named)
}

/// A store that holds these rows, as if they had always been there.
pub(super) async fn holding(fresh: &dyn Fresh, rows: Vec<KeyRow>) -> Result<Arc<dyn KeyStore>, Violation> {
    const RULE: &str = "rows of different places and kids can be put into an empty store";
    let store = fresh.store().await;
    store.prepare().await.must("an empty store can be prepared")?;
    let change = rows.into_iter().fold(Change::new(), Change::insert);
    rule(store.commit(&change).await.must(RULE)? == Committed::Done, RULE)?;
    Ok(store)
}

/// The copies of a domain key, each a carrier and what is sealed under it.
pub(super) fn copies(row: &KeyRow) -> Result<Vec<(Wrapped, Vec<u8>)>, Violation> {
    let (count, mut rest) = row.wrapped.split_first().must(WHOLE)?;
    let mut part = || {
        let (length, after) = rest.split_first_chunk().must(WHOLE)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).must(WHOLE)?;
        let (part, after) = after.split_at_checked(length).must(WHOLE)?;
        rest = after;
        Ok(part.to_vec())
    };
    (0..*count).map(|_| Ok((Wrapped::from_bytes(&part()?).must(WHOLE)?, part()?))).collect()
}

pub(super) fn join(copies: &[(Wrapped, Vec<u8>)]) -> Result<Vec<u8>, Violation> {
    let mut bytes = vec![u8::try_from(copies.len()).must(WHOLE)?];
    for (carrier, sealed) in copies {
        for part in [&carrier.to_bytes(), sealed] {
            bytes.extend(u32::try_from(part.len()).must(WHOLE)?.to_be_bytes());
            bytes.extend_from_slice(part);
        }
    }
    Ok(bytes)
}

/// The keys in a slot of one kind, oldest first, with their states.
pub(super) async fn states(store: &dyn KeyStore, slot: &Slot, kind: RowKind) -> Result<Vec<KeyState>, Violation> {
    let rows = store.slot(slot).await.must(WHOLE)?;
    Ok(rows.into_iter().filter(|row| row.kind == kind).map(|row| row.state).collect())
}

/// Several futures at once, on this task.
pub(super) type Work<'w, T> = Pin<Box<dyn Future<Output = T> + Send + 'w>>;

/// Polls all until all are ready.
pub(super) async fn together<T>(mut work: Vec<Work<'_, T>>) -> Vec<T> {
    let mut done: Vec<Option<T>> = work.iter().map(|_| None).collect();
    poll_fn(|task| {
        for (future, done) in work.iter_mut().zip(&mut done).filter(|(_, done)| done.is_none()) {
            if let Poll::Ready(value) = future.as_mut().poll(task) {
                *done = Some(value);
            }
        }
        if done.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}
