//! The text form of format F1, for stores and messages that take no bytes.

use base64ct::{Base64UrlUnpadded, Encoding};

use super::FormatError;

/// What every text form begins with.
const PREFIX: &str = "phi1.";

/// `phi1.` and the bytes in base64url without padding characters (RFC 4648, section 5).
#[must_use]
pub fn to_text(sealed: &[u8]) -> String {
    let mut text = String::from(PREFIX);
    text.push_str(&Base64UrlUnpadded::encode_string(sealed));
    text
}

/// The reverse of [`to_text`]. Only the one canonical text of a value is accepted.
///
/// # Errors
/// [`FormatError::NotSealed`] when the prefix is missing, or the rest is not canonical base64url. The bytes are not
/// examined; [`parse`](super::parse) does that.
pub fn from_text(text: &str) -> Result<Vec<u8>, FormatError> {
    let encoded = text.strip_prefix(PREFIX).ok_or(FormatError::NotSealed)?;
    Base64UrlUnpadded::decode_vec(encoded).map_err(|_| FormatError::NotSealed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_text_is_read() {
        for length in 0..70 {
            let bytes = vec![0xfb; length];
            let text = to_text(&bytes);
            assert_eq!(from_text(&text).unwrap(), bytes);
            assert!(from_text(&format!("{text}=")).is_err());
            assert!(from_text(&format!("{text} ")).is_err());
            // Every other last character stands for other bytes or for trailing bits that must be zero.
            if let Some(last) = text.strip_prefix(PREFIX).and_then(|rest| rest.chars().last()) {
                for other in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".chars() {
                    let changed = format!("{}{other}", &text[..text.len() - 1]);
                    if other != last {
                        assert_ne!(from_text(&changed).ok(), Some(bytes.clone()), "{changed}");
                    }
                }
            }
        }
        assert!(from_text("phi2.AAAA").is_err());
        assert!(from_text("AAAA").is_err());
    }
}
