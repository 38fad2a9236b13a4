use core::future::Future;
use core::time::Duration;
use std::sync::Arc;

use super::parts::{WHOLE, Work, together};
use super::world::{KEY, LEASE, World, patient, refused, subject};
use super::{Must, Violation, rule};
use crate::error::Error;
use crate::keys::Certificate;
use crate::kms::Kms;
use crate::signer::Signer as _;
use crate::store::{Change, Committed, KeyRow, KeyStore, RowKind};

const SHREDS: &str = "a subject can be shredded";
const CERTIFIED: &str = "a shred is certified, also after it was repeated, with the keys and the time of the first one";
/// How long copies of the key tables are said to be kept.
const HORIZON: Duration = Duration::from_secs(35 * 86_400);
const GONE: &str = "a shredded subject gets no key";

const fn is_gone(error: &Error) -> bool {
    matches!(error, Error::Shredded)
}

/// Checks that a shredded subject is gone: the tombstone is there and the wrapped bytes are not, every cache lets go of its keys,
/// they cannot be brought back, it can be repeated and certified, and who makes a key meanwhile loses.
///
/// Whether an interrupted shred can be resumed is shown by `store_faults`.
///
/// `fresh` gives an empty store each time, twice.
///
/// # Errors
/// [`Violation`] naming the first rule that is broken.
pub async fn shredding<F, S>(fresh: impl Fn() -> F + Send + Sync, kek: Arc<dyn Kms>) -> Result<(), Violation>
where
    F: Future<Output = S> + Send,
    S: KeyStore,
{
    let keks = [kek];
    alone(World::new(&fresh, &keks).await).await?;
    against_others(World::new(&fresh, &keks).await).await
}

async fn alone(mut world: World) -> Result<(), Violation> {
    let (here, there) = (world.process().await?, world.process().await?);
    let (scope, other) = (patient("a")?, patient("b")?);
    let (old, stays) = (here.data_key(&scope).await.must(KEY)?, here.data_key(&other).await.must(KEY)?.kid());
    let _ = here.rotate_data_key(&scope).await.must("a key can be rotated")?;
    let (mine, theirs) = (here.data_key(&scope).await.must(KEY)?, there.data_key(&scope).await.must(KEY)?);
    let mut ids = vec![old.full_id(), mine.full_id()];
    ids.sort_unstable();
    let slot = world.store.by_kid(mine.kid()).await.must(WHOLE)?.must(WHOLE)?.slot;
    let rows = world.store.slot(&slot).await.must(WHOLE)?;

    let report = here.shred(&subject("a")?).await.must(SHREDS)?;
    rule(report.keys == ids && !report.repeated, "a shred names every key of the subject")?;
    rule(!mine.is_live() && !old.is_live(), "a shred ends every lease of its process at once")?;
    let left = world.store.slot(&slot).await.must(WHOLE)?;
    let [tombstone] = left.as_slice() else { return rule(false, "a shred leaves the tombstone alone") };
    rule(tombstone.kind == RowKind::Tombstone, "a shred leaves the tombstone alone")?;
    let holds = |row: &KeyRow| rows.iter().any(|gone| row.wrapped == gone.wrapped);
    let data = world.store.data_rows(super::world::TENANT, None, core::num::NonZeroU32::MAX).await.must(WHOLE)?;
    rule(!data.iter().any(holds), "a shred leaves no wrapped bytes of the subject")?;
    for id in &ids {
        rule(world.store.by_kid(id.kid()).await.must(WHOLE)?.is_none(), "a shredded key is found by its kid no more")?;
    }
    refused(here.data_key(&scope).await, is_gone, GONE)?;
    refused(here.rotate_data_key(&scope).await, is_gone, GONE)?;
    world.clock.advance(LEASE);
    rule(!theirs.is_live(), "a shred ends every lease of other processes within its time")?;
    for keys in [&there, &world.process().await?] {
        refused(keys.data_key(&scope).await, is_gone, GONE)?;
        refused(keys.data_key_by_id(mine.kid(), &scope).await, is_gone, GONE)?;
        rule(keys.data_key(&other).await.must(KEY)?.kid() == stays, "a shred leaves every other subject its key")?;
    }
    for row in rows {
        let import = world.store.commit(&Change::new().insert(row)).await.must(WHOLE)?;
        rule(import == Committed::Shredded, "a shredded key is not imported again")?;
    }
    let again = there.shred(&subject("a")?).await.must("a shred can be repeated")?;
    rule(again.repeated && again.keys == ids, "a repeated shred names the same keys")?;
    rule(again.at == report.at && again.generation > report.generation, "a repeated shred destroys nothing new")?;
    let certificate = there.certify(&again, HORIZON, &there.signer("conformance").await.must(KEY)?).await;
    let certificate = certificate.must(CERTIFIED)?;
    let named = (certificate.keys() == ids, certificate.deleted() == report.at, certificate.store());
    rule(named == (true, true, here.fingerprint()), CERTIFIED)?;
    let public_key = here.signer("conformance").await.must(KEY)?.public_key();
    rule(Certificate::verify(certificate.text(), &public_key).must(CERTIFIED)? == certificate, CERTIFIED)?;
    let never = here.shred(&subject("never")?).await.must(SHREDS)?;
    rule(never.keys.is_empty() && !never.repeated, "a subject without a key can be shredded")?;
    refused(there.data_key(&patient("never")?).await, is_gone, GONE)
}

/// Others make and rotate keys of the subject while it is shredded.
async fn against_others(mut world: World) -> Result<(), Violation> {
    const WINS: &str = "a shred wins against everybody who makes a key meanwhile";
    let (here, there) = (world.process().await?, world.process().await?);
    for round in 0..8_u8 {
        let name = format!("patient {round}");
        let (subject, scope) = (subject(&name)?, patient(&name)?);
        let other = self::subject(&format!("other {round}"))?;
        let work: Vec<Work<'_, Result<(), Error>>> = vec![
            Box::pin(async { there.data_key(&scope).await.map(drop) }),
            Box::pin(async { here.shred(&subject).await.map(drop) }),
            Box::pin(async { there.rotate_data_key(&scope).await.map(drop) }),
            Box::pin(async { there.shred(&other).await.map(drop) }),
        ];
        let mut done = together(work).await.into_iter();
        let (made, shredded, rotated) = (done.next().must(WINS)?, done.next().must(WINS)?, done.next().must(WINS)?);
        shredded.must(SHREDS)?;
        done.next().must(WINS)?.must(SHREDS)?;
        world.builder().build().await.must("a store opens after several subjects were shredded at once")?;
        for raced in [made, rotated] {
            raced.or_else(|error| if is_gone(&error) { Ok(()) } else { Err(error) }).must(WINS)?;
        }
        world.clock.advance(LEASE);
        for keys in [&here, &there] {
            refused(keys.data_key(&scope).await, is_gone, WINS)?;
        }
    }
    let data = world.store.data_rows(super::world::TENANT, None, core::num::NonZeroU32::MAX).await.must(WHOLE)?;
    rule(data.is_empty(), WINS)
}
