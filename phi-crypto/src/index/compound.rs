//! Indexes over several fields at once.

use core::fmt;

use super::spec::CompoundSpec;
use super::tagger::Opened;
use super::{IndexError, Tag, Tags};

/// Finds rows by the values of several fields together, such as family name and date of birth. Valid while the lease of
/// the index key is.
///
/// It shows which rows are equal in all of the fields and nothing about each of them alone, so it gives away less than an
/// index over each, and finds fewer rows that are not meant.
///
/// ```
/// # use phi_keys::{EphemeralKeyring, Keys, MemoryKeyStore};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let keys = Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate()?).build().await?;
/// use phi_crypto::{BlindIndex, CompoundSpec, Transform};
///
/// const BY_NAME_AND_YEAR: CompoundSpec<2> = BlindIndex::compound(
///     "Patient",
///     "by_name_and_year",
///     &[("family", Transform::TrimLowercase), ("birth_date", Transform::Year)],
/// );
///
/// let index = BY_NAME_AND_YEAR.open(&keys).await?;
/// let stored = index.tag([Some("Lovelace"), Some("1815-12-10")])?;
/// let wanted = index.search(["lovelace ", "1815"])?;
/// assert_eq!(wanted.as_slice(), stored.as_slice());
/// assert!(index.tag([Some("Lovelace"), None])?.is_none(), "an absent value has no tag");
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct CompoundIndex<const N: usize> {
    pub(super) opened: Opened,
    pub(super) spec: CompoundSpec<N>,
}

impl<const N: usize> CompoundIndex<N> {
    /// The tag to store with the values, in the order of the declaration. `None`, to be stored as `NULL`, where one is
    /// absent or its transform leaves nothing.
    ///
    /// # Errors
    /// [`IndexError`] when the lease of the index key has ended or a value is 4 GiB or longer.
    pub fn tag(&self, values: [Option<&str>; N]) -> Result<Option<Tag>, IndexError> {
        let mut present = [""; N];
        for (place, value) in present.iter_mut().zip(values) {
            let Some(value) = value else { return Ok(None) };
            *place = value;
        }
        self.opened.tag(&present, None)
    }

    /// The tags to look for: one for each version of the index.
    ///
    /// # Errors
    /// As [`tag`](Self::tag).
    pub fn search(&self, values: [&str; N]) -> Result<Tags, IndexError> {
        self.opened.search(&values)
    }

    /// What the index is over.
    #[must_use]
    pub const fn spec(&self) -> &CompoundSpec<N> {
        &self.spec
    }
}

impl<const N: usize> fmt::Debug for CompoundIndex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CompoundIndex({} {})", self.spec.0.record_type, self.spec.0.name)
    }
}
