use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::Poll;
use core::time::Duration;
use std::sync::Arc;

use phi_types::{Clock, ManualClock};

use super::faults::{FaultyKms, KmsFault};
use super::parts::{Work, together};
use super::world::{KEY, LEASE, World, patient, refused};
use super::{Must, Violation, rule};
use crate::error::Error;
use crate::id::KeyId;
use crate::keys::Keys;
use crate::kms::{Kms, KmsError, Sleeper, within};
use crate::overlap::give_way;
use crate::store::MemoryKeyStore;

const POLL: Duration = Duration::from_secs(30);
const SECOND: Duration = Duration::from_secs(1);

/// Checks what a cache in front of a KMS shows: a thousand tasks on one cold key ask it once, and so do a thousand on different
/// keys; a refusal is remembered and an outage is not; a grace for outages bridges these and no refusal; and a poller ends access
/// within its interval of the KEK's being switched off.
///
/// The KEK is enabled, and asked some fifty times; that it is down or switched off is said in front of it.
///
/// # Errors
/// [`Violation`] naming the first rule that is broken.
pub async fn kms_cache(kek: Arc<dyn Kms>) -> Result<(), Violation> {
    cold(&Watched::new(&kek).await?).await?;
    refusal(&Watched::new(&kek).await?).await?;
    outage(&Watched::new(&kek).await?).await?;
    poller(&Watched::new(&kek).await?).await
}

/// A store with a patient's key in it, and a KEK whose calls are counted.
struct Watched {
    world: World,
    kek: Arc<FaultyKms>,
    kid: KeyId,
}

impl Watched {
    async fn new(kek: &Arc<dyn Kms>) -> Result<Self, Violation> {
        let kek = Arc::new(FaultyKms::new(Arc::clone(kek)));
        let fresh = || async { MemoryKeyStore::new() };
        let mut world = World::new(&fresh, &[Arc::clone(&kek) as Arc<dyn Kms>]).await;
        let keys = world.process().await?;
        let kid = keys.data_key(&patient("one")?).await.must(KEY)?.kid();
        keys.data_key(&patient("two")?).await.must(KEY)?;
        Ok(Self { world, kek, kid })
    }

    async fn keys(&self) -> Result<Keys, Violation> {
        self.world.builder().build().await.must(super::world::OPENS)
    }
}

