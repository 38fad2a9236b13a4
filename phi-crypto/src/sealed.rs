//! A sealed value as a type: what a row, a message or a cache holds.

use core::fmt;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;

use phi_keys::KeyId;
use phi_keys::f1::{self, FormatError};

/// A value of type `T` in format F1, as a column holds it.
///
/// With feature `sqlite` it is an SQLite `BLOB`, with feature `serde` a serde value: the text form in formats that people
/// read, bytes in others. Reading anything else, such as a plaintext that was stored by mistake, is an error that says
/// so. Nothing is verified before the value is opened.
///
/// ```
/// use phi_crypto::Sealed;
///
/// let refused = Sealed::<String>::from_bytes(b"Ada Lovelace".to_vec());
/// assert!(refused.is_err(), "a plaintext is never taken for a sealed value");
/// ```
pub struct Sealed<T> {
    bytes: Vec<u8>,
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
        Ok(Self::trusted(bytes))
    }

    /// A value from its text form, `phi1.` and base64url (`SPEC.md` section 4).
    ///
    /// # Errors
    /// [`FormatError`] when the text is not the one canonical form of a sealed value.
    pub fn from_text(text: &str) -> Result<Self, FormatError> {
        Self::from_bytes(f1::from_text(text)?)
    }

    /// Bytes that are in the format.
    pub(crate) const fn trusted(bytes: Vec<u8>) -> Self {
        Self { bytes, opens: PhantomData }
    }

    /// The bytes that a column stores.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes that a column stores.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The text form, for places that take no bytes.
    #[must_use]
    pub fn to_text(&self) -> String {
        f1::to_text(&self.bytes)
    }

    /// The name of the key that opens the value.
    #[must_use]
    pub fn kid(&self) -> KeyId {
        // Parsed when it was made, so the default never shows.
        f1::parse(&self.bytes).map_or(KeyId::from_bytes([0; 16]), |parts| parts.kid())
    }
}

impl<T> AsRef<[u8]> for Sealed<T> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
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
        self.bytes == other.bytes
    }
}

impl<T> Eq for Sealed<T> {}

impl<T> Hash for Sealed<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
    }
}

impl<T> fmt::Debug for Sealed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.bytes.len())
    }
}

#[cfg(feature = "serde")]
mod serde_form {
    use core::fmt;
    use core::marker::PhantomData;

    use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
    use serde::ser::{Serialize, Serializer};

    use super::{FormatError, Sealed};

    impl<T> Serialize for Sealed<T> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            if serializer.is_human_readable() {
                serializer.serialize_str(&self.to_text())
            } else {
                serializer.serialize_bytes(&self.bytes)
            }
        }
    }

    impl<'de, T> Deserialize<'de> for Sealed<T> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            if deserializer.is_human_readable() {
                // Asking for a string would let the format make the error, and its message quotes what it found.
                deserializer.deserialize_any(Form(PhantomData))
            } else {
                deserializer.deserialize_byte_buf(Form(PhantomData))
            }
        }
    }

    struct Form<T>(PhantomData<fn() -> T>);

    impl<'de, T> Visitor<'de> for Form<T> {
        type Value = Sealed<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a sealed value")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
            Sealed::from_text(text).map_err(E::custom)
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
            self.visit_byte_buf(bytes.to_vec())
        }

        fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Self::Value, E> {
            Sealed::from_bytes(bytes).map_err(E::custom)
        }

        // The messages that serde would make of numbers quote them, and a number can be a patient's identifier.
        fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
            Err(E::custom(FormatError::NotSealed))
        }

        fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
            Err(E::custom(FormatError::NotSealed))
        }

        fn visit_i128<E: Error>(self, _: i128) -> Result<Self::Value, E> {
            Err(E::custom(FormatError::NotSealed))
        }

        fn visit_u128<E: Error>(self, _: u128) -> Result<Self::Value, E> {
            Err(E::custom(FormatError::NotSealed))
        }

        fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
            Err(E::custom(FormatError::NotSealed))
        }

        fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
            Err(E::custom(FormatError::NotSealed))
        }

        /// Formats without a type for bytes hold them as a list.
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut bytes = Vec::new();
            while let Some(byte) = list.next_element().map_err(|_| A::Error::custom(FormatError::NotSealed))? {
                bytes.push(byte);
            }
            Sealed::from_bytes(bytes).map_err(A::Error::custom)
        }
    }
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use sqlx::decode::Decode;
    use sqlx::encode::{Encode, IsNull};
    use sqlx::error::BoxDynError;
    use sqlx::sqlite::{Sqlite, SqliteArgumentsBuffer, SqliteTypeInfo, SqliteValueRef};
    use sqlx::types::Type;

    use super::Sealed;

    impl<T> Type<Sqlite> for Sealed<T> {
        fn type_info() -> SqliteTypeInfo {
            <[u8] as Type<Sqlite>>::type_info()
        }

        /// Text is let through to the decoder, whose error says what is wrong with it.
        fn compatible(column: &SqliteTypeInfo) -> bool {
            <[u8] as Type<Sqlite>>::compatible(column)
        }
    }

    impl<T> Encode<'_, Sqlite> for Sealed<T> {
        fn encode(self, args: &mut SqliteArgumentsBuffer) -> Result<IsNull, BoxDynError> {
            <Vec<u8> as Encode<'_, Sqlite>>::encode(self.bytes, args)
        }

        fn encode_by_ref(&self, args: &mut SqliteArgumentsBuffer) -> Result<IsNull, BoxDynError> {
            <Vec<u8> as Encode<'_, Sqlite>>::encode_by_ref(&self.bytes, args)
        }
    }

    impl<'r, T> Decode<'r, Sqlite> for Sealed<T> {
        fn decode(value: SqliteValueRef<'r>) -> Result<Self, BoxDynError> {
            Ok(Self::from_bytes(<&[u8] as Decode<'r, Sqlite>>::decode(value)?.to_vec())?)
        }
    }
}
