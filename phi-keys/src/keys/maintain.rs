//! What a key manager does while nobody asks it for keys: it asks whether its KEKs still stand, and forgets what expired.

use core::convert::Infallible;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::Poll;
use core::time::Duration;

use super::Keys;
use super::cache::Cache;
use super::held::{Held, HeldKeys};
use crate::id::FullId;
use crate::kms::{Holder, KekState, KekStatus, Kms, KmsError, KmsEvent, KmsFuture, Sleeper, within};

/// The shortest interval of anything that is done again and again.
const SHORTEST: Duration = Duration::from_millis(1);

/// What a KEK said of itself.
struct Said {
    kek_id: String,
    status: Result<KekStatus, KmsError>,
    /// And of the versions that hold a key of this process, other than the one that wraps now.
    versions: Vec<(String, Result<Option<KekState>, KmsError>)>,
}

impl Said {
    /// Whether it takes back what is wrapped under a version.
    fn denies(&self, version: &str) -> bool {
        match self.versions.iter().find(|(name, _)| name == version).map(|(_, said)| said) {
            Some(Ok(Some(state))) => !state.is_usable(),
            Some(Err(error)) if error.is_denial() || matches!(error, KmsError::UnknownVersion) => true,
            _ => self.denies_all(),
        }
    }

    fn denies_any(&self) -> bool {
        self.denies_all() || self.versions.iter().any(|(version, _)| self.denies(version))
    }

    /// Whether it takes back what is wrapped under the version that wraps now, and under those of which it said nothing.
    fn denies_all(&self) -> bool {
        match &self.status {
            Ok(status) => !status.state.is_usable(),
            Err(error) => error.is_denial(),
        }
    }
}

/// What the KEKs said of themselves, and what was forgotten therefore.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct KekCheck {
    /// Every KEK with its status, in the order in which they were given.
    pub statuses: Vec<(String, Result<KekStatus, KmsError>)>,
    /// The keys that no other KEK can unwrap.
    pub forgotten: Forgotten,
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

impl Keys {
    /// Asks every KEK once whether it stands, and each of its versions that a key in memory was wrapped under. When one was
    /// disabled, is being or was destroyed, or refuses the caller, every domain key that only it could unwrap is forgotten,
    /// with the data keys below it, and every lease on them ends at once.
    /// What "only it" means is what the [`KekSet`](crate::KekSet) would do: by default a KEK that says no is not passed
    /// over.
    ///
    /// A KEK that does not answer changes nothing here: the age of domain keys
    /// ([`KeysBuilder::domain_key_age`](crate::KeysBuilder::domain_key_age)) sees to that. A caller who may unwrap but not
    /// ask for the status is taken for refused, and asks the KMS for each domain key again after every check: grant both.
    pub async fn check_keks(&self) -> KekCheck {
        self.judge(self.ask_all(None).await)
    }

    /// Does [`check_keks`](Self::check_keks) every `interval`, for as long as the caller drives this future: spawn it, or
    /// race it against what ends the service. So access ends within `interval` of a KEK's being disabled, and the time that
    /// its KMS takes to say so. An interval below 1 ms is taken for 1 ms; a KEK that takes longer to answer than the
    /// interval is asked again. What was forgotten is told to the set's observer as [`KmsEvent::Forgotten`].
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
            let _ = self.judge(self.ask_all(Some((&sleeper, interval))).await);
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

    /// Asks all KEKs at once, so that one that is slow keeps no other waiting.
    async fn ask_all(&self, limit: Option<Limit<'_>>) -> Vec<Said> {
        all(self.0.keks.all().map(|kek| boxed(self.ask(&**kek, limit))).collect()).await
    }

    async fn ask(&self, kek: &dyn Kms, limit: Option<Limit<'_>>) -> Said {
        let mut said =
            Said { kek_id: kek.kek_id().to_owned(), status: in_time(kek.status(), limit).await, versions: Vec::new() };
        let newest = said.status.as_ref().ok().and_then(|status| status.version.clone());
        for version in self.0.domains.held.versions_of(kek.kek_id()) {
            let is_away = |error: &KmsError| error.is_transient();
            if said.status.as_ref().is_err_and(is_away) {
                break;
            }
            if newest.as_ref() == Some(&version) {
                continue;
            }
            let state = in_time(kek.version_state(&version), limit).await;
            let stop = state.as_ref().is_err_and(is_away);
            said.versions.push((version, state));
            if stop {
                break;
            }
        }
        said
    }

    /// Forgets what only KEKs that say no could unwrap.
    fn judge(&self, said: Vec<Said>) -> KekCheck {
        let is_denied = |holder: &Holder| {
            let kek = said.iter().find(|said| said.kek_id == holder.kek_id);
            kek.is_some_and(|kek| kek.denies(&holder.version))
        };
        let lost = |held: &Held| !self.0.keks.could_unwrap(&held.holders, is_denied);
        let forgotten =
            if said.iter().any(Said::denies_any) { self.forget_domains(lost) } else { Forgotten::default() };
        if forgotten != Forgotten::default() {
            let Forgotten { domain_keys, data_keys } = forgotten;
            for kek in said.iter().filter(|kek| kek.denies_any()) {
                self.0.keks.tell(&KmsEvent::Forgotten { kek_id: &kek.kek_id, domain_keys, data_keys });
            }
        }
        KekCheck { statuses: said.into_iter().map(|said| (said.kek_id, said.status)).collect(), forgotten }
    }

    /// Forgets domain keys, and the data keys below them.
    pub(super) fn forget_domains(&self, which: impl Fn(&Held) -> bool) -> Forgotten {
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
pub(super) fn forget(held: &HeldKeys, cache: &Cache, which: impl Fn(&Held) -> bool) -> Forgotten {
    let gone = held.revoke(which);
    Forgotten { domain_keys: gone.len(), data_keys: cache.revoke(|entry| gone.contains(&entry.origin.parent)) }
}

/// How long one call may take.
type Limit<'a> = (&'a dyn Sleeper, Duration);

async fn in_time<T>(call: KmsFuture<'_, T>, limit: Option<Limit<'_>>) -> Result<T, KmsError> {
    match limit {
        None => call.await,
        Some((sleeper, limit)) => {
            within(call, sleeper.sleep(limit)).await.unwrap_or_else(|| Err(KmsError::unavailable("no answer in time")))
        }
    }
}

type Asked<'a> = Pin<Box<dyn Future<Output = Said> + Send + 'a>>;

fn boxed<'a>(future: impl Future<Output = Said> + Send + 'a) -> Asked<'a> {
    Box::pin(future)
}

/// Waits for all at once, so that one that is slow keeps no other waiting.
async fn all(mut asked: Vec<Asked<'_>>) -> Vec<Said> {
    let mut said: Vec<Option<Said>> = asked.iter().map(|_| None).collect();
    poll_fn(|task| {
        for (future, said) in asked.iter_mut().zip(&mut said).filter(|(_, said)| said.is_none()) {
            if let Poll::Ready(status) = future.as_mut().poll(task) {
                *said = Some(status);
            }
        }
        if said.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    said.into_iter().flatten().collect()
}
