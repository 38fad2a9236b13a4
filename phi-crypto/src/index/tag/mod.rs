//! The stored form of an indexed value.

#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

use core::fmt;

use subtle::ConstantTimeEq as _;

use super::IndexError;

/// A version byte and up to 32 bytes of HMAC.
const LONGEST: usize = 33;

/// A version byte and 8 bits.
const SHORTEST: usize = 2;

/// What a blind index stores for a value and looks up: `version ‖ truncated HMAC`.
///
/// Equal values have equal tags under one index, so whoever reads the column learns which rows are equal. `Debug` prints
/// no bytes; comparison takes the same time whatever differs.
#[derive(Clone, Copy)]
pub struct Tag {
    bytes: [u8; LONGEST],
    length: usize,
}

impl Tag {
    /// `mac` cut to `bits`, behind the version; unused bits of the last byte are zero.
    pub(super) fn new(version: u8, mac: &[u8], bits: u16) -> Self {
        let mut bytes = [version; LONGEST];
        let whole = usize::from(bits.div_ceil(8)).min(LONGEST - 1).min(mac.len());
        let unused = whole.saturating_mul(8).saturating_sub(usize::from(bits)).min(7);
        for (slot, byte) in bytes.iter_mut().skip(1).zip(mac.iter().take(whole)) {
            *slot = *byte;
        }
        if let Some(last) = bytes.get_mut(whole).filter(|_| whole > 0) {
            *last &= 0xff_u8 << unused;
        }
        Self { bytes, length: whole.saturating_add(1) }
    }

    /// A tag as a column holds it. Which index it is of, its bytes do not say.
    ///
    /// # Errors
    /// [`IndexError::NotATag`] when the bytes are not 2 to 33, or begin with 0.
    pub fn from_bytes(stored: &[u8]) -> Result<Self, IndexError> {
        let mut bytes = [0; LONGEST];
        let room = bytes.get_mut(..stored.len()).filter(|room| room.len() >= SHORTEST).ok_or(IndexError::NotATag)?;
        room.copy_from_slice(stored);
        match stored.first() {
            None | Some(0) => Err(IndexError::NotATag),
            Some(_) => Ok(Self { bytes, length: stored.len() }),
        }
    }

    /// The version of the index that made the tag: the first byte.
    #[must_use]
    pub const fn version(&self) -> u8 {
        let [version, ..] = self.bytes;
        version
    }

    /// The bytes of the column.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl PartialEq for Tag {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes().ct_eq(other.as_bytes()).into()
    }
}

impl Eq for Tag {}

impl AsRef<[u8]> for Tag {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

/// A tag is a pseudonym of a patient's identifier.
impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tag([tag])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_the_version_and_the_first_bits() {
        let mac = [0xff_u8; 32];
        assert_eq!(Tag::new(1, &mac, 128).as_bytes(), [&[1][..], &[0xff; 16]].concat());
        assert_eq!(Tag::new(2, &mac, 12).as_bytes(), [2, 0xff, 0xf0]);
        assert_eq!(Tag::new(3, &mac, 256).as_bytes().len(), 33);
        assert_eq!(Tag::new(1, &mac, 9).as_bytes(), [1, 0xff, 0x80]);
    }

    #[test]
    fn a_stored_tag_is_read_back_and_nothing_else_is() {
        for bits in [8, 12, 128, 256] {
            let tag = Tag::new(3, &[0xa5; 32], bits);
            let read = Tag::from_bytes(tag.as_bytes()).unwrap();
            assert_eq!((read, read.version()), (tag, 3));
        }
        for wrong in [&[][..], &[1], &[0, 1], &[1; 34]] {
            assert!(matches!(Tag::from_bytes(wrong), Err(IndexError::NotATag)), "{wrong:?}");
        }
    }

    #[test]
    fn only_equal_tags_are_equal() {
        let one = Tag::new(1, &[7; 32], 128);
        assert_eq!(one, Tag::new(1, &[7; 32], 128));
        assert_ne!(one, Tag::new(2, &[7; 32], 128));
        assert_ne!(one, Tag::new(1, &[7; 32], 120));
        assert_ne!(one, Tag::new(1, &[8; 32], 128));
    }
}
