//! Which record a value is in.

use core::fmt;

use phi_types::SubjectId;

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

    /// Lends the text.
    pub(crate) fn with_text<R>(&self, take: impl FnOnce(&[u8]) -> R) -> R {
        take(self.text(&mut [0; ROOM]))
    }

    /// The text, written into `room` where it is not text already.
    pub(crate) fn text<'t>(&'t self, room: &'t mut [u8; ROOM]) -> &'t [u8] {
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
pub(crate) const ROOM: usize = 36;

/// Decimal digits at the end of `room`, which every number of 64 bits and its sign fit into.
fn decimal(mut number: u64, negative: bool, room: &mut [u8; ROOM]) -> &[u8] {
    let mut start = ROOM;
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
fn hyphenated(bytes: &[u8; 16], room: &mut [u8; ROOM]) {
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
        self.text(&mut [0; ROOM]) == other.text(&mut [0; ROOM])
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
