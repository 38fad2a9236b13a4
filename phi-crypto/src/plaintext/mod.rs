//! What can be sealed, and what comes out.

#[cfg(feature = "serde")]
mod json;

use core::ops::Deref;
use core::{fmt, mem};

use phi_types::Phi;
use zeroize::{Zeroize as _, Zeroizing};

#[cfg(feature = "serde")]
pub use json::{Json, JsonRef};

/// A value that can be sealed: text, bytes, [`Phi`] of one, and with feature `serde` any serialisable value in a
/// `Json` wrapper.
///
/// Implement it for an own type that has a compact encoding; the encoding is what later versions must still read.
///
/// ```
/// use phi_crypto::{EncodeError, Openable, Plaintext, Sealable};
/// use zeroize::Zeroizing;
///
/// struct HeartRate(u16);
///
/// impl Sealable for HeartRate {
///     type Opens = Self;
///     fn plaintext(&self) -> Result<Plaintext<'_>, EncodeError> {
///         Ok(Plaintext::from(self.0.to_be_bytes().to_vec()))
///     }
/// }
///
/// impl Openable for HeartRate {
///     fn from_plaintext(bytes: Zeroizing<Vec<u8>>) -> Result<Self, phi_crypto::DecodeError> {
///         let bytes = bytes.as_slice().try_into().map_err(|_| phi_crypto::DecodeError::new())?;
///         Ok(Self(u16::from_be_bytes(bytes)))
///     }
/// }
///
/// let written = HeartRate(72).plaintext()?.to_vec();
/// assert_eq!(HeartRate::from_plaintext(written.into())?.0, 72);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Sealable {
    /// The type that comes out when the value is opened.
    type Opens;

    /// The encoding of the value.
    ///
    /// # Errors
    /// [`EncodeError`] when the value has no encoding.
    fn plaintext(&self) -> Result<Plaintext<'_>, EncodeError>;
}

/// The encoding of a value, borrowed from it where it is its own encoding, and wiped when dropped where it is not.
pub struct Plaintext<'a>(Bytes<'a>);

enum Bytes<'a> {
    Borrowed(&'a [u8]),
    Owned(Wiped),
}

/// A vector that is wiped when dropped, by a function: that of `Zeroizing` would stand wherever a value is sealed, in loops.
pub(crate) struct Wiped(pub(crate) Vec<u8>);

impl Drop for Wiped {
    #[inline]
    fn drop(&mut self) {
        if self.0.capacity() != 0 {
            wipe(&mut self.0);
        }
    }
}

#[inline(never)]
fn wipe(bytes: &mut Vec<u8>) {
    bytes.zeroize();
}

impl<'a> From<&'a [u8]> for Plaintext<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self(Bytes::Borrowed(bytes))
    }
}

impl From<Vec<u8>> for Plaintext<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Bytes::Owned(Wiped(bytes)))
    }
}

impl Deref for Plaintext<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Borrowed(bytes) => bytes,
            Bytes::Owned(Wiped(bytes)) => bytes,
        }
    }
}

impl fmt::Debug for Plaintext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Plaintext([PHI])")
    }
}

/// A value that an opened plaintext becomes.
pub trait Openable: Sized {
    /// Reads the encoding that [`Sealable::plaintext`] gave. What is not taken out of `bytes` is wiped.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are no encoding of this type.
    fn from_plaintext(bytes: Zeroizing<Vec<u8>>) -> Result<Self, DecodeError>;
}

impl Sealable for str {
    type Opens = String;

    fn plaintext(&self) -> Result<Plaintext<'_>, EncodeError> {
        Ok(self.as_bytes().into())
    }
}

impl Sealable for String {
    type Opens = Self;

    fn plaintext(&self) -> Result<Plaintext<'_>, EncodeError> {
        Ok(self.as_bytes().into())
    }
}

impl Openable for String {
    fn from_plaintext(mut bytes: Zeroizing<Vec<u8>>) -> Result<Self, DecodeError> {
        Self::from_utf8(mem::take(&mut *bytes)).map_err(|refused| {
            drop(Zeroizing::new(refused.into_bytes()));
            DecodeError(())
        })
    }
}

impl Sealable for [u8] {
    type Opens = Vec<u8>;

    fn plaintext(&self) -> Result<Plaintext<'_>, EncodeError> {
        Ok(self.into())
    }
}

impl<const N: usize> Sealable for [u8; N] {
    type Opens = Vec<u8>;

    fn plaintext(&self) -> Result<Plaintext<'_>, EncodeError> {
        Ok(self.as_slice().into())
    }
}

impl Sealable for Vec<u8> {
    type Opens = Self;

    fn plaintext(&self) -> Result<Plaintext<'_>, EncodeError> {
        Ok(self.as_slice().into())
    }
}

impl Openable for Vec<u8> {
    fn from_plaintext(mut bytes: Zeroizing<Self>) -> Result<Self, DecodeError> {
        Ok(mem::take(&mut *bytes))
    }
}

impl<V: Sealable + ?Sized> Sealable for &V {
    type Opens = V::Opens;

    fn plaintext(&self) -> Result<Plaintext<'_>, EncodeError> {
        (**self).plaintext()
    }
}

/// What was opened can be sealed again without being exposed.
impl<V: Sealable> Sealable for Phi<V> {
    type Opens = V::Opens;

    fn plaintext(&self) -> Result<Plaintext<'_>, EncodeError> {
        self.expose().plaintext()
    }
}

/// A value has no encoding. Carries nothing, because an encoder's message can hold the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodeError(pub(crate) ());

impl EncodeError {
    /// For an own implementation of [`Sealable`].
    #[must_use]
    pub const fn new() -> Self {
        Self(())
    }
}

impl Default for EncodeError {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value has no encoding; check its serialiser, for example for maps whose keys are not text")
    }
}

impl core::error::Error for EncodeError {}

/// Opened bytes are no encoding of the wanted type. Carries nothing, because a decoder's message can hold the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeError(pub(crate) ());

impl DecodeError {
    /// For an own implementation of [`Openable`].
    #[must_use]
    pub const fn new() -> Self {
        Self(())
    }
}

impl Default for DecodeError {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the opened value is of another type; open it as the type that was sealed")
    }
}

impl core::error::Error for DecodeError {}
