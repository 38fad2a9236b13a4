//! What is hashed: the bytes of an entry, and the event that they hold.
//!
//! ```
//! use phi_audit::{EntryError, Event};
//!
//! assert_eq!(Event::decode(b""), Err(EntryError::Truncated));
//! ```

mod decode;
mod encode;
mod pseudonym;
#[cfg(test)]
mod tests;

use core::fmt;

use phi_types::{Action, Actor, ActorKind, Detail, Outcome, Purpose, Timestamp};

pub(crate) use encode::{Unnumbered, encode};
pub use pseudonym::Pseudonym;
pub(crate) use pseudonym::Pseudonyms;

use crate::hash::write_hex;

/// Longest entry in bytes, the limit of a C2SP tlog-tiles entry bundle.
pub const MAX_ENTRY: usize = 65_535;

/// The first byte of every entry of this version.
pub(crate) const VERSION: u8 = 0x01;

pub(crate) mod tag {
    pub(crate) const AT: u8 = 1;
    pub(crate) const KIND: u8 = 2;
    pub(crate) const ACTION: u8 = 3;
    pub(crate) const OUTCOME: u8 = 4;
    pub(crate) const ACTOR: u8 = 5;
    pub(crate) const SUBJECT: u8 = 6;
    pub(crate) const PURPOSE: u8 = 7;
    pub(crate) const RESOURCE: u8 = 8;
    pub(crate) const SESSION: u8 = 9;
    pub(crate) const DETAILS: u8 = 10;

    pub(crate) const TEXT: u8 = 1;
    pub(crate) const COUNT: u8 = 2;
    pub(crate) const FLAG: u8 = 3;
    pub(crate) const TIME: u8 = 4;
    pub(crate) const BYTES: u8 = 5;

    pub(crate) const HUMAN: u8 = 1;
    pub(crate) const SERVICE: u8 = 2;
    pub(crate) const PATIENT_PROXY: u8 = 3;
}

/// The random identity of one writer: a process gets a new one at each start and after each failed append.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WriterId([u8; 16]);

impl WriterId {
    /// An identity from storage.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for WriterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for WriterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WriterId({self})")
    }
}

/// Who acted, as the log keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventActor {
    /// A member of the workforce or a service, by its own id.
    Known(Actor),
    /// A party whose id would identify a patient or a relative.
    Pseudonymous(ActorKind, Pseudonym),
}

impl EventActor {
    /// How an actor will appear in the log.
    pub(crate) fn stored(actor: &Actor, pseudonyms: &Pseudonyms) -> Self {
        match actor.kind() {
            ActorKind::PatientProxy => Self::Pseudonymous(actor.kind(), pseudonyms.actor(actor)),
            _ => Self::Known(actor.clone()),
        }
    }
}

/// `kind:id`, with the pseudonym in hexadecimal in the place of a patient proxy's id.
impl fmt::Display for EventActor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Not `Actor`'s own Display, whose form is for logs and may change; this one is stored.
            Self::Known(actor) => write!(f, "{}:{}", actor.kind().as_str(), actor.id()),
            Self::Pseudonymous(kind, pseudonym) => write!(f, "{}:{pseudonym}", kind.as_str()),
        }
    }
}

/// An activity as it was written down, decoded from the bytes of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// Who wrote it down.
    pub writer: WriterId,
    /// How many entries this writer had written before.
    pub sequence: u64,
    /// The id of the key under which the pseudonyms were made: equal ids mean comparable pseudonyms.
    pub epoch: [u8; 16],
    /// When it happened, by the clock of whoever reported it; the order of events is the order of entries.
    pub at: Timestamp,
    /// What happened, such as `record.read`.
    pub kind: String,
    /// What kind of act it was.
    pub action: Action,
    /// How it ended.
    pub outcome: Outcome,
    /// Who did it.
    pub actor: Option<EventActor>,
    /// The patient, by pseudonym.
    pub subject: Option<Pseudonym>,
    /// Why it was done.
    pub purpose: Option<Purpose>,
    /// The type of the record and its id, by pseudonym.
    pub resource: Option<(String, Pseudonym)>,
    /// The public id of the session.
    pub session: Option<String>,
    /// Further facts, in the order in which they were given.
    pub details: Vec<(String, Detail)>,
}

impl Event {
    /// The first fact of this name.
    #[must_use]
    pub fn detail(&self, name: &str) -> Option<&Detail> {
        self.details.iter().find(|(given, _)| given == name).map(|(_, detail)| detail)
    }
}

/// An activity that cannot become an entry, or bytes that are none. Never carries what they hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryError {
    /// The bytes end within a value.
    Truncated,
    /// Bytes follow the last value.
    Trailing,
    /// Not version 1: a later version of this crate wrote it, or it is no entry.
    Version,
    /// A field is missing, repeated, out of order or unknown. Carries the tag.
    Field(u8),
    /// A field's value is not of its form. Carries the tag.
    Value(u8),
    /// A name (kind, record type, detail) is not 1 to 128 printable ASCII characters without spaces.
    Name,
    /// More than 255 details.
    Details,
    /// The entry would be longer than 65,535 bytes.
    TooLong,
}

impl fmt::Display for EntryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the entry ends within a value"),
            Self::Trailing => f.write_str("bytes follow the last value of the entry"),
            Self::Version => f.write_str("not an entry of version 1: read it with a newer phi-audit"),
            Self::Field(tag) => write!(f, "field {tag} of the entry is missing, repeated, out of order or unknown"),
            Self::Value(tag) => write!(f, "the value of field {tag} of the entry is not of its form"),
            Self::Name => f.write_str(
                "a kind, record type or detail name must be 1 to 128 printable ASCII characters without spaces: \
                 use constants, never data",
            ),
            Self::Details => f.write_str("an activity holds at most 255 details: summarise them"),
            Self::TooLong => {
                f.write_str("an entry holds at most 65,535 bytes: keep large content elsewhere and record its digest")
            }
        }
    }
}

impl core::error::Error for EntryError {}

/// Names are constants of the code. Refusing spaces and non-ASCII keeps free text, and so PHI, out of them.
fn is_name(name: &str) -> bool {
    (1..=128).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic())
}