/// A thousand at once. How many had a key.
async fn thousand(keys: &Keys, spread: usize) -> Result<usize, Violation> {
    let names = (0..spread).map(|number| if number == 0 { "one".to_owned() } else { number.to_string() });
    let scopes = names.map(|name| patient(&name)).collect::<Result<Vec<_>, _>>()?;
    let asking = scopes
        .iter()
        .cycle()
        .take(1_000)
        .map(|scope| -> Work<'_, bool> { Box::pin(async move { keys.data_key(scope).await.is_ok() }) });
    Ok(together(asking.collect()).await.into_iter().filter(|had| *had).count())
}

async fn cold(watched: &Watched) -> Result<(), Violation> {
    for spread in [1, 1_000] {
        let keys = watched.keys().await?;
        let before = watched.kek.calls();
        rule(thousand(&keys, spread).await? == 1_000, KEY)?;
        rule(watched.kek.calls() - before == 1, "a thousand tasks on cold keys ask the KMS once")?;
        let again = watched.kek.calls();
        keys.data_key_by_id(watched.kid, &patient("one")?).await.must(KEY)?;
        rule(watched.kek.calls() == again, "what is in memory needs no KMS")?;
    }
    let keys = watched.keys().await?;
    watched.kek.set(Some(KmsFault::Down));
    let before = watched.kek.calls();
    rule(thousand(&keys, 1).await? == 0, "without its KMS a cold key cannot be had")?;
    rule(watched.kek.calls() - before == 1, "a thousand tasks share one failure")?;
    watched.kek.set(None);
    keys.data_key(&patient("one")?).await.must("an outage is not remembered")?;
    Ok(())
}

async fn refusal(watched: &Watched) -> Result<(), Violation> {
    const ONCE: &str = "a refusal is remembered for its age and no longer";
    let keys = watched.keys().await?;
    watched.kek.set(Some(KmsFault::Disabled));
    let before = watched.kek.calls();
    for number in 0..20 {
        let says_no = keys.data_key(&patient(&number.to_string())?).await;
        refused(says_no, |error| matches!(error, Error::Kms(KmsError::Disabled)), "a refusal by a KMS is passed on")?;
    }
    rule(watched.kek.calls() - before == 1, ONCE)?;
    watched.kek.set(None);
    rule(keys.data_key(&patient("one")?).await.is_err(), ONCE)?;
    watched.world.clock.advance(Duration::from_secs(5));
    keys.data_key(&patient("one")?).await.must(ONCE)?;
    Ok(())
}

async fn outage(watched: &Watched) -> Result<(), Violation> {
    const GRACE: &str = "a grace bridges an outage of the KMS, as long as it lasts";
    let clock = &watched.world.clock;
    let builder = || watched.world.builder().domain_key_age(LEASE);
    let (without, bridged) = (builder().build().await, builder().outage_grace(60 * LEASE).build().await);
    let (without, bridged) = (without.must(super::world::OPENS)?, bridged.must(super::world::OPENS)?);
    for keys in [&without, &bridged] {
        keys.data_key(&patient("one")?).await.must(KEY)?;
    }
    let scope = patient("one")?;
    watched.kek.set(Some(KmsFault::Down));
    clock.advance(2 * LEASE);
    rule(without.data_key(&scope).await.is_err(), "without a grace a key is not used beyond its age")?;
    for _ in 0..2 {
        bridged.data_key(&scope).await.must(GRACE)?;
        clock.advance(LEASE);
    }
    watched.kek.set(Some(KmsFault::Disabled));
    clock.advance(LEASE);
    let says_no = bridged.data_key(&scope).await;
    let is_no = |error: &Error| matches!(error, Error::Kms(error) if error.is_denial());
    refused(says_no, is_no, "a grace is for outages and never for a refusal")?;
    watched.kek.set(Some(KmsFault::Down));
    clock.advance(LEASE);
    rule(bridged.data_key(&scope).await.is_err(), "an outage does not bring back what was refused")?;
    watched.kek.set(None);
    clock.advance(LEASE);
    bridged.data_key(&scope).await.must(KEY)?;
    watched.kek.set(Some(KmsFault::Down));
    clock.advance(62 * LEASE);
    rule(bridged.data_key(&scope).await.is_err(), GRACE)
}

/// Sleeps until the clock says that it was long enough.
#[derive(Debug, Clone)]
struct Steps(ManualClock);

impl Sleeper for Steps {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let Self(clock) = self.clone();
        Box::pin(async move {
            let until = clock.monotonic().saturating_add(duration);
            poll_fn(|task| {
                if clock.monotonic() >= until {
                    return Poll::Ready(());
                }
                // Whoever moves the clock is on the same task.
                task.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
        })
    }
}

async fn poller(watched: &Watched) -> Result<(), Violation> {
    const ENDS: &str = "a poller ends access within its interval of a KEK's being switched off";
    let clock = &watched.world.clock;
    let keys = watched.world.builder().lease(Duration::from_secs(3600)).build().await.must(super::world::OPENS)?;
    let steps = Steps(clock.clone());
    let key = keys.data_key(&patient("one")?).await.must(KEY)?;
    let watch = async {
        let _ = keys.check_keks().await;
        rule(key.is_live(), "a KEK that stands takes no key away")?;
        // The poller begins; an answer that it still waits for is one from before.
        give_way().await;
        clock.advance(10 * SECOND);
        watched.kek.set(Some(KmsFault::Disabled));
        let mut lived = Duration::ZERO;
        while key.is_live() && lived <= 2 * POLL {
            clock.advance(SECOND);
            lived += SECOND;
            for _ in 0..8 {
                give_way().await;
            }
        }
        rule(lived <= POLL + SECOND && lived > SECOND, ENDS)?;
        let says_no = keys.data_key(&patient("one")?).await;
        refused(says_no, |error| matches!(error, Error::Kms(KmsError::Disabled)), ENDS)
    };
    let polling = async {
        let _ = keys.poll_status(POLL, steps.clone()).await;
    };
    within(watch, polling).await.must("a poller goes on")?
}
