//! The secret that a browser carries, and the keys that make its stored form useless to a thief.
//!
//! `SPEC.md` beside this crate's manifest describes the bytes.
//!
//! ```
//! use phi_session::{Token, TokenKey};
//! use zeroize::Zeroizing;
//!
//! let key = TokenKey::from_bytes(Zeroizing::new([7; 32]))?;
//! let token = Token::generate()?;
//! assert_eq!(token.expose().len(), 43);
//! assert_eq!(format!("{token:?} {key:?}"), "Token([secret]) TokenKey([secret])");
//! assert_eq!(key.hash(&token), key.hash(&Token::parse(token.expose()).unwrap()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use core::fmt;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use ring::hkdf;
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::record::{Row, Stamp};

/// Bytes of a token before its text form: 256 bits.
const TOKEN_LEN: usize = 32;
/// Characters of a token's text form.
const TEXT_LEN: usize = 43;

/// The operating system gave no random bytes, so no token and no id could be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RandomError;

impl fmt::Display for RandomError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the operating system gave no random bytes: check that the process may call getrandom")
    }
}

impl core::error::Error for RandomError {}

pub(crate) fn random<const N: usize>() -> Result<[u8; N], RandomError> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| RandomError)?;
    Ok(bytes)
}

/// A session's secret: 256 random bits, as 43 characters of base64url.
///
/// It cannot be printed, compared or serialised. Whoever holds it is the session's user until the session ends.
pub struct Token(Zeroizing<String>);

impl Token {
    /// A fresh token from the operating system's generator.
    ///
    /// # Errors
    /// [`RandomError`] when there is no randomness to be had.
    pub fn generate() -> Result<Self, RandomError> {
        let bytes = Zeroizing::new(random::<TOKEN_LEN>()?);
        Ok(Self(Zeroizing::new(Base64UrlUnpadded::encode_string(&*bytes))))
    }

    /// Reads a presented token; `None` unless it is exactly the text form of 32 bytes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::is_canonical(text).then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// The text for the cookie. What receives it must not print or store it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Refuses what is not canonical: other lengths, other alphabets, padding, set trailing bits.
    pub(crate) fn is_canonical(text: &str) -> bool {
        let in_alphabet = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        // 43 characters carry 258 bits, so the last one's two lowest bits are zero: every fourth of the alphabet.
        match text.as_bytes().split_last() {
            Some((last, rest)) => {
                rest.len() == TEXT_LEN - 1 && rest.iter().all(in_alphabet) && b"AEIMQUYcgkosw048".contains(last)
            }
            None => false,
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token([secret])")
    }
}

/// What a store keeps of a token: HMAC-SHA-256 under the [`TokenKey`]. Finds the row; cannot be turned back.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// A hash read from a store.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash([hash])")
    }
}

/// The key of an installation's sessions. All nodes that share a store share it; replacing it ends every session.
///
/// It comes from a key store (`phi_keys::Keys::session_key`) or a secret manager, never from a constant.
pub struct TokenKey {
    token: hmac::Key,
    row: hmac::Key,
    stamp: hmac::Key,
}

/// Thirty-two zero bytes were given as a [`TokenKey`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidTokenKey;

impl fmt::Display for InvalidTokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the token key is all zero: take it from a key store, such as Keys::session_key")
    }
}

impl core::error::Error for InvalidTokenKey {}

struct Len32;

impl hkdf::KeyType for Len32 {
    fn len(&self) -> usize {
        32
    }
}

