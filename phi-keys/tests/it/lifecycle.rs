//! From one key to the next, and the end of the old one.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::Arc;

use phi_keys::{
    EphemeralKeyring, Error, KeyAct, KeyChange, KeyId, KeyState, KeyStore, KeyUse, Keys, MemoryKeyStore, RowKind, Scope,
};
use phi_types::{ManualClock, Timestamp};
use tokio::sync::Barrier;

use crate::races::futures;
use crate::support::{Site, patient, subject};

const WINDOW: Duration = Duration::from_secs(3900);
const INSTANT: Duration = Duration::from_micros(1);

struct Practice {
    site: Site,
    clock: ManualClock,
    /// What a count of references says.
    references: Arc<AtomicU64>,
}

impl Practice {
    fn new() -> Self {
        let clock = ManualClock::at_unix_seconds(1_767_225_600);
        Self { site: Site::new(), clock, references: Arc::default() }
    }

    async fn keys(&self) -> Keys {
        self.site.builder().clock(self.clock.clone()).build().await.unwrap()
    }

    fn refer(&self, count: u64) {
        self.references.store(count, Ordering::SeqCst);
    }

    async fn retire(&self, keys: &Keys, kid: KeyId) -> Result<KeyChange, Error> {
        let references = Arc::clone(&self.references);
        let count = move |_| core::future::ready(Ok(references.load(Ordering::SeqCst)));
        keys.retire(kid, &count).await
    }

    async fn destroy(&self, keys: &Keys, kid: KeyId) -> Result<KeyChange, Error> {
        let references = Arc::clone(&self.references);
        let count = move |_| core::future::ready(Ok(references.load(Ordering::SeqCst)));
        keys.destroy(kid, &count).await
    }
}

fn kind(change: &KeyChange) -> String {
    change.activity(Timestamp::UNIX_EPOCH).kind.into_owned()
}

#[tokio::test]
async fn a_rotated_data_key_opens_and_a_new_one_seals() {
    let practice = Practice::new();
    let (here, there) = (practice.keys().await, practice.keys().await);
    let old = here.data_key(&patient("a")).await.unwrap().full_id();
    there.data_key(&patient("a")).await.unwrap();
    let change = here.rotate_data_key(&patient("a")).await.unwrap();
    assert_eq!((change.act, change.replaced, change.kind), (KeyAct::Rotated, Some(old), RowKind::Data));
    let activity = change.activity(Timestamp::UNIX_EPOCH);
    assert_eq!((&*activity.kind, activity.subject), ("key.rotate", Some(subject("a"))));

    assert_eq!(here.data_key(&patient("a")).await.unwrap().full_id(), change.key);
    assert_eq!(there.data_key(&patient("a")).await.unwrap().full_id(), old, "until its lease ends");
    assert_eq!(there.data_key_by_id(change.key.kid(), &patient("a")).await.unwrap().full_id(), change.key);
    practice.clock.advance(Duration::from_secs(60));
    assert_eq!(there.data_key(&patient("a")).await.unwrap().full_id(), change.key);
    for keys in [here, there, practice.keys().await] {
        assert_eq!(keys.data_key_by_id(old.kid(), &patient("a")).await.unwrap().full_id(), old);
        assert_eq!(keys.data_keys(&patient("a")).await.unwrap().len(), 2);
    }
    let row = practice.site.store.by_kid(old.kid()).await.unwrap().unwrap();
    assert_eq!(row.state, KeyState::DecryptOnly);
    assert_eq!(row.since, Some(Timestamp::from_unix_seconds(1_767_225_600)));
}

#[tokio::test]
async fn a_scope_without_a_key_gets_its_first_by_a_rotation_and_a_shredded_one_none() {
    let practice = Practice::new();
    let keys = practice.keys().await;
    let change = keys.rotate_data_key(&Scope::group("notes")).await.unwrap();
    assert_eq!(change.replaced, None);
    assert_eq!(keys.data_key(&Scope::group("notes")).await.unwrap().full_id(), change.key);
    let _ = keys.rotate_data_key(&patient("a")).await.unwrap();
    let _ = keys.rotate_data_key(&patient("a")).await.unwrap();
    assert_eq!(keys.shred(&subject("a")).await.unwrap().keys.len(), 2);
    assert!(matches!(keys.rotate_data_key(&patient("a")).await, Err(Error::Shredded)));
}

