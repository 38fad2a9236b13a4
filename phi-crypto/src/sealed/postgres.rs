//! A sealed value as a PostgreSQL `BYTEA`.

use sqlx::decode::Decode;
use sqlx::encode::{Encode, IsNull};
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueRef, Postgres};
use sqlx::types::Type;

use super::Sealed;

impl<T> Type<Postgres> for Sealed<T> {
    fn type_info() -> PgTypeInfo {
        <[u8] as Type<Postgres>>::type_info()
    }
}

/// For `ANY($1)` and `unnest($1)`.
impl<T> PgHasArrayType for Sealed<T> {
    fn array_type_info() -> PgTypeInfo {
        <Vec<u8> as PgHasArrayType>::array_type_info()
    }
}

impl<T> Encode<'_, Postgres> for Sealed<T> {
    fn encode_by_ref(&self, args: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        <&[u8] as Encode<'_, Postgres>>::encode_by_ref(&self.as_bytes(), args)
    }

    fn size_hint(&self) -> usize {
        self.as_bytes().len()
    }
}

impl<'r, T> Decode<'r, Postgres> for Sealed<T> {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        // Not borrowed: an answer to a simple query is text, which only the owned form takes.
        Ok(Self::from_bytes(<Vec<u8> as Decode<'r, Postgres>>::decode(value)?)?)
    }
}
