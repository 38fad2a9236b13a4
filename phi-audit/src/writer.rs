//! Durable appends by group commit.
//!
//! Whoever waits first commits for everybody who joined meanwhile: while one commit is on its way to the disk, the next
//! group forms by itself, so no timer delays a lone event. Nothing here is lost when a caller goes away: a group that was
//! handed to the store stays in the shared state until its outcome is known, and another caller takes over.

use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::Poll;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use phi_types::{Action, Activity, Actor, Clock, Outcome};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::oneshot;

use crate::entry::{Unnumbered, encode};
use crate::keys::{AuditKeys, Current};
use crate::{AuditStore, Error, Hash, PendingRow, WriterId};

/// Events in one commit.
const GROUP: usize = 256;
/// Events that may wait; each of them is a request in flight.
const MAX_WAITING: usize = 16_384;

/// One error for every event of a group.
#[derive(Debug, Clone)]
pub(crate) struct NotDurable(pub(crate) Arc<Error>);

impl fmt::Display for NotDurable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for NotDurable {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

impl From<Error> for NotDurable {
    fn from(error: Error) -> Self {
        Self(Arc::new(error))
    }
}

type Reply = Result<(), NotDurable>;

#[derive(Debug)]
pub(crate) struct Writer {
    store: Arc<dyn AuditStore>,
    keys: Arc<AuditKeys>,
    clock: Arc<dyn Clock>,
    /// Held by whoever commits; never by somebody who only joins a group.
    turn: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Nobody until the first commit, and again after a failed one.
    identity: Option<Identity>,
    /// The identity before, which the next one closes.
    previous: Option<Identity>,
    waiting: VecDeque<Waiting>,
    flight: Option<Flight>,
    acknowledged: BTreeMap<(WriterId, u64), Hash>,
}

#[derive(Debug, Clone, Copy)]
struct Identity {
    id: WriterId,
    next: u64,
}

#[derive(Debug)]
struct Waiting {
    entry: Unnumbered,
    epoch: [u8; 16],
    reply: oneshot::Sender<Reply>,
}

/// A group that was handed to the store and whose outcome is not known yet.
#[derive(Debug)]
struct Flight {
    rows: Arc<[PendingRow]>,
    identity: Identity,
    replies: Vec<oneshot::Sender<Reply>>,
}

impl Writer {
    pub(crate) fn new(store: Arc<dyn AuditStore>, keys: Arc<AuditKeys>, clock: Arc<dyn Clock>) -> Self {
        Self { store, keys, clock, turn: tokio::sync::Mutex::new(()), state: Mutex::default() }
    }

    /// Ready when the activity is durable.
    pub(crate) async fn record(&self, activity: &Activity) -> Reply {
        let current = self.keys.current().await?;
        let entry = encode(activity, &current.pseudonyms).map_err(Error::Entry)?;
        let (reply, mut done) = oneshot::channel();
        {
            let mut state = self.state();
            if state.waiting.len() >= MAX_WAITING {
                return Err(Error::Overloaded.into());
            }
            state.waiting.push_back(Waiting { entry, epoch: *current.epoch(), reply });
        }
        loop {
            let mut turn = pin!(self.turn.lock());
            let next = poll_fn(|context| match Pin::new(&mut done).poll(context) {
                Poll::Ready(reply) => Poll::Ready(Ok(reply)),
                Poll::Pending => turn.as_mut().poll(context).map(Err),
            });
            match next.await {
                // The sender lives in the shared state until it has spoken.
                Ok(reply) => return reply.unwrap_or_else(|_| Err(Error::Overloaded.into())),
                Err(_turn) => self.commit().await,
            }
        }
    }

    /// Commits whatever waits.
    pub(crate) async fn flush(&self) {
        let _turn = self.turn.lock().await;
        while self.has_work() {
            self.commit().await;
        }
    }

    fn has_work(&self) -> bool {
        let state = self.state();
        state.flight.is_some() || !state.waiting.is_empty()
    }

    /// Acknowledged events that are not known to be under a signed checkpoint.
    pub(crate) fn acknowledged(&self) -> BTreeMap<(WriterId, u64), Hash> {
        self.state().acknowledged.clone()
    }

    pub(crate) fn outstanding(&self) -> usize {
        self.state().acknowledged.len()
    }