impl TokenKey {
    /// A key from 32 uniformly random bytes.
    ///
    /// # Errors
    /// [`InvalidTokenKey`] when all bytes are zero, which is what an unset configuration looks like.
    pub fn from_bytes(bytes: Zeroizing<[u8; 32]>) -> Result<Self, InvalidTokenKey> {
        if bool::from(bytes.ct_eq(&[0; 32])) {
            return Err(InvalidTokenKey);
        }
        let prk = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, &*bytes);
        let derive = |label: &[u8]| {
            let length = [u8::try_from(label.len()).map_err(|_| InvalidTokenKey)?];
            let info = [&length[..], label];
            let mut out = Zeroizing::new([0; 32]);
            prk.expand(&info, Len32).and_then(|okm| okm.fill(&mut *out)).map_err(|_| InvalidTokenKey)?;
            Ok(hmac::Key::new(hmac::HMAC_SHA256, &*out))
        };
        Ok(Self {
            token: derive(b"phi/v1/session/token")?,
            row: derive(b"phi/v1/session/row")?,
            stamp: derive(b"phi/v1/session/stamp")?,
        })
    }

    /// The stored form of a token.
    #[must_use]
    pub fn hash(&self, token: &Token) -> TokenHash {
        self.hash_text(&token.0)
    }

    /// Hashes the text as it was presented: there is one text for each token, so decoding it would only cost time.
    pub(crate) fn hash_text(&self, canonical: &str) -> TokenHash {
        TokenHash(tag(&self.token, canonical.as_bytes()))
    }

    /// The MAC that binds who a row belongs to and what it may do. See `SPEC.md`.
    #[must_use]
    pub fn row_mac(&self, row: &Row) -> [u8; 32] {
        tag(&self.row, &row.canonical())
    }

    /// The MAC that binds a row's moving deadlines. See `SPEC.md`.
    #[must_use]
    pub fn stamp_mac(&self, row: &Row, stamp: &Stamp) -> [u8; 32] {
        tag(&self.stamp, &stamp.canonical(row))
    }

    /// Whether both MACs are this key's, compared in constant time.
    pub(crate) fn vouches_for(&self, row: &Row, stamp: &Stamp) -> bool {
        let row_ok = self.row_mac(row).ct_eq(&row.mac);
        let stamp_ok = self.stamp_mac(row, stamp).ct_eq(&stamp.mac);
        bool::from(row_ok & stamp_ok)
    }
}

fn tag(key: &hmac::Key, message: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    // HMAC-SHA-256 gives 32 bytes, so every byte of `out` is written.
    for (to, from) in out.iter_mut().zip(hmac::sign(key, message).as_ref()) {
        *to = *from;
    }
    out
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey([secret])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_zero_key_is_refused() {
        assert_eq!(TokenKey::from_bytes(Zeroizing::new([0; 32])).err(), Some(InvalidTokenKey));
    }

    #[test]
    fn only_the_canonical_text_of_32_bytes_is_a_token() {
        let good = Token::generate().unwrap();
        assert!(Token::parse(good.expose()).is_some());
        for bad in [
            String::new(),
            good.expose()[1..].to_owned(),
            format!("{}A", good.expose()),
            format!("{}=", &good.expose()[1..]),
            "+".repeat(43),
            "é".repeat(21) + "x",
        ] {
            assert!(Token::parse(&bad).is_none(), "{bad}");
        }
        let mut bytes = [0; TOKEN_LEN];
        for last in u8::MIN..=u8::MAX {
            let text = format!("{}{}", "-".repeat(42), char::from(last));
            let decodes = Base64UrlUnpadded::decode(&text, &mut bytes).is_ok();
            assert_eq!(Token::parse(&text).is_some(), decodes, "{text}");
        }
        for any in u8::MIN..=u8::MAX {
            let text = format!("{}{}A", "_".repeat(41), char::from(any));
            let decodes = Base64UrlUnpadded::decode(&text, &mut bytes).is_ok();
            assert_eq!(Token::parse(&text).is_some(), decodes, "{text}");
        }
    }

    #[test]
    fn tokens_do_not_repeat_and_do_not_print() {
        let (one, two) = (Token::generate().unwrap(), Token::generate().unwrap());
        assert_ne!(one.expose(), two.expose());
        assert!(!format!("{one:?}{one:#?}").contains(one.expose()));
        assert_eq!(format!("{:?}", TokenHash::from_bytes([0xab; 32])), "TokenHash([hash])");
    }

    #[test]
    fn errors_name_the_mend() {
        assert!(RandomError.to_string().ends_with("check that the process may call getrandom"));
        assert!(InvalidTokenKey.to_string().ends_with("take it from a key store, such as Keys::session_key"));
    }
}
