//! Serde values, sealed as JSON.

use core::fmt;

use zeroize::Zeroizing;

use super::{DecodeError, EncodeError, Openable, Plaintext, Sealable};

/// A serde value, sealed as JSON (RFC 8259).
///
/// ```
/// use phi_crypto::{Json, Openable, Sealable};
///
/// let sealable = Json(vec!["penicillin", "latex"]);
/// let bytes = sealable.plaintext()?.to_vec();
/// let Json(allergies) = Json::<Vec<String>>::from_plaintext(bytes.into())?;
/// assert_eq!(allergies, ["penicillin", "latex"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[expect(clippy::exhaustive_structs, reason = "a wrapper that callers write down and take apart")]
pub struct Json<T>(pub T);

impl<T: serde::Serialize> Sealable for Json<T> {
    type Opens = Self;

    fn plaintext(&self) -> Result<Plaintext<'_>, EncodeError> {
        to_json(&self.0)
    }
}

/// A borrowed serde value: sealed as [`Json`], and opened as the owned [`Json<T>`].
#[derive(PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a wrapper that callers write down")]
pub struct JsonRef<'a, T>(pub &'a T);

impl<T: serde::Serialize> Sealable for JsonRef<'_, T> {
    type Opens = Json<T>;

    fn plaintext(&self) -> Result<Plaintext<'_>, EncodeError> {
        to_json(self.0)
    }
}

/// The text of a serialiser's error can hold the value, so it goes no further.
fn to_json<T: serde::Serialize>(value: &T) -> Result<Plaintext<'static>, EncodeError> {
    serde_json::to_vec(value).map(Plaintext::from).map_err(|_| EncodeError(()))
}

impl<T: serde::de::DeserializeOwned> Openable for Json<T> {
    fn from_plaintext(bytes: Zeroizing<Vec<u8>>) -> Result<Self, DecodeError> {
        serde_json::from_slice(&bytes).map(Json).map_err(|_| DecodeError(()))
    }
}

/// What is in the wrapper is about to be sealed, or was just opened.
impl<T> fmt::Debug for Json<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Json([PHI])")
    }
}

impl<T> fmt::Debug for JsonRef<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JsonRef([PHI])")
    }
}
