//! The field of a record type, before it is said which record is meant.

use super::{Context, RecordId};

/// A field of a record type, as a constant: what [`Context::new`] makes. It becomes a [`Context`] when it is said of which
/// record.
///
/// ```
/// use phi_crypto::{Context, Field};
///
/// const NAME: Field = Field::new("Patient", "name");
///
/// assert_eq!(NAME.of(7431_i64).to_aad()?, Context::new("Patient", "name").record_id("7431").to_aad()?);
/// assert_ne!(NAME.of(7431_i64).to_aad()?, NAME.of(7432_i64).to_aad()?);
/// # Ok::<(), phi_crypto::ContextError>(())
/// ```
///
/// A field alone is no place, so that nobody forgets the record and lets values move from row to row:
///
/// ```compile_fail
/// # fn seal(place: &phi_crypto::Context<'_>) {}
/// seal(&phi_crypto::Context::new("Patient", "name"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Field {
    record_type: &'static str,
    name: &'static str,
}

impl Field {
    /// The field of a record type, both by the names that the code gives them for ever.
    #[must_use]
    pub const fn new(record_type: &'static str, name: &'static str) -> Self {
        Self { record_type, name }
    }

    /// The field of one record: [`record_id`](Self::record_id), behind the name of a constant.
    #[must_use]
    pub fn of<'a>(self, record: impl Into<RecordId<'a>>) -> Context<'a> {
        self.record_id(record)
    }

    /// The field in one record, so that a value copied into another row is refused.
    #[must_use]
    pub fn record_id<'a>(self, id: impl Into<RecordId<'a>>) -> Context<'a> {
        self.without_record().record_id(id)
    }

    /// The field in any record of the scope: a value that is copied from one row of the same patient into another opens
    /// there as well. For what a patient has once, and for records whose id is not known before they are stored.
    #[must_use]
    pub const fn without_record<'a>(self) -> Context<'a> {
        Context::of(self)
    }

    /// The name of the record type.
    #[must_use]
    pub const fn record_type(&self) -> &'static str {
        self.record_type
    }

    /// The name of the field.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Whether both are the same constants of the program, found out without a look at their text. Two constants of the
    /// same text may count as different.
    #[inline]
    pub(crate) fn is_same_constant(&self, other: &Self) -> bool {
        core::ptr::eq(self.record_type, other.record_type) && core::ptr::eq(self.name, other.name)
    }

    /// A number that tells the fields of a record type apart as a rule, for a table of a few places.
    #[inline]
    pub(crate) fn place(&self) -> usize {
        // Names of one length are told apart by where they stand.
        self.name.as_ptr().addr() ^ (self.name.as_ptr().addr() >> 4) ^ self.name.len()
    }
}
