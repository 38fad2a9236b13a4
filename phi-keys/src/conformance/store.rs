use phi_types::Timestamp;

use super::{Violation, failed, rule};
use crate::id::FullId;
use crate::scope::KeyUse;
use crate::store::{Change, Committed, KeyRow, KeyState, KeyStore, RowKind, Slot};

const WORKS: &str = "the store answers";

/// Checks a store that is empty.
///
/// # Errors
/// [`Violation`] naming the first rule that is broken.
pub async fn key_store(store: &dyn KeyStore) -> Result<(), Violation> {
    store.prepare().await.map_err(failed("an empty store can be prepared"))?;
    store.prepare().await.map_err(failed("preparing twice is harmless"))?;
    insertion(store).await?;
    replacement(store).await?;
    reading(store).await?;
    shredding(store).await
}

/// A row whose bytes all follow from `number`; the MAC is not a real one, which no store looks at.
fn row(kind: RowKind, slot: &Slot, version: u32, number: u8) -> KeyRow {
    let key = kind.has_key().then_some(FullId::from_bytes([number; 32]));
    let parent = (kind == RowKind::Data).then_some(FullId::from_bytes([0xff; 32]));
    let created = Timestamp::from_unix_micros(1_767_225_600_000_001);
    let wrapped = vec![number; 89];
    KeyRow::new(kind, slot.clone(), version, key, parent, KeyState::Active, created, wrapped, [number; 32])
}

fn domain() -> Slot {
    Slot::new("conformance", KeyUse::Data, None)
}

fn subject(number: u8) -> Slot {
    Slot::new("conformance", KeyUse::Data, Some([number; 32]))
}

async fn commit(store: &dyn KeyStore, change: Change) -> Result<Committed, Violation> {
    store.commit(&change).await.map_err(failed(WORKS))
}

async fn slot(store: &dyn KeyStore, slot: &Slot) -> Result<Vec<KeyRow>, Violation> {
    store.slot(slot).await.map_err(failed(WORKS))
}

async fn insertion(store: &dyn KeyStore) -> Result<(), Violation> {
    let first = row(RowKind::Domain, &domain(), 1, 1);
    let insert = |row: &KeyRow| Change::new().insert(row.clone());
    rule(commit(store, Change::new()).await? == Committed::Done, "an empty change is done")?;
    rule(commit(store, insert(&first)).await? == Committed::Done, "a new row is inserted")?;
    rule(slot(store, &domain()).await? == [first.clone()], "a row is read back as it was written")?;

    let other = row(RowKind::Domain, &domain(), 1, 2);
    rule(commit(store, insert(&other)).await? == Committed::Exists, "a taken place is not overwritten")?;
    let same_kid = row(RowKind::Data, &subject(9), 1, 1);
    rule(commit(store, insert(&same_kid)).await? == Committed::Exists, "no two keys have one kid")?;
    let both = insert(&row(RowKind::Domain, &domain(), 2, 3)).insert(row(RowKind::Domain, &domain(), 1, 4));
    rule(commit(store, both).await? == Committed::Exists, "of several rows all are inserted or none")?;
    rule(slot(store, &domain()).await? == [first], "a refused change leaves nothing behind")
}

async fn replacement(store: &dyn KeyStore) -> Result<(), Violation> {
    let first = row(RowKind::Domain, &domain(), 1, 1);
    let mut next = first.clone();
    (next.wrapped, next.mac, next.state) = (vec![7; 300], [7; 32], KeyState::DecryptOnly);
    let stale = row(RowKind::Domain, &domain(), 1, 5);
    let swap = |current: &KeyRow, next: &KeyRow| commit(store, Change::new().replace(current.clone(), next.clone()));
    rule(swap(&stale, &next).await? == Committed::Stale, "a row that is another by now is not replaced")?;
    rule(swap(&first, &next).await? == Committed::Done, "a row that is still the same is replaced")?;
    rule(swap(&first, &stale).await? == Committed::Stale, "of two replacements of one row one wins")?;
    rule(slot(store, &domain()).await? == [next.clone()], "a replaced row is read back")?;
    let missing = row(RowKind::Domain, &domain(), 9, 9);
    rule(swap(&missing, &missing).await? == Committed::Stale, "a replacement never inserts")?;

    let half = Change::new().replace(next.clone(), first).insert(row(RowKind::Domain, &domain(), 1, 6));
    rule(commit(store, half).await? == Committed::Exists, "a replacement beside a refused insertion is not done")?;
    rule(slot(store, &domain()).await? == [next], "a replacement beside a refused insertion leaves nothing behind")
}

