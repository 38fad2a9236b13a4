//! A sealed value as a type: what a row, a message or a cache holds.

#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "serde")]
mod serde_form;
#[cfg(feature = "sqlite")]
mod sqlite;

use core::fmt;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;

use phi_keys::KeyId;
use phi_keys::f1::{self, FormatError};

use crate::bytes::Bytes;

/// A value of type `T` in format F1, as a column holds it.
///
/// With feature `sqlite` it is an SQLite `BLOB`, with feature `postgres` a PostgreSQL `BYTEA`, with feature `serde` a
/// serde value: the text form in formats that people read, bytes in others. Reading anything else, such as a plaintext
/// that was stored by mistake, is an error that says so. Nothing is verified before the value is opened.
///
/// ```
/// use phi_crypto::Sealed;
///
/// let refused = Sealed::<String>::from_bytes(b"Ada Lovelace".to_vec());
/// assert!(refused.is_err(), "a plaintext is never taken for a sealed value");
/// ```
///
/// Small values that were sealed as a batch share a buffer of at most 64 KiB, which lives as long as one of them does.
pub struct Sealed<T> {
    bytes: Bytes,
    /// Holds no `T`, and stands for a function that makes one.
    opens: PhantomData<fn() -> T>,
}

impl<T> Sealed<T> {
    /// A value as it was stored.
    ///
    /// # Errors
    /// [`FormatError`] when the bytes are fewer than 57 or their first byte names no suite.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, FormatError> {
        f1::parse(&bytes)?;
        Ok(Self::trusted(Bytes::Own(bytes)))
    }

    /// A value from its text form, `phi1.` and base64url (`SPEC.md` section 4).
    ///
    /// # Errors
    /// [`FormatError`] when the text is not the one canonical form of a sealed value.
    pub fn from_text(text: &str) -> Result<Self, FormatError> {
        Self::from_bytes(f1::from_text(text)?)
    }

    /// Bytes that are in the format.
    pub(crate) const fn trusted(bytes: Bytes) -> Self {
        Self { bytes, opens: PhantomData }
    }

    /// The bytes that a column stores.
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    /// The bytes that a column stores.
    #[inline]
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes.into_vec()
    }

    /// The text form, for places that take no bytes.
    #[must_use]
    pub fn to_text(&self) -> String {
        f1::to_text(self.as_bytes())
    }

    /// The name of the key that opens the value.
    #[must_use]
    pub fn kid(&self) -> KeyId {
        // Parsed when it was made, so the default never shows.
        f1::parse(self.as_bytes()).map_or(KeyId::from_bytes([0; 16]), |parts| parts.kid())
    }
}

impl<T> AsRef<[u8]> for Sealed<T> {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl<T> Clone for Sealed<T> {
    fn clone(&self) -> Self {
        Self::trusted(self.bytes.clone())
    }
}

/// Equal bytes. Two seals of one value differ.
impl<T> PartialEq for Sealed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl<T> Eq for Sealed<T> {}

impl<T> Hash for Sealed<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl<T> fmt::Debug for Sealed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.as_bytes().len())
    }
}
