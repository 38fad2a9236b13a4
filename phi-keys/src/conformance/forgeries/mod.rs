//! What somebody tries who can write the key tables, and wrap under a KEK whose public half they have; and what is left to them
//! when they have the store root key as well.

mod replays;
mod rows;
mod tables;

use core::future::Future;
use std::sync::Arc;

use self::rows::{FORGERIES, Forgery, Signed, Wants};
use self::tables::{Tables, own_key};
use super::parts::holding;
use super::world::{Fresh, KEY, Notes, World, patient};
use super::{Must, Told, Violation, failed};
use crate::anchor::StoreAnchor;
use crate::error::Error;
use crate::keys::Keys;
use crate::kms::{EphemeralKeyring, Kms};
use crate::scope::KeyUse;
use crate::store::{KeyRow, KeyStore};

/// Somebody else, in the same store.
const OTHER: &str = "hospital";

/// An attack and how it ended, see [`attacks`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Attack {
    /// What was done.
    pub name: &'static str,
    /// Whether it is claimed to be refused.
    pub claimed: bool,
    /// With the key that it wanted, or with the error that refused it.
    pub outcome: Result<(), Error>,
    /// Which errors refuse it for the right reason.
    ends: fn(&Error) -> bool,
    /// Whether a KMS or a store may refuse it by itself, though nothing is claimed.
    depends: bool,
}

impl Attack {
    /// Whether it ended as this crate says that it does. An attack that is not claimed to be refused succeeds: were it refused,
    /// it could be claimed.
    #[must_use]
    pub fn is_as_claimed(&self) -> bool {
        match &self.outcome {
            Ok(()) => !self.claimed,
            Err(error) => (self.claimed || self.depends) && (self.ends)(error),
        }
    }
}

/// Checks that whoever can write the key tables gets no key: that every one of the [`attacks`] over this store and these two
/// KEKs ends as this crate claims. `fresh` gives an empty store each time, about sixty times; each KEK is asked some two hundred
/// times and keeps nothing of it. The KEKs have different names; they need not be of one kind.
///
/// # Errors
/// [`Violation`] naming the first attack that ended otherwise.
pub async fn forgeries<F, S>(fresh: impl Fn() -> F + Send + Sync, keks: [Arc<dyn Kms>; 2]) -> Result<(), Violation>
where
    F: Future<Output = S> + Send,
    S: KeyStore,
{
    judged(run(&fresh, &keks).await?)
}

/// Checks that an anchor keeps what it knows: beside it, the whole older store that is put back is refused, and so is an older copy
/// of a row, the row of a shredded key and that of a destroyed one; without it what is not claimed is possible.
///
/// `fresh` gives an empty store each time, some twenty times, and `anchor` an empty anchor, seven times.
///
/// # Errors
/// [`Violation`] naming the first attack that ended otherwise.
pub async fn rollback<F, S, A>(
    fresh: impl Fn() -> F + Send + Sync,
    anchor: impl Fn() -> A + Send + Sync,
    kek: Arc<dyn Kms>,
) -> Result<(), Violation>
where
    F: Future<Output = S> + Send,
    S: KeyStore,
    A: StoreAnchor,
{
    let backend = kek.capabilities().backend.unwrap_or_default();
    let second = EphemeralKeyring::generate_on(backend).must("the machine has randomness")?;
    judged(replays::all(&fresh, &[kek, Arc::new(second)], &|| Arc::new(anchor())).await?)
}

fn judged(attacks: Vec<Attack>) -> Result<(), Violation> {
    const RULE: &str = "every attack on the key tables ends as it is claimed to";
    for attack in attacks {
        if !attack.is_as_claimed() {
            let Attack { name, outcome, .. } = &attack;
            let told = match outcome {
                Ok(()) => format!("{name}: the key was had"),
                Err(error) => format!("{name}: {error}"),
            };
            return Err(failed(RULE)(Told(told)));
        }
    }
    Ok(())
}

/// Runs every attack on the key tables, and says how each ended: the wrapped bytes of tenants, patients and uses swapped, KEK id,
/// version, algorithm and binding mode relabelled, carriers crossed, a key of one's own inserted, states flipped, older rows and
/// the whole older store put back, with an anchor and without one.
///
/// Those on rows run twice: by somebody who cannot sign rows, and by somebody who has the store root key as well, whose rows
/// bear valid MACs. The second one still cannot have a key used in another place, since each is bound to its place by the KEK, by
/// derivation and by its committing id. They can flip states and insert keys of their own: that is not claimed to be refused.
///
/// # Errors
/// [`Violation`] when there is nothing to attack, because store or KEKs do not do what their owner asks.
pub async fn attacks<F, S>(
    fresh: impl Fn() -> F + Send + Sync,
    keks: [Arc<dyn Kms>; 2],
) -> Result<Vec<Attack>, Violation>
where
    F: Future<Output = S> + Send,
    S: KeyStore,
{
    run(&fresh, &keks).await
}

