//! The stored form of an indexed value.

use core::fmt;

use subtle::ConstantTimeEq as _;

/// A version byte and up to 32 bytes of HMAC.
const LONGEST: usize = 33;

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

#[cfg(feature = "sqlite")]
mod sqlite {
    use sqlx::encode::{Encode, IsNull};
    use sqlx::error::BoxDynError;
    use sqlx::sqlite::{Sqlite, SqliteArgumentsBuffer, SqliteTypeInfo};
    use sqlx::types::Type;

    use super::Tag;

    /// A tag is a `BLOB`; no tag (`None`) is `NULL`, which `=` never finds.
    impl Type<Sqlite> for Tag {
        fn type_info() -> SqliteTypeInfo {
            <[u8] as Type<Sqlite>>::type_info()
        }
    }

    impl Encode<'_, Sqlite> for Tag {
        fn encode_by_ref(&self, args: &mut SqliteArgumentsBuffer) -> Result<IsNull, BoxDynError> {
            <Vec<u8> as Encode<'_, Sqlite>>::encode(self.as_bytes().to_vec(), args)
        }
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
    fn only_equal_tags_are_equal() {
        let one = Tag::new(1, &[7; 32], 128);
        assert_eq!(one, Tag::new(1, &[7; 32], 128));
        assert_ne!(one, Tag::new(2, &[7; 32], 128));
        assert_ne!(one, Tag::new(1, &[7; 32], 120));
        assert_ne!(one, Tag::new(1, &[8; 32], 128));
    }
}
