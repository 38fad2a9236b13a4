//! Indexes whose equal values are spread over several tags.

use core::fmt;

use super::spec::PartitionedSpec;
use super::tagger::Opened;
use super::{IndexError, Tag, Tags};
use crate::RecordId;

/// Finds rows by the exact value of a field whose frequencies would give the values away: the rows of one value are spread
/// over several tags by a keyed hash of their ids. Valid while the lease of the index key is.
///
/// With `p` partitions a value of `n` rows has `p` tags of about `n / p` rows, so rows with one tag are equal and rows with
/// different tags may be equal too. It hides how often a value occurs from whoever sees the column alone, and only while
/// `p` is at least the ratio of the most to the least frequent value. A search names all tags of its value, so whoever
/// sees the queries learns which belong together.
///
/// ```
/// # use phi_keys::{EphemeralKeyring, Keys, MemoryKeyStore};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let keys = Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate()?).build().await?;
/// use phi_crypto::{BlindIndex, PartitionedSpec, Transform};
///
/// const BY_AREA: PartitionedSpec = BlindIndex::exact("Patient", "zip", "by_area", Transform::Zip3).partitioned(8);
///
/// let by_area = BY_AREA.open(&keys).await?;
/// let stored = by_area.tag("02139", 7431_i64)?.ok_or("no area")?;
/// // `SELECT … WHERE area_tag IN (…)`, of eight tags.
/// let wanted = by_area.search("02139-4307")?;
/// assert!(wanted.len() == 8 && wanted.iter().any(|tag| *tag == stored));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct PartitionedIndex {
    pub(super) opened: Opened,
    pub(super) spec: PartitionedSpec,
}

impl PartitionedIndex {
    /// The tag to store with a value in a row. `None`, to be stored as `NULL`, where the transform leaves nothing.
    ///
    /// # Errors
    /// [`IndexError`] when the lease of the index key has ended or the value is 4 GiB or longer.
    pub fn tag<'a>(&self, value: &str, row: impl Into<RecordId<'a>>) -> Result<Option<Tag>, IndexError> {
        self.opened.tag(&[value], Some(&row.into()))
    }

    /// The tags to look for: one for each partition of each version of the index.
    ///
    /// # Errors
    /// As [`tag`](Self::tag).
    pub fn search(&self, value: &str) -> Result<Tags, IndexError> {
        self.opened.search(&[value])
    }

    /// What the index is over.
    #[must_use]
    pub const fn spec(&self) -> &PartitionedSpec {
        &self.spec
    }
}

impl fmt::Debug for PartitionedIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartitionedIndex({} {})", self.spec.0.record_type, self.spec.0.name)
    }
}