async fn run(fresh: &dyn Fresh, keks: &[Arc<dyn Kms>]) -> Result<Vec<Attack>, Violation> {
    let (world, keys, tables) = ready(fresh, keks).await?;
    let field = Field { fresh, world: &world, keys: &keys, tables: &tables };
    let mut attacks = Vec::new();
    for signed in [false, true] {
        let nothing = if signed { "nothing, with valid MACs" } else { "nothing" };
        let outcome = field.attacked(tables.clone(), signed, Wants::Data).await?;
        attacks.push(Attack { name: nothing, claimed: false, outcome, ends: |_| false, depends: false });
        for forgery in FORGERIES {
            attacks.push(field.forged(forgery, signed).await?);
        }
        field.own_keys(signed, &mut attacks).await?;
    }
    attacks.extend(replays::all(fresh, keks, &|| Arc::new(Notes::default())).await?);
    Ok(attacks)
}

/// A store with the keys of two tenants, who opened it, and its rows.
async fn ready(fresh: &dyn Fresh, keks: &[Arc<dyn Kms>]) -> Result<(World, Keys, Tables), Violation> {
    let mut world = World::new(fresh, keks).await;
    let keys = world.process().await?;
    let there = world.builder().tenant(OTHER).build().await.must(super::world::OPENS)?;
    there.data_key(&patient("a")?).await.must(KEY)?;
    keys.domain_key(KeyUse::Index).await.must(KEY)?;
    let data = keys.data_key(&patient("a")?).await.must(KEY)?.full_id();
    let other = keys.data_key(&patient("b")?).await.must(KEY)?.full_id();
    let tables = Tables::read(&*world.store, OTHER, [data, other]).await?;
    Ok((world, keys, tables))
}

/// Where rows are forged.
struct Field<'w> {
    fresh: &'w dyn Fresh,
    world: &'w World,
    keys: &'w Keys,
    tables: &'w Tables,
}

impl Field<'_> {
    async fn forged(&self, forgery: &Forgery, signed: bool) -> Result<Attack, Violation> {
        let mut tables = self.tables.clone();
        (forgery.forge)(&mut tables)?;
        let named = || self.world.keks.iter().all(|kek| kek.capabilities().named_version);
        let claimed = !signed
            || match forgery.signed {
                Signed::Refused => true,
                Signed::RefusedWhereNamed => named(),
                Signed::NotClaimed => false,
            };
        let outcome = self.attacked(tables, signed, forgery.wants).await?;
        let name = if signed { forgery.signed_name } else { forgery.name };
        let depends = forgery.signed == Signed::RefusedWhereNamed;
        Ok(Attack { name, claimed, outcome, ends: ends(signed), depends })
    }

    /// Keys that the attacker knows.
    async fn own_keys(&self, signed: bool, attacks: &mut Vec<Attack>) -> Result<(), Violation> {
        let kek: &dyn Kms = self.world.keks.first().must("there are two KEKs")?;
        let mut beside = self.tables.clone();
        beside.more.push(own_key(kek, 2, None).await?);
        let mut instead = self.tables.clone();
        (instead.here, instead.without_data) = (own_key(kek, 1, None).await?, true);
        let mut under_its_id = self.tables.clone();
        under_its_id.here = own_key(kek, 1, under_its_id.here.full_id).await?;
        let name = |plain, with_macs| if signed { with_macs } else { plain };
        for (name, claimed, tables) in [
            (name("insert a key of one's own", "insert a key of one's own, with valid MACs"), !signed, beside),
            (
                name(
                    "put a key of one's own in another one's place",
                    "put a key of one's own in another one's place, with valid MACs",
                ),
                !signed,
                instead,
            ),
            (
                name(
                    "put a key of one's own under another one's id",
                    "put a key of one's own under another one's id, with valid MACs",
                ),
                true,
                under_its_id,
            ),
        ] {
            let outcome = self.attacked(tables, signed, Wants::Domain).await?;
            attacks.push(Attack { name, claimed, outcome, ends: ends(signed), depends: false });
        }
        Ok(())
    }

    /// Puts other rows into a store, as if they had always been there, and asks for what the attacker wants to be used.
    async fn attacked(&self, tables: Tables, signed: bool, wants: Wants) -> Result<Result<(), Error>, Violation> {
        let mut rows = tables.rows();
        if signed {
            self.keys.sign_rows(&mut rows).must("every row can be signed")?;
        }
        self.asked(rows, wants).await
    }

    async fn asked(&self, rows: Vec<KeyRow>, wants: Wants) -> Result<Result<(), Error>, Violation> {
        let (kid, scope) = (self.tables.data.full_id.must(KEY)?.kid(), patient("a")?);
        let keys = match self.world.over(&holding(self.fresh, rows).await?).build().await {
            Ok(keys) => keys,
            Err(error) => return Ok(Err(error)),
        };
        // The attack is refused if neither way leads to a key.
        let active = keys.data_key(&scope).await.map(drop);
        let (wanted, otherwise) = match wants {
            Wants::Data => (active, keys.data_key_by_id(kid, &scope).await.map(drop)),
            Wants::Domain => (keys.domain_key(KeyUse::Data).await.map(drop), active),
        };
        Ok(wanted.or_else(|error| otherwise.map_err(|_| error)))
    }
}

/// Without the root key every forgery ends at its MAC; with it, where keys are bound.
fn ends(signed: bool) -> fn(&Error) -> bool {
    if signed {
        |error| match error {
            Error::KeyRejected(_) | Error::NoKek => true,
            Error::Kms(error) => error.is_terminal(),
            _ => false,
        }
    } else {
        |error| matches!(error, Error::RowRejected(_))
    }
}
