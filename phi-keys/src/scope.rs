//! What keys are for and whose data they protect.

use core::fmt;

use phi_types::SubjectId;

/// What a domain key is for. Each tenant has one domain key for each use.
///
/// ```
/// use phi_keys::KeyUse;
///
/// assert_eq!(KeyUse::from_code(KeyUse::Index.code()), Some(KeyUse::Index));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum KeyUse {
    /// Authenticates the rows of the key store. One for the whole store, never handed out.
    Root,
    /// Wraps data keys.
    Data,
    /// Blind indexes.
    Index,
    /// The audit log: writer authentication and checkpoint signatures.
    Audit,
    /// Session tokens and rows.
    Session,
}

impl KeyUse {
    /// Every use, in the order of the codes.
    pub const ALL: [Self; 5] = [Self::Root, Self::Data, Self::Index, Self::Audit, Self::Session];

    /// The number that key rows hold.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Root => 1,
            Self::Data => 2,
            Self::Index => 3,
            Self::Audit => 4,
            Self::Session => 5,
        }
    }

    /// The reverse of [`code`](Self::code).
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|key_use| key_use.code() == code)
    }
}

impl fmt::Display for KeyUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Root => "root",
            Self::Data => "data",
            Self::Index => "index",
            Self::Audit => "audit",
            Self::Session => "session",
        })
    }
}

/// Whose data a data key protects: what is shredded together.
///
/// ```
/// use phi_keys::Scope;
/// use phi_types::SubjectId;
///
/// let scope = Scope::subject(&SubjectId::new("22d6efc6")?);
/// assert_eq!(format!("{scope:?}"), "Scope(subject)");
/// # Ok::<(), phi_types::InvalidId>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scope {
    /// One patient.
    Subject(SubjectId),
    /// Records that belong to no one patient, under a name that the application chooses. No PHI in the name.
    Group(String),
}

impl Scope {
    /// The scope of one patient.
    #[must_use]
    pub fn subject(subject: &SubjectId) -> Self {
        Self::Subject(subject.clone())
    }

    /// The scope of a group of records.
    #[must_use]
    pub fn group(name: impl Into<String>) -> Self {
        Self::Group(name.into())
    }

    /// The number and the text that enter the pseudonym.
    pub(crate) fn parts(&self) -> (u8, &str) {
        match self {
            Self::Subject(subject) => (1, subject.expose()),
            Self::Group(name) => (2, name),
        }
    }
}

impl From<SubjectId> for Scope {
    fn from(subject: SubjectId) -> Self {
        Self::Subject(subject)
    }
}

impl From<&SubjectId> for Scope {
    fn from(subject: &SubjectId) -> Self {
        Self::subject(subject)
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subject(_) => f.write_str("Scope(subject)"),
            Self::Group(name) => write!(f, "Scope(group {name:?})"),
        }
    }
}
