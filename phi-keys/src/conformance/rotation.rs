use core::future::Future;
use std::sync::Arc;

use super::parts::{WHOLE, Work, states, together};
use super::world::{KEY, LEASE, TENANT, WINDOW, World, nothing, patient, refused};
use super::{Must, Violation, rule};
use crate::error::Error;
use crate::id::{FullId, KeyId};
use crate::keys::Keys;
use crate::kms::Kms;
use crate::scope::KeyUse;
use crate::store::{KeyState, KeyStore, RowKind, Slot};

const ROTATES: &str = "a key can be rotated";
const EARLY: &str = "a key is ended only after the longest lease";
const OPENS: &str = "a key that was rotated away from still opens";

/// Checks the life of domain and data keys in a store: each is followed by another, also when several processes rotate at once;
/// a staged domain key waits for every lease; and an old key is retired after one window and destroyed after a second one, only
/// while nothing refers to it.
///
/// `fresh` gives an empty store each time, three times.
///
/// # Errors
/// [`Violation`] naming the first rule that is broken.
pub async fn rotation<F, S>(fresh: impl Fn() -> F + Send + Sync, kek: Arc<dyn Kms>) -> Result<(), Violation>
where
    F: Future<Output = S> + Send,
    S: KeyStore,
{
    let keks = [kek];
    at_once(World::new(&fresh, &keks).await).await?;
    staging(World::new(&fresh, &keks).await).await?;
    ending(World::new(&fresh, &keks).await).await
}

/// Two processes rotate the same keys at once.
async fn at_once(mut world: World) -> Result<(), Violation> {
    const ONE: &str = "of keys that are rotated by two at once, one is active and the others open";
    let (here, there) = (world.process().await?, world.process().await?);
    let scope = patient("a")?;
    let mut ever = vec![here.data_key(&scope).await.must(KEY)?.full_id()];
    let mut domains = vec![here.domain_key(KeyUse::Index).await.must(KEY)?.full_id()];
    there.data_key(&scope).await.must(KEY)?;
    let slot = world.store.by_kid(ever.first().must(KEY)?.kid()).await.must(WHOLE)?.must(WHOLE)?.slot;
    for round in 1..=4_usize {
        let rotating = [&here, &there].map(|keys| -> Work<'_, Result<[FullId; 2], Error>> {
            let scope = &scope;
            Box::pin(async move {
                let data = keys.rotate_data_key(scope).await?.key;
                Ok([keys.rotate_domain_key(KeyUse::Index).await?.key, data])
            })
        });
        for rotated in together(rotating.into()).await {
            let [domain, data] = rotated.must(ROTATES)?;
            ever.push(data);
            domains.push(domain);
        }
        let index = Slot::new(TENANT, KeyUse::Index, None);
        for (slot, kind) in [(&slot, RowKind::Data), (&index, RowKind::Domain)] {
            let states = states(&*world.store, slot, kind).await?;
            let active = states.iter().filter(|state| **state == KeyState::Active).count();
            let opening = states.iter().filter(|state| state.opens()).count();
            rule((active, opening, states.len()) == (1, 1 + 2 * round, 1 + 2 * round), ONE)?;
        }
        // What both replace is the generation row, and each has another key to vouch for.
        let uses = [(&here, KeyUse::Audit), (&there, KeyUse::Session)].map(|(keys, key_use)| -> Work<'_, _> {
            Box::pin(async move { keys.rotate_domain_key(key_use).await.map(drop) })
        });
        together(uses.into()).await.into_iter().collect::<Result<(), _>>().must(ROTATES)?;
        world.builder().build().await.must("a store opens after several domain keys were rotated at once")?;
        world.clock.advance(LEASE);
    }
    for keys in [&here, &there, &world.process().await?] {
        for full_id in &ever {
            let found = keys.data_key_by_id(full_id.kid(), &scope).await.must(OPENS)?;
            rule(found.full_id() == *full_id, OPENS)?;
        }
        let known = keys.domain_keys(KeyUse::Index).await.must(OPENS)?;
        rule(domains.iter().all(|id| known.iter().any(|key| key.full_id() == *id)), OPENS)?;
    }
    let (one, other) = (here.data_key(&scope).await.must(KEY)?, there.data_key(&scope).await.must(KEY)?);
    rule(one.full_id() == other.full_id(), "after a lease every process seals with the same key")
}