#[tokio::test]
async fn a_key_is_retired_and_destroyed_only_when_nobody_can_need_it() {
    let practice = Practice::new();
    let keys = practice.keys().await;
    let old = keys.data_key(&patient("a")).await.unwrap().kid();
    assert!(matches!(practice.retire(&keys, old).await, Err(Error::State(KeyState::Active))));
    assert!(matches!(practice.destroy(&keys, old).await, Err(Error::State(KeyState::Active))));
    let _ = keys.rotate_data_key(&patient("a")).await.unwrap();
    assert!(matches!(practice.destroy(&keys, old).await, Err(Error::State(KeyState::DecryptOnly))));

    practice.clock.advance(WINDOW - INSTANT);
    let until = Timestamp::from_unix_seconds(1_767_225_600 + 3900);
    assert!(matches!(practice.retire(&keys, old).await, Err(Error::TooEarly { until: found }) if found == until));
    practice.clock.advance(INSTANT);
    practice.refer(3);
    assert!(matches!(practice.retire(&keys, old).await, Err(Error::Referenced { found: 3 })));
    let failing = |_| core::future::ready(Err("the table is locked".into()));
    assert!(matches!(keys.retire(old, &failing).await, Err(Error::References(_))));
    assert!(keys.data_key_by_id(old, &patient("a")).await.is_ok());
    practice.refer(0);
    assert_eq!(kind(&practice.retire(&keys, old).await.unwrap()), "key.retire");
    assert!(matches!(practice.retire(&keys, old).await, Err(Error::State(KeyState::Retired))));
    practice.clock.advance(Duration::from_secs(60));
    assert!(matches!(keys.data_key_by_id(old, &patient("a")).await, Err(Error::State(KeyState::Retired))));
    let many = keys.data_key_many(&[(&patient("a"), Some(old)), (&patient("b"), None)]).await;
    assert!(matches!(many[..], [Err(Error::State(KeyState::Retired)), Ok(_)]), "{many:?}");
    assert!(matches!(practice.destroy(&keys, old).await, Err(Error::TooEarly { .. })));

    // A value that was sealed in time and written late: the second count finds it, and it can be read again.
    practice.clock.advance(WINDOW);
    practice.refer(1);
    assert!(matches!(practice.destroy(&keys, old).await, Err(Error::Referenced { found: 1 })));
    assert_eq!(kind(&keys.reinstate(old).await.unwrap()), "key.reinstate");
    assert!(keys.data_key_by_id(old, &patient("a")).await.is_ok());
    assert!(matches!(keys.reinstate(old).await, Err(Error::State(KeyState::DecryptOnly))));

    practice.refer(0);
    practice.clock.advance(WINDOW);
    let _ = practice.retire(&keys, old).await.unwrap();
    practice.clock.advance(WINDOW);
    let destroyed = practice.destroy(&keys, old).await.unwrap();
    assert_eq!((kind(&destroyed).as_str(), destroyed.key.kid()), ("key.destroy", old));
    assert_eq!(practice.destroy(&keys, old).await.unwrap().key, destroyed.key, "repeating it is harmless");
    assert!(matches!(keys.reinstate(old).await, Err(Error::State(KeyState::Destroyed))));
    let row = practice.site.store.by_kid(old).await.unwrap().unwrap();
    assert_eq!((row.state, row.wrapped.len()), (KeyState::Destroyed, 0));
    assert!(matches!(keys.data_key_by_id(old, &patient("a")).await, Err(Error::State(KeyState::Destroyed))));
    assert!(practice.keys().await.data_key(&patient("a")).await.is_ok());
}

