use core::future::Future;
use std::sync::Arc;

use super::super::world::{Fresh, Notes};
use super::super::{Told, Violation, failed, rule};
use super::{Act, StoreFault, store_story};
use crate::anchor::StoreAnchor;
use crate::store::KeyStore;

/// Passes through every state of a key, twice over a shred.
const STORY: [Act; 20] = [
    Act::Seal(0),
    Act::Seal(1),
    Act::RotateData(0),
    Act::RotateDomain,
    Act::RewrapData,
    Act::Later,
    Act::Reseal(0),
    Act::End(0),
    Act::Later,
    Act::Shred(1),
    Act::End(0),
    Act::RotateKek,
    Act::StageDomain,
    Act::Later,
    Act::ActivateDomain,
    Act::Restart,
    Act::Seal(2),
    Act::Shred(2),
    Act::Seal(0),
    Act::End(0),
];

/// Checks that no write to a store that fails, before or after it was done, or that is the last thing that a process does, loses a
/// key or brings a shredded one back; and that whatever was interrupted can be resumed. Each fault happens at each write of a
/// story of seals, rotations, shreds and destructions, one at a time.
///
/// `fresh` gives an empty store for each fault and write, some hundred times.
///
/// # Errors
/// [`Violation`] naming the first rule that is broken, and the fault that broke it.
pub async fn store_faults<F, S>(fresh: impl Fn() -> F + Send + Sync) -> Result<(), Violation>
where
    F: Future<Output = S> + Send,
    S: KeyStore,
{
    // A store does not know whether the process lives on; with an anchor beside it the process dies, without one it lives.
    for (anchored, faults) in
        [(false, [StoreFault::Before, StoreFault::After]), (true, [StoreFault::KilledBefore, StoreFault::KilledAfter])]
    {
        let writes = play(&fresh, anchored, &[]).await?;
        rule(writes >= 12, "a store is written to by whoever rotates, shreds and destroys")?;
        for (fault, at) in faults.into_iter().flat_map(|fault| (0..writes).map(move |at| (fault, at))) {
            let faults = (0..at).map(|_| None).chain([Some(fault)]).collect::<Vec<_>>();
            if let Err(Violation { rule, source }) = play(&fresh, anchored, &faults).await {
                let why = source.map_or_else(|| "it is not so".to_owned(), |error| error.to_string());
                return Err(failed(rule)(Told(format!("{fault:?} at write {at}: {why}"))));
            }
        }
    }
    Ok(())
}

async fn play(fresh: &dyn Fresh, anchored: bool, faults: &[Option<StoreFault>]) -> Result<u64, Violation> {
    let store: Arc<dyn KeyStore> = fresh.store().await;
    let anchor = anchored.then(|| Arc::new(Notes::default()) as Arc<dyn StoreAnchor>);
    store_story(store, anchor, &STORY, faults).await
}