async fn staging(mut world: World) -> Result<(), Violation> {
    let (here, there) = (world.process().await?, world.process().await?);
    let old = here.domain_key(KeyUse::Index).await.must(KEY)?.full_id();
    there.domain_key(KeyUse::Index).await.must(KEY)?;
    let staged = here.stage_domain_key(KeyUse::Index).await.must("a domain key can be staged")?.key;
    world.clock.advance(LEASE);
    let known = there.domain_keys(KeyUse::Index).await.must(KEY)?;
    rule(known.iter().any(|key| key.full_id() == staged), "a staged key is held by everybody after a lease")?;
    let uses = there.domain_key(KeyUse::Index).await.must(KEY)?.full_id();
    rule(uses == old, "a staged key is not used")?;
    let early = here.activate_domain_key(KeyUse::Index).await;
    refused(early, |error| matches!(error, Error::TooEarly { .. }), "a staged key waits for every lease to end")?;
    world.clock.advance(WINDOW);
    let _ = here.activate_domain_key(KeyUse::Index).await.must("a staged key is put to use")?;
    world.clock.advance(LEASE);
    for keys in [&here, &there] {
        let active = keys.domain_key(KeyUse::Index).await.must(KEY)?.full_id();
        rule(active == staged, "a staged key that was put to use is used by everybody")?;
    }
    Ok(())
}

async fn ending(mut world: World) -> Result<(), Violation> {
    let keys = world.process().await?;
    let scope = patient("a")?;
    let data = keys.data_key(&scope).await.must(KEY)?.full_id();
    keys.data_key(&patient("b")?).await.must(KEY)?;
    let domain = keys.domain_key(KeyUse::Data).await.must(KEY)?.full_id();
    let active = keys.retire(data.kid(), &nothing).await;
    refused(active, |error| matches!(error, Error::State(KeyState::Active)), "an active key is not retired")?;
    let _ = keys.rotate_data_key(&scope).await.must(ROTATES)?;
    let _ = keys.rotate_domain_key(KeyUse::Data).await.must(ROTATES)?;
    let early = keys.retire(data.kid(), &nothing).await;
    refused(early, |error| matches!(error, Error::TooEarly { .. }), EARLY)?;
    world.clock.advance(WINDOW);
    // The store counts what refers to a domain key.
    let needed = keys.retire(domain.kid(), &nothing).await;
    let wraps = |error: &Error| matches!(error, Error::Referenced { found: 3 });
    refused(needed, wraps, "a domain key that wraps data keys is not retired")?;
    let report = keys.rewrap_data_keys().await.must("data keys are rewrapped under the active domain key")?;
    rule(report.rewrapped == 3, "data keys are rewrapped under the active domain key")?;
    end(&world, &keys, data.kid()).await?;
    end(&world, &keys, domain.kid()).await?;
    let gone = keys.data_key_by_id(data.kid(), &scope).await;
    refused(gone, |error| matches!(error, Error::State(KeyState::Destroyed)), "a destroyed key opens nothing")?;
    for name in ["a", "b"] {
        world.process().await?.data_key(&patient(name)?).await.must("a key that took another one's place stays")?;
    }
    Ok(())
}

/// Retires a key that nothing needs, reinstates it when something does after all, and destroys it.
async fn end(world: &World, keys: &Keys, kid: KeyId) -> Result<(), Violation> {
    let one = |_| core::future::ready(Ok(1));
    let referenced = |error: &Error| matches!(error, Error::Referenced { .. });
    let refers = keys.retire(kid, &one).await;
    refused(refers, referenced, "a key that something refers to is not retired")?;
    let _ = keys.retire(kid, &nothing).await.must("a key that nothing needs is retired")?;
    let early = keys.destroy(kid, &nothing).await;
    refused(early, |error| matches!(error, Error::TooEarly { .. }), EARLY)?;
    world.clock.advance(WINDOW);
    let refers = keys.destroy(kid, &one).await;
    refused(refers, referenced, "a key that something refers to is not destroyed")?;
    let _ = keys.reinstate(kid).await.must("a retired key can be reinstated")?;
    let row = world.store.by_kid(kid).await.must(WHOLE)?.must(WHOLE)?;
    rule(row.state == KeyState::DecryptOnly && !row.wrapped.is_empty(), "a reinstated key opens")?;
    world.clock.advance(WINDOW);
    let _ = keys.retire(kid, &nothing).await.must("a key that nothing needs is retired")?;
    world.clock.advance(WINDOW);
    let _ = keys.destroy(kid, &nothing).await.must("a retired key that nothing needs is destroyed")?;
    let row = world.store.by_kid(kid).await.must(WHOLE)?.must(WHOLE)?;
    rule(row.state == KeyState::Destroyed && row.wrapped.is_empty(), "a destroyed key leaves no wrapped bytes")?;
    let _ = keys.destroy(kid, &nothing).await.must("destroying a key again is harmless")?;
    Ok(())
}
