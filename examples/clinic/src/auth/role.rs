//! What an account may do.

/// Each role sees what its work needs (45 CFR 164.308(a)(3), 164.502(b)): clinicians see charts and no log, security
/// officers see the log and no chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Clinician,
    SecurityOfficer,
}

impl Role {
    /// The stored form.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Clinician => "clinician",
            Self::SecurityOfficer => "security-officer",
        }
    }

    pub(crate) fn from_text(text: &str) -> Option<Self> {
        [Self::Clinician, Self::SecurityOfficer].into_iter().find(|role| role.as_str() == text)
    }

    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Clinician => "clinician",
            Self::SecurityOfficer => "security officer",
        }
    }
}
