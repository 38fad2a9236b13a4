use core::future::Future;
use core::time::Duration;
use std::sync::Arc;

use super::world::{KEY, OPENS, World, patient, refused, subject};
use super::{Must, Violation, failed, rule};
use crate::error::Error;
use crate::id::KeyId;
use crate::keys::{DataKey, Revocation, RevocationChannel, RevocationNotice};
use crate::kms::{EphemeralKeyring, Kms, Sleeper, within};
use crate::overlap::give_way;
use crate::store::{MemoryKeyStore, StoreError};

const PAUSE: Duration = Duration::from_millis(10);
/// How often it is waited before somebody is taken to have heard nothing.
const PATIENCE: u16 = 1_000;
const REACHES: &str = "a notice that was published reaches the other process";
const TAKES: &str = "a channel that is not cut takes notices";
const MISSED: &str = "notices that may have been missed are taken for the worst";

/// What is done to a [`RevocationChannel`] from outside, see [`revocations`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Disturbance {
    /// Something that is no notice is sent by the way that notices go.
    Garbage,
    /// Whoever listens loses the connection.
    Cut,
}

/// Checks a channel of revocations by its two ends, each as a process has one: what one publishes the other gets as it was; who is
/// sent something that is no notice goes on; a lost connection is said, and never passed over; and a key manager that follows
/// the channel lets go of what another one revokes and shreds.
///
/// `disturb` does to what the ends stand on what it is told. Everything is waited for by `sleeper`, a thousand times 10 ms at
/// most. Nobody else uses the channel meanwhile.
///
/// # Errors
/// [`Violation`] naming the first rule that is broken.
pub async fn revocations<F>(
    ends: [Arc<dyn RevocationChannel>; 2],
    disturb: impl Fn(Disturbance) -> F + Send + Sync,
    sleeper: impl Sleeper,
) -> Result<(), Violation>
where
    F: Future<Output = ()> + Send,
{
    let sleeper: Arc<dyn Sleeper> = Arc::new(sleeper);
    let [here, there] = &ends;
    let mut number = 0;
    for (from, to) in [(here, there), (there, here)] {
        let way = Way { from: &**from, to: &**to, sleeper: &*sleeper };
        way.meet(&mut number).await?;
        way.carries(&mut number).await?;
        disturb(Disturbance::Garbage).await;
        way.meet(&mut number).await?;
        disturb(Disturbance::Cut).await;
        way.notices_that_it_was_cut(&mut number).await?;
    }
    followed(&ends, &sleeper, &disturb).await
}

/// A notice that nobody has sent before.
fn fresh(number: &mut u128) -> RevocationNotice {
    *number += 1;
    RevocationNotice::from_text(&format!("phi-revoke-1 kid {}", KeyId::from_bytes(number.to_be_bytes())))
}

fn all() -> RevocationNotice {
    RevocationNotice::from_text("phi-revoke-1 all")
}

/// Waits a little, and lets the others on this task go on whatever the sleeper does.
async fn pause(sleeper: &dyn Sleeper) {
    sleeper.sleep(PAUSE).await;
    give_way().await;
}

struct Way<'w> {
    from: &'w dyn RevocationChannel,
    to: &'w dyn RevocationChannel,
    sleeper: &'w dyn Sleeper,
}

impl Way<'_> {
    /// Waits as long as anybody may take.
    async fn patience(&self) {
        for _ in 0..PATIENCE {
            pause(self.sleeper).await;
        }
    }

    async fn next(&self) -> Result<Result<RevocationNotice, StoreError>, Violation> {
        within(self.to.next(), self.patience()).await.must(REACHES)
    }

    async fn publish(&self, notice: &RevocationNotice) -> Result<(), Violation> {
        self.from.publish(notice).await.must(TAKES)
    }

    /// Publishes notices of a kind of its own until one arrives; what comes before it is passed over. Who listens from now on
    /// is in step.
    async fn meet(&self, number: &mut u128) -> Result<Vec<Result<RevocationNotice, StoreError>>, Violation> {
        let notice = fresh(number);
        let mut before = Vec::new();
        let sending = async {
            // Until the other end listens it hears nothing, which is said to it then.
            for _ in 0..PATIENCE {
                if let Err(violation) = self.publish(&notice).await {
                    return violation;
                }
                pause(self.sleeper).await;
            }
            Violation { rule: REACHES, source: None }
        };
        let receiving = async {
            loop {
                match self.to.next().await {
                    Ok(found) if found == notice => return,
                    Err(_) if before.len() > 64 => pause(self.sleeper).await,
                    other => before.push(other),
                }
            }
        };
        let mut failure = None;
        let met = within(receiving, async { failure = Some(sending.await) }).await;
        match (met, failure) {
            (Some(()), _) => {}
            (None, failure) => return Err(failure.unwrap_or(Violation { rule: REACHES, source: None })),
        }
        // The same one may have been sent several times; another one ends them.
        let last = fresh(number);
        self.publish(&last).await?;
        loop {
            match self.next().await? {
                Ok(found) if found == last => return Ok(before),
                Ok(found) if found == notice => {}
                other => before.push(other),
            }
            rule(before.len() < 1_000, REACHES)?;
        }
    }

    async fn carries(&self, number: &mut u128) -> Result<(), Violation> {
        let scope = RevocationNotice::from_text(&format!("phi-revoke-1 scope {}", "9f".repeat(32)));
        for notice in [fresh(number), scope, all(), fresh(number)] {
            self.publish(&notice).await?;
            let found = self.next().await?.must(REACHES)?;
            rule(found == notice, "a notice arrives as it was published")?;
        }
        Ok(())
    }

    async fn notices_that_it_was_cut(&self, number: &mut u128) -> Result<(), Violation> {
        let before = self.meet(number).await?;
        rule(before.iter().any(|found| found.as_ref().map_or(true, |notice| *notice == all())), MISSED)
    }
}

