use core::future::Future;
use std::sync::Arc;

use super::parts::{WHOLE, Work, copies, holding, is_newest, together};
use super::world::{Fresh, KEY, OPENS, World, patient, refused};
use super::{Must, Violation, rule};
use crate::error::Error;
use crate::id::{Fingerprint, FullId, KeyId};
use crate::kms::{Kms, KmsAdmin, KmsError};
use crate::scope::KeyUse;
use crate::store::{KeyRow, KeyStore, RowKind, Slot, StoreError};

const USES: [KeyUse; 4] = [KeyUse::Data, KeyUse::Index, KeyUse::Audit, KeyUse::Session];

/// Checks that a store and a KEK hold a hierarchy of keys: it is made once, whoever is first; another process finds the same keys;
/// it opens under its own fingerprint alone; tenants, uses and subjects have keys of their own; a domain key row that is missing
/// is missed; and what a later version of this crate wrote is named as such.
///
/// `fresh` gives an empty store each time, some six times.
///
/// # Errors
/// [`Violation`] naming the first rule that is broken.
pub async fn hierarchy<F, S>(fresh: impl Fn() -> F + Send + Sync, kek: Arc<dyn Kms>) -> Result<(), Violation>
where
    F: Future<Output = S> + Send,
    S: KeyStore,
{
    let keks = [kek];
    let world = creation(&fresh, &keks).await?;
    opening(&fresh, &world).await?;
    places(&world).await?;
    let rows = all_rows(&*world.store).await?;
    missing(&fresh, &world, rows.clone()).await?;
    later(&fresh, &world, rows).await
}

/// Several processes make one store at once.
async fn creation(fresh: &dyn Fresh, keks: &[Arc<dyn Kms>]) -> Result<World, Violation> {
    const ONE: &str = "of several processes that make a store, a domain key or a data key at once, one wins for all";
    let mut world = World::new(fresh, keks).await;
    let (scope, builders) = (patient("a")?, (0..4).map(|_| world.builder()).collect::<Vec<_>>());
    let processes = builders.into_iter().map(|builder| -> Work<'_, Result<(Fingerprint, FullId, FullId), Violation>> {
        let scope = &scope;
        Box::pin(async move {
            // KEKs that keep no pin: who comes second finds a store that nobody has pinned, and has to be told.
            let keys = match builder.build().await {
                Err(Error::RootNotPinned) => return Err(Violation { rule: LATE, source: None }),
                built => built.must(OPENS)?,
            };
            let index = keys.domain_key(KeyUse::Index).await.must(KEY)?.full_id();
            Ok((keys.fingerprint(), index, keys.data_key(scope).await.must(KEY)?.full_id()))
        })
    });
    let mut made = together(processes.collect()).await;
    made.retain(|made| !matches!(made, Err(late) if late.rule == LATE));
    let made = made.into_iter().collect::<Result<Vec<_>, _>>()?;
    let first = made.first().must("one of several processes makes the store")?;
    rule(made.iter().all(|made| made == first), ONE)?;
    world.fingerprint = Some(first.0);
    let builders = (0..4).map(|_| world.builder()).collect::<Vec<_>>();
    let again = builders.into_iter().map(|builder| -> Work<'_, Result<[FullId; 2], Violation>> {
        Box::pin(async move {
            let (keys, new) = (builder.build().await.must(OPENS)?, patient("b")?);
            let audit = keys.domain_key(KeyUse::Audit).await.must(KEY)?.full_id();
            Ok([audit, keys.data_key(&new).await.must(KEY)?.full_id()])
        })
    });
    let found = together(again.collect()).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    rule(found.windows(2).all(|two| two.first() == two.last()), ONE)?;
    let keys = world.process().await?;
    let same = (keys.fingerprint(), keys.domain_key(KeyUse::Index).await.must(KEY)?.full_id());
    let data = keys.data_key(&scope).await.must(KEY)?;
    rule((same.0, same.1, data.full_id()) == *first, "who opens a store finds the keys that were made in it")?;
    Ok(world)
}

const LATE: &str = "a store that is made by several at once is opened by the first";

async fn opening(fresh: &dyn Fresh, world: &World) -> Result<(), Violation> {
    let mut stranger = World::new(fresh, &world.keks).await;
    stranger.process().await?;
    let other = stranger.over(&world.store).build().await;
    refused(other, |error| matches!(error, Error::RootMismatch), "a store opens under no other fingerprint")?;
    stranger.fingerprint = None;
    let unpinned = stranger.over(&world.store).build().await;
    refused(
        unpinned,
        |error| matches!(error, Error::RootNotPinned),
        "a store that is there opens under a fingerprint",
    )?;
    let emptied = world.over(&fresh.store().await).build().await;
    refused(emptied, |error| matches!(error, Error::RootMissing), "an emptied store is not made anew")
}

