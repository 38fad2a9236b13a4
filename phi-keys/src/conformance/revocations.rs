use core::future::Future;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::sync::Arc;

use super::faults::{Script, Way as StoreWay};
use super::world::{KEY, OPENS, World, patient, refused, subject};
use super::{Must, Violation, failed, rule};
use crate::error::Error;
use crate::id::KeyId;
use crate::keys::{Keys, Revocation, RevocationChannel, RevocationNotice};
use crate::kms::{EphemeralKeyring, Kms, Sleeper, within};
use crate::overlap::give_way;
use crate::scope::Scope;
use crate::store::{KeyStore, MemoryKeyStore, StoreError};

const PAUSE: Duration = Duration::from_millis(10);
/// How often it is waited before somebody is taken to have heard nothing.
const PATIENCE: u16 = 1_000;
/// How many errors in a row are taken for those of a network.
const ERRORS: u8 = 8;
/// How often something is tried again that others came between.
const TRIES: u8 = 16;
const REACHES: &str = "a notice that was published reaches the other process";
const TAKES: &str = "a channel that is not cut takes notices";
const ALONE: &str = "a process lets go of what another one revokes, and of nothing else";
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
/// sent something that is no notice goes on; what is published before and while a connection is lost arrives, or an error or the
/// notice that revokes everything says that it may be missing; and a key manager that follows the channel lets go of what another
/// one revokes and shreds. A notice may arrive more than once, and after the ones that were published before it.
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
        way.loses_nothing_quietly(&mut number, disturb(Disturbance::Cut)).await?;
        way.meet(&mut number).await?;
    }
    followed(&ends, &sleeper, &disturb).await
}

/// A notice that nobody has sent before.
fn fresh(number: &mut u128) -> RevocationNotice {
    *number += 1;
    kid(*number)
}

fn kid(number: u128) -> RevocationNotice {
    RevocationNotice::from_text(&format!("phi-revoke-1 kid {}", KeyId::from_bytes(number.to_be_bytes())))
}

/// Whether it is one of those until this number.
fn was_sent(notice: &RevocationNotice, until: u128) -> bool {
    (1..=until).any(|number| kid(number) == *notice)
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
    async fn meet(&self, number: &mut u128) -> Result<(), Violation> {
        let notice = fresh(number);
        let mut before = 0;
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
                    Err(_) if before > 64 => pause(self.sleeper).await,
                    _ => before += 1,
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
                Ok(found) if found == last => return Ok(()),
                Ok(found) if found == notice => {}
                _ => before += 1,
            }
            rule(before < 1_000, REACHES)?;
        }
    }

    async fn carries(&self, number: &mut u128) -> Result<(), Violation> {
        let earlier = *number;
        let scope = RevocationNotice::from_text(&format!("phi-revoke-1 scope {}", "9f".repeat(32)));
        let mut before = Vec::new();
        for notice in [fresh(number), scope, all(), fresh(number)] {
            self.publish(&notice).await?;
            let mut said = 0;
            loop {
                match self.next().await? {
                    Ok(found) if found == notice => break,
                    // The same notice may come more than once.
                    Ok(found) => rule(
                        before.contains(&found) || was_sent(&found, earlier),
                        "a notice arrives as it was published",
                    )?,
                    // It may have been missed, and nobody has to find it again.
                    Err(error) => {
                        said += 1;
                        if said > ERRORS {
                            return Err(failed(REACHES)(error));
                        }
                        self.publish(&notice).await?;
                    }
                }
            }
            before.push(notice);
        }
        Ok(())
    }

    /// What is published before the cut and during it arrives, or it is said that something may be missing.
    async fn loses_nothing_quietly(
        &self,
        number: &mut u128,
        cut: impl Future<Output = ()> + Send,
    ) -> Result<(), Violation> {
        let notices = [fresh(number), fresh(number)];
        self.publish(&notices[0]).await?;
        cut.await;
        let mut published = self.from.publish(&notices[1]).await;
        for _ in 0..PATIENCE {
            // Who publishes may have been cut off as well, and says so.
            if published.is_ok() {
                break;
            }
            pause(self.sleeper).await;
            published = self.from.publish(&notices[1]).await;
        }
        published.must(TAKES)?;
        let arriving = async {
            let mut missing = notices.to_vec();
            while !missing.is_empty() {
                match self.to.next().await {
                    Ok(found) if found != all() => missing.retain(|notice| *notice != found),
                    _ => break,
                }
            }
        };
        within(arriving, self.patience()).await.must(MISSED)
    }
}

/// One that follows revocations. Any notice ends every lease, and what is still in memory is leased anew; so what a notice took
/// out of memory shows in what is read from the store again.
struct Follower<'f> {
    keys: &'f Keys,
    reads: &'f Script,
    sleeper: &'f dyn Sleeper,
    marks: AtomicU32,
}

