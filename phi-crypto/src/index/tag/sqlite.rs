//! A tag as an SQLite `BLOB`.

use sqlx::decode::Decode;
use sqlx::encode::{Encode, IsNull};
use sqlx::error::BoxDynError;
use sqlx::sqlite::{Sqlite, SqliteArgumentsBuffer, SqliteTypeInfo, SqliteValueRef};
use sqlx::types::Type;

use super::Tag;

/// A tag is a `BLOB`; no tag (`None`) is `NULL`, which `=` never finds.
impl Type<Sqlite> for Tag {
    fn type_info() -> SqliteTypeInfo {
        <[u8] as Type<Sqlite>>::type_info()
    }
}

impl Encode<'_, Sqlite> for Tag {
    fn encode_by_ref(&self, args: &mut SqliteArgumentsBuffer) -> Result<IsNull, BoxDynError> {
        <Vec<u8> as Encode<'_, Sqlite>>::encode(self.as_bytes().to_vec(), args)
    }
}

impl<'r> Decode<'r, Sqlite> for Tag {
    fn decode(value: SqliteValueRef<'r>) -> Result<Self, BoxDynError> {
        Ok(Self::from_bytes(<&[u8] as Decode<'r, Sqlite>>::decode(value)?)?)
    }
}
