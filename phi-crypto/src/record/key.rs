//! What can be the id of a record.

use phi_types::SubjectId;

use crate::RecordId;

/// A value that is the id of a record. Implement it for an own type of ids.
///
/// ```
/// use phi_crypto::{RecordId, RecordKey};
///
/// struct Uuid([u8; 16]);
///
/// impl RecordKey for Uuid {
///     fn record_id(&self) -> RecordId<'_> {
///         RecordId::uuid(self.0)
///     }
/// }
/// ```
pub trait RecordKey {
    /// The id, which is always bound as text.
    fn record_id(&self) -> RecordId<'_>;
}

impl RecordKey for str {
    fn record_id(&self) -> RecordId<'_> {
        self.into()
    }
}

impl RecordKey for String {
    fn record_id(&self) -> RecordId<'_> {
        self.into()
    }
}

impl RecordKey for SubjectId {
    fn record_id(&self) -> RecordId<'_> {
        self.into()
    }
}

macro_rules! numbers {
    ($($number:ty as $wide:ty),*) => {$(
        impl RecordKey for $number {
            fn record_id(&self) -> RecordId<'_> {
                <$wide>::from(*self).into()
            }
        }
    )*};
}

numbers!(i16 as i64, i32 as i64, i64 as i64, u16 as u64, u32 as u64, u64 as u64);

impl<K: RecordKey + ?Sized> RecordKey for &K {
    fn record_id(&self) -> RecordId<'_> {
        (**self).record_id()
    }
}