/// One machine is a day behind another: everybody has every key, and nobody ends one early.
#[tokio::test]
async fn clocks_that_differ_keep_nobody_from_a_key_and_end_none_early() {
    const DAY: Duration = Duration::from_secs(24 * 3600);

    let site = Site::new();
    let (ahead, behind) = (ManualClock::at_unix_seconds(1_767_225_600), ManualClock::at_unix_seconds(1_767_139_200));
    let here = site.builder().clock(ahead.clone()).build().await.unwrap();
    let there = site.builder().clock(behind.clone()).build().await.unwrap();
    let old = here.data_key(&patient("a")).await.unwrap().kid();
    let change = here.rotate_data_key(&patient("a")).await.unwrap();
    let _ = here.stage_domain_key(KeyUse::Index).await.unwrap();
    for kid in [old, change.key.kid()] {
        assert!(there.data_key_by_id(kid, &patient("a")).await.unwrap().is_live());
    }
    assert_eq!(there.data_key(&patient("a")).await.unwrap().full_id(), change.key);

    let none = |_| core::future::ready(Ok(0));
    behind.advance(DAY + WINDOW - INSTANT);
    let until = change.at.saturating_add(WINDOW);
    let early = there.retire(old, &none).await;
    assert!(matches!(early, Err(Error::TooEarly { until: found }) if found == until), "{early:?}");
    assert!(early.unwrap_err().to_string().contains(&format!("try again at {until}")), "the error names the time");
    assert!(matches!(there.activate_domain_key(KeyUse::Index).await, Err(Error::TooEarly { .. })));
    behind.advance(INSTANT);
    let _ = there.retire(old, &none).await.unwrap();
    let _ = there.activate_domain_key(KeyUse::Index).await.unwrap();
    // A clock that was set back meanwhile makes nothing readable again, and waits for its time once more.
    behind.set(Timestamp::from_unix_seconds(1_600_000_000));
    assert!(matches!(there.destroy(old, &none).await, Err(Error::TooEarly { .. })));
    assert!(matches!(there.data_key_by_id(old, &patient("a")).await, Err(Error::State(KeyState::Retired))));
    let _ = there.shred(&subject("a")).await.unwrap();
    assert!(matches!(there.data_key(&patient("a")).await, Err(Error::Shredded)));
}

/// A window is opened by one clock and closed by another. One that is behind opens it no earlier than the store's last change.
#[tokio::test]
async fn a_clock_that_is_behind_opens_no_window_before_its_time() {
    let site = Site::new();
    let (right, behind) = (ManualClock::at_unix_seconds(1_767_225_600), ManualClock::at_unix_seconds(1_767_139_200));
    let here = site.builder().clock(right.clone()).build().await.unwrap();
    let there = site.builder().clock(behind.clone()).build().await.unwrap();
    let none = |_| core::future::ready(Ok(0));
    let data = here.data_key(&patient("a")).await.unwrap().kid();
    let index = here.domain_key(KeyUse::Index).await.unwrap().kid();
    let _ = there.rotate_data_key(&patient("a")).await.unwrap();
    let _ = there.rotate_domain_key(KeyUse::Index).await.unwrap();
    let _ = there.stage_domain_key(KeyUse::Session).await.unwrap();
    right.advance(WINDOW - INSTANT);
    for kid in [data, index] {
        assert!(matches!(here.retire(kid, &none).await, Err(Error::TooEarly { .. })));
    }
    assert!(matches!(here.activate_domain_key(KeyUse::Session).await, Err(Error::TooEarly { .. })));
    right.advance(INSTANT);
    let _ = here.activate_domain_key(KeyUse::Session).await.unwrap();
    // The time of that change is what the next one by the slow clock is not before.
    behind.set(Timestamp::from_unix_seconds(1_767_225_600).saturating_add(WINDOW));
    let _ = here.rotate_domain_key(KeyUse::Audit).await.unwrap();
    for kid in [data, index] {
        let _ = there.retire(kid, &none).await.unwrap();
        assert!(matches!(here.destroy(kid, &none).await, Err(Error::TooEarly { .. })));
    }
    right.advance(WINDOW);
    for kid in [data, index] {
        let _ = here.destroy(kid, &none).await.unwrap();
    }
    // Nor says a certificate that a key was gone before it was.
    behind.set(Timestamp::from_unix_seconds(1_700_000_000));
    let at = here.shred(&subject("c")).await.unwrap().at;
    assert_eq!(there.shred(&subject("d")).await.unwrap().at, at);
    // Nor before the last change of the key itself.
    let old = here.data_key(&patient("b")).await.unwrap().kid();
    let _ = here.rotate_data_key(&patient("b")).await.unwrap();
    right.advance(WINDOW);
    let _ = here.retire(old, &none).await.unwrap();
    let _ = there.reinstate(old).await.unwrap();
    assert!(matches!(here.retire(old, &none).await, Err(Error::TooEarly { .. })));
}

