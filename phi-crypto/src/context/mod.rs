//! What a sealed value is bound to.

mod error;
mod record_id;

use core::fmt;

use phi_types::SubjectId;

use self::record_id::ROOM;
use crate::aad::Sink;

pub use error::ContextError;
pub use record_id::RecordId;

/// Starts every encoding, so that no other protocol's bytes can be taken for a context.
const MAGIC: &[u8] = b"phi/aad/v1";

/// The tags of the elements, in the order in which they are written. Frozen.
mod tag {
    pub(super) const TENANT: u8 = 1;
    pub(super) const RECORD_TYPE: u8 = 2;
    pub(super) const FIELD: u8 = 3;
    pub(super) const RECORD_ID: u8 = 4;
    pub(super) const SUBJECT: u8 = 5;
    pub(super) const ROW_VERSION: u8 = 6;
    pub(super) const PAIR: u8 = 7;
}

/// Where a value belongs: it is sealed with the value, though not stored, and the value opens nowhere else.
///
/// Record type and field are constants of the code, never names of live tables: a renamed table must not lose its data.
/// The tenant and the subject are filled in from the scope of the sealer or opener; naming another one is an error.
/// The purpose of an access is audited, never bound.
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
    record_type: &'static str,
    field: &'static str,
    tenant: Option<&'a str>,
    record_id: Option<RecordId<'a>>,
    subject: Option<&'a SubjectId>,
    row_version: Option<u64>,
    pairs: Vec<(&'a str, &'a str)>,
    /// An element that was set twice; reported when the context is used.
    repeated: Option<&'static str>,
}

impl<'a> Context<'a> {
    /// The field of a record type, both by the names that the code gives them.
    #[must_use]
    pub const fn new(record_type: &'static str, field: &'static str) -> Self {
        Self {
            record_type,
            field,
            tenant: None,
            record_id: None,
            subject: None,
            row_version: None,
            pairs: Vec::new(),
            repeated: None,
        }
    }

    /// Binds the tenant. Sealers and openers do so by themselves; a tenant that is named must be theirs.
    #[must_use]
    pub fn tenant(mut self, tenant: &'a str) -> Self {
        self.note_repeat(self.tenant.is_some(), "tenant");
        self.tenant = Some(tenant);
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
        let at = self.pairs.partition_point(|(given, _)| given.as_bytes() < key.as_bytes());
        let taken = self.pairs.get(at).is_some_and(|(given, _)| *given == key);
        self.note_repeat(taken, "pair");
        self.pairs.insert(at, (key, value));
        self
    }

    /// The name of the record type.
    #[must_use]
    pub const fn record_type(&self) -> &'static str {
        self.record_type
    }

    /// The name of the field.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        self.field
    }

    /// The associated data of exactly what was named, by `SPEC.md` section 2.
    ///
    /// # Errors
    /// [`ContextError`] when an element was given twice, there are more than 255 elements, or one exceeds 2^32 − 1 bytes.
    pub fn to_aad(&self) -> Result<Vec<u8>, ContextError> {
        let mut out = Vec::with_capacity(192);
        self.write_elements(self.tenant, self.subject, &mut out)?;
        Ok(out)
    }

    /// Writes the associated data as the scope of a sealer or opener completes it.
    pub(crate) fn write_in(
        &self,
        tenant: &str,
        subject: Option<&SubjectId>,
        out: &mut impl Sink,
    ) -> Result<(), ContextError> {
        if self.tenant.is_some_and(|named| named != tenant) {
            return Err(ContextError::OtherTenant);
        }
        // A group's key is nobody's in particular: records in it may name any subject.
        if subject.is_some() && self.subject.is_some() && self.subject != subject {
            return Err(ContextError::OtherSubject);
        }
        self.write_elements(Some(tenant), subject.or(self.subject), out)
    }

    fn write_elements(
        &self,
        tenant: Option<&str>,
        subject: Option<&SubjectId>,
        out: &mut impl Sink,
    ) -> Result<(), ContextError> {
        if let Some(element) = self.repeated {
            return Err(ContextError::Repeated { element });
        }
        let optional = [tenant.is_some(), self.record_id.is_some(), subject.is_some(), self.row_version.is_some()];
        let count = 2 + optional.into_iter().filter(|present| *present).count() + self.pairs.len();
        let count = u8::try_from(count).map_err(|_| ContextError::TooMany)?;

        out.push(MAGIC);
        out.push(&[count]);
        if let Some(tenant) = tenant {
            element(out, tag::TENANT, &[tenant.as_bytes()])?;
        }
        element(out, tag::RECORD_TYPE, &[self.record_type.as_bytes()])?;
        element(out, tag::FIELD, &[self.field.as_bytes()])?;
        if let Some(id) = &self.record_id {
            element(out, tag::RECORD_ID, &[id.text(&mut [0; ROOM])])?;
        }
        if let Some(subject) = subject {
            element(out, tag::SUBJECT, &[subject.expose().as_bytes()])?;
        }
        if let Some(version) = self.row_version {
            element(out, tag::ROW_VERSION, &[&version.to_be_bytes()])?;
        }
        for (key, value) in &self.pairs {
            let length = u32::try_from(key.len()).map_err(|_| ContextError::TooLong)?;
            element(out, tag::PAIR, &[&length.to_be_bytes(), key.as_bytes(), value.as_bytes()])?;
        }
        Ok(())
    }

    fn note_repeat(&mut self, taken: bool, element: &'static str) {
        if taken && self.repeated.is_none() {
            self.repeated = Some(element);
        }
    }

    pub(crate) const fn named_subject(&self) -> Option<&'a SubjectId> {
        self.subject
    }
}

