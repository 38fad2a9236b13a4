//! What a sealed value is bound to.

use core::fmt;

use phi_types::SubjectId;

use crate::aad::Sink;

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
            element(out, tag::RECORD_ID, &[id.text(&mut [0; LONGEST_ID])])?;
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

/// The id of a record, always bound as text: whole numbers in decimal, UUIDs lower-case and hyphenated.
///
/// An id that a database keeps as a number or as text is therefore the same id.
///
/// ```
/// use phi_crypto::{Context, RecordId};
///
/// let number = Context::new("Visit", "note").record_id(7431_i64);
/// let text = Context::new("Visit", "note").record_id("7431");
/// assert_eq!(number.to_aad()?, text.to_aad()?);
///
/// let uuid = RecordId::uuid([0x22; 16]);
/// let text = Context::new("Visit", "note").record_id("22222222-2222-2222-2222-222222222222");
/// assert_eq!(Context::new("Visit", "note").record_id(uuid).to_aad()?, text.to_aad()?);
/// # Ok::<(), phi_crypto::ContextError>(())
/// ```
#[derive(Clone, Copy)]
pub struct RecordId<'a>(Id<'a>);

#[derive(Clone, Copy)]
enum Id<'a> {
    Text(&'a str),
    Signed(i64),
    Unsigned(u64),
    Uuid([u8; 16]),
}

impl RecordId<'_> {
    /// A UUID by its bytes in network order (RFC 9562), as `uuid::Uuid::into_bytes` gives them.
    #[must_use]
    pub const fn uuid(bytes: [u8; 16]) -> Self {
        Self(Id::Uuid(bytes))
    }

    /// The text, written into `room` where it is not text already.
    fn text<'t>(&'t self, room: &'t mut [u8; LONGEST_ID]) -> &'t [u8] {
        match self.0 {
            Id::Text(text) => text.as_bytes(),
            Id::Signed(number) => decimal(number.unsigned_abs(), number < 0, room),
            Id::Unsigned(number) => decimal(number, false, room),
            Id::Uuid(bytes) => {
                hyphenated(&bytes, room);
                room
            }
        }
    }
}

/// The longest id that is not text: a UUID.
const LONGEST_ID: usize = 36;

/// Decimal digits at the end of `room`, which every number of 64 bits and its sign fit into.
fn decimal(mut number: u64, negative: bool, room: &mut [u8; LONGEST_ID]) -> &[u8] {
    let mut start = LONGEST_ID;
    for (at, place) in room.iter_mut().enumerate().rev() {
        start = at;
        let digit = (number % 10) as u8;
        *place = b'0' | digit;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    if negative && let Some(sign) = start.checked_sub(1).and_then(|before| room.get_mut(before)) {
        *sign = b'-';
        start -= 1;
    }
    room.get(start..).unwrap_or_default()
}

/// Lower-case hexadecimal digits in groups of 8, 4, 4, 4 and 12.
fn hyphenated(bytes: &[u8; 16], room: &mut [u8; LONGEST_ID]) {
    let digit = |value: u8| if value < 10 { b'0' + value } else { b'a' - 10 + value };
    let mut digits = bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
    for (at, place) in room.iter_mut().enumerate() {
        // Four places are hyphens and 32 are digits, so the default is never taken.
        *place = if matches!(at, 8 | 13 | 18 | 23) { b'-' } else { digits.next().unwrap_or_default() };
    }
}

/// Ids are equal when their texts are.
impl PartialEq for RecordId<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.text(&mut [0; LONGEST_ID]) == other.text(&mut [0; LONGEST_ID])
    }
}

impl Eq for RecordId<'_> {}

/// A record's id can identify a patient.
impl fmt::Debug for RecordId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecordId([id])")
    }
}

impl<'a> From<&'a str> for RecordId<'a> {
    fn from(id: &'a str) -> Self {
        Self(Id::Text(id))
    }
}

impl<'a> From<&'a String> for RecordId<'a> {
    fn from(id: &'a String) -> Self {
        Self(Id::Text(id))
    }
}

impl<'a> From<&'a SubjectId> for RecordId<'a> {
    fn from(id: &'a SubjectId) -> Self {
        Self(Id::Text(id.expose()))
    }
}

impl From<i64> for RecordId<'_> {
    fn from(id: i64) -> Self {
        Self(Id::Signed(id))
    }
}

impl From<u64> for RecordId<'_> {
    fn from(id: u64) -> Self {
        Self(Id::Unsigned(id))
    }
}

/// A context cannot be bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ContextError {
    /// An element was given twice.
    #[non_exhaustive]
    Repeated {
        /// Which one, by its name in the documentation.
        element: &'static str,
    },
    /// There are more than 255 elements.
    TooMany,
    /// An element exceeds 2^32 − 1 bytes.
    TooLong,
    /// The context names a tenant that is not the one of the keys.
    OtherTenant,
    /// The context names a subject that is not the one of the scope.
    OtherSubject,
}

impl fmt::Display for ContextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repeated { element } => {
                write!(f, "the context names its {element} twice; name it once, and give each pair a key of its own")
            }
            Self::TooMany => f.write_str("the context has more than 255 elements; bind fewer pairs"),
            Self::TooLong => f.write_str("an element of the context exceeds 2^32 - 1 bytes; bind a digest of it"),
            Self::OtherTenant => f.write_str(
                "the context names another tenant than the keys serve; leave it out or use that tenant's keys",
            ),
            Self::OtherSubject => f.write_str(
                "the context names another subject than the scope; obtain a sealer or opener for that subject",
            ),
        }
    }
}

impl core::error::Error for ContextError {}

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