/// Who may use a key beyond its lease in an outage of the store knows nothing of what became of it meanwhile.
#[tokio::test]
async fn a_grace_for_outages_makes_every_window_longer() {
    let grace = Duration::from_secs(1800);
    let site = Site::new();
    let clock = ManualClock::at_unix_seconds(1_767_225_600);
    let keys = site.builder().clock(clock.clone()).outage_grace(grace).build().await.unwrap();
    let none = |_| core::future::ready(Ok(0));
    let old = keys.data_key(&patient("a")).await.unwrap().kid();
    let _ = keys.rotate_data_key(&patient("a")).await.unwrap();
    let _ = keys.stage_domain_key(KeyUse::Index).await.unwrap();
    clock.advance(WINDOW + grace - INSTANT);
    assert!(matches!(keys.retire(old, &none).await, Err(Error::TooEarly { .. })));
    assert!(matches!(keys.activate_domain_key(KeyUse::Index).await, Err(Error::TooEarly { .. })));
    clock.advance(INSTANT);
    let _ = keys.activate_domain_key(KeyUse::Index).await.unwrap();
    let _ = keys.retire(old, &none).await.unwrap();
    clock.advance(WINDOW + grace - INSTANT);
    assert!(matches!(keys.destroy(old, &none).await, Err(Error::TooEarly { .. })));
    clock.advance(INSTANT);
    let _ = keys.destroy(old, &none).await.unwrap();

    let shredded = keys.shred(&subject("a")).await.unwrap();
    let certificate =
        keys.certify(&shredded, Duration::ZERO, &keys.signer("destruction").await.unwrap()).await.unwrap();
    assert_eq!(certificate.unreadable_since(), shredded.at.saturating_add(WINDOW + grace));
}

#[tokio::test]
async fn a_key_of_another_tenant_is_nobody_else_s_to_retire() {
    let practice = Practice::new();
    let keys = practice.keys().await;
    let other = practice.site.builder().tenant("hospital").clock(practice.clock.clone()).build().await.unwrap();
    let kid = keys.data_key(&patient("a")).await.unwrap().kid();
    assert!(matches!(practice.retire(&other, kid).await, Err(Error::WrongScope)));
    assert!(matches!(practice.retire(&other, KeyId::from_bytes([9; 16])).await, Err(Error::UnknownKey)));
    assert!(matches!(keys.rotate_domain_key(KeyUse::Root).await, Err(Error::Config(_))));
}

