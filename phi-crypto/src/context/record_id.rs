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

    /// The text of a number of at most eight digits.
    #[inline]
    pub(crate) fn short(&self) -> Option<Short> {
        let number = match self.0 {
            Id::Unsigned(number) => u32::try_from(number).ok()?,
            Id::Signed(number) => u32::try_from(number).ok()?,
            Id::Text(_) | Id::Uuid(_) => return None,
        };
        (number < 100_000_000).then(|| Short::digits(number))
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

/// A text of at most eight bytes, in a register.
#[derive(Clone, Copy)]
pub(crate) struct Short {
    /// From the lowest byte on; zero behind the text.
    pub(crate) bytes: u64,
    pub(crate) len: u32,
}

impl Short {
    /// The decimal digits of a number below 10^8, all at once: halves of four digits, quarters of two, single ones, each
    /// in as many bits as it has bytes in the text.
    #[inline]
    const fn digits(number: u32) -> Self {
        let number = number as u64;
        let halves = (number / 10_000) | ((number % 10_000) << 32);
        // ⌊x ÷ 100⌋ of every x below 10^4, and below ⌊x ÷ 10⌋ of every x below 100.
        let hundreds = ((halves * 10_486) >> 20) & 0x0000_007f_0000_007f;
        let quarters = hundreds | ((halves - hundreds * 100) << 16);
        let tens = ((quarters * 103) >> 10) & 0x000f_000f_000f_000f;
        let digits = tens | ((quarters - tens * 10) << 8);
        // Zeros at the front are no part of the text, but the last digit always is.
        let skipped = (digits | (1 << 56)).trailing_zeros() & !7;
        Self { bytes: (digits | 0x3030_3030_3030_3030) >> skipped, len: 8 - skipped / 8 }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_the_standard_library() {
        // Every half of eight digits with every kind of other half, and both sides of what is short.
        let halves = (0..10_000).flat_map(|half| [half, half * 10_000, half * 10_000 + 9_999, 99_990_000 + half]);
        let powers = (0..20).map(|exponent| 10_u64.pow(exponent)).flat_map(|power| [power - 1, power, power + 1]);
        for number in halves.chain(powers) {
            let expected = number.to_string();
            let ids = [Some(RecordId::from(number)), i64::try_from(number).ok().map(RecordId::from)];
            for id in ids.into_iter().flatten() {
                assert_eq!(id.text(&mut [0; ROOM]), expected.as_bytes());
                let short = id.short().map(|short| short.bytes.to_le_bytes()[..short.len as usize].to_vec());
                assert_eq!(short, (expected.len() <= 8).then(|| expected.as_bytes().to_vec()));
            }
        }
        assert!(RecordId::from(-1_i64).short().is_none() && RecordId::from("1").short().is_none());
    }
}