async fn reading(store: &dyn KeyStore) -> Result<(), Violation> {
    let here = subject(1);
    let elsewhere = Slot::new("conformance-2", KeyUse::Data, Some([1; 32]));
    let rows =
        [row(RowKind::Data, &here, 2, 12), row(RowKind::Data, &here, 1, 11), row(RowKind::Data, &elsewhere, 1, 13)];
    let all = rows.iter().fold(Change::new(), |change, row| change.insert(row.clone()));
    rule(commit(store, all).await? == Committed::Done, "several new rows are inserted")?;
    let [second, first, other] = rows;
    rule(slot(store, &here).await? == [first.clone(), second], "a slot is read in ascending order of version")?;
    rule(slot(store, &elsewhere).await? == [other], "a slot holds the rows of one tenant")?;
    rule(slot(store, &subject(250)).await?.is_empty(), "an empty slot is empty")?;

    let by_kid =
        |number: u8| async move { store.by_kid(FullId::from_bytes([number; 32]).kid()).await.map_err(failed(WORKS)) };
    rule(by_kid(11).await? == Some(first), "a key is found by its kid")?;
    rule(by_kid(250).await?.is_none(), "an unknown kid is not found")?;
    let domains = store.domain_rows().await.map_err(failed(WORKS))?;
    rule(domains.len() == 1 && domains.iter().all(|row| row.kind == RowKind::Domain), "domain keys can be listed")
}

async fn shredding(store: &dyn KeyStore) -> Result<(), Violation> {
    let (here, elsewhere) = (subject(1), Slot::new("conformance-2", KeyUse::Data, Some([1; 32])));
    let counter = row(RowKind::Generation, &Slot::root(), 0, 20);
    let (next, third) =
        (row(RowKind::Generation, &Slot::root(), 0, 21), row(RowKind::Generation, &Slot::root(), 0, 22));
    let mut tombstone = row(RowKind::Tombstone, &here, 0, 30);
    tombstone.wrapped = [[11; 32], [12; 32]].concat();
    let mut forgetful = tombstone.clone();
    forgetful.wrapped.truncate(32);
    commit(store, Change::new().insert(counter.clone())).await?;

    let shred = |from: &KeyRow, to: &KeyRow| {
        commit(store, Change::new().replace(from.clone(), to.clone()).shred(tombstone.clone()))
    };
    rule(shred(&next, &third).await? == Committed::Stale, "a shred against an old generation does nothing")?;
    let unnamed = commit(store, Change::new().replace(counter.clone(), next.clone()).shred(forgetful)).await?;
    rule(unnamed == Committed::Stale, "a shred whose tombstone does not name every key of the slot does nothing")?;
    rule(slot(store, &here).await?.len() == 2, "a shred that does nothing deletes nothing")?;
    rule(slot(store, &Slot::root()).await? == [counter.clone()], "a shred that does nothing replaces nothing")?;
    rule(shred(&counter, &next).await? == Committed::Done, "a shred against the stored generation is done")?;
    rule(slot(store, &here).await? == [tombstone.clone()], "a shred leaves the tombstone alone")?;
    rule(slot(store, &elsewhere).await?.len() == 1, "a shred leaves other tenants' rows")?;
    rule(slot(store, &Slot::root()).await? == [next.clone()], "a shred replaces the generation row")?;

    let reborn = row(RowKind::Data, &here, 7, 40);
    let reborn = commit(store, Change::new().insert(reborn)).await?;
    rule(reborn == Committed::Shredded, "a shredded scope gets no key again")?;
    rule(shred(&next, &third).await? == Committed::Done, "a shred can be repeated")?;
    rule(slot(store, &here).await? == [tombstone.clone()], "a repeated shred keeps the first tombstone")?;
    store.purge().await.map_err(failed("what deletion left behind can be purged")).map(drop)
}
