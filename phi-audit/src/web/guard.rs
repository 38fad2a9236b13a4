//! What a handler holds.

use core::fmt;
use std::sync::Arc;

use phi_types::{Action, Activity, Actor, Outcome, Purpose, RecordError, SubjectId};

use super::touches::{Refusal, Request, name};

/// Where a handler says whose records it touches. One per request, in the request's extensions; clones are the same.
///
/// A touch is recorded when the handler has answered, before the body leaves, together with those of other requests.
/// It names the request's actor and session ([`AuditLayer::identify`](super::AuditLayer::identify), [`by`](Self::by)).
#[derive(Clone)]
pub struct AuditGuard {
    request: Arc<Request>,
}

impl AuditGuard {
    pub(super) const fn new(request: Arc<Request>) -> Self {
        Self { request }
    }

    /// Says who is asking, where the layer could not know, such as in a login.
    pub fn by(&self, actor: Actor) {
        self.request.touches().actor = Some(actor);
    }

    /// Says in which session, by its public id.
    pub fn in_session(&self, public_id: impl Into<String>) {
        self.request.touches().session = Some(public_id.into());
    }

    /// A record of this patient is shown: event `record.read`.
    pub fn read(&self, subject: &SubjectId, purpose: Purpose) {
        self.touch(self.activity("record.read", Action::Read, Outcome::Success, subject, purpose));
    }

    /// A record of this patient came into being: event `record.create`.
    pub fn create(&self, subject: &SubjectId, purpose: Purpose) {
        self.touch(self.activity("record.create", Action::Create, Outcome::Success, subject, purpose));
    }

    /// A record of this patient is changed: event `record.update`.
    pub fn update(&self, subject: &SubjectId, purpose: Purpose) {
        self.touch(self.activity("record.update", Action::Update, Outcome::Success, subject, purpose));
    }

    /// A record of this patient is removed: event `record.delete`.
    pub fn delete(&self, subject: &SubjectId, purpose: Purpose) {
        self.touch(self.activity("record.delete", Action::Delete, Outcome::Success, subject, purpose));
    }

    /// Access to a record of this patient was refused: event `record.refused`.
    pub fn refused(&self, subject: &SubjectId, purpose: Purpose) {
        self.touch(self.activity("record.refused", Action::Read, Outcome::Refused, subject, purpose));
    }

    /// Any other activity, to be durable before the response leaves, such as an export or a search. Actor and session
    /// are filled in where it names none.
    pub fn touch(&self, activity: Activity) {
        let mut touches = self.request.touches();
        touches.touched = true;
        touches.waiting.push(activity);
    }

    /// Records a read now, for streams: send nothing of this patient before it returns.
    ///
    /// A read that fails, or whose future is dropped, becomes a touch like that of [`read`](Self::read): the response
    /// waits for it, or is withheld.
    ///
    /// # Errors
    /// [`RecordError`] when it is not durable, or when nobody in particular is asking; then nothing may be sent.
    pub async fn read_now(&self, subject: &SubjectId, purpose: Purpose) -> Result<(), RecordError> {
        let mut activity = self.activity("record.read", Action::Read, Outcome::Success, subject, purpose);
        {
            let mut touches = self.request.touches();
            touches.touched = true;
            name(&mut activity, &touches);
        }
        let nameless = activity.actor.is_none();
        let mut unrecorded = Unrecorded { request: &self.request, activity: Some(activity.clone()) };
        self.request.desk().recorder.record(activity).await?;
        unrecorded.activity = None;
        if nameless { Err(RecordError::new(Refusal::Nameless)) } else { Ok(()) }
    }

    /// Says that something was decrypted in this request. A response is withheld when something was opened and nothing
    /// touched.
    pub fn opened(&self) {
        self.request.touches().opened = true;
    }

    /// Something to hand to whatever decrypts, which then calls it for every value that it opens.
    #[must_use]
    pub fn signal(&self) -> OpenSignal {
        OpenSignal { request: Arc::clone(&self.request) }
    }

    fn activity(
        &self,
        kind: &'static str,
        action: Action,
        outcome: Outcome,
        subject: &SubjectId,
        purpose: Purpose,
    ) -> Activity {
        Activity::new(kind, action, outcome, self.request.desk().clock.now())
            .about(subject.clone())
            .for_purpose(purpose)
    }
}

/// A read that is not known to be durable: hands it to the request, whatever becomes of the future that records it.
struct Unrecorded<'a> {
    request: &'a Request,
    activity: Option<Activity>,
}

impl Drop for Unrecorded<'_> {
    fn drop(&mut self) {
        self.request.touches().waiting.extend(self.activity.take());
    }
}

impl fmt::Debug for AuditGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditGuard").finish_non_exhaustive()
    }
}

/// Tells the guard of a request that something was opened; see [`AuditGuard::signal`].
#[derive(Clone)]
pub struct OpenSignal {
    request: Arc<Request>,
}

impl OpenSignal {
    /// Something was decrypted.
    pub fn opened(&self) {
        self.request.touches().opened = true;
    }
}

impl fmt::Debug for OpenSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenSignal").finish_non_exhaustive()
    }
}
