//! Passwords, kept as Argon2id hashes (RFC 9106).

use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc};
use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;

use crate::failure::{Doing, Failure};
use crate::random;

/// The least that OWASP's Password Storage Cheat Sheet asks of Argon2id: 19 MiB, two passes, one lane.
fn argon2() -> Result<Argon2<'static>, Failure> {
    let params = Params::new(19_456, 2, 1, None).doing("setting up the password hash")?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// A password as typed or drawn. Has no `Debug`; wiped when dropped.
pub(crate) struct Password(Zeroizing<String>);

impl Password {
    pub(crate) fn typed(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Twenty random letters and digits without look-alikes, about 98 bits.
    pub(crate) fn random() -> Result<Self, Failure> {
        const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
        let bytes = Zeroizing::new(random::bytes::<20>()?);
        let letter = |byte: &u8| LETTERS.get(usize::from(byte & 31)).copied().map_or('a', char::from);
        Ok(Self(Zeroizing::new(bytes.iter().map(letter).collect())))
    }

    /// For the one place that shows a drawn password to its owner, and for signing in with it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

/// The stored form of a password, a PHC string.
#[derive(Debug, Clone)]
pub(crate) struct PasswordHash(String);

impl PasswordHash {
    /// Hashes with a fresh salt. Takes tens of milliseconds and 19 MiB: call it off the async threads.
    pub(crate) fn new(password: &Password) -> Result<Self, Failure> {
        let salt = random::bytes::<16>()?;
        let hash: phc::PasswordHash =
            argon2()?.hash_password_with_salt(password.0.as_bytes(), &salt).doing("hashing a password")?;
        Ok(Self(hash.to_string()))
    }

    pub(crate) fn stored(text: String) -> Self {
        Self(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the password is the right one; a malformed hash fits none. As slow as [`new`](Self::new).
    pub(crate) fn fits(&self, password: &Password) -> bool {
        let (Ok(argon2), Ok(hash)) = (argon2(), phc::PasswordHash::new(&self.0)) else { return false };
        argon2.verify_password(password.0.as_bytes(), &hash).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_password_fits() {
        let password = Password::random().unwrap();
        let hash = PasswordHash::new(&password).unwrap();
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(PasswordHash::stored(hash.as_str().to_owned()).fits(&password));
        assert!(!hash.fits(&Password::typed("open sesame".into())));
        assert!(!PasswordHash::stored("!".into()).fits(&password));
    }
}
