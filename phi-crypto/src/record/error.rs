//! Why a record was not sealed or opened.

use core::fmt;

use crate::Field;
use crate::{IndexError, OpenError, SealError};

/// A record was not sealed or opened, because of one of its fields.
#[derive(Debug, Clone)]
pub struct RecordError {
    field: Field,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Seal(SealError),
    Open(OpenError),
    Index(IndexError),
}

impl RecordError {
    /// A field could not be sealed; for implementations of [`Record`](super::Record).
    #[must_use]
    pub const fn seal(field: Field, source: SealError) -> Self {
        Self { field, kind: Kind::Seal(source) }
    }

    /// A field could not be opened; for implementations of [`Record`](super::Record).
    #[must_use]
    pub const fn open(field: Field, source: OpenError) -> Self {
        Self { field, kind: Kind::Open(source) }
    }

    /// A field could not be indexed; for implementations of [`Record`](super::Record).
    #[must_use]
    pub const fn index(field: Field, source: IndexError) -> Self {
        Self { field, kind: Kind::Index(source) }
    }

    /// The field.
    #[must_use]
    pub const fn field(&self) -> Field {
        self.field
    }

    /// Why it could not be opened, if that is what failed.
    #[must_use]
    pub const fn as_open(&self) -> Option<&OpenError> {
        match &self.kind {
            Kind::Open(source) => Some(source),
            Kind::Seal(_) | Kind::Index(_) => None,
        }
    }
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            Kind::Seal(_) => "sealed",
            Kind::Open(_) => "opened",
            Kind::Index(_) => "indexed",
        };
        write!(f, "the field {}.{} could not be {what}", self.field.record_type(), self.field.name())
    }
}

impl core::error::Error for RecordError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match &self.kind {
            Kind::Seal(source) => Some(source),
            Kind::Open(source) => Some(source),
            Kind::Index(source) => Some(source),
        }
    }
}
