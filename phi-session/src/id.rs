//! The name of a session that may be seen.

use core::fmt;

use crate::token::{RandomError, random};

/// A session's public id: 128 random bits, unrelated to its token, the same through every rotation.
///
/// Lists, logs, audit entries and administration pages use it.
///
/// ```
/// use phi_session::PublicId;
///
/// let id = PublicId::from_bytes([0xab; 16]);
/// assert_eq!(id.to_string(), "abababababababababababababababab");
/// assert_eq!(PublicId::parse(&id.to_string()), Some(id));
/// assert_eq!(PublicId::parse("AB"), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicId([u8; 16]);

impl PublicId {
    /// A fresh id from the operating system's generator.
    ///
    /// # Errors
    /// [`RandomError`] when there is no randomness to be had.
    pub fn generate() -> Result<Self, RandomError> {
        random().map(Self)
    }

    /// An id read from a store.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Reads the text form: 32 lower-case hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 32 || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        u128::from_str_radix(text, 16).ok().map(|value| Self(value.to_be_bytes()))
    }
}

impl fmt::Display for PublicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for PublicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_text_form() {
        let id = PublicId::from_bytes(*b"\x00\xabcdefghijklmnop");
        let text = id.to_string();
        assert_eq!(PublicId::parse(&text), Some(id));
        assert_eq!(format!("{id:?}"), format!("PublicId({text})"));
        let with_sign = format!("+{}", &text[1..]);
        for other in ["", &text[1..], &format!("0{text}"), &text.to_uppercase(), &with_sign, &with_sign[..31]] {
            assert_eq!(PublicId::parse(other), None, "{other}");
        }
    }
}