/// Writes `u8 tag ‖ u32be len ‖ value`, of which the value is given in parts.
#[inline]
fn element(out: &mut impl Sink, tag: u8, parts: &[&[u8]]) -> Result<(), ContextError> {
    let length = parts.iter().try_fold(0_usize, |sum, part| sum.checked_add(part.len()));
    let length = length.and_then(|length| u32::try_from(length).ok()).ok_or(ContextError::TooLong)?;
    let [a, b, c, d] = length.to_be_bytes();
    out.push(&[tag, a, b, c, d]);
    parts.iter().for_each(|part| out.push(part));
    Ok(())
}

/// Prints what the code says, never what a row holds.
impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context({}.{})", self.record_type, self.field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_given_twice_is_an_error() {
        let ada = SubjectId::new("ada").unwrap();
        let once = || Context::new("Patient", "name");
        for (context, element) in [
            (once().tenant("a").tenant("a"), "tenant"),
            (once().record_id("1").record_id("1"), "record id"),
            (once().subject(&ada).subject(&ada), "subject"),
            (once().row_version(1).row_version(1), "row version"),
            (once().pair("k", "1").pair("j", "1").pair("k", "2"), "pair"),
        ] {
            assert_eq!(context.to_aad(), Err(ContextError::Repeated { element }));
        }
    }

    #[test]
    fn absent_is_not_empty() {
        let absent = Context::new("Patient", "name").to_aad().unwrap();
        let empty = Context::new("Patient", "name").record_id("").to_aad().unwrap();
        assert_ne!(absent, empty);
    }

    #[test]
    fn pairs_are_sorted_by_key_bytes_and_framed() {
        let one = Context::new("P", "f").pair("b", "2").pair("a", "1");
        let other = Context::new("P", "f").pair("a", "1").pair("b", "2");
        assert_eq!(one.to_aad(), other.to_aad());
        let shifted = Context::new("P", "f").pair("a1", "").pair("b", "2");
        assert_ne!(other.to_aad(), shifted.to_aad());
    }

    #[test]
    fn the_layout_is_the_specified_one() {
        let ada = SubjectId::new("ada").unwrap();
        let aad = Context::new("P", "f").tenant("t").record_id(-7_i64).subject(&ada).row_version(258).pair("k", "v");
        let expected = [
            &b"phi/aad/v1"[..],
            &[7],
            &[1, 0, 0, 0, 1],
            b"t",
            &[2, 0, 0, 0, 1],
            b"P",
            &[3, 0, 0, 0, 1],
            b"f",
            &[4, 0, 0, 0, 2],
            b"-7",
            &[5, 0, 0, 0, 3],
            b"ada",
            &[6, 0, 0, 0, 8],
            &[0, 0, 0, 0, 0, 0, 1, 2],
            &[7, 0, 0, 0, 6],
            &[0, 0, 0, 1],
            b"kv",
        ]
        .concat();
        assert_eq!(aad.to_aad().unwrap(), expected);
    }

    #[test]
    fn two_hundred_and_fifty_six_elements_are_one_too_many() {
        let keys: Vec<String> = (0..254).map(|i| format!("{i:03}")).collect();
        let mut context = Context::new("P", "f");
        for key in keys.iter().take(253) {
            context = context.pair(key, "");
        }
        assert_eq!(context.to_aad().map(|aad| aad[10]), Ok(255));
        assert_eq!(context.pair(&keys[253], "").to_aad(), Err(ContextError::TooMany));
    }

    #[test]
    fn the_scope_completes_a_context_and_is_not_overruled() {
        let (ada, grace) = (SubjectId::new("ada").unwrap(), SubjectId::new("grace").unwrap());
        let within = |context: &Context<'_>, subject| {
            let mut out = Vec::new();
            context.write_in("clinic", subject, &mut out).map(|()| out)
        };
        let bare = Context::new("P", "f");
        let full = bare.clone().tenant("clinic").subject(&ada);
        assert_eq!(within(&bare, Some(&ada)), full.to_aad());
        assert_eq!(within(&full, Some(&ada)), full.to_aad());
        assert_eq!(within(&full, None), full.to_aad());
        assert_eq!(within(&full, Some(&grace)), Err(ContextError::OtherSubject));
        assert_eq!(within(&bare.tenant("other"), None), Err(ContextError::OtherTenant));
    }

    #[test]
    fn debug_prints_no_id() {
        let ada = SubjectId::new("ada-7431").unwrap();
        let context = Context::new("Patient", "name").record_id("mrn-7431").subject(&ada).pair("visit", "v-7431");
        let text = format!("{context:?} {:?}", RecordId::from("mrn-7431"));
        assert!(!text.contains("7431"), "{text}");
    }
}
