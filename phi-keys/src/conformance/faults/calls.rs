use core::future::Future;
use std::sync::Arc;

use super::super::world::{Fresh, KEY, World, patient};
use super::super::{Must, Told, Violation, failed, rule};
use super::{FaultyKms, KmsFault};
use crate::error::Error;
use crate::id::FullId;
use crate::keys::Keys;
use crate::kms::Kms;
use crate::scope::KeyUse;
use crate::store::KeyStore;

const USES: [KeyUse; 2] = [KeyUse::Index, KeyUse::Audit];
const NAMES: [&str; 2] = ["a", "b"];
const SAME: &str = "whatever a call to a KMS does, a key that was had once is had again, and is the same";

/// Checks that no call to a KMS that fails, is lost, or answers with garbage or with another key's plaintext loses a key or makes
/// a wrong one be used. Each fault happens at each call of a process that makes and reads keys, one at a time; afterwards all
/// is well again, and every key that was ever handed out must be there.
///
/// `fresh` gives an empty store for each fault and call, some two hundred times; the KEK is asked some thousand times.
///
/// # Errors
/// [`Violation`] naming the first rule that is broken, and the fault that broke it.
pub async fn kms_faults<F, S>(fresh: impl Fn() -> F + Send + Sync, kek: Arc<dyn Kms>) -> Result<(), Violation>
where
    F: Future<Output = S> + Send,
    S: KeyStore,
{
    // How many calls there are when nothing fails.
    let calls = story(&fresh, &kek, &[]).await?;
    rule(calls > 0, "a KMS is asked for the keys of an empty store")?;
    for fault in KmsFault::ALL.iter().copied().filter(|fault| *fault != KmsFault::Hang) {
        for at in 0..calls {
            let script = (0..at).map(|_| None).chain([Some(fault)]).collect::<Vec<_>>();
            if let Err(Violation { rule, source }) = story(&fresh, &kek, &script).await {
                let why = source.map_or_else(|| "it is another".to_owned(), |error| error.to_string());
                return Err(failed(rule)(Told(format!("{fault:?} at call {at}: {why}"))));
            }
        }
    }
    Ok(())
}

/// One process under faults, a second one that finishes what the first one could not, and a third one that reads all of it. How
/// often the first one asked.
async fn story(fresh: &dyn Fresh, kek: &Arc<dyn Kms>, script: &[Option<KmsFault>]) -> Result<u64, Violation> {
    let faulty = Arc::new(FaultyKms::new(Arc::clone(kek)));
    let mut world = World::new(fresh, &[Arc::clone(&faulty) as Arc<dyn Kms>]).await;
    let mut had = Vec::new();
    faulty.script(script.iter().copied());
    match world.builder().build().await {
        Ok(keys) => {
            world.fingerprint = Some(keys.fingerprint());
            work(&keys, &mut had).await?;
        }
        Err(error) => expected(error)?,
    }
    let calls = faulty.calls();
    faulty.script([]);
    if world.fingerprint.is_none() {
        // The root key was not seen to open, so that nothing may have been written.
        let empty = world.store.domain_rows().await.must("the store answers")?.is_empty();
        rule(empty, "a root key that was not seen to open is not written")?;
    }
    let healed = world.process().await?;
    work(&healed, &mut had).await?;
    rule(had.len() >= 4, "when the KMS answers again every key can be had")?;
    let reads = world.process().await?;
    for (at, full_id) in had {
        rule(ask(&reads, at).await?.must(SAME)? == full_id, SAME)?;
    }
    Ok(calls)
}

/// Everything that a process does with its KMS; what fails is passed over if it is for that reason.
async fn work(keys: &Keys, had: &mut Vec<(usize, FullId)>) -> Result<(), Violation> {
    for at in 0..USES.len() + NAMES.len() {
        match ask(keys, at).await? {
            Ok(full_id) => had.push((at, full_id)),
            Err(error) => expected(error)?,
        }
    }
    for outcome in [keys.rewrap().await.map(drop), keys.complete().await.map(drop)] {
        outcome.or_else(expected)?;
    }
    Ok(())
}

async fn ask(keys: &Keys, at: usize) -> Result<Result<FullId, Error>, Violation> {
    Ok(match USES.get(at) {
        Some(key_use) => keys.domain_key(*key_use).await.map(|key| key.full_id()),
        None => {
            let name = NAMES.get(at - USES.len()).must(KEY)?;
            keys.data_key(&patient(name)?).await.map(|key| key.full_id())
        }
    })
}

/// A call that fails is an error of the KMS, and one that answers wrongly is a key that is rejected.
fn expected(error: Error) -> Result<(), Violation> {
    match error {
        Error::Kms(_) | Error::KeyRejected(_) | Error::NoKek => Ok(()),
        error => {
            Err(failed("a KMS that fails is an error of the KMS, and one that answers wrongly opens nothing")(error))
        }
    }
}
