//! A field by the names that the code gives it.

use crate::{Context, RecordId};

/// A field of a record type, as a constant. It has no value until the record is named, so a sealed value cannot be left
/// unbound from its record by mistake.
///
/// ```
/// use phi_crypto::{Context, Field};
///
/// const NAME: Field = Field::new("Patient", "name");
/// assert_eq!(NAME.of(7431_i64).to_aad()?, Context::new("Patient", "name").record_id("7431").to_aad()?);
/// # Ok::<(), phi_crypto::ContextError>(())
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

    /// The field of one record: the context in which its value is sealed and opened.
    #[must_use]
    pub fn of<'a>(self, record: impl Into<RecordId<'a>>) -> Context<'a> {
        Context::new(self.record_type, self.name).record_id(record)
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
}
