//! Reading the log.

use phi_types::{Actor, SubjectId, Timestamp};

use crate::Event;
use crate::entry::{EventActor, Pseudonyms};
use crate::store::Filter;

/// Entries on a page unless told otherwise.
const DEFAULT_LIMIT: u32 = 100;
/// Entries on the largest page.
const MAX_LIMIT: u32 = 1_000;

/// What to look for; every condition that is set must hold. Without any, everything.
///
/// ```
/// use phi_audit::Query;
/// use phi_types::SubjectId;
///
/// let who_opened_this_chart = Query::new().subject(&SubjectId::new("patient-7431")?).kind("record.read").limit(20);
/// # Ok::<(), phi_types::InvalidId>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Query {
    subject: Option<SubjectId>,
    actor: Option<Actor>,
    session: Option<String>,
    kind: Option<String>,
    from: Option<Timestamp>,
    until: Option<Timestamp>,
    before: Option<u64>,
    limit: Option<u32>,
}

impl Query {
    /// Every entry, newest first, in pages of 100.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Only what concerns this patient. The id is turned into its pseudonym; it is not sent to the store.
    #[must_use]
    pub fn subject(mut self, subject: &SubjectId) -> Self {
        self.subject = Some(subject.clone());
        self
    }

    /// Only what this actor did.
    #[must_use]
    pub fn actor(mut self, actor: &Actor) -> Self {
        self.actor = Some(actor.clone());
        self
    }

    /// Only what was done in this session, by its public id.
    #[must_use]
    pub fn session(mut self, public_id: impl Into<String>) -> Self {
        self.session = Some(public_id.into());
        self
    }

    /// Only events of this kind.
    #[must_use]
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.kind = Some(kind.into());
        self
    }

    /// Only what happened at this time or later.
    #[must_use]
    pub const fn from(mut self, from: Timestamp) -> Self {
        self.from = Some(from);
        self
    }

    /// Only what happened before this time.
    #[must_use]
    pub const fn until(mut self, until: Timestamp) -> Self {
        self.until = Some(until);
        self
    }

    /// Only entries before this index: [`Page::next`] of the page before.
    #[must_use]
    pub const fn before(mut self, index: u64) -> Self {
        self.before = Some(index);
        self
    }

    /// At most this many on the page, from 1 to 1,000.
    #[must_use]
    pub const fn limit(mut self, limit: u32) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Entries to return.
    pub(crate) fn page_size(&self) -> u32 {
        self.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT)
    }

    /// For the store, with one entry more than the page holds to know whether another page follows.
    pub(crate) fn filter(&self, pseudonyms: &Pseudonyms) -> Filter {
        Filter {
            subject: self.subject.as_ref().map(|subject| pseudonyms.subject(subject)),
            actor: self.actor.as_ref().map(|actor| EventActor::stored(actor, pseudonyms).to_string()),
            session: self.session.clone(),
            kind: self.kind.clone(),
            from: self.from,
            until: self.until,
            before: self.before,
            limit: self.page_size() + 1,
        }
    }
}

/// An event with its place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// Its place, for [`AuditLog::prove`](crate::AuditLog::prove).
    pub index: u64,
    /// What happened.
    pub event: Event,
}

/// Part of the answer to a [`Query`], newest entry first.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page {
    /// The entries.
    pub events: Vec<Found>,
    /// Give this to [`Query::before`] for the next page; `None` on the last one.
    pub next: Option<u64>,
}