async fn places(world: &World) -> Result<(), Violation> {
    let keys = world.builder().build().await.must(OPENS)?;
    let elsewhere = world.builder().tenant("hospital").build().await.must(OPENS)?;
    let mut ids = Vec::new();
    for keys in [&keys, &elsewhere] {
        for key_use in USES {
            ids.push(keys.domain_key(key_use).await.must(KEY)?.full_id());
        }
        for name in ["a", "b"] {
            ids.push(keys.data_key(&patient(name)?).await.must(KEY)?.full_id());
        }
    }
    let number = ids.len();
    ids.sort_unstable();
    ids.dedup();
    rule(ids.len() == number, "every tenant, every use and every subject has a key of its own")?;
    let kid = keys.data_key(&patient("a")?).await.must(KEY)?.kid();
    let is_other = |error: &Error| matches!(error, Error::WrongScope);
    let moved = keys.data_key_by_id(kid, &patient("b")?).await;
    refused(moved, is_other, "a key is not found under another subject")?;
    let moved = elsewhere.data_key_by_id(kid, &patient("a")?).await;
    refused(moved, is_other, "a key is not found under another tenant")?;
    let unknown = keys.data_key_by_id(KeyId::from_bytes([9; 16]), &patient("a")?).await;
    refused(unknown, |error| matches!(error, Error::UnknownKey), "a kid that no key has is unknown")
}

/// Every row that is in a store but data keys.
async fn all_rows(store: &dyn KeyStore) -> Result<Vec<KeyRow>, Violation> {
    let mut rows = store.slot(&Slot::root()).await.must(WHOLE)?;
    rows.retain(|row| row.kind == RowKind::Generation);
    rows.extend(store.domain_rows().await.must(WHOLE)?);
    Ok(rows)
}

async fn missing(fresh: &dyn Fresh, world: &World, mut rows: Vec<KeyRow>) -> Result<(), Violation> {
    rows.retain(|row| row.slot != Slot::new(super::world::TENANT, KeyUse::Index, None));
    let opened = world.over(&holding(fresh, rows).await?).build().await;
    refused(opened, |error| matches!(error, Error::Incomplete), "a domain key row that is missing is missed")
}

/// The root key as a later version may wrap it.
async fn later(fresh: &dyn Fresh, world: &World, rows: Vec<KeyRow>) -> Result<(), Violation> {
    for byte in [0, 1] {
        let mut rows = rows.clone();
        for row in rows.iter_mut().filter(|row| row.slot == Slot::root() && row.kind == RowKind::Domain) {
            // Behind the number of copies and the length of the carrier stand its format and its binding.
            if let Some(later) = row.wrapped.get_mut(5 + byte) {
                *later = 9;
            }
        }
        let opened = world.over(&holding(fresh, rows).await?).build().await;
        let is_later =
            |error: &Error| matches!(error, Error::Store(StoreError::Unknown { column: "wrapped", found: 9 }));
        refused(opened, is_later, "a key that a later version wrapped is named as such")?;
    }
    Ok(())
}

/// Checks that domain keys follow a KEK to its next version: what was wrapped before opens, a rewrap puts every copy under the
/// newest version where carriers and the status name one, nobody's key changes, and who had the store open goes on. A KEK that cannot be rotated is left out.
///
/// `fresh` gives an empty store, once. The KEK gets one more version.
///
/// # Errors
/// [`Violation`] naming the first rule that is broken.
pub async fn kek_rotation<F, S>(fresh: impl Fn() -> F + Send + Sync, kek: Arc<dyn KmsAdmin>) -> Result<(), Violation>
where
    F: Future<Output = S> + Send,
    S: KeyStore,
{
    const SAME: &str = "a key is the same after its KEK was rotated";
    let mut world = World::new(&fresh, &[Arc::clone(&kek) as Arc<dyn Kms>]).await;
    let here = world.process().await?;
    let scope = patient("a")?;
    let kid = here.data_key(&scope).await.must(KEY)?.kid();
    let domain = here.domain_key(KeyUse::Data).await.must(KEY)?.full_id();
    match kek.rotate().await {
        Err(KmsError::Unsupported(_)) => return Ok(()),
        rotated => drop(rotated.must("an enabled KEK can be rotated")?),
    }
    let before = world.process().await?;
    rule(before.data_key(&scope).await.must(KEY)?.kid() == kid, SAME)?;
    let report = before.rewrap().await.must("a rewrap reaches every domain key")?;
    rule(report.rewrapped + report.unchanged == 2, "a rewrap reaches every domain key")?;
    let version = kek.status().await.must("an enabled KEK answers")?.version;
    // Otherwise nobody can tell whether there is something to do.
    let mut named = version.is_some();
    for row in world.store.domain_rows().await.must(WHOLE)? {
        for (carrier, _) in copies(&row)? {
            named &= !carrier.kek_version().is_empty();
            rule(
                is_newest(carrier.kek_version(), version.as_deref()),
                "after a rewrap every copy is under the newest version of the KEK",
            )?;
        }
    }
    let again = before.rewrap().await.must("a rewrap can be repeated")?;
    rule(!named || again.rewrapped == 0, "a repeated rewrap finds nothing to do")?;
    for keys in [here, world.process().await?] {
        rule(keys.data_key_by_id(kid, &scope).await.must(KEY)?.kid() == kid, SAME)?;
        rule(keys.domain_key(KeyUse::Data).await.must(KEY)?.full_id() == domain, SAME)?;
    }
    Ok(())
}
