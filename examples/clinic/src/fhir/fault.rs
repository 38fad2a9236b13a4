//! Why a bundle is refused.

use core::fmt;

/// A refused bundle: what is wrong and, where it is known, in which of its entries (counted from 1).
///
/// It never repeats a value of the bundle, because any of them can be a patient's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    pub(crate) entry: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultKind {
    Oversized,
    TooManyEntries,
    Truncated,
    NotJson { line: usize, column: usize },
    NotBundle,
    NotFhir { line: usize, column: usize },
    NoResource,
    UnknownType,
    TooDeep,
    NoPatientId,
    BadDate,
    ForeignPatient,
    DuplicatePatient,
    AlreadyImported,
    MrnTaken,
}

impl FaultKind {
    pub(crate) const fn whole(self) -> Fault {
        Fault { kind: self, entry: None }
    }

    pub(crate) const fn at(self, entry: usize) -> Fault {
        Fault { kind: self, entry: Some(entry) }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(entry) = self.entry {
            write!(f, "entry {entry}: ")?;
        }
        match self.kind {
            FaultKind::Oversized => {
                write!(f, "larger than {} MiB; split the bundle", super::bundle::MAX_BYTES >> 20)
            }
            FaultKind::TooManyEntries => {
                write!(f, "more than {} entries; split the bundle", super::bundle::MAX_ENTRIES)
            }
            FaultKind::Truncated => f.write_str("the JSON ends before it is complete; export the bundle again"),
            FaultKind::NotJson { line, column } => {
                write!(f, "not JSON at line {line}, column {column}; export the bundle again")
            }
            FaultKind::NotBundle => {
                f.write_str("JSON, but not a FHIR R4 Bundle with entries; only Bundle resources can be imported")
            }
            FaultKind::NotFhir { line, column } => write!(
                f,
                "an element has another type than FHIR R4 gives it, at line {line}, column {column}; mend the resource"
            ),
            FaultKind::NoResource => f.write_str("holds no resource; remove the entry"),
            FaultKind::UnknownType => {
                f.write_str("its resource type is not one of FHIR R4; remove the entry or convert it")
            }
            FaultKind::TooDeep => {
                write!(f, "nested deeper than {} levels; mend the resource", super::compact::MAX_DEPTH)
            }
            FaultKind::NoPatientId => f.write_str("a Patient without an id; give it one, imports are recognised by it"),
            FaultKind::BadDate => {
                f.write_str("a date is not of the form YYYY, YYYY-MM or YYYY-MM-DD; mend the Patient")
            }
            FaultKind::ForeignPatient => {
                f.write_str("refers to a patient that is not in this bundle; put the Patient and its records together")
            }
            FaultKind::DuplicatePatient => {
                f.write_str("the same Patient occurs twice in this bundle; merge the two entries")
            }
            FaultKind::AlreadyImported => f.write_str(
                "this Patient was imported before with other content; remove the bundle or start a new data folder",
            ),
            FaultKind::MrnTaken => {
                f.write_str("another patient has this medical record number; merge the two patients or mend the number")
            }
        }
    }
}

impl core::error::Error for Fault {}
