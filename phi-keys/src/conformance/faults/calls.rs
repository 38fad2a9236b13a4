use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::Poll;
use core::time::Duration;
use std::sync::Arc;

use super::super::world::{Fresh, KEY, World, patient};
use super::super::{Must, Told, Violation, failed, rule};
use super::{FaultyKms, KmsFault};
use crate::error::Error;
use crate::id::FullId;
use crate::keys::Keys;
use crate::kms::{
    Capabilities, Carrier, EphemeralKeyring, KekState, KekStatus, Kms, KmsFuture, Rewrap, Sleeper, Timeout,
    WrapContext, Wrapped,
};
use crate::scope::KeyUse;
use crate::store::KeyStore;

const USES: [KeyUse; 2] = [KeyUse::Index, KeyUse::Audit];
const NAMES: [&str; 2] = ["a", "b"];
const KEYS: usize = USES.len() + NAMES.len();
const SAME: &str = "whatever a call to a KMS does, a key that was had once is had again, and is the same";

/// Checks that no call to a KMS that fails, hangs, is lost, or answers with garbage or with another key's plaintext loses a key or
/// makes a wrong one be used. Each fault happens at each call of processes that make, read and rewrap keys, and that bring copies
/// under a second KEK or under this one where they are missing; one at a time; and at each call two in a row.
/// Afterwards all is well again: what was interrupted can be resumed, and every key that was ever handed out must be there.
///
/// `fresh` gives an empty store for each of them, some four hundred times; the KEK is asked some sixteen thousand times. What hangs is
/// given up by a [`Timeout`] at once.
///
/// # Errors
/// [`Violation`] naming the first rule that is broken, and the fault that broke it.
pub async fn kms_faults<F, S>(fresh: impl Fn() -> F + Send + Sync, kek: Arc<dyn Kms>) -> Result<(), Violation>
where
    F: Future<Output = S> + Send,
    S: KeyStore,
{
    for missing in [Missing::Second, Missing::First] {
        // How many calls there are when nothing fails.
        let calls = story(&fresh, &kek, missing, &[]).await?;
        rule(calls > 0, "a KMS is asked for the keys of an empty store")?;
        let ones = KmsFault::ALL.iter().flat_map(|fault| (0..calls).map(move |at| (vec![Some(*fault)], at)));
        // Two in a row: another two at each call.
        let next = KmsFault::ALL.iter().cycle().skip(1);
        let pairs =
            KmsFault::ALL.iter().cycle().zip(next).map(|(one, next)| vec![Some(*one), Some(*next)]).zip(0..calls);
        for (faults, at) in ones.chain(pairs) {
            let script = (0..at).map(|_| None).chain(faults.iter().copied()).collect::<Vec<_>>();
            if let Err(Violation { rule, source }) = story(&fresh, &kek, missing, &script).await {
                let why = source.map_or_else(|| "it is another".to_owned(), |error| error.to_string());
                let faults = faults.into_iter().flatten().collect::<Vec<_>>();
                return Err(failed(rule)(Told(format!("{faults:?} at call {at}: {why}"))));
            }
        }
    }
    Ok(())
}

/// Whose copies are completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    /// Those under a second KEK; keys are made under the one that is checked.
    Second,
    /// Those under the KEK that is checked; keys are made under the other one.
    First,
}

/// A KEK that does not say which version wraps, so that a rewrap has something to do.
#[derive(Debug)]
struct Silent(Arc<dyn Kms>);

impl Kms for Silent {
    fn kek_id(&self) -> &str {
        self.0.kek_id()
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn wrap_dek<'a>(&'a self, carrier: &'a Carrier, context: &'a WrapContext) -> KmsFuture<'a, Wrapped> {
        self.0.wrap_dek(carrier, context)
    }

    fn unwrap_dek<'a>(&'a self, wrapped: &'a Wrapped, context: &'a WrapContext) -> KmsFuture<'a, Carrier> {
        self.0.unwrap_dek(wrapped, context)
    }

    fn generate<'a>(&'a self, context: &'a WrapContext) -> KmsFuture<'a, (Carrier, Wrapped)> {
        self.0.generate(context)
    }

    fn rewrap<'a>(&'a self, wrapped: &'a Wrapped, context: &'a WrapContext) -> KmsFuture<'a, Rewrap> {
        self.0.rewrap(wrapped, context)
    }

    fn status(&self) -> KmsFuture<'_, KekStatus> {
        Box::pin(async move { Ok(KekStatus::new(self.0.status().await?.state, None)) })
    }

    fn version_state<'a>(&'a self, version: &'a str) -> KmsFuture<'a, Option<KekState>> {
        self.0.version_state(version)
    }
}

