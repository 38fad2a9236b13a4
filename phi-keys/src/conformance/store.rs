use core::future::{Future, poll_fn};
use core::num::NonZeroU32;
use core::pin::pin;
use core::task::Poll;

use phi_types::Timestamp;

use super::{Violation, failed, rule};
use crate::id::FullId;
use crate::scope::KeyUse;
use crate::store::{Change, Committed, KeyRow, KeyState, KeyStore, RowKind, Slot, StoreError};

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
    listing(store).await?;
    shredding(store).await?;
    forgery(store).await
}

/// Checks that two ways to one empty store, such as two pools of connections to one database, see each other's writes and
/// that of any two writers one wins. Runs on a multi-threaded or a single-threaded runtime; needs no timer.
///
/// # Errors
/// [`Violation`] naming the first rule that is broken.
pub async fn key_store_shared(here: &dyn KeyStore, there: &dyn KeyStore) -> Result<(), Violation> {
    let (one, other) = both(here.prepare(), there.prepare()).await;
    one.and(other).map_err(failed("a store can be prepared twice at once"))?;
    let counter = |number: u8| row(RowKind::Generation, &Slot::root(), 0, number);
    commit(here, Change::new().insert(counter(0))).await?;
    rule(slot(there, &Slot::root()).await? == [counter(0)], "what one writes the other reads")?;
    for round in 1..=ROUNDS {
        let (current, mine, theirs) = (slot(here, &Slot::root()).await?, counter(2 * round), counter(2 * round + 1));
        let [current] = current.as_slice() else { return rule(false, "a replaced row stays one row") };
        let swap = |next: &KeyRow| Change::new().replace(current.clone(), next.clone());
        let (mine, theirs) = (swap(&mine), swap(&theirs));
        let (one, other) = both(here.commit(&mine), there.commit(&theirs)).await;
        one_wins(one, other, Committed::Stale, "of two replacements of one row at once one wins")?;

        let place = subject(round);
        let insert = |number: u8| Change::new().insert(row(RowKind::Data, &place, 1, number));
        let (mine, theirs) = (insert(2 * round), insert(2 * round + 1));
        let (one, other) = both(here.commit(&mine), there.commit(&theirs)).await;
        one_wins(one, other, Committed::Exists, "of two insertions at one place at once one wins")?;

        // A data key is inserted while its scope is shredded by a change that does not know of it.
        let place = subject(ROUNDS + round);
        let mut tombstone = row(RowKind::Tombstone, &place, 0, 3);
        tombstone.wrapped = Vec::new();
        let (insert, shred) = (
            Change::new().insert(row(RowKind::Data, &place, 1, 2 * (ROUNDS + round))),
            Change::new().shred(tombstone.clone()),
        );
        let (inserted, shredded) = both(here.commit(&insert), there.commit(&shred)).await;
        let outcome = (inserted.map_err(failed(WORKS))?, shredded.map_err(failed(WORKS))?);
        let left = slot(here, &place).await?;
        let holds = match outcome {
            (Committed::Shredded, Committed::Done) => left == [tombstone],
            (Committed::Done, Committed::Stale) => left.iter().all(|row| row.kind == RowKind::Data) && left.len() == 1,
            _ => false,
        };
        rule(holds, "a data key is never inserted beside the tombstone that does not name it")?;
    }
    Ok(())
}

const ROUNDS: u8 = 25;

fn one_wins(
    one: Result<Committed, StoreError>,
    other: Result<Committed, StoreError>,
    lost: Committed,
    says: &'static str,
) -> Result<(), Violation> {
    let outcome = (one.map_err(failed(WORKS))?, other.map_err(failed(WORKS))?);
    rule(outcome == (Committed::Done, lost) || outcome == (lost, Committed::Done), says)
}

