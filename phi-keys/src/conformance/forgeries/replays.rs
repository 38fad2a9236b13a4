//! Attacks with rows that were authentic once: nothing but an anchor knows that they are not any more.

use std::sync::Arc;

use super::super::parts::holding;
use super::super::world::{Fresh, OPENS, WINDOW, World, nothing, patient, subject};
use super::super::{Must, Violation, rule};
use super::tables::Tables;
use super::{Attack, ready};
use crate::anchor::StoreAnchor;
use crate::error::Error;
use crate::keys::Keys;
use crate::kms::Kms;
use crate::scope::KeyUse;
use crate::store::{Change, Committed, KeyRow, KeyState, KeyStore};

const DONE: &str = "an owner of a store rotates, rewraps, shreds and destroys keys";

/// What makes empty anchors.
pub(super) type Anchors<'a> = dyn Fn() -> Arc<dyn StoreAnchor> + Send + Sync + 'a;
/// The same, or none for a store without an anchor.
type Anchor<'a> = Option<&'a Anchors<'a>>;

/// A store, anchored or not, and its rows as they were in the beginning.
struct Before {
    world: World,
    anchor: Option<Arc<dyn StoreAnchor>>,
    tables: Tables,
}

impl Before {
    async fn new(fresh: &dyn Fresh, keks: &[Arc<dyn Kms>], anchor: Anchor<'_>) -> Result<Self, Violation> {
        let (world, _, tables) = ready(fresh, keks).await?;
        Ok(Self { world, anchor: anchor.map(|make| make()), tables })
    }

    async fn open(&self, store: &Arc<dyn KeyStore>) -> Result<Keys, Error> {
        let builder = self.world.over(store);
        match &self.anchor {
            Some(anchor) => builder.anchor(Arc::clone(anchor)).build().await,
            None => builder.build().await,
        }
    }

    async fn keys(&self) -> Result<Keys, Violation> {
        self.open(&self.world.store).await.must(OPENS)
    }

    /// Asks a store for the patient's key by its kid.
    async fn ask(&self, store: &Arc<dyn KeyStore>) -> Result<Result<(), Error>, Violation> {
        let (kid, scope) = (self.tables.data.full_id.must(DONE)?.kid(), patient("a")?);
        Ok(match self.open(store).await {
            Ok(keys) => keys.data_key_by_id(kid, &scope).await.map(drop),
            Err(error) => Err(error),
        })
    }
}

/// What is done to a store, after which one of its rows is put back as it was.
#[derive(Clone, Copy)]
enum Done {
    Rewrapped,
    DomainKeyRotated,
    DataKeysRewrapped,
    DataKeyRotated,
}

/// Runs every attack that is a replay.
pub(super) async fn all(
    fresh: &dyn Fresh,
    keks: &[Arc<dyn Kms>],
    anchors: &Anchors<'_>,
) -> Result<Vec<Attack>, Violation> {
    let mut attacks = Vec::new();
    for anchor in [None, Some(anchors)] {
        older_rows(fresh, keks, anchor, &mut attacks).await?;
        attacks.push(older_store(fresh, keks, anchor).await?);
        for shreds in [true, false] {
            attacks.push(gone_row(fresh, keks, anchor, shreds).await?);
        }
    }
    Ok(attacks)
}

/// An older copy of one row of a key that lives, which is as authentic as the newer one.
async fn older_rows(
    fresh: &dyn Fresh,
    keks: &[Arc<dyn Kms>],
    anchor: Anchor<'_>,
    attacks: &mut Vec<Attack>,
) -> Result<(), Violation> {
    let cases = [
        (
            Done::Rewrapped,
            "put back a domain key's row from before it was rewrapped, without an anchor",
            "put back a domain key's row from before it was rewrapped, with an anchor",
        ),
        (
            Done::DomainKeyRotated,
            "put back a domain key's row from when it was active, without an anchor",
            "put back a domain key's row from when it was active, with an anchor",
        ),
        (
            Done::DataKeysRewrapped,
            "put back a data key's row from before it was rewrapped, without an anchor",
            "put back a data key's row from before it was rewrapped, with an anchor",
        ),
        (
            Done::DataKeyRotated,
            "put back a data key's row from when it was active, without an anchor",
            "put back a data key's row from when it was active, with an anchor",
        ),
    ];
    for (what, without, with) in cases {
        // Who rewraps brings the keys of one KEK under a second one.
        let at_first = if matches!(what, Done::Rewrapped) { keks.get(..1).unwrap_or(keks) } else { keks };
        let mut before = Before::new(fresh, at_first, anchor).await?;
        before.world.keks = keks.to_vec();
        let kept = before.replaced(what).await?;
        let store = &before.world.store;
        let now = store.by_kid(kept.full_id.must(DONE)?.kid()).await.must(DONE)?.must(DONE)?;
        rule(now != kept && now.same_place(&kept), "what was replaced is read as what took its place")?;
        // A store that takes no older row than it has refuses it by itself.
        let (outcome, ends): (_, fn(&Error) -> bool) = match store.commit(&Change::new().replace(now, kept)).await {
            Ok(Committed::Done) => (before.ask(store).await?, |error| matches!(error, Error::RowOutdated { .. })),
            Ok(_) => (Err(Error::Contended), |error| matches!(error, Error::Contended)),
            Err(error) => (Err(Error::Store(error)), |error| matches!(error, Error::Store(_))),
        };
        let depends = matches!(outcome, Err(Error::Contended | Error::Store(_)));
        attacks.push(Attack {
            name: if anchor.is_some() { with } else { without },
            claimed: anchor.is_some(),
            outcome,
            ends,
            depends,
        });
    }
    Ok(())
}

