//! What every crate reports, and to whom.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use std::borrow::Cow;
use std::error::Error;
use std::sync::Arc;

use crate::{Action, Actor, Outcome, Purpose, SubjectId, Timestamp};

/// Something that happened and belongs into the audit log (45 CFR 164.312(b)).
///
/// Crates emit activities; a [`Recorder`] makes them durable. The fields are public because a recorder takes them apart;
/// an activity is built with [`Activity::new`] and the methods that follow it.
///
/// ```
/// use phi_types::{Action, Activity, Detail, Outcome, Timestamp};
///
/// let rotated = Activity::new("key.rewrap", Action::Execute, Outcome::Success, Timestamp::UNIX_EPOCH)
///     .with("rows", 12_u64)
///     .with("kek", "local:2");
/// assert_eq!(rotated.details.len(), 2);
/// assert_eq!(rotated.detail("rows"), Some(&Detail::Count(12)));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Activity {
    /// What happened, as a dotted constant of the emitting crate such as `session.login` or `key.shred`.
    pub kind: Cow<'static, str>,
    /// What kind of act it was.
    pub action: Action,
    /// How it ended.
    pub outcome: Outcome,
    /// When it happened.
    pub at: Timestamp,
    /// Who did it, when that is known.
    pub actor: Option<Actor>,
    /// The patient that it concerns, when it concerns one.
    pub subject: Option<SubjectId>,
    /// Why it was done, when a person said so.
    pub purpose: Option<Purpose>,
    /// The record that was touched, when there was one.
    pub resource: Option<Resource>,
    /// The public id of the session in which it was done; never a token.
    pub session: Option<String>,
    /// Further facts, in the order in which they were added. No PHI in clear: recorders may store them as they are.
    pub details: Vec<(Cow<'static, str>, Detail)>,
}

/// A record that an activity touched.
///
/// The id can identify a patient, so `Debug` does not print it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resource {
    /// The record type, a constant of the application such as `Patient`.
    pub kind: Cow<'static, str>,
    /// The record's id. Recorders treat it as PHI.
    pub id: String,
}

impl Resource {
    /// A record by its type and id.
    #[must_use]
    pub fn new(kind: impl Into<Cow<'static, str>>, id: impl Into<String>) -> Self {
        Self { kind: kind.into(), id: id.into() }
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Resource({}/[id])", self.kind)
    }
}

/// A fact about an activity. No floating point: entries are hashed byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Detail {
    /// A short text without PHI.
    Text(Cow<'static, str>),
    /// A whole number.
    Count(u64),
    /// A yes or a no.
    Flag(bool),
    /// A point in time.
    Time(Timestamp),
    /// A digest or another opaque identifier.
    Bytes(Vec<u8>),
}

impl From<&'static str> for Detail {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Detail {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<u64> for Detail {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<bool> for Detail {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<Timestamp> for Detail {
    fn from(time: Timestamp) -> Self {
        Self::Time(time)
    }
}

impl From<Vec<u8>> for Detail {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl Activity {
    /// An activity without actor, subject, purpose, resource, session or details.
    #[must_use]
    pub fn new(kind: impl Into<Cow<'static, str>>, action: Action, outcome: Outcome, at: Timestamp) -> Self {
        Self {
            kind: kind.into(),
            action,
            outcome,
            at,
            actor: None,
            subject: None,
            purpose: None,
            resource: None,
            session: None,
            details: Vec::new(),
        }
    }

    /// Says who did it.
    #[must_use]
    pub fn by(mut self, actor: Actor) -> Self {
        self.actor = Some(actor);
        self
    }

    /// Says which patient it concerns.
    #[must_use]
    pub fn about(mut self, subject: SubjectId) -> Self {
        self.subject = Some(subject);
        self
    }

    /// Says why it was done.
    #[must_use]
    pub fn for_purpose(mut self, purpose: Purpose) -> Self {
        self.purpose = Some(purpose);
        self
    }

    /// Says which record was touched.
    #[must_use]
    pub fn on(mut self, resource: Resource) -> Self {
        self.resource = Some(resource);
        self
    }

    /// Says in which session it was done, by the session's public id.
    #[must_use]
    pub fn in_session(mut self, public_id: impl Into<String>) -> Self {
        self.session = Some(public_id.into());
        self
    }

    /// Adds a fact.
    #[must_use]
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, detail: impl Into<Detail>) -> Self {
        self.details.push((name.into(), detail.into()));
        self
    }

    /// The first fact of this name.
    #[must_use]
    pub fn detail(&self, name: &str) -> Option<&Detail> {
        self.details.iter().find(|(given, _)| given == name).map(|(_, detail)| detail)
    }
}

/// The future of [`Recorder::record`]. Ready with `Ok` only when the activity is durable.
pub type Recording<'a> = Pin<Box<dyn Future<Output = Result<(), RecordError>> + Send + 'a>>;

/// Takes activities and makes them durable. `phi-audit` implements it; everybody else emits into it.
///
/// ```
/// use phi_types::{Action, Activity, NoRecorder, Outcome, Recorder, Timestamp};
///
/// async fn sign_in(recorder: &dyn Recorder) -> Result<(), phi_types::RecordError> {
///     recorder.record(Activity::new("session.login", Action::Execute, Outcome::Success, Timestamp::UNIX_EPOCH)).await
/// }
/// # let _ = sign_in(&NoRecorder);
/// ```
pub trait Recorder: fmt::Debug + Send + Sync + 'static {
    /// Makes the activity durable.
    ///
    /// # Errors
    /// The future ends with [`RecordError`] when durability cannot be promised; what the activity describes must then
    /// not happen, or its result must not leave (fail closed).
    fn record(&self, activity: Activity) -> Recording<'_>;
}

impl<R: Recorder + ?Sized> Recorder for Arc<R> {
    fn record(&self, activity: Activity) -> Recording<'_> {
        (**self).record(activity)
    }
}

/// Forgets every activity. Chosen by name where there is truly nothing to audit, never a default.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "a unit value that callers write down")]
pub struct NoRecorder;

impl Recorder for NoRecorder {
    fn record(&self, _: Activity) -> Recording<'_> {
        Box::pin(core::future::ready(Ok(())))
    }
}

/// An activity could not be made durable. `source()` says why, without PHI.
#[derive(Debug)]
pub struct RecordError(Box<dyn Error + Send + Sync>);

impl RecordError {
    /// Wraps the reason, whose text must not hold PHI.
    pub fn new(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the activity could not be made durable, so it must not take effect")
    }
}

impl Error for RecordError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_prints_neither_subject_nor_record_id() {
        let activity = Activity::new("chart.open", Action::Read, Outcome::Success, Timestamp::UNIX_EPOCH)
            .by(Actor::patient_proxy("grace.hopper").unwrap())
            .about(SubjectId::new("patient-7431").unwrap())
            .on(Resource::new("Patient", "mrn-7431"));
        let text = format!("{activity:?} {activity:#?}");
        assert!(!text.contains("7431") && !text.contains("hopper"), "{text}");
    }

    #[test]
    fn a_record_error_keeps_its_reason() {
        let error = RecordError::new("disk full");
        assert_eq!(error.source().unwrap().to_string(), "disk full");
    }

    #[test]
    fn recorders_are_object_safe_and_shareable() {
        fn shared<T: Send + Sync + ?Sized>(_: &T) {}
        let recorder: Arc<dyn Recorder> = Arc::new(NoRecorder);
        shared(&recorder);
        let _future =
            Recorder::record(&recorder, Activity::new("x", Action::Execute, Outcome::Success, Timestamp::UNIX_EPOCH));
    }
}