/// Two key managers over one store.
async fn followed<F: Future<Output = ()> + Send>(
    ends: &[Arc<dyn RevocationChannel>; 2],
    sleeper: &Arc<dyn Sleeper>,
    disturb: &(impl Fn(Disturbance) -> F + Send + Sync),
) -> Result<(), Violation> {
    let [here, there] = ends;
    let kek: Arc<dyn Kms> = Arc::new(EphemeralKeyring::generate().must("the machine has randomness")?);
    let store = || async { MemoryKeyStore::new() };
    let mut world = World::new(&store, &[kek]).await;
    world.process().await?;
    let here = world.builder().revocations(Arc::clone(here)).build().await.must(OPENS)?;
    let there = world.builder().revocations(Arc::clone(there)).build().await.must(OPENS)?;
    let scope = patient("a")?;
    let nothing = || core::future::ready(Ok(()));
    // What is left of earlier notices is heard before a key counts.
    let quiet = async || {
        let mut key = there.data_key(&scope).await.must(KEY)?;
        let mut calm = 0;
        for _ in 0..PATIENCE {
            calm = if key.is_live() { calm + 1 } else { 0 };
            if calm > 20 {
                break;
            }
            key = there.data_key(&scope).await.must(KEY)?;
            pause(&**sleeper).await;
        }
        Ok::<_, Violation>(key)
    };
    let acts = async {
        // Until it listens, it hears nothing.
        let key = there.data_key(&scope).await.must(KEY)?;
        heard(&key, &**sleeper, || async { here.revoke(&Revocation::All).await.map(drop) }).await?;
        for what in [Revocation::Scope(scope.clone()), Revocation::Key(key.kid()), Revocation::All] {
            let key = quiet().await?;
            let revoked = here.revoke(&what).await.must(TAKES)?;
            rule(revoked.announced, "a revocation is announced")?;
            heard(&key, &**sleeper, nothing).await?;
        }
        let key = quiet().await?;
        disturb(Disturbance::Cut).await;
        heard(&key, &**sleeper, nothing).await.map_err(|_| Violation { rule: MISSED, source: None })?;
        let key = quiet().await?;
        heard(&key, &**sleeper, || async { here.revoke(&Revocation::All).await.map(drop) }).await?;
        let key = quiet().await?;
        let _ = here.shred(&subject("a")?).await.must("a subject can be shredded")?;
        heard(&key, &**sleeper, nothing).await?;
        let gone = there.data_key(&scope).await;
        refused(gone, |error| matches!(error, Error::Shredded), "a shredded subject gets no key")
    };
    let mut ended = None;
    let done = within(acts, async { ended = there.follow_revocations(Arc::clone(sleeper)).await.err() }).await;
    done.unwrap_or_else(|| Err(ended.map_or(Violation { rule: REACHES, source: None }, failed(REACHES))))
}

/// Waits until the lease of a key has ended, doing something meanwhile.
async fn heard<F: Future<Output = Result<(), Error>> + Send>(
    key: &DataKey,
    sleeper: &dyn Sleeper,
    act: impl Fn() -> F + Send + Sync,
) -> Result<(), Violation> {
    for _ in 0..PATIENCE {
        if !key.is_live() {
            return Ok(());
        }
        act().await.must(TAKES)?;
        pause(sleeper).await;
    }
    rule(!key.is_live(), REACHES)
}
