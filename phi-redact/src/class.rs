//! What kinds of identifier the content engine knows.

use core::fmt;

/// A kind of identifier that is found by its shape, its validator or its label.
///
/// ```
/// use phi_redact::Class;
///
/// let found: Vec<_> = phi_redact::find("call (555) 867-5309").collect();
/// assert_eq!(found[0].class(), Class::Phone);
/// assert_eq!(found[0].range(), 5..19);
/// assert_eq!(Class::Phone.label(), "[PHONE]");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Class {
    /// US social security number or individual taxpayer number, 45 CFR 164.514(b)(2)(i)(G).
    Ssn,
    /// Medical record number, by label, patient path or HL7 v2 identifier type, (H).
    Mrn,
    /// Telephone or fax number: North American shape, E.164, or by label, (D) and (E).
    Phone,
    /// Electronic mail address, also with `%40`, (F).
    Email,
    /// Calendar date with a year, (C).
    Date,
    /// Medicare beneficiary identifier in the format of the CMS, (I).
    Mbi,
    /// Internet Protocol address, version 4 or 6, (O).
    Ip,
    /// A row value that a database quotes in an error, such as `Key (email)=(…)`.
    Value,
}

impl Class {
    /// Every class, in the order of [`Counts`](crate::Counts).
    pub const ALL: [Self; 8] =
        [Self::Ssn, Self::Mrn, Self::Phone, Self::Email, Self::Date, Self::Mbi, Self::Ip, Self::Value];

    /// What is written in place of a value of this class.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ssn => "[SSN]",
            Self::Mrn => "[MRN]",
            Self::Phone => "[PHONE]",
            Self::Email => "[EMAIL]",
            Self::Date => "[DATE]",
            Self::Mbi => "[MBI]",
            Self::Ip => "[IP]",
            Self::Value => "[VALUE]",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}
