//! What KEKs and their versions say of themselves, and what leaves memory therefore.

use core::future::{Future, pending};
use core::pin::{Pin, pin};
use core::task::{Context, Waker};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use phi_keys::{
    Carrier, EphemeralKeyring, KekPolicy, KekSet, KekState, KekStatus, KeyUse, Keys, Kms, KmsAdmin, KmsError,
    KmsFuture, MemoryKeyStore, Sleeper, WrapContext, Wrapped,
};
use phi_types::ManualClock;

use crate::forward::forward;
use crate::support::patient;

#[derive(Debug, Clone)]
enum Answer {
    State(KekState),
    /// Versions have no states of their own.
    Nothing,
    Fails(KmsError),
    Never,
}

/// A KEK that says of itself and of its versions what it is told to.
#[derive(Debug)]
struct Told {
    kms: EphemeralKeyring,
    status: Mutex<Answer>,
    versions: Mutex<BTreeMap<String, Answer>>,
    /// Why nothing under the first version is unwrapped.
    unwraps: Mutex<Option<KmsError>>,
    asked: Mutex<Vec<String>>,
}

impl Told {
    fn named(name: &str) -> Arc<Self> {
        Arc::new(Self {
            kms: EphemeralKeyring::named(name, ManualClock::at_unix_seconds(0)).unwrap(),
            status: Mutex::new(Answer::State(KekState::Enabled)),
            versions: Mutex::default(),
            unwraps: Mutex::default(),
            asked: Mutex::default(),
        })
    }

    fn says(&self, version: &str, answer: Answer) {
        self.versions.lock().unwrap().insert(version.to_owned(), answer);
    }

    /// What it was asked since the last time: a version, or nothing for itself.
    fn asked(&self) -> Vec<String> {
        core::mem::take(&mut self.asked.lock().unwrap())
    }
}

async fn give(answer: Answer) -> Result<Option<KekState>, KmsError> {
    match answer {
        Answer::State(state) => Ok(Some(state)),
        Answer::Nothing => Ok(None),
        Answer::Fails(error) => Err(error),
        Answer::Never => pending().await,
    }
}

impl Kms for Told {
    forward!(self.kms: kek_id, wrap_dek, root_pin);

    fn unwrap_dek<'a>(&'a self, wrapped: &'a Wrapped, context: &'a WrapContext) -> KmsFuture<'a, Carrier> {
        let refused = self.unwraps.lock().unwrap().clone().filter(|_| wrapped.kek_version() == "1");
        match refused {
            Some(error) => Box::pin(async move { Err(error) }),
            None => self.kms.unwrap_dek(wrapped, context),
        }
    }

    fn status(&self) -> KmsFuture<'_, KekStatus> {
        self.asked.lock().unwrap().push(String::new());
        let answer = self.status.lock().unwrap().clone();
        Box::pin(async move {
            let version = self.kms.status().await?.version;
            Ok(KekStatus::new(give(answer).await?.unwrap_or(KekState::Enabled), version))
        })
    }

    fn version_state<'a>(&'a self, version: &'a str) -> KmsFuture<'a, Option<KekState>> {
        self.asked.lock().unwrap().push(version.to_owned());
        let answer = self.versions.lock().unwrap().get(version).cloned();
        Box::pin(give(answer.unwrap_or(Answer::State(KekState::Enabled))))
    }
}

/// Keys under the first three versions of a KEK, of which the third wraps: an index key, an audit key, and a patient's.
async fn three(kms: &Arc<Told>, clock: &ManualClock) -> Keys {
    let keys = Keys::builder(MemoryKeyStore::new()).kek(Arc::clone(kms)).clock(clock.clone());
    let keys = keys.refusal_age(Duration::ZERO).build().await.unwrap();
    keys.domain_key(KeyUse::Index).await.unwrap();
    let _ = kms.kms.rotate().await.unwrap();
    keys.domain_key(KeyUse::Audit).await.unwrap();
    let _ = kms.kms.rotate().await.unwrap();
    keys.data_key(&patient("a")).await.unwrap();
    keys
}