impl Follower<'_> {
    /// Whether a key is not in memory; it is afterwards.
    async fn lacks(&self, scope: &Scope) -> Result<bool, Violation> {
        let before = self.reads.reads();
        self.keys.data_key(scope).await.must(KEY)?;
        Ok(self.reads.reads() > before)
    }

    /// Waits until a key has left memory.
    async fn lets_go(&self, scope: &Scope) -> Result<(), Violation> {
        for _ in 0..PATIENCE {
            if self.lacks(scope).await? {
                return Ok(());
            }
            pause(self.sleeper).await;
        }
        Err(Violation { rule: REACHES, source: None })
    }

    /// Waits until everything is heard that was published before: a mark of its own comes after it, which takes away nothing else.
    async fn quiet(&self, from: &Keys, bystander: &Scope) -> Result<(), Violation> {
        for _ in 0..TRIES {
            let mark = patient(&format!("mark {}", self.marks.fetch_add(1, Ordering::Relaxed)))?;
            self.lacks(&mark).await?;
            self.lacks(bystander).await?;
            let mut heard = false;
            for _ in 0..PATIENCE {
                // Until it listens, it hears nothing.
                let _ = from.revoke(&Revocation::Scope(mark.clone())).await.must(TAKES)?;
                pause(self.sleeper).await;
                heard = self.lacks(&mark).await?;
                if heard {
                    break;
                }
            }
            rule(heard, REACHES)?;
            if !self.lacks(bystander).await? {
                return Ok(());
            }
        }
        Err(Violation { rule: ALONE, source: None })
    }
}

/// Two key managers over one store.
async fn followed<F: Future<Output = ()> + Send>(
    ends: &[Arc<dyn RevocationChannel>; 2],
    sleeper: &Arc<dyn Sleeper>,
    disturb: &(impl Fn(Disturbance) -> F + Send + Sync),
) -> Result<(), Violation> {
    let kek: Arc<dyn Kms> = Arc::new(EphemeralKeyring::generate().must("the machine has randomness")?);
    let store = Arc::new(MemoryKeyStore::new());
    let shared = || core::future::ready(Arc::clone(&store));
    let mut world = World::new(&shared, &[kek]).await;
    world.process().await?;
    let script = Script::new([]);
    let watched: Arc<dyn KeyStore> = Arc::new(StoreWay::new(store, Arc::clone(&script)));
    let here = world.builder().revocations(Arc::clone(&ends[0])).build().await.must(OPENS)?;
    let there = world.over(&watched).revocations(Arc::clone(&ends[1])).build().await.must(OPENS)?;
    let follower = Follower { keys: &there, reads: &script, sleeper: &**sleeper, marks: AtomicU32::new(0) };
    let acts = acts(&here, &follower, disturb);
    let mut ended = None;
    let done = within(acts, async { ended = there.follow_revocations(Arc::clone(sleeper)).await.err() }).await;
    done.unwrap_or_else(|| Err(ended.map_or(Violation { rule: REACHES, source: None }, failed(REACHES))))
}

async fn acts<F: Future<Output = ()> + Send>(
    here: &Keys,
    there: &Follower<'_>,
    disturb: &(impl Fn(Disturbance) -> F + Send + Sync),
) -> Result<(), Violation> {
    let (scope, bystander) = (patient("a")?, patient("b")?);
    let (mut done, mut tries) = (0, 0);
    while done < 3 {
        there.quiet(here, &bystander).await?;
        let key = there.keys.data_key(&scope).await.must(KEY)?;
        let what = match done {
            0 => Revocation::Scope(scope.clone()),
            1 => Revocation::Key(key.kid()),
            _ => Revocation::All,
        };
        let everything = what == Revocation::All;
        let revoked = here.revoke(&what).await.must(TAKES)?;
        rule(revoked.announced, "a revocation is announced")?;
        there.lets_go(&scope).await?;
        rule(!key.is_live(), "a key that another process revoked has no lease any more")?;
        // Otherwise something was taken for the worst in between, and this notice has not shown what it does.
        if there.lacks(&bystander).await? == everything {
            done += 1;
        }
        tries += 1;
        rule(tries < TRIES, ALONE)?;
    }
    there.quiet(here, &bystander).await?;
    there.lacks(&scope).await?;
    disturb(Disturbance::Cut).await;
    // An error says that nobody may have been told; then it is done again.
    for _ in 0..PATIENCE {
        if here.revoke(&Revocation::Scope(scope.clone())).await.is_ok() {
            break;
        }
        pause(there.sleeper).await;
    }
    there.lets_go(&scope).await.map_err(|_| Violation { rule: MISSED, source: None })?;
    there.quiet(here, &bystander).await?;
    let key = there.keys.data_key(&scope).await.must(KEY)?;
    let _ = here.shred(&subject("a")?).await.must("a subject can be shredded")?;
    for _ in 0..PATIENCE {
        if !key.is_live() {
            break;
        }
        pause(there.sleeper).await;
    }
    rule(!key.is_live(), REACHES)?;
    let gone = there.keys.data_key(&scope).await;
    refused(gone, |error| matches!(error, Error::Shredded), "a shredded subject gets no key")
}
