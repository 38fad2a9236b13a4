//! What a key manager does while nobody asks it for keys: it asks whether its KEKs still stand, and forgets what expired.

use core::convert::Infallible;
use core::future::{Future, poll_fn};
use core::ops::AddAssign;
use core::task::Poll;
use core::time::Duration;

use super::Keys;
use super::cache::Cache;
use super::held::{Held, HeldKeys};
use super::said::{self, Limit, Said};
use crate::id::FullId;
use crate::kms::{Holder, KekState, KekStatus, KmsError, KmsEvent, Sleeper};

/// The shortest interval of anything that is done again and again.
const SHORTEST: Duration = Duration::from_millis(1);

/// What the KEKs said of themselves, and what was forgotten therefore.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct KekCheck {
    /// Every KEK with its status and how long it took, in the order in which they were given.
    pub statuses: Vec<(String, Result<KekStatus, KmsError>)>,
    /// The versions that were asked for besides: those that hold a key of this process and are not the newest one.
    pub versions: Vec<HeldVersion>,
    /// The keys that no other KEK can unwrap.
    pub forgotten: Forgotten,
}

/// A version of a KEK that holds a key of this process, and what the KMS says of it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HeldVersion {
    /// The KEK.
    pub kek_id: String,
    /// The version, in the KMS's own words.
    pub version: String,
    /// Its state, as [`Kms::version_state`](crate::Kms::version_state) has it.
    pub state: Result<Option<KekState>, KmsError>,
}

/// Keys that are no longer in memory. They come back when they are asked for and store and KMS still allow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Forgotten {
    /// Domain keys.
    pub domain_keys: usize,
    /// Data keys.
    pub data_keys: usize,
}

impl AddAssign for Forgotten {
    fn add_assign(&mut self, more: Self) {
        self.domain_keys += more.domain_keys;
        self.data_keys += more.data_keys;
    }
}

impl Keys {
    /// Asks every KEK once whether it stands, and for each of its versions that a key in memory was wrapped under. When one
    /// was disabled, is being or was destroyed, or refuses the caller, every domain key that only it could unwrap is forgotten,
    /// with the data keys below it, and every lease on them ends at once. What "only it" means is what the
    /// [`KekSet`](crate::KekSet) would do: by default a KEK that says no is not passed over.
    ///
    /// Each KEK costs one call, and one more for each older version that still holds a key of this process: none after a
    /// [`rewrap`](Self::rewrap), or where versions have no states of their own.
    ///
    /// A KEK that does not answer changes nothing here: the age of domain keys
    /// ([`KeysBuilder::domain_key_age`](crate::KeysBuilder::domain_key_age)) sees to that. A caller who may unwrap but not
    /// ask for the status, or for a version, is taken for refused, and asks the KMS for each domain key again after every
    /// check: grant all three.
    pub async fn check_keks(&self) -> KekCheck {
        self.check(None).await
    }

    /// Does [`check_keks`](Self::check_keks) every `interval`, for as long as the caller drives this future: spawn it, or
    /// race it against what ends the service. So access ends within `interval` of a KEK's or a version's being disabled, and
    /// the time that its KMS takes to say so; a KEK that takes longer than the interval holds nobody else up, and is asked
    /// again. An interval below 1 ms is taken for 1 ms. What was forgotten is told to the set's observer as
    /// [`KmsEvent::Forgotten`].
    ///
    /// ```
    /// use core::time::Duration;
    /// use phi_keys::{EphemeralKeyring, Keys, MemoryKeyStore};
    ///
    /// # #[cfg(not(feature = "tokio-time"))]
    /// # fn main() {}
    /// # #[cfg(feature = "tokio-time")]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use phi_keys::TokioSleeper;
    ///
    /// let keys = Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate()?).build().await?;
    /// let (poll, reap) = (keys.clone(), keys.clone());
    /// let poller = tokio::spawn(async move { poll.poll_status(Duration::from_secs(30), TokioSleeper::new()).await });
    /// let reaper = tokio::spawn(async move { reap.reap_expired(Duration::from_secs(5), TokioSleeper::new()).await });
    /// // … serve, and then:
    /// poller.abort();
    /// reaper.abort();
    /// # Ok(())
    /// # }
    /// ```
    pub async fn poll_status(&self, interval: Duration, sleeper: impl Sleeper) -> Infallible {
        let interval = interval.max(SHORTEST);
        let clock = &self.0.data.gate.clock;
        loop {
            let began = clock.monotonic();
            let _ = self.check(Some((&sleeper, interval))).await;
            let taken = clock.monotonic().saturating_sub(began);
            sleeper.sleep(interval.saturating_sub(taken).max(SHORTEST)).await;
        }
    }

