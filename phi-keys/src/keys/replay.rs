//! Before any key is served: what the anchor knows is brought into the store, and the other way round.

use std::collections::HashSet;

use phi_types::Timestamp;

use super::ATTEMPTS;
use super::anchored::Anchored;
use super::report::Replayed;
use super::root::Root;
use super::rows::PAGE;
use crate::error::Error;
use crate::id::FullId;
use crate::store::{Change, Committed, KeyRow, KeyStore, Slot};

/// What to do with a store that is older than it was, or lacks tombstones that nobody else knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rollback {
    Refuse,
    Accept,
}

/// Without an anchor: refuses a store from which tombstones were removed.
pub(super) async fn check(
    root: &Root,
    store: &dyn KeyStore,
    rollback: Rollback,
    now: Timestamp,
) -> Result<Replayed, Error> {
    let mut replayed = Replayed::default();
    if !is_whole(root, store).await? {
        if rollback == Rollback::Refuse {
            return Err(Error::Forgotten);
        }
        raise(root, store, 0, now).await?;
        replayed.rebuilt = true;
    }
    Ok(replayed)
}

/// With an anchor: shreds again what the store forgot, and notes what the anchor lacks.
pub(super) async fn reconcile(
    root: &Root,
    store: &dyn KeyStore,
    anchored: &Anchored,
    rollback: Rollback,
    now: Timestamp,
) -> Result<Replayed, Error> {
    let found = generation(root, store).await?;
    let expected = anchored.mark();
    // Before anything is written: what is shredded again would make the generation a higher one.
    if found < expected && rollback == Rollback::Refuse {
        return Err(Error::RolledBack { found, expected });
    }
    let mut replayed = Replayed::default();
    let census = root.census(store).await?;
    if rollback == Rollback::Accept {
        replayed.older_rows = anchored.accept_older_rows().await?;
    }
    // What the anchor knows of them was read before.
    census.domains.iter().try_for_each(|row| anchored.check(row))?;
    let tombstones = authentic(root, store).await?;
    let there = tombstones.iter().map(|row| &row.slot).collect::<HashSet<_>>();
    for (slot, ids) in anchored.shredded() {
        if !there.contains(&slot) {
            replayed.keys.extend(shred(root, store, &slot, &ids, now).await?);
            replayed.subjects += 1;
        }
    }
    if found < expected {
        raise(root, store, expected, now).await?;
        replayed.rebuilt = true;
    } else if !is_whole(root, store).await? {
        // Whatever was removed is back, so what is there now is what has to be there.
        raise(root, store, 0, now).await?;
        replayed.rebuilt = true;
    }
    let unknown = tombstones.iter().filter(|row| !anchored.has_shredded(&row.slot));
    let unknown = unknown.map(|row| (row.slot.clone(), ids_of(row))).collect::<Vec<_>>();
    if !unknown.is_empty() {
        anchored.were_shredded(unknown, found).await?;
    }
    anchored.reached(generation(root, store).await?).await?;
    if replayed.older_rows {
        see_data_keys(root, store, anchored, &census.domains).await?;
        anchored.note_seen().await?;
    } else {
        // It is noted later, as everything that is read.
        let _not_yet = anchored.note_seen().await;
    }
    Ok(replayed)
}

/// Remembers every data key row as it is now: from here on none of them is to become older again.
async fn see_data_keys(
    root: &Root,
    store: &dyn KeyStore,
    anchored: &Anchored,
    domains: &[KeyRow],
) -> Result<(), Error> {
    let tenants = domains.iter().map(|row| row.slot.tenant.as_str()).collect::<HashSet<_>>();
    for tenant in tenants {
        let mut after = None;
        loop {
            let page = store.data_rows(tenant, after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { break };
            // What is not authentic is refused when it is asked for.
            page.iter().filter(|row| row.is_authentic(&root.mac_key)).try_for_each(|row| anchored.check(row))?;
            after = Some(last.clone());
        }
    }
    Ok(())
}

fn ids_of(tombstone: &KeyRow) -> Vec<FullId> {
    tombstone.wrapped.as_chunks().0.iter().map(|id| FullId::from_bytes(*id)).collect()
}

async fn authentic(root: &Root, store: &dyn KeyStore) -> Result<Vec<KeyRow>, Error> {
    let mut rows = store.tombstones().await?;
    rows.retain(|row| row.is_authentic(&root.mac_key));
    Ok(rows)
}

async fn generation(root: &Root, store: &dyn KeyStore) -> Result<u64, Error> {
    Ok(root.generation(&store.slot(&Slot::root()).await?)?.1.number)
}

/// Whether the tombstones are those that the generation row vouches for.
async fn is_whole(root: &Root, store: &dyn KeyStore) -> Result<bool, Error> {
    for _ in 0..ATTEMPTS {
        let rows = store.slot(&Slot::root()).await?;
        let (row, generation) = root.generation(&rows)?;
        let Some(expected) = generation.tombstones else { return Ok(true) };
        if root.chain(&store.tombstones().await?) == expected {
            return Ok(true);
        }
        // Another process may have shredded between the two readings; then there is a new generation.
        if store.slot(&Slot::root()).await?.contains(row) {
            return Ok(false);
        }
    }
    Err(Error::Contended)
}

/// Writes a generation that is higher than `least` and vouches for the tombstones that are there.
async fn raise(root: &Root, store: &dyn KeyStore, least: u64, now: Timestamp) -> Result<(), Error> {
    for _ in 0..ATTEMPTS {
        let rows = store.slot(&Slot::root()).await?;
        let (row, generation) = root.generation(&rows)?;
        let mut next = generation.next(generation.domains)?.chained(root.chain(&store.tombstones().await?));
        next.number = next.number.max(least.checked_add(1).ok_or(Error::Contended)?);
        let change = Change::new().replace(row.clone(), root.generation_row(&next, now)?);
        if store.commit(&change).await? == Committed::Done {
            return Ok(());
        }
    }
    Err(Error::Contended)
}

/// Shreds a slot, and says which keys were shredded.
async fn shred(
    root: &Root,
    store: &dyn KeyStore,
    slot: &Slot,
    ids: &[FullId],
    now: Timestamp,
) -> Result<Vec<FullId>, Error> {
    for _ in 0..ATTEMPTS {
        let rows = store.remains(&Slot::root()).await?.rows;
        let (row, mut generation) = root.generation(&rows)?;
        if generation.tombstones.is_none() {
            generation = generation.chained(root.chain(&store.tombstones().await?));
        }
        let plan = root.shred(slot, &store.remains(slot).await?, (row, &generation), ids, now)?;
        if store.commit(&plan.change).await? == Committed::Done {
            store.purge().await?;
            return Ok(plan.keys);
        }
    }
    Err(Error::Contended)
}
