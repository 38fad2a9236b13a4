//! The suite over a KEK's administration, where a change takes a while to show.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use phi_keys::conformance::{self, Settling};
use phi_keys::{
    Carrier, EphemeralKeyring, KekAct, KekChange, KekState, KekStatus, KekTarget, KekVersions, Kms, KmsAdmin, KmsError,
    KmsFuture, MemoryKeyStore, WrapContext, Wrapped,
};
use phi_types::{Clock, ManualClock};

use crate::faults::Hours;

const MINUTE: Duration = Duration::from_secs(60);
const MONTH: Duration = Duration::from_secs(30 * 86_400);

/// A KEK whose changes are reported at once, and show a minute later.
#[derive(Debug)]
struct Late {
    keyring: EphemeralKeyring,
    clock: ManualClock,
    /// When each change shows, in the order of their making.
    coming: Mutex<VecDeque<(Duration, KekAct, KekTarget)>>,
}

impl Late {
    fn new(clock: ManualClock) -> Arc<Self> {
        let keyring = EphemeralKeyring::named("late", clock.clone()).unwrap();
        Arc::new(Self { keyring, clock, coming: Mutex::default() })
    }

    /// The KEK as everybody sees it now.
    async fn shown(&self) -> Result<&EphemeralKeyring, KmsError> {
        let is_due = |(due, ..): &mut (Duration, KekAct, KekTarget)| *due <= self.clock.monotonic();
        loop {
            let next = self.coming.lock().unwrap().pop_front_if(is_due);
            let Some((_, act, target)) = next else { return Ok(&self.keyring) };
            let _ = match act {
                KekAct::Rotate => self.keyring.rotate().await?,
                KekAct::Disable => self.keyring.disable(&target).await?,
                KekAct::Enable => self.keyring.enable(&target).await?,
                KekAct::ScheduleDestruction => self.keyring.schedule_destruction(&target, MONTH).await?,
                _ => self.keyring.cancel_destruction(&target).await?,
            };
        }
    }

    fn comes(&self, act: KekAct, target: KekTarget, state: KekState) -> KekChange {
        let change = KekChange::new("late", act, target.version().map(str::to_owned), state);
        self.coming.lock().unwrap().push_back((self.clock.monotonic() + MINUTE, act, target));
        change
    }
}

impl Kms for Late {
    crate::forward::forward!(self.keyring: kek_id, capabilities, root_pin);

    fn wrap_dek<'a>(&'a self, carrier: &'a Carrier, context: &'a WrapContext) -> KmsFuture<'a, Wrapped> {
        Box::pin(async move { self.shown().await?.wrap_dek(carrier, context).await })
    }

    fn unwrap_dek<'a>(&'a self, wrapped: &'a Wrapped, context: &'a WrapContext) -> KmsFuture<'a, Carrier> {
        Box::pin(async move { self.shown().await?.unwrap_dek(wrapped, context).await })
    }

    fn status(&self) -> KmsFuture<'_, KekStatus> {
        Box::pin(async move { self.shown().await?.status().await })
    }

    fn version_state<'a>(&'a self, version: &'a str) -> KmsFuture<'a, Option<KekState>> {
        Box::pin(async move { self.shown().await?.version_state(version).await })
    }
}

impl KmsAdmin for Late {
    fn versions(&self) -> KmsFuture<'_, KekVersions> {
        Box::pin(async move { self.shown().await?.versions().await })
    }

    fn rotate(&self) -> KmsFuture<'_, KekChange> {
        Box::pin(async move {
            let next = self.shown().await?.versions().await?.versions.len() + 1;
            let mut change = self.comes(KekAct::Rotate, KekTarget::Kek, KekState::Enabled);
            change.version = Some(next.to_string());
            Ok(change)
        })
    }

    fn disable<'a>(&'a self, target: &'a KekTarget) -> KmsFuture<'a, KekChange> {
        Box::pin(async move { Ok(self.comes(KekAct::Disable, target.clone(), KekState::Disabled)) })
    }

    fn enable<'a>(&'a self, target: &'a KekTarget) -> KmsFuture<'a, KekChange> {
        Box::pin(async move { Ok(self.comes(KekAct::Enable, target.clone(), KekState::Enabled)) })
    }

    fn schedule_destruction<'a>(&'a self, target: &'a KekTarget, window: Duration) -> KmsFuture<'a, KekChange> {
        Box::pin(async move {
            let change = self.comes(KekAct::ScheduleDestruction, target.clone(), KekState::PendingDestruction);
            Ok(change.with_destruction(self.clock.now().saturating_add(window)))
        })
    }

    fn cancel_destruction<'a>(&'a self, target: &'a KekTarget) -> KmsFuture<'a, KekChange> {
        Box::pin(async move { Ok(self.comes(KekAct::CancelDestruction, target.clone(), KekState::Disabled)) })
    }
}

#[tokio::test]
async fn a_kek_whose_changes_show_late_conforms_where_they_are_waited_for() {
    let time = Hours::new();
    let early = conformance::kms_admin_violations(&*Late::new(time.clock.clone())).await;
    assert_eq!(early.len(), 3, "{early:?}");
    let impatient = Settling::new(Late::new(time.clock.clone()), MINUTE / 2, time.clone());
    assert!(conformance::kms_admin(&impatient).await.is_err());

    time.slept();
    let settling = Arc::new(Settling::new(Late::new(time.clock.clone()), MINUTE, time.clone()));
    conformance::kms(&*settling).await.unwrap();
    assert!(time.slept().is_empty(), "what changes nothing waits for nothing");
    conformance::kms_admin(&*settling).await.unwrap();
    let changes = time.slept().len();
    // A rotation; old version, KEK and newest version off and on; KEK and newest version given up, taken back and switched on.
    assert_eq!(changes, 1 + 2 * 3 + 3 * 2);
    conformance::kek_rotation(|| async { MemoryKeyStore::new() }, settling).await.unwrap();
    assert_eq!(time.slept(), [MINUTE]);
}