/// Polls both until both are ready.
async fn both<A, B>(one: impl Future<Output = A>, other: impl Future<Output = B>) -> (A, B) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    let (mut first, mut second) = (None, None);
    poll_fn(move |context| {
        if first.is_none()
            && let Poll::Ready(value) = one.as_mut().poll(context)
        {
            first = Some(value);
        }
        if second.is_none()
            && let Poll::Ready(value) = other.as_mut().poll(context)
        {
            second = Some(value);
        }
        match (first.take(), second.take()) {
            (Some(one), Some(other)) => Poll::Ready((one, other)),
            (one, other) => {
                (first, second) = (one, other);
                Poll::Pending
            }
        }
    })
    .await
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
    (next.since, next.revision) = (Some(Timestamp::from_unix_micros(1_767_225_600_000_002)), 1);
    let stale = row(RowKind::Domain, &domain(), 1, 5);
    let swap = |current: &KeyRow, next: &KeyRow| commit(store, Change::new().replace(current.clone(), next.clone()));
    rule(swap(&stale, &next).await? == Committed::Stale, "a row that is another by now is not replaced")?;
    rule(swap(&first, &next).await? == Committed::Done, "a row that is still the same is replaced")?;
    rule(swap(&first, &stale).await? == Committed::Stale, "of two replacements of one row one wins")?;
    rule(slot(store, &domain()).await? == [next.clone()], "a replaced row is read back")?;
    let missing = row(RowKind::Domain, &domain(), 9, 9);
    rule(swap(&missing, &missing).await? == Committed::Stale, "a replacement never inserts")?;
    for state in KeyState::ALL {
        let current = next.clone();
        (next.state, next.mac) = (state, [0x80 | state.code(); 32]);
        rule(swap(&current, &next).await? == Committed::Done, "a row passes into every state")?;
        rule(slot(store, &domain()).await? == [next.clone()], "a row in any state is read back")?;
    }

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
    let scopes = [[250; 32], [1; 32], [2; 32]];
    let third = Change::new().insert(row(RowKind::Data, &subject(2), 1, 14));
    rule(commit(store, third).await? == Committed::Done, "a new row is inserted")?;
    let mut read = store.scopes("conformance", KeyUse::Data, &scopes).await.map_err(failed(WORKS))?;
    read.sort_by_key(|row| row.slot.scope);
    let mut expected = slot(store, &here).await?;
    expected.extend(slot(store, &subject(2)).await?);
    rule(read == expected, "many scopes are read as each alone, without those that were not asked for")?;
    let mut further = [0; 32];
    further[31] = 1;
    let hundreds: Vec<_> = (0..=u8::MAX).map(|number| [number; 32]).chain([further]).collect();
    let mut read = store.scopes("conformance", KeyUse::Data, &hundreds).await.map_err(failed(WORKS))?;
    read.sort_by_key(|row| row.slot.scope);
    rule(read == expected, "hundreds of scopes are read at once")?;
    let none = store.scopes("conformance", KeyUse::Data, &[]).await.map_err(failed(WORKS))?;
    rule(none.is_empty(), "no scopes have no rows")?;
    rule(slot(store, &elsewhere).await? == [other], "a slot holds the rows of one tenant")?;
    rule(slot(store, &subject(250)).await?.is_empty(), "an empty slot is empty")?;

    let by_kid =
        |number: u8| async move { store.by_kid(FullId::from_bytes([number; 32]).kid()).await.map_err(failed(WORKS)) };
    rule(by_kid(11).await? == Some(first), "a key is found by its kid")?;
    rule(by_kid(250).await?.is_none(), "an unknown kid is not found")?;
    let domains = store.domain_rows().await.map_err(failed(WORKS))?;
    rule(domains.len() == 1 && domains.iter().all(|row| row.kind == RowKind::Domain), "domain keys can be listed")
}

async fn listing(store: &dyn KeyStore) -> Result<(), Violation> {
    let tenant = "conformance-3";
    let place = |key_use, number: u8| Slot::new(tenant, key_use, Some([number; 32]));
    let rows = [
        row(RowKind::Data, &place(KeyUse::Data, 1), 1, 101),
        row(RowKind::Data, &place(KeyUse::Data, 1), 2, 102),
        row(RowKind::Data, &place(KeyUse::Data, 200), 1, 103),
        row(RowKind::Data, &place(KeyUse::Index, 1), 1, 104),
        row(RowKind::Data, &place(KeyUse::Index, 1), 256, 105),
    ];
    let all = rows.iter().rev().fold(Change::new(), |change, row| change.insert(row.clone()));
    rule(commit(store, all).await? == Committed::Done, "several new rows are inserted")?;
    for limit in 1..=6 {
        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            let limit = NonZeroU32::MIN.saturating_add(limit - 1);
            let page = store.data_rows(tenant, after.as_ref(), limit).await.map_err(failed(WORKS))?;
            let size = u32::try_from(page.len()).unwrap_or(u32::MAX);
            rule(size <= limit.get(), "no more data key rows are listed than were asked for")?;
            after = page.last().cloned();
            listed.extend(page);
            if after.is_none() || listed.len() > rows.len() {
                break;
            }
        }
        rule(listed == rows, "data key rows of one tenant are listed in order, each once")?;
    }
    rule(store.tombstones().await.map_err(failed(WORKS))?.is_empty(), "without a shred there is no tombstone")
}

/// A row in the place of a tombstone that is not the writer's.
async fn forgery(store: &dyn KeyStore) -> Result<(), Violation> {
    let place = subject(77);
    let mut forged = row(RowKind::Tombstone, &place, 0, 50);
    forged.wrapped = Vec::new();
    commit(store, Change::new().insert(forged.clone())).await?;
    let mut tombstone = row(RowKind::Tombstone, &place, 0, 51);
    tombstone.position = Some(7);
    let change = Change::new().replace(forged, tombstone.clone()).shred(tombstone.clone());
    rule(
        commit(store, change).await? == Committed::Done,
        "a tombstone can be replaced by the shred that it stood in the way of",
    )?;
    rule(slot(store, &place).await? == [tombstone.clone()], "a replaced tombstone is read back")?;
    let among = store.scopes("conformance", KeyUse::Data, &[[77; 32]]).await.map_err(failed(WORKS))?;
    rule(among == [tombstone.clone()], "tombstones are among the rows of many scopes")?;
    let remains = store.remains(&place).await.map_err(failed(WORKS))?;
    rule(remains.rows == [tombstone] && remains.unreadable.is_empty(), "what remains of a slot is what is in it")
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
    let tombstones = store.tombstones().await.map_err(failed(WORKS))?;
    rule(tombstones == [tombstone], "tombstones can be listed")?;
    store.purge().await.map_err(failed("what deletion left behind can be purged")).map(drop)
}