#[tokio::test]
async fn what_a_version_says_of_itself_decides_and_what_the_kek_says_where_it_says_nothing() {
    let enabled = || Answer::State(KekState::Enabled);
    let disabled = || Answer::State(KekState::Disabled);
    let fails = |error: KmsError| Answer::Fails(error);
    // Of the KEK, and of the versions 1 and 2: how many of the three keys are forgotten.
    let table = [
        (enabled(), enabled(), enabled(), 0),
        (enabled(), disabled(), enabled(), 1),
        (enabled(), disabled(), disabled(), 2),
        (enabled(), Answer::State(KekState::Destroyed), Answer::Nothing, 1),
        (enabled(), Answer::State(KekState::PendingDestruction), Answer::State(KekState::Unusable), 2),
        (enabled(), fails(KmsError::UnknownVersion), fails(KmsError::access_denied("403")), 2),
        (enabled(), fails(KmsError::Throttled { after: None }), fails(KmsError::unavailable("503")), 0),
        // One that fails hides no other, whichever comes first.
        (enabled(), fails(KmsError::Corrupt), disabled(), 1),
        (enabled(), disabled(), fails(KmsError::Corrupt), 1),
        // The newest version is switched off, or all are.
        (disabled(), enabled(), enabled(), 1),
        (disabled(), Answer::Nothing, enabled(), 2),
        (disabled(), Answer::Nothing, Answer::Nothing, 3),
        (disabled(), fails(KmsError::unavailable("503")), enabled(), 2),
        // Who may not ask for the status is taken for refused, and who gets no answer learns nothing.
        (fails(KmsError::access_denied("403")), enabled(), enabled(), 3),
        (fails(KmsError::unavailable("503")), disabled(), disabled(), 0),
    ];
    for (at, (kek, first, second, forgotten)) in table.into_iter().enumerate() {
        let (kms, clock) = (Told::named("kek"), ManualClock::at_unix_seconds(0));
        let keys = three(&kms, &clock).await;
        *kms.status.lock().unwrap() = kek;
        kms.says("1", first);
        kms.says("2", second);
        let check = keys.check_keks().await;
        assert_eq!(check.forgotten.domain_keys, forgotten, "{at}: {check:?}");
        let named: Vec<_> = check.versions.iter().map(|held| (held.kek_id.as_str(), held.version.as_str())).collect();
        let answered = check.statuses[0].1.is_ok();
        assert_eq!(named, if answered { vec![(kms.kek_id(), "1"), (kms.kek_id(), "2")] } else { Vec::new() }, "{at}");
    }
}

#[tokio::test]
async fn a_check_costs_a_call_for_each_kek_and_for_each_older_version_in_use() {
    let (kms, clock) = (Told::named("kek"), ManualClock::at_unix_seconds(0));
    let keys = three(&kms, &clock).await;
    kms.asked();
    keys.check_keks().await;
    assert_eq!(kms.asked(), ["", "1", "2"]);
    let _ = keys.rewrap().await.unwrap();
    clock.advance(Duration::from_secs(3600));
    for key_use in [KeyUse::Index, KeyUse::Audit] {
        keys.domain_key(key_use).await.unwrap();
    }
    keys.data_key(&patient("a")).await.unwrap();
    kms.asked();
    keys.check_keks().await;
    assert_eq!(kms.asked(), [""]);
}

/// Never lets anybody wake up.
#[derive(Debug)]
struct Asleep;

impl Sleeper for Asleep {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(pending())
    }
}

#[tokio::test]
async fn a_kek_that_is_slow_to_speak_of_itself_or_of_a_version_keeps_no_other_waiting() {
    for slow_version in [false, true] {
        let (east, west) = (Told::named("east"), Told::named("west"));
        let set = KekSet::builder(KekPolicy::AnyOf).kek(Arc::clone(&east)).kek(Arc::clone(&west)).build().unwrap();
        let keys = Keys::builder(MemoryKeyStore::new()).keks(set).build().await.unwrap();
        let old = keys.domain_key(KeyUse::Index).await.unwrap();
        let _ = west.kms.rotate().await.unwrap();
        if slow_version {
            west.says("1", Answer::Never);
        } else {
            *west.status.lock().unwrap() = Answer::Never;
        }
        *east.status.lock().unwrap() = Answer::State(KekState::Disabled);
        let mut poller = pin!(keys.poll_status(Duration::from_secs(30), Asleep));
        assert!(poller.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert!(!old.is_live(), "slow version: {slow_version}");
    }
}

#[tokio::test]
async fn a_version_that_is_gone_takes_the_data_keys_along_when_a_renewal_finds_out() {
    let (kms, clock) = (Told::named("kek"), ManualClock::at_unix_seconds(0));
    let keys = Keys::builder(MemoryKeyStore::new()).kek(Arc::clone(&kms)).clock(clock.clone());
    let keys = keys.lease(Duration::from_secs(3600)).refusal_age(Duration::ZERO).build().await.unwrap();
    keys.domain_key(KeyUse::Data).await.unwrap();
    clock.advance(Duration::from_secs(1800));
    let key = keys.data_key(&patient("a")).await.unwrap();
    let _ = kms.kms.rotate().await.unwrap();
    *kms.unwraps.lock().unwrap() = Some(KmsError::UnknownVersion);
    clock.advance(Duration::from_secs(1801));
    assert!(key.is_live(), "its own lease lasts");
    assert!(keys.data_key(&patient("b")).await.is_err());
    assert!(!key.is_live() && keys.cached() == 0);
}

/// Lets the first sleep end at once, and no other.
#[derive(Debug, Default, Clone)]
struct Once(Arc<Mutex<u32>>);

impl Sleeper for Once {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let mut slept = self.0.lock().unwrap();
        *slept += 1;
        if *slept == 1 { Box::pin(core::future::ready(())) } else { Box::pin(pending()) }
    }
}

#[tokio::test]
async fn a_round_ends_in_time_whatever_the_versions_do() {
    let (kms, clock) = (Told::named("kek"), ManualClock::at_unix_seconds(0));
    let keys = three(&kms, &clock).await;
    kms.says("1", Answer::Never);
    kms.says("2", Answer::State(KekState::Disabled));
    let slept = Once::default();
    let mut poller = pin!(keys.poll_status(Duration::from_secs(30), slept.clone()));
    assert!(poller.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(*slept.0.lock().unwrap(), 2, "one limit for the round, and the wait for the next one");
    assert!(keys.domain_key(KeyUse::Audit).await.is_ok(), "read anew");
    assert_eq!(keys.cached(), 1);
}