#[tokio::test]
async fn a_domain_key_is_replaced_rewrapped_away_from_and_destroyed() {
    let practice = Practice::new();
    let keys = practice.keys().await;
    let mut kids = Vec::new();
    for number in 0..1_203 {
        let scope = patient(&number.to_string());
        kids.push((keys.data_key(&scope).await.unwrap().full_id(), scope));
    }
    let _ = keys.shred(&subject("7")).await.unwrap();
    kids.remove(7);
    let generation = keys.generation().await.unwrap();
    let old = keys.domain_key(KeyUse::Data).await.unwrap().full_id();
    let change = keys.rotate_domain_key(KeyUse::Data).await.unwrap();
    assert_eq!((change.replaced, change.kind, change.key_use), (Some(old), RowKind::Domain, KeyUse::Data));
    assert_eq!(keys.generation().await.unwrap(), generation + 1);
    assert_eq!(keys.domain_key(KeyUse::Data).await.unwrap().full_id(), change.key);

    practice.clock.advance(WINDOW);
    let wrapped = u64::try_from(kids.len()).unwrap();
    assert!(matches!(practice.retire(&keys, old.kid()).await, Err(Error::Referenced { found }) if found == wrapped));
    let report = keys.rewrap_data_keys().await.unwrap();
    assert_eq!((report.rewrapped, report.unchanged), (wrapped, 0));
    let report = keys.rewrap_data_keys().await.unwrap();
    assert_eq!((report.rewrapped, report.unchanged), (0, wrapped));
    let _ = practice.retire(&keys, old.kid()).await.unwrap();
    practice.clock.advance(WINDOW);
    let _ = practice.destroy(&keys, old.kid()).await.unwrap();

    for keys in [keys, practice.keys().await] {
        for (full_id, scope) in &kids {
            assert_eq!(keys.data_key_by_id(full_id.kid(), scope).await.unwrap().full_id(), *full_id);
        }
        let _ = keys.rewrap().await.unwrap();
        let _ = keys.complete().await.unwrap();
        // The root key, and the one that took the place of the one that is gone.
        let held = keys.kek_versions().await.unwrap();
        assert_eq!(held.iter().map(|held| held.keys).collect::<Vec<_>>(), [2]);
    }
}

