//! A sealed value as an SQLite `BLOB`.

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
        <Vec<u8> as Encode<'_, Sqlite>>::encode(self.into_bytes(), args)
    }

    fn encode_by_ref(&self, args: &mut SqliteArgumentsBuffer) -> Result<IsNull, BoxDynError> {
        <Vec<u8> as Encode<'_, Sqlite>>::encode(self.as_bytes().to_vec(), args)
    }
}

impl<'r, T> Decode<'r, Sqlite> for Sealed<T> {
    fn decode(value: SqliteValueRef<'r>) -> Result<Self, BoxDynError> {
        Ok(Self::from_bytes(<&[u8] as Decode<'r, Sqlite>>::decode(value)?.to_vec())?)
    }
}
