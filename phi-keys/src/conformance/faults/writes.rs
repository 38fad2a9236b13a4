use core::future::Future;
use std::sync::Arc;

use super::super::world::{Fresh, Notes};
use super::super::{Told, Violation, failed, rule};
use super::{Act, Played, StoreFault, told};
use crate::anchor::StoreAnchor;
use crate::store::{KeyState, KeyStore, RowKind};

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
/// story of seals, rotations, shreds and destructions, one at a time. Without a fault the story succeeds in every act, and its keys
/// pass through every state.
///
/// A write fails to a process that lives on without an anchor, and to one that ends with an anchor beside the store, which is one
/// in memory of this suite's own. [`store_story`](super::store_story) plays any of the four with or without an anchor of the
/// caller's.
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
        let Played { writes, passed, tombstones } = play(&fresh, anchored, None).await?;
        let through = |kind: RowKind, states: &[KeyState]| states.iter().all(|state| passed.contains(&(kind, *state)));
        // A data key is never staged.
        let whole = through(RowKind::Domain, &KeyState::ALL)
            && through(RowKind::Data, KeyState::ALL.get(1..).unwrap_or_default());
        rule(whole && tombstones == 2, "keys of a store pass through every state that they have")?;
        rule(writes >= 12, "a store is written to by whoever rotates, shreds and destroys")?;
        for (fault, at) in faults.into_iter().flat_map(|fault| (0..writes).map(move |at| (fault, at))) {
            let faults = (0..at).map(|_| None).chain([Some(fault)]).collect::<Vec<_>>();
            if let Err(Violation { rule, source }) = play(&fresh, anchored, Some(&faults)).await {
                let why = source.map_or_else(|| "it is not so".to_owned(), |error| error.to_string());
                return Err(failed(rule)(Told(format!("{fault:?} at write {at}: {why}"))));
            }
        }
    }
    Ok(())
}

async fn play(fresh: &dyn Fresh, anchored: bool, faults: Option<&[Option<StoreFault>]>) -> Result<Played, Violation> {
    let store: Arc<dyn KeyStore> = fresh.store().await;
    let anchor = anchored.then(|| Arc::new(Notes::default()) as Arc<dyn StoreAnchor>);
    told(store, anchor, &STORY, faults).await
}