    /// Stops keeping these events, and returns those of them that were kept until now.
    pub(crate) fn forget<'a>(
        &self,
        settled: impl IntoIterator<Item = &'a (WriterId, u64)>,
    ) -> BTreeSet<(WriterId, u64)> {
        let mut state = self.state();
        settled.into_iter().filter(|place| state.acknowledged.remove(place).is_some()).copied().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing between lock and unlock leaves the state half changed, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One group. The caller holds the turn.
    async fn commit(&self) {
        // A group whose committer went away is numbered already: it needs no key, and must not wait for one.
        let left = self.state().flight.as_ref().map(|flight| Arc::clone(&flight.rows));
        let rows = match left {
            Some(rows) => rows,
            None => match self.keys.current().await.and_then(|current| self.form(&current)) {
                Ok(Some(rows)) => rows,
                Ok(None) => return,
                Err(error) => return self.refuse_waiting(&error.into()),
            },
        };
        let outcome = self.store.append(&rows).await;
        let mut state = self.state();
        let Some(flight) = state.flight.take() else { return };
        let reply = match outcome {
            Ok(()) => {
                state.identity = Some(flight.identity);
                for row in flight.rows.iter() {
                    state.acknowledged.insert((row.writer, row.sequence), Hash::leaf(&row.entry));
                }
                Ok(())
            }
            Err(error) => {
                // Whether the rows are there is unknown, so their numbers cannot be used again: this identity ends here.
                let acknowledged = state.identity.take().unwrap_or(Identity { id: flight.identity.id, next: 0 });
                state.previous = Some(acknowledged);
                Err(NotDurable::from(Error::Store(error)))
            }
        };
        drop(state);
        for waiting in flight.replies {
            // Whoever no longer listens has gone away; the event stays recorded.
            let _ = waiting.send(reply.clone());
        }
    }

    /// Numbers the next group. The caller holds the turn and has seen that none is on its way.
    fn form(&self, current: &Current) -> Result<Option<Arc<[PendingRow]>>, Error> {
        let mut state = self.state();
        if state.waiting.is_empty() {
            return Ok(None);
        }
        let mut identity = match state.identity {
            Some(identity) => identity,
            None => Identity { id: new_writer()?, next: 0 },
        };
        let key = current.writer_key(&identity.id)?;
        let mut rows = Vec::new();
        let mut number = |entry: &Unnumbered| {
            let bytes = entry.number(&identity.id, identity.next);
            let mac = key.mac(&identity.id, identity.next, &bytes);
            rows.push(PendingRow::new(0, identity.id, identity.next, bytes, mac));
            identity.next += 1;
        };
        if state.identity.is_none() {
            number(&encode(&self.start(state.previous), &current.pseudonyms)?);
        }
        let mut replies = Vec::new();
        while replies.len() < GROUP {
            let Some(waiting) = state.waiting.pop_front() else { break };
            if waiting.epoch == *current.epoch() {
                number(&waiting.entry);
                replies.push(waiting.reply);
            } else {
                let _ = waiting.reply.send(Err(Error::KeyChanged.into()));
            }
        }
        if replies.is_empty() {
            return Ok(None);
        }
        let rows: Arc<[PendingRow]> = rows.into();
        state.flight = Some(Flight { rows: Arc::clone(&rows), identity, replies });
        Ok(Some(rows))
    }

    /// The first entry of every identity; it closes the one before, whose further numbers are unknown.
    fn start(&self, previous: Option<Identity>) -> Activity {
        let mut start = own(&*self.clock, "audit.writer.start");
        if let Some(previous) = previous {
            start = start.with("previous", previous.id.as_bytes().to_vec()).with("acknowledged", previous.next);
        }
        start
    }

    fn refuse_waiting(&self, error: &NotDurable) {
        let waiting = core::mem::take(&mut self.state().waiting);
        for waiting in waiting {
            let _ = waiting.reply.send(Err(error.clone()));
        }
    }
}

/// An activity of the log itself.
pub(crate) fn own(clock: &dyn Clock, kind: &'static str) -> Activity {
    let mut activity = Activity::new(kind, Action::Execute, Outcome::Success, clock.now());
    activity.actor = Actor::service("phi-audit").ok();
    activity
}

fn new_writer() -> Result<WriterId, Error> {
    let mut id = [0; 16];
    SystemRandom::new().fill(&mut id).map_err(|_| Error::Random)?;
    Ok(WriterId::from_bytes(id))
}
