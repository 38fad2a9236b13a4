//! The one canonical encoding of everything that is authenticated but not encrypted.
//!
//! `domain ‖ u8 n ‖ n × (u8 tag ‖ u32be length ‖ value)` with tags in ascending order: two different lists of fields
//! never have the same bytes, an absent field differs from an empty one, and there is one way to write a list.
//!
//! ```
//! use phi_keys::tlv::Writer;
//!
//! let mut aad = Writer::new("phi/aad/v1");
//! aad.field(1, b"clinic")?;
//! aad.field(3, b"")?;
//! assert_eq!(aad.finish(), b"phi/aad/v1\x02\x01\0\0\0\x06clinic\x03\0\0\0\0");
//! # Ok::<(), phi_keys::tlv::TlvError>(())
//! ```

use core::fmt;

/// Builds one list of fields.
#[derive(Clone)]
pub struct Writer {
    bytes: Vec<u8>,
    /// Where the count stands: behind the domain.
    count_at: usize,
    count: u8,
    last: Option<u8>,
}

impl Writer {
    /// An empty list. The domain says what kind of list it is, with its version, such as `phi/aad/v1`.
    #[must_use]
    pub fn new(domain: &'static str) -> Self {
        Self::with_buffer(domain, Vec::with_capacity(192))
    }

    /// An empty list that reuses the memory of `buffer`, whose content is dropped.
    #[must_use]
    pub fn with_buffer(domain: &'static str, mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        buffer.extend_from_slice(domain.as_bytes());
        let count_at = buffer.len();
        buffer.push(0);
        Self { bytes: buffer, count_at, count: 0, last: None }
    }

    /// Adds a field whose tag is greater than that of every field before it.
    ///
    /// # Errors
    /// [`TlvError`] when the tag is not greater, the value is 4 GiB or longer, or there are 255 fields already.
    pub fn field(&mut self, tag: u8, value: &[u8]) -> Result<(), TlvError> {
        if self.last.is_some_and(|last| tag <= last) {
            return Err(TlvError::Order);
        }
        self.push(tag, &[value])
    }

    /// Adds a field that may repeat the tag of the one before it. The caller sorts such fields and refuses duplicates.
    /// The value is given in parts, which are written one behind the other.
    ///
    /// # Errors
    /// [`TlvError`] when the tag is smaller, the value is 4 GiB or longer, or there are 255 fields already.
    pub fn repeated(&mut self, tag: u8, value: &[&[u8]]) -> Result<(), TlvError> {
        if self.last.is_some_and(|last| tag < last) {
            return Err(TlvError::Order);
        }
        self.push(tag, value)
    }

    fn push(&mut self, tag: u8, parts: &[&[u8]]) -> Result<(), TlvError> {
        let count = self.count.checked_add(1).ok_or(TlvError::TooMany)?;
        let total = parts.iter().try_fold(0_usize, |sum, part| sum.checked_add(part.len())).ok_or(TlvError::TooLong)?;
        let length = u32::try_from(total).map_err(|_| TlvError::TooLong)?;
        self.bytes.push(tag);
        self.bytes.extend_from_slice(&length.to_be_bytes());
        parts.iter().for_each(|part| self.bytes.extend_from_slice(part));
        self.count = count;
        self.last = Some(tag);
        Ok(())
    }

    /// The bytes.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        if let Some(count) = self.bytes.get_mut(self.count_at) {
            *count = self.count;
        }
        self.bytes
    }
}

/// Values can identify a patient, so only their number is printed.
impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Writer({} fields)", self.count)
    }
}

/// Takes a list of fields apart, in order. Accepts only what [`Writer`] writes.
pub(crate) fn read<'a>(domain: &str, bytes: &'a [u8]) -> Option<Vec<(u8, &'a [u8])>> {
    let (&count, mut rest) = bytes.strip_prefix(domain.as_bytes())?.split_first()?;
    let mut fields: Vec<(u8, &[u8])> = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let (&tag, behind) = rest.split_first()?;
        let (length, behind) = behind.split_first_chunk()?;
        let (value, behind) = behind.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        if fields.last().is_some_and(|(last, _)| tag < *last) {
            return None;
        }
        fields.push((tag, value));
        rest = behind;
    }
    rest.is_empty().then_some(fields)
}

/// A list of fields that has no canonical encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlvError {
    /// A tag that is not greater than the one before it.
    Order,
    /// A value of 4 GiB or more.
    TooLong,
    /// More than 255 fields.
    TooMany,
}

impl fmt::Display for TlvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Order => "the fields are not in ascending order of their tags, or one is given twice",
            Self::TooLong => "a field is 4 GiB or longer",
            Self::TooMany => "there are more than 255 fields",
        })
    }
}

impl core::error::Error for TlvError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_count_are_enforced() {
        let mut writer = Writer::new("t");
        writer.field(2, b"x").unwrap();
        assert_eq!(writer.field(2, b"x"), Err(TlvError::Order));
        assert_eq!(writer.field(1, b"x"), Err(TlvError::Order));
        for _ in 1..255 {
            writer.repeated(7, &[b"k", b"v"]).unwrap();
        }
        assert_eq!(writer.repeated(7, &[]), Err(TlvError::TooMany));
        assert_eq!(writer.finish()[1], 255);
    }

    #[test]
    fn absent_differs_from_empty_and_no_boundary_can_move() {
        let list = |fields: &[(u8, &[u8])]| {
            let mut writer = Writer::with_buffer("t", vec![1, 2, 3]);
            fields.iter().for_each(|(tag, value)| writer.field(*tag, value).unwrap());
            writer.finish()
        };
        let lists = [list(&[]), list(&[(1, b"")]), list(&[(1, b"ab"), (2, b"c")]), list(&[(1, b"a"), (2, b"bc")])];
        for (i, a) in lists.iter().enumerate() {
            assert!(lists.iter().skip(i + 1).all(|b| a != b));
        }
    }
}