impl Before {
    /// Has a row replaced, and gives it as it was.
    async fn replaced(&self, what: Done) -> Result<KeyRow, Violation> {
        let keys = self.keys().await?;
        Ok(match what {
            Done::Rewrapped => {
                rule(keys.rewrap().await.must(DONE)?.rewrapped > 0, DONE)?;
                self.tables.here.clone()
            }
            Done::DomainKeyRotated => {
                let _ = keys.rotate_domain_key(KeyUse::Data).await.must(DONE)?;
                self.tables.here.clone()
            }
            Done::DataKeysRewrapped => {
                let _ = keys.rotate_domain_key(KeyUse::Data).await.must(DONE)?;
                rule(keys.rewrap_data_keys().await.must(DONE)?.rewrapped == 2, DONE)?;
                self.tables.data.clone()
            }
            Done::DataKeyRotated => {
                let _ = keys.rotate_data_key(&patient("a")?).await.must(DONE)?;
                self.tables.data.clone()
            }
        })
    }
}

/// The store as it was before the patient was shredded.
async fn older_store(fresh: &dyn Fresh, keks: &[Arc<dyn Kms>], anchor: Anchor<'_>) -> Result<Attack, Violation> {
    let before = Before::new(fresh, keks, anchor).await?;
    let _ = before.keys().await?.shred(&subject("a")?).await.must(DONE)?;
    let store = holding(fresh, before.tables.clone().rows()).await?;
    Ok(Attack {
        name: if anchor.is_some() {
            "put the whole older store back, with an anchor"
        } else {
            "put the whole older store back, without an anchor"
        },
        claimed: anchor.is_some(),
        outcome: before.ask(&store).await?,
        ends: |error| matches!(error, Error::RolledBack { .. }),
        depends: false,
    })
}

/// The row of a key that is gone, kept by somebody and put back.
async fn gone_row(
    fresh: &dyn Fresh,
    keks: &[Arc<dyn Kms>],
    anchor: Anchor<'_>,
    shreds: bool,
) -> Result<Attack, Violation> {
    let before = Before::new(fresh, keks, anchor).await?;
    let (keys, kept, clock) = (before.keys().await?, &before.tables.data, &before.world.clock);
    let kid = kept.full_id.must(DONE)?.kid();
    if shreds {
        let _ = keys.shred(&subject("a")?).await.must(DONE)?;
    } else {
        let _ = keys.rotate_data_key(&patient("a")?).await.must(DONE)?;
        clock.advance(WINDOW);
        let _ = keys.retire(kid, &nothing).await.must(DONE)?;
        clock.advance(WINDOW);
        let _ = keys.destroy(kid, &nothing).await.must(DONE)?;
    }
    // Everything as it is now, without tombstones and with that row as it was.
    let store = &before.world.store;
    let mut rows = store.slot(&kept.slot).await.must(DONE)?;
    rows.retain(|row| row.kind == kept.kind && !row.same_place(kept));
    let mut tables = before.tables.clone();
    tables.root = store.slot(&crate::store::Slot::root()).await.must(DONE)?;
    tables.more = rows;
    let store = holding(fresh, tables.rows()).await?;
    let (name, claimed, ends): (_, _, fn(&Error) -> bool) = match (shreds, anchor.is_some()) {
        (true, false) => ("put the row of a shredded key in its tombstone's place, without an anchor", true, |error| {
            matches!(error, Error::Forgotten)
        }),
        (true, true) => ("put the row of a shredded key in its tombstone's place, with an anchor", true, |error| {
            matches!(error, Error::Shredded)
        }),
        (false, false) => ("put back the row of a destroyed key, without an anchor", false, |_| false),
        (false, true) => ("put back the row of a destroyed key, with an anchor", true, |error| {
            matches!(error, Error::RowOutdated { .. } | Error::State(KeyState::Destroyed))
        }),
    };
    Ok(Attack { name, claimed, outcome: before.ask(&store).await?, ends, depends: false })
}
