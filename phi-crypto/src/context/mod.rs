//! What a sealed value is bound to.

mod error;
mod field;
mod record_id;
#[cfg(test)]
mod tests;

use core::fmt;

use phi_types::SubjectId;

use crate::aad;

pub use error::ContextError;
pub use field::Field;
pub(crate) use record_id::ROOM;
pub use record_id::RecordId;

/// The tags of the elements, in the order in which they are written. Frozen.
pub(crate) mod tag {
    pub(crate) const TENANT: u8 = 1;
    pub(crate) const RECORD_TYPE: u8 = 2;
    pub(crate) const FIELD: u8 = 3;
    pub(crate) const RECORD_ID: u8 = 4;
    pub(crate) const SUBJECT: u8 = 5;
    pub(crate) const ROW_VERSION: u8 = 6;
    pub(crate) const PAIR: u8 = 7;
}

/// Where a value belongs: it is sealed with the value, though not stored, and the value opens nowhere else.
///
/// Record type and field are constants of the code, never names of live tables: a renamed table must not lose its data.
/// The tenant and the subject are filled in from the scope of the sealer or opener; naming another one is an error.
/// The purpose of an access is audited, never bound.
///
/// A context names its record, or says [`without_record`](Field::without_record) that it does not.
///
/// A context proves origin and place, not freshness: an older value of the same field can be put back unless
/// [`row_version`](Self::row_version) is bound.
///
/// The encoding is the canonical TLV of `SPEC.md`, section 2.
///
/// ```
/// use phi_crypto::Context;
///
/// let name = Context::new("Patient", "name").record_id("7431");
/// let ssn = Context::new("Patient", "ssn").record_id("7431");
/// assert_ne!(name.to_aad()?, ssn.to_aad()?);
/// # Ok::<(), phi_crypto::ContextError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Context<'a> {
    pub(crate) field: Field,
    pub(crate) record_id: Option<RecordId<'a>>,
    pub(crate) subject: Option<&'a SubjectId>,
    pub(crate) row_version: Option<u64>,
    /// What few contexts have, apart, so that a batch of the others is small.
    rare: Option<Box<Rare<'a>>>,
}

#[derive(Clone, Default, PartialEq, Eq)]
struct Rare<'a> {
    tenant: Option<&'a str>,
    /// Sorted by their keys.
    pairs: Vec<(&'a str, &'a str)>,
    /// An element that was set twice; reported when the context is used.
    repeated: Option<&'static str>,
}

impl<'a> Context<'a> {
    /// The field of a record type, both by the names that the code gives them; the record is named next.
    #[must_use]
    #[expect(clippy::new_ret_no_self, reason = "a context without a record has to say so")]
    pub const fn new(record_type: &'static str, field: &'static str) -> Field {
        Field::new(record_type, field)
    }

    pub(super) const fn of(field: Field) -> Self {
        Self { field, record_id: None, subject: None, row_version: None, rare: None }
    }

    /// Binds the tenant. Sealers and openers do so by themselves; a tenant that is named must be theirs.
    #[must_use]
    pub fn tenant(mut self, tenant: &'a str) -> Self {
        self.note_repeat(self.named_tenant().is_some(), "tenant");
        self.rare_mut().tenant = Some(tenant);
        self
    }

    /// Binds the record, so that a value copied into another row is refused.
    #[must_use]
    pub fn record_id(mut self, id: impl Into<RecordId<'a>>) -> Self {
        self.note_repeat(self.record_id.is_some(), "record id");
        self.record_id = Some(id.into());
        self
    }

    /// Binds the patient. Sealers and openers of one subject do so by themselves; a subject that is named must be theirs.
    #[must_use]
    pub fn subject(mut self, subject: &'a SubjectId) -> Self {
        self.note_repeat(self.subject.is_some(), "subject");
        self.subject = Some(subject);
        self
    }

    /// Binds the version of the row, so that an older value of the same field is refused. The version must be known when
    /// the value is opened, from a place that its writer cannot turn back as well.
    #[must_use]
    pub fn row_version(mut self, version: u64) -> Self {
        self.note_repeat(self.row_version.is_some(), "row version");
        self.row_version = Some(version);
        self
    }

    /// Binds a further fact of the application. The order in which pairs are added does not matter; a key may be used
    /// once.
    #[must_use]
    pub fn pair(mut self, key: &'a str, value: &'a str) -> Self {
        let pairs = &mut self.rare_mut().pairs;
        let at = pairs.partition_point(|(given, _)| given.as_bytes() < key.as_bytes());
        let taken = pairs.get(at).is_some_and(|(given, _)| *given == key);
        pairs.insert(at, (key, value));
        self.note_repeat(taken, "pair");
        self
    }

    /// The field, and of which record type.
    #[must_use]
    pub const fn field(&self) -> Field {
        self.field
    }

    /// The associated data of exactly what was named, by `SPEC.md` section 2.
    ///
    /// # Errors
    /// [`ContextError`] when an element was given twice, there are more than 255 elements, or one exceeds 2^32 − 1 bytes.
    pub fn to_aad(&self) -> Result<Vec<u8>, ContextError> {
        aad::of(self)
    }

    /// The record, where nothing but record type, field and record are named.
    #[inline]
    pub(crate) fn only_record(&self) -> Option<&RecordId<'a>> {
        let alone = self.rare.is_none() && self.subject.is_none() && self.row_version.is_none();
        self.record_id.as_ref().filter(|_| alone)
    }

    pub(crate) fn named_tenant(&self) -> Option<&'a str> {
        self.rare.as_ref()?.tenant
    }

    /// The pairs, sorted by their keys.
    pub(crate) fn pairs(&self) -> &[(&'a str, &'a str)] {
        self.rare.as_ref().map_or(&[], |rare| &rare.pairs)
    }

    /// The first element that was set twice.
    pub(crate) fn repeated(&self) -> Option<&'static str> {
        self.rare.as_ref()?.repeated
    }

    fn rare_mut(&mut self) -> &mut Rare<'a> {
        self.rare.get_or_insert_default()
    }

    fn note_repeat(&mut self, taken: bool, element: &'static str) {
        if taken {
            self.rare_mut().repeated.get_or_insert(element);
        }
    }
}

/// Prints what the code says, never what a row holds.
impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context({}.{})", self.field.record_type(), self.field.name())
    }
}
