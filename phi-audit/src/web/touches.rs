//! What was touched in one request, and making it durable.

use core::fmt;
use core::future::poll_fn;
use core::task::Poll;
use std::error::Error as StdError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use phi_types::{Action, Activity, Actor, Clock, Outcome, RecordError, Recorder};

/// What all requests of a layer share.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) recorder: Arc<dyn Recorder>,
    pub(super) clock: Arc<dyn Clock>,
    /// Touches of requests that ended before they were settled: handlers that panicked, clients that went away, guards
    /// that were kept for longer than the response. The next request makes them durable.
    late: Mutex<Vec<Activity>>,
}

impl Desk {
    pub(super) const fn new(recorder: Arc<dyn Recorder>, clock: Arc<dyn Clock>) -> Self {
        Self { recorder, clock, late: Mutex::new(Vec::new()) }
    }

    pub(super) fn late(&self) -> MutexGuard<'_, Vec<Activity>> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request.
#[derive(Debug)]
pub(super) struct Request {
    desk: Arc<Desk>,
    touches: Mutex<Touches>,
}

#[derive(Debug, Default)]
pub(super) struct Touches {
    pub(super) actor: Option<Actor>,
    pub(super) session: Option<String>,
    pub(super) waiting: Vec<Activity>,
    /// Something was touched, whether it is durable already or not.
    pub(super) touched: bool,
    /// Something was opened.
    pub(super) opened: bool,
}

/// Why a response was withheld.
#[derive(Debug)]
#[non_exhaustive]
pub enum Refusal {
    /// A touch could not be made durable.
    NotRecorded(RecordError),
    /// Something was opened, but the handler did not say whose record it was.
    Untouched,
    /// A record was touched by nobody in particular (45 CFR 164.312(a)(2)(i) asks for a unique user).
    Nameless,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotRecorded(_) => "the access could not be written to the audit log, so the response was withheld",
            Self::Untouched => {
                "something was opened but no touch was recorded, so the response was withheld: call AuditGuard::read"
            }
            Self::Nameless => {
                "a record was touched without a known actor, so the response was withheld: use AuditLayer::identify or AuditGuard::by"
            }
        })
    }
}

impl StdError for Refusal {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::NotRecorded(error) => Some(error),
            Self::Untouched | Self::Nameless => None,
        }
    }
}

impl Request {
    pub(super) fn new(desk: Arc<Desk>, actor: Option<Actor>, session: Option<String>) -> Arc<Self> {
        Arc::new(Self { desk, touches: Mutex::new(Touches { actor, session, ..Touches::default() }) })
    }

    pub(super) fn desk(&self) -> &Desk {
        &self.desk
    }

    pub(super) fn touches(&self) -> MutexGuard<'_, Touches> {
        self.touches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether [`settle`](Self::settle) has anything to do.
    pub(super) fn is_settled(&self) -> bool {
        let touches = self.touches();
        touches.waiting.is_empty() && (touches.touched || !touches.opened) && self.desk.late().is_empty()
    }

    /// Makes every touch durable, or says why the response must not leave.
    pub(super) async fn settle(self: Arc<Self>) -> Result<(), Refusal> {
        let (mut activities, untouched, nameless) = {
            let mut touches = self.touches();
            let mut activities = core::mem::take(&mut touches.waiting);
            activities.iter_mut().for_each(|activity| name(activity, &touches));
            let untouched = touches.opened && !touches.touched;
            if untouched {
                let mut found = Activity::new("audit.untouched", Action::Read, Outcome::Refused, self.desk.clock.now());
                name(&mut found, &touches);
                activities.push(found);
            }
            let nameless =
                activities.iter().any(|activity| activity.actor.is_none() && activity.outcome == Outcome::Success);
            (activities, untouched, nameless)
        };
        let own = activities.len();
        activities.append(&mut self.desk.late());
        let results = self.record_all(&activities).await;
        let mut failed = None;
        for (place, (activity, result)) in activities.into_iter().zip(results).enumerate() {
            if let Err(error) = result {
                // What an ended request left behind stays queued; what belongs to this one withholds the response.
                if place < own { failed = Some(error) } else { self.desk.late().push(activity) }
            }
        }
        match failed {
            Some(error) => Err(Refusal::NotRecorded(error)),
            None if untouched => Err(Refusal::Untouched),
            None if nameless => Err(Refusal::Nameless),
            None => Ok(()),
        }
    }

    /// All at once, so that they share commits.
    async fn record_all(&self, activities: &[Activity]) -> Vec<Result<(), RecordError>> {
        let mut recordings: Vec<_> =
            activities.iter().map(|activity| (self.desk.recorder.record(activity.clone()), None)).collect();
        poll_fn(|context| {
            let mut pending = false;
            for (recording, result) in &mut recordings {
                if result.is_none() {
                    match recording.as_mut().poll(context) {
                        Poll::Ready(ready) => *result = Some(ready),
                        Poll::Pending => pending = true,
                    }
                }
            }
            if pending { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        // Every result is there: the loop above ends only then.
        recordings.into_iter().filter_map(|(_, result)| result).collect()
    }
}

/// Fills in who asked, where the touch does not say.
pub(super) fn name(activity: &mut Activity, touches: &Touches) {
    if activity.actor.is_none() {
        activity.actor.clone_from(&touches.actor);
    }
    if activity.session.is_none() {
        activity.session.clone_from(&touches.session);
    }
}

/// Nothing is written here: touches that nobody settled are handed to the layer.
impl Drop for Request {
    fn drop(&mut self) {
        let touches = self.touches.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut waiting = core::mem::take(&mut touches.waiting);
        waiting.iter_mut().for_each(|activity| name(activity, touches));
        self.desk.late().append(&mut waiting);
    }
}