/// Sleeps until a call hangs: that one, and no slow one, is given up.
#[derive(Debug)]
struct UntilItHangs(Arc<FaultyKms>);

impl Sleeper for UntilItHangs {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let faulty = Arc::clone(&self.0);
        // The call is polled before this is, so that no waker is needed.
        Box::pin(poll_fn(move |_| if faulty.hangs() { Poll::Ready(()) } else { Poll::Pending }))
    }
}

/// Processes under faults, one that finishes what they could not, and one that reads all of it. How often the first ones asked.
async fn story(
    fresh: &dyn Fresh,
    kek: &Arc<dyn Kms>,
    missing: Missing,
    script: &[Option<KmsFault>],
) -> Result<u64, Violation> {
    let faulty = Arc::new(FaultyKms::new(Arc::new(Silent(Arc::clone(kek)))));
    let timed = Timeout::new(Arc::clone(&faulty), Duration::from_secs(1), UntilItHangs(Arc::clone(&faulty)));
    let backend = kek.capabilities().backend.unwrap_or_default();
    let second: Arc<dyn Kms> = Arc::new(EphemeralKeyring::generate_on(backend).must("the machine has randomness")?);
    let timed: Arc<dyn Kms> = Arc::new(timed);
    let (first, both) = match missing {
        Missing::Second => (Arc::clone(&timed), [Arc::clone(&timed), second]),
        Missing::First => (Arc::clone(&second), [second, Arc::clone(&timed)]),
    };
    let mut world = World::new(fresh, &[first]).await;
    let mut had = Vec::new();
    faulty.script(script.iter().copied());
    match world.builder().build().await {
        Ok(keys) => {
            world.fingerprint = Some(keys.fingerprint());
            work(&keys, &mut had).await?;
        }
        Err(error) => expected(error)?,
    }
    if world.fingerprint.is_some() {
        world.keks = both.to_vec();
        let joined = match world.builder().build().await {
            Ok(keys) => completes(&keys).await,
            Err(error) => Err(error),
        };
        joined.or_else(expected)?;
    }
    let calls = faulty.calls();
    faulty.script([]);
    if world.fingerprint.is_none() {
        // The root key was not seen to open, so that nothing may have been written.
        let empty = world.store.domain_rows().await.must("the store answers")?.is_empty();
        rule(empty, "a root key that was not seen to open is not written")?;
    }
    let healed = world.process().await?;
    let mut now = Vec::new();
    work(&healed, &mut now).await?;
    rule(now.len() == KEYS, "when the KMS answers again every key can be had")?;
    world.keks = both.to_vec();
    completes(&world.process().await?)
        .await
        .must("copies that a KMS did not make are completed when it answers again")?;
    had.append(&mut now);
    // The KEK that is checked opens all of it by itself.
    world.keks = vec![timed];
    let reads = world.process().await?;
    for (at, full_id) in had {
        rule(ask(&reads, at).await?.must(SAME)? == full_id, SAME)?;
    }
    Ok(calls)
}

/// Asks for every key; what fails is passed over if it is for that reason.
async fn work(keys: &Keys, had: &mut Vec<(usize, FullId)>) -> Result<(), Violation> {
    for at in 0..KEYS {
        match ask(keys, at).await? {
            Ok(full_id) => had.push((at, full_id)),
            Err(error) => expected(error)?,
        }
    }
    Ok(())
}

/// Makes the copies that are missing, and rewraps all.
async fn completes(keys: &Keys) -> Result<(), Error> {
    let _ = keys.complete().await?;
    keys.rewrap().await.map(drop)
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
