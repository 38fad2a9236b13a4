//! Who acts.

use core::fmt;

use crate::id::{InvalidId, checked};

/// Account names that several people tend to share, compared without case.
const GENERIC: [&str; 16] = [
    "admin",
    "administrator",
    "anonymous",
    "default",
    "doctor",
    "guest",
    "nobody",
    "nurse",
    "operator",
    "public",
    "root",
    "shared",
    "system",
    "test",
    "unknown",
    "user",
];

/// What kind of party acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum ActorKind {
    /// A person with an account of their own.
    Human,
    /// A program: a job, an interface engine, this application itself.
    Service,
    /// Somebody who acts for the patient, such as a parent or a legal guardian.
    PatientProxy,
}

impl ActorKind {
    /// The stable text form: `human`, `service` or `patient-proxy`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Service => "service",
            Self::PatientProxy => "patient-proxy",
        }
    }

    /// The reverse of [`as_str`](Self::as_str).
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        [Self::Human, Self::Service, Self::PatientProxy].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A uniquely identified party that acts (45 CFR 164.312(a)(2)(i)).
///
/// The id is the workforce member's or service's own account, never a shared one: names such as `admin`, `root` or
/// `test` are refused.
///
/// ```
/// use phi_types::{Actor, ActorKind, InvalidId};
///
/// let osei = Actor::human("dr.osei@clinic.example")?;
/// assert_eq!((osei.kind(), osei.id()), (ActorKind::Human, "dr.osei@clinic.example"));
/// assert_eq!(Actor::human("Admin"), Err(InvalidId::Generic));
/// # Ok::<(), InvalidId>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Actor {
    kind: ActorKind,
    id: String,
}

impl Actor {
    /// An actor of the given kind.
    ///
    /// # Errors
    /// [`InvalidId`] when the id is empty, over 256 bytes, holds control characters or outer white space, or names a
    /// shared account.
    pub fn new(kind: ActorKind, id: impl Into<String>) -> Result<Self, InvalidId> {
        let id = checked(id.into())?;
        if GENERIC.iter().any(|generic| id.eq_ignore_ascii_case(generic)) {
            return Err(InvalidId::Generic);
        }
        Ok(Self { kind, id })
    }

    /// A person with an account of their own.
    ///
    /// # Errors
    /// As [`Actor::new`].
    pub fn human(id: impl Into<String>) -> Result<Self, InvalidId> {
        Self::new(ActorKind::Human, id)
    }

    /// A program.
    ///
    /// # Errors
    /// As [`Actor::new`].
    pub fn service(id: impl Into<String>) -> Result<Self, InvalidId> {
        Self::new(ActorKind::Service, id)
    }

    /// Somebody who acts for the patient.
    ///
    /// # Errors
    /// As [`Actor::new`].
    pub fn patient_proxy(id: impl Into<String>) -> Result<Self, InvalidId> {
        Self::new(ActorKind::PatientProxy, id)
    }

    /// An actor whose id looks shared, but is known to belong to one party in this deployment.
    ///
    /// The caller takes the responsibility that [`Actor::new`] otherwise refuses; keep such calls where a reviewer
    /// finds them.
    ///
    /// # Errors
    /// [`InvalidId`] when the id is empty, over 256 bytes, or holds control characters or outer white space.
    pub fn shared_by_name(kind: ActorKind, id: impl Into<String>) -> Result<Self, InvalidId> {
        Ok(Self { kind, id: checked(id.into())? })
    }

    /// What kind of party this is.
    #[must_use]
    pub const fn kind(&self) -> ActorKind {
        self.kind
    }

    /// The unique id, as given.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl fmt::Debug for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Actor({self})")
    }
}

/// `kind:id`. A patient proxy's id is not printed: it identifies a relative of the patient (45 CFR 164.514(b)(2)).
impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ActorKind::PatientProxy => f.write_str("patient-proxy:[PHI]"),
            kind => write!(f, "{}:{}", kind.as_str(), self.id),
        }
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Actor {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        struct Parts {
            kind: ActorKind,
            id: String,
        }
        let Parts { kind, id } = Parts::deserialize(deserializer)?;
        // A stored actor was admitted once, perhaps by name; only its form is checked again.
        Self::shared_by_name(kind, id).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_keeps_its_kind_and_id() {
        for (made, kind, id) in [
            (Actor::human("dr.osei"), ActorKind::Human, "dr.osei"),
            (Actor::service("importer"), ActorKind::Service, "importer"),
            (Actor::patient_proxy("ada.l"), ActorKind::PatientProxy, "ada.l"),
        ] {
            let made = made.unwrap();
            assert_eq!((made.kind(), made.id()), (kind, id));
        }
    }

    #[test]
    fn shared_accounts_are_refused_in_any_case_unless_allowed_by_name() {
        for name in GENERIC {
            assert_eq!(Actor::human(name), Err(InvalidId::Generic));
            assert_eq!(Actor::service(name.to_uppercase()), Err(InvalidId::Generic));
            assert!(Actor::shared_by_name(ActorKind::Service, name).is_ok());
        }
    }

    #[test]
    fn malformed_ids_are_refused() {
        for (id, error) in [
            ("", InvalidId::Empty),
            (" \t", InvalidId::Empty),
            (" dr.osei", InvalidId::Unclean),
            ("dr.osei\n", InvalidId::Unclean),
            ("dr\u{0}osei", InvalidId::Unclean),
            (&"x".repeat(257), InvalidId::TooLong),
        ] {
            assert_eq!(Actor::human(id), Err(error), "{id:?}");
        }
        assert!(Actor::human("x".repeat(256)).is_ok());
    }

    #[test]
    fn a_patient_proxy_is_not_printed() {
        let proxy = Actor::patient_proxy("grace.hopper").unwrap();
        assert_eq!(format!("{proxy} {proxy:?}"), "patient-proxy:[PHI] Actor(patient-proxy:[PHI])");
    }

    #[test]
    fn kinds_survive_their_text_form() {
        for kind in [ActorKind::Human, ActorKind::Service, ActorKind::PatientProxy] {
            assert_eq!(ActorKind::from_text(kind.as_str()), Some(kind));
        }
        assert_eq!(ActorKind::from_text("Human"), None);
    }
}
