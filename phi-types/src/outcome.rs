//! What was done and how it ended.

use core::fmt;

/// The kind of act, as FHIR `AuditEvent.action` and DICOM's audit message count them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum Action {
    /// `C`: something came into being.
    Create,
    /// `R`: something was read, shown, printed or sent.
    Read,
    /// `U`: something was changed.
    Update,
    /// `D`: something was removed.
    Delete,
    /// `E`: something was carried out, such as a login, a search or a key rotation.
    Execute,
}

impl Action {
    /// Every action, in the order of declaration.
    pub const ALL: [Self; 5] = [Self::Create, Self::Read, Self::Update, Self::Delete, Self::Execute];

    /// The FHIR code: `C`, `R`, `U`, `D` or `E`.
    #[must_use]
    pub const fn code(self) -> char {
        match self {
            Self::Create => 'C',
            Self::Read => 'R',
            Self::Update => 'U',
            Self::Delete => 'D',
            Self::Execute => 'E',
        }
    }

    /// The reverse of [`code`](Self::code).
    #[must_use]
    pub fn from_code(code: char) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.code() == code)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code())
    }
}

/// How an act ended, by the codes of FHIR `AuditEvent.outcome`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum Outcome {
    /// `0`: it was done.
    Success,
    /// `4`: it was refused: wrong password, no permission, wrong key.
    Refused,
    /// `8`: it failed for another reason and may be tried again.
    Failed,
    /// `12`: it failed and the system cannot go on as it is.
    Fatal,
}

impl Outcome {
    /// Every outcome, in the order of declaration.
    pub const ALL: [Self; 4] = [Self::Success, Self::Refused, Self::Failed, Self::Fatal];

    /// The FHIR R4 code: 0, 4, 8 or 12.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Refused => 4,
            Self::Failed => 8,
            Self::Fatal => 12,
        }
    }

    /// The reverse of [`code`](Self::code).
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.code() == code)
    }

    /// The stable text form: `success`, `refused`, `failed` or `fatal`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Fatal => "fatal",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_survive_the_way_back() {
        for action in Action::ALL {
            assert_eq!(Action::from_code(action.code()), Some(action));
        }
        for outcome in Outcome::ALL {
            assert_eq!(Outcome::from_code(outcome.code()), Some(outcome));
        }
        assert_eq!(Action::from_code('X'), None);
        assert_eq!(Outcome::from_code(1), None);
    }
}