#[tokio::test]
async fn a_domain_key_that_cannot_be_unwrapped_stands_in_nobody_else_s_way() {
    let store = Arc::new(MemoryKeyStore::new());
    let kek = |name| Arc::new(EphemeralKeyring::named(name, ManualClock::at_unix_seconds(0)).unwrap());
    let (east, west) = (kek("east"), kek("west"));
    // The root key is under both KEKs, the first domain key under one and the second under the other.
    Keys::builder(Arc::clone(&store)).kek(Arc::clone(&east)).kek(Arc::clone(&west)).build().await.unwrap();
    let only = |kek: &Arc<EphemeralKeyring>| Keys::builder(Arc::clone(&store)).kek(Arc::clone(kek)).build();
    let kid = only(&east).await.unwrap().data_key(&patient("a")).await.unwrap().kid();
    let old = only(&east).await.unwrap().domain_key(KeyUse::Data).await.unwrap().full_id();
    let change = only(&west).await.unwrap().rotate_domain_key(KeyUse::Data).await.unwrap();
    assert_eq!(change.replaced, Some(old));

    let keys = only(&west).await.unwrap();
    let tasks = (0..20).map(|number| {
        let keys = keys.clone();
        tokio::spawn(async move {
            if number % 2 == 0 {
                keys.data_key_by_id(kid, &patient("a")).await.map(drop)
            } else {
                keys.data_key(&patient("b")).await.map(drop)
            }
        })
    });
    for (number, result) in futures(tasks).await.into_iter().enumerate() {
        assert_eq!(matches!(result, Err(Error::NoKek)), number % 2 == 0, "{number}: {result:?}");
        assert_eq!(result.is_ok(), number % 2 == 1, "{number}: {result:?}");
    }
    assert_eq!(keys.domain_key(KeyUse::Data).await.unwrap().full_id(), change.key);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rotations_at_once_leave_one_active_key() {
    let practice = Practice::new();
    let managers = [practice.keys().await, practice.keys().await, practice.keys().await, practice.keys().await];
    for _ in 0..10 {
        let barrier = Arc::new(Barrier::new(managers.len()));
        let tasks = managers.iter().cloned().map(|keys| {
            let barrier = Arc::clone(&barrier);
            tokio::spawn(async move {
                barrier.wait().await;
                let data = keys.rotate_data_key(&patient("a")).await.unwrap().key;
                (data, keys.rotate_domain_key(KeyUse::Index).await.unwrap().key)
            })
        });
        futures(tasks).await;
    }
    let kid = practice.keys().await.data_key(&patient("a")).await.unwrap().kid();
    let slot = practice.site.store.by_kid(kid).await.unwrap().unwrap().slot;
    let mut rows = practice.site.store.slot(&slot).await.unwrap();
    rows.extend(practice.site.store.domain_rows().await.unwrap());
    for (key_use, kind, expected) in [(KeyUse::Data, RowKind::Data, 40), (KeyUse::Index, RowKind::Domain, 40)] {
        let of_kind = rows.iter().filter(|row| row.slot.key_use == key_use && row.kind == kind);
        let active = of_kind.clone().filter(|row| row.state == KeyState::Active).map(|row| row.version);
        assert_eq!(active.collect::<Vec<_>>(), [expected], "{kind}");
        assert_eq!(of_kind.count(), usize::try_from(expected).unwrap());
    }
}

/// The row of a key that was destroyed, put back by whoever kept it.
#[cfg(unix)]
#[tokio::test]
async fn an_old_row_does_not_bring_a_destroyed_key_back_beside_an_anchor() {
    use phi_keys::{Change, Committed, FileAnchor};

    for with_anchor in [false, true] {
        let practice = Practice::new();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("anchor");
        FileAnchor::create(&path).unwrap();
        let builder = || {
            let builder = practice.site.builder().clock(practice.clock.clone());
            if with_anchor { builder.anchor(FileAnchor::open(&path).unwrap()) } else { builder }
        };
        let keys = builder().build().await.unwrap();
        let other = builder().build().await.unwrap();
        let old = keys.data_key(&patient("a")).await.unwrap().kid();
        let _ = keys.rotate_data_key(&patient("a")).await.unwrap();
        let kept = practice.site.store.by_kid(old).await.unwrap().unwrap();
        practice.clock.advance(WINDOW);
        let _ = practice.retire(&keys, old).await.unwrap();
        practice.clock.advance(WINDOW);
        let _ = practice.destroy(&keys, old).await.unwrap();
        let destroyed = practice.site.store.by_kid(old).await.unwrap().unwrap();
        let replay = Change::new().replace(destroyed, kept);
        assert_eq!(practice.site.store.commit(&replay).await.unwrap(), Committed::Done);
        practice.clock.advance(Duration::from_secs(60));
        for keys in [keys, other, builder().build().await.unwrap()] {
            let found = keys.data_key_by_id(old, &patient("a")).await;
            assert_eq!(matches!(found, Err(Error::State(KeyState::Destroyed))), with_anchor, "{found:?}");
        }
    }
}

/// The same for a domain key.
#[cfg(unix)]
#[tokio::test]
async fn an_old_row_does_not_bring_a_destroyed_domain_key_back_beside_an_anchor() {
    use phi_keys::{Change, Committed, FileAnchor};

    for with_anchor in [false, true] {
        let practice = Practice::new();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("anchor");
        FileAnchor::create(&path).unwrap();
        let builder = || {
            let builder = practice.site.builder().clock(practice.clock.clone());
            if with_anchor { builder.anchor(FileAnchor::open(&path).unwrap()) } else { builder }
        };
        let keys = builder().build().await.unwrap();
        let old = keys.domain_key(KeyUse::Index).await.unwrap().kid();
        let _ = keys.rotate_domain_key(KeyUse::Index).await.unwrap();
        let kept = practice.site.store.by_kid(old).await.unwrap().unwrap();
        practice.clock.advance(WINDOW);
        let _ = practice.retire(&keys, old).await.unwrap();
        practice.clock.advance(WINDOW);
        let _ = practice.destroy(&keys, old).await.unwrap();
        let destroyed = practice.site.store.by_kid(old).await.unwrap().unwrap();
        let replay = Change::new().replace(destroyed, kept);
        assert_eq!(practice.site.store.commit(&replay).await.unwrap(), Committed::Done);
        practice.clock.advance(Duration::from_secs(60));
        for keys in [keys, builder().build().await.unwrap()] {
            let known = keys.domain_keys(KeyUse::Index).await.unwrap();
            assert_eq!(known.iter().any(|key| key.kid() == old), !with_anchor);
        }
    }
}
