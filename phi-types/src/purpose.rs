//! Why a record is touched.

use core::fmt;

/// Purpose of use, by the codes of HL7 v3 `PurposeOfUse` (code system 2.16.840.1.113883.5.8).
///
/// A purpose belongs to one access and is audited with it; it is never part of what encryption binds.
///
/// ```
/// use phi_types::Purpose;
///
/// assert_eq!(Purpose::Treatment.code(), "TREAT");
/// assert_eq!(Purpose::from_code("BTG"), Some(Purpose::BreakGlass));
/// assert!(Purpose::Research.is_accountable() && !Purpose::Payment.is_accountable());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Purpose {
    /// `TREAT`: treatment.
    Treatment,
    /// `ETREAT`: emergency treatment.
    EmergencyTreatment,
    /// `BTG`: break the glass, access outside the usual rules that is reviewed afterwards.
    BreakGlass,
    /// `HPAYMT`: payment.
    Payment,
    /// `HOPERAT`: health care operations.
    Operations,
    /// `HSYSADMIN`: system administration.
    SystemAdministration,
    /// `PATRQT`: requested by the patient.
    PatientRequest,
    /// `FAMRQT`: requested by the family.
    FamilyRequest,
    /// `PUBHLTH`: public health.
    PublicHealth,
    /// `HRESCH`: research.
    Research,
    /// `HLEGAL`: legal.
    Legal,
    /// `HMARKT`: marketing.
    Marketing,
}

impl Purpose {
    /// Every purpose, in the order of declaration.
    pub const ALL: [Self; 12] = [
        Self::Treatment,
        Self::EmergencyTreatment,
        Self::BreakGlass,
        Self::Payment,
        Self::Operations,
        Self::SystemAdministration,
        Self::PatientRequest,
        Self::FamilyRequest,
        Self::PublicHealth,
        Self::Research,
        Self::Legal,
        Self::Marketing,
    ];

    /// The HL7 v3 code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Treatment => "TREAT",
            Self::EmergencyTreatment => "ETREAT",
            Self::BreakGlass => "BTG",
            Self::Payment => "HPAYMT",
            Self::Operations => "HOPERAT",
            Self::SystemAdministration => "HSYSADMIN",
            Self::PatientRequest => "PATRQT",
            Self::FamilyRequest => "FAMRQT",
            Self::PublicHealth => "PUBHLTH",
            Self::Research => "HRESCH",
            Self::Legal => "HLEGAL",
            Self::Marketing => "HMARKT",
        }
    }

    /// The purpose with this HL7 v3 code; codes are case-sensitive.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.code() == code)
    }

    /// Whether a disclosure for this purpose is of a kind that an accounting of disclosures lists.
    ///
    /// 45 CFR 164.528(a)(1) leaves out treatment, payment and operations and what goes to the individual; the other
    /// exclusions of that paragraph depend on facts that a purpose does not hold.
    #[must_use]
    pub const fn is_accountable(self) -> bool {
        matches!(self, Self::PublicHealth | Self::Research | Self::Legal | Self::Marketing)
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Purpose {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Purpose {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = String::deserialize(deserializer)?;
        Self::from_code(&code).ok_or_else(|| serde::de::Error::custom("not a supported HL7 v3 PurposeOfUse code"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_survive_the_way_back() {
        for (index, purpose) in Purpose::ALL.into_iter().enumerate() {
            assert_eq!(Purpose::from_code(&purpose.to_string()), Some(purpose));
            assert!(Purpose::ALL.iter().skip(index + 1).all(|other| other.code() != purpose.code()));
        }
        assert_eq!(Purpose::from_code("treat"), None);
    }

    #[test]
    fn four_purposes_are_accounted_for() {
        let accounted = Purpose::ALL.into_iter().filter(|purpose| purpose.is_accountable()).collect::<Vec<_>>();
        assert_eq!(accounted, [Purpose::PublicHealth, Purpose::Research, Purpose::Legal, Purpose::Marketing]);
    }
}
