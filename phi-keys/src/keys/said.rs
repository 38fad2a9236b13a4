//! What a KEK says of itself and of its versions.

use core::future::{Future, pending, poll_fn};
use core::pin::Pin;
use core::task::Poll;
use core::time::Duration;

use phi_types::Clock;

use super::held::HeldKeys;
use crate::kms::{KekState, KekStatus, Kms, KmsError, Sleeper, within};

/// How long a KEK may take to say everything.
pub(super) type Limit<'a> = (&'a dyn Sleeper, Duration);

/// What a KEK said of itself.
pub(super) struct Said {
    pub(super) kek_id: String,
    pub(super) status: Result<KekStatus, KmsError>,
    /// And of the versions that hold a key of this process, other than the one that wraps now.
    pub(super) versions: Vec<(String, Result<Option<KekState>, KmsError>)>,
}

impl Said {
    /// Whether it takes back what is wrapped under a version.
    pub(super) fn denies(&self, version: &str) -> bool {
        match self.versions.iter().find(|(name, _)| name == version).map(|(_, said)| said) {
            Some(Ok(Some(state))) => !state.is_usable(),
            Some(Err(error)) if error.is_denial() => true,
            _ => self.denies_all(),
        }
    }

    pub(super) fn denies_any(&self) -> bool {
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

/// Asks a KEK for its status and, if it answers, for its older versions all at once: one of them that fails hides no other.
pub(super) async fn ask(kek: &dyn Kms, held: &HeldKeys, clock: &dyn Clock, limit: Option<Limit<'_>>) -> Said {
    let mut deadline: Pin<Box<dyn Future<Output = ()> + Send>> = match limit {
        Some((sleeper, limit)) => sleeper.sleep(limit),
        None => Box::pin(pending()),
    };
    let late = || KmsError::unavailable("no answer in time");
    let status = within(KekStatus::measured(kek, clock), &mut deadline).await.unwrap_or_else(|| Err(late()));
    let mut older = Vec::new();
    if let Ok(status) = &status {
        older.extend(held.versions_of(kek.kek_id()).into_iter().filter(|held| status.version.as_ref() != Some(held)));
    }
    let mut asked: Vec<_> = older.iter().map(|version| (kek.version_state(version), None)).collect();
    let all = poll_fn(|task| {
        for (call, said) in asked.iter_mut().filter(|(_, said)| said.is_none()) {
            if let Poll::Ready(state) = call.as_mut().poll(task) {
                *said = Some(state);
            }
        }
        if asked.iter().all(|(_, said)| said.is_some()) { Poll::Ready(()) } else { Poll::Pending }
    });
    // Those that have not answered by then are late.
    let _ = within(all, &mut deadline).await;
    let states: Vec<_> = asked.into_iter().map(|(_, said)| said.unwrap_or_else(|| Err(late()))).collect();
    Said { kek_id: kek.kek_id().to_owned(), status, versions: older.into_iter().zip(states).collect() }
}