    /// Wipes every key from memory whose time has come: data keys whose lease ended, domain keys whose age is over. Returns
    /// how many. A key that somebody still holds a handle on is wiped when the last handle is dropped.
    #[expect(clippy::must_use_candidate, reason = "it is called for what it does")]
    pub fn reap(&self) -> usize {
        // Data keys do not outlive the domain key by more than a lease in any case.
        self.0.data.cache.reap() + self.0.domains.held.reap()
    }

    /// Does [`reap`](Self::reap) every `interval` (1 ms at least), for as long as the caller drives this future. Without it
    /// a key that nobody asks for stays in memory until it is evicted, though it is never handed out again.
    pub async fn reap_expired(&self, interval: Duration, sleeper: impl Sleeper) -> Infallible {
        loop {
            let _ = self.reap();
            sleeper.sleep(interval.max(SHORTEST)).await;
        }
    }

    /// Asks all KEKs at once, and judges each when it has answered: one that is slow keeps no other waiting.
    async fn check(&self, limit: Option<Limit<'_>>) -> KekCheck {
        let (held, clock) = (&self.0.domains.held, &*self.0.data.gate.clock);
        let mut asked: Vec<_> = self.0.keks.all().map(|kek| Box::pin(said::ask(&**kek, held, clock, limit))).collect();
        let mut said: Vec<Option<Said>> = asked.iter().map(|_| None).collect();
        let mut forgotten = Forgotten::default();
        poll_fn(|task| {
            for at in 0..asked.len() {
                let (Some(future), Some(place @ None)) = (asked.get_mut(at), said.get_mut(at)) else { continue };
                if let Poll::Ready(answer) = future.as_mut().poll(task) {
                    *place = Some(answer);
                    forgotten += self.judge(&said);
                }
            }
            if said.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        let mut check = KekCheck { statuses: Vec::with_capacity(said.len()), versions: Vec::new(), forgotten };
        for Said { kek_id, status, versions } in said.into_iter().flatten() {
            let named = |(version, state)| HeldVersion { kek_id: kek_id.clone(), version, state };
            check.versions.extend(versions.into_iter().map(named));
            check.statuses.push((kek_id, status));
        }
        check
    }

    /// Forgets what only KEKs that say no could unwrap.
    fn judge(&self, said: &[Option<Said>]) -> Forgotten {
        let is_denied = |holder: &Holder| {
            said.iter().flatten().any(|said| said.kek_id == holder.kek_id && said.denies(&holder.version))
        };
        if !said.iter().flatten().any(Said::denies_any) {
            return Forgotten::default();
        }
        let mut causes: Vec<Holder> = Vec::new();
        let forgotten = self.forget_domains(|held| {
            let lost = !self.0.keks.could_unwrap(&held.holders, is_denied);
            if lost {
                let denied = held.holders.iter().filter(|holder| is_denied(holder) && !causes.contains(holder));
                let denied: Vec<_> = denied.cloned().collect();
                causes.extend(denied);
            }
            lost
        });
        let Forgotten { domain_keys, data_keys } = forgotten;
        for Holder { kek_id, version } in &causes {
            self.0.keks.tell(&KmsEvent::Forgotten { kek_id, version, domain_keys, data_keys });
        }
        forgotten
    }

    /// Forgets domain keys, and the data keys below them.
    pub(super) fn forget_domains(&self, which: impl FnMut(&Held) -> bool) -> Forgotten {
        forget(&self.0.domains.held, &self.0.data.cache, which)
    }

    /// Forgets the data keys below domain keys that are gone already, and ends every lease.
    pub(super) fn forget_below(&self, gone: &[FullId]) -> usize {
        self.0.domains.gate.end_all();
        self.0.data.cache.revoke(|entry| gone.contains(&entry.origin.parent))
    }
}

/// Forgets domain keys, and the data keys below them. In this order: who begins to unwrap a data key between the two no
/// longer finds its parent, and who began before is told to read again.
pub(super) fn forget(held: &HeldKeys, cache: &Cache, which: impl FnMut(&Held) -> bool) -> Forgotten {
    let gone = held.revoke(which);
    Forgotten { domain_keys: gone.len(), data_keys: cache.revoke(|entry| gone.contains(&entry.origin.parent)) }
}
