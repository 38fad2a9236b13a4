//! A sealed value in serialised messages: text where people read, bytes elsewhere.

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
            serializer.serialize_bytes(self.as_bytes())
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
