//! Finding rows by the value of a sealed field without opening any.

mod compound;
mod error;
mod partitioned;
mod plan;
mod spec;
mod tag;
mod tagger;
mod tags;
#[cfg(test)]
mod tests;
mod transform;

use core::fmt;

pub(crate) use self::spec::Declared;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) use self::spec::Fields;
pub(crate) use self::tagger::Opened;
pub use compound::CompoundIndex;
pub use error::IndexError;
pub use partitioned::PartitionedIndex;
pub use plan::{IndexPlan, IndexWarning};
pub use spec::{CompoundSpec, IndexSpec, PartitionedSpec};
pub use tag::Tag;
pub use tags::Tags;
pub use transform::Transform;

/// Computes the tags of one index. Valid while the lease of the index key is: open it per request or job.
///
/// ```
/// # use phi_keys::{EphemeralKeyring, Keys, MemoryKeyStore};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let keys = Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate()?).build().await?;
/// use phi_crypto::{BlindIndex, IndexSpec, Transform};
///
/// const BY_SSN: IndexSpec = BlindIndex::exact("Patient", "ssn", "by_ssn", Transform::Digits);
///
/// let by_ssn = BY_SSN.open(&keys).await?;
/// // On write: `INSERT INTO patients (id, ssn, ssn_tag) VALUES (?, ?, ?)`, bound to the sealed value and the tag.
/// let stored = by_ssn.tag("078-05-1120")?;
/// // On search: `SELECT id FROM patients WHERE ssn_tag = ?`.
/// let wanted = by_ssn.tag("078 05 1120")?;
/// assert_eq!(stored, wanted);
/// # Ok(()) }
/// ```
///
/// # What an index gives away
/// Whoever reads the column learns which rows hold equal values and how often each value occurs, over all patients of the
/// tenant; nothing about values that differ in one character. Over a column of few values (sex, ZIP3, year of birth)
/// the frequencies alone give the values away: index identifiers that are nearly unique, and nothing else, or ask
/// [`IndexPlan`]. Whoever sees the queries as well learns which tags are asked for together, how often, and by whom.
///
/// Whoever holds the index key can compute the tags of all possible values, and a billion social security numbers are
/// minutes of work. The key therefore never leaves the process, and a tag outlives the key of its patient: shred with
/// `shred_subject` or `shred_subject_postgres`, which set the tags to `NULL`.
///
/// An index proves nothing: whoever writes the database can copy a tag from one row to another. Open the row that was
/// found, and compare.
///
/// # What each option changes
/// | option | rows with one tag | what the column gives away, beside the above |
/// |---|---|---|
/// | [`Exact`](Transform::Exact), [`Digits`](Transform::Digits), [`TrimLowercase`](Transform::TrimLowercase), `NfkcLowercase`, [`E164`](Transform::e164) | equal values | equality and frequency of whole values |
/// | [`First`](Transform::First), [`Last`](Transform::Last), [`LastDigits`](Transform::LastDigits) | values that share the part | the same of the part; two such columns side by side narrow a value down by both |
/// | [`Year`](Transform::Year), [`Zip3`](Transform::Zip3) | people of a year or an area | few values of well-known frequency: the column alone shows them. Only within a [compound](Self::compound) index, or [partitioned](IndexSpec::partitioned) |
/// | [`bits`](IndexSpec::bits) | also unequal values, by chance | less certainty that two rows are equal; frequencies blur only where many values share a tag |
/// | [`compound`](Self::compound) | rows equal in all fields | nothing about a single field |
/// | [`partitioned`](IndexSpec::partitioned) | some of the rows of a value | frequencies are divided by the number of partitions; a search shows which tags belong together |
/// | [`replaces`](IndexSpec::replaces) | – | until the reseal is over, which rows were written before and after the change |
///
/// # Prefix search
/// A prefix is an index like any other, over the first so many characters: declare one column for each length that is
/// worth a search, and look for the longest that the query has. What was found is opened and compared with all of it.
/// ```
/// use phi_crypto::{BlindIndex, IndexSpec, Transform};
///
/// const BY_2: IndexSpec = BlindIndex::exact("Patient", "family", "by_family_2", Transform::First(2)).bits(10);
/// const BY_4: IndexSpec = BlindIndex::exact("Patient", "family", "by_family_4", Transform::First(4)).bits(16);
///
/// let query = "Lovel";
/// let (column, index) = if query.chars().count() >= 4 { ("family_4", BY_4) } else { ("family_2", BY_2) };
/// assert_eq!((column, index.name()), ("family_4", "by_family_4"));
/// ```
///
/// # Absent and empty values
/// An absent value has no tag: store `NULL`. A value of which the transform leaves nothing has none either, so that a
/// search for it finds nothing rather than every patient without the identifier.
#[derive(Clone)]
pub struct BlindIndex {
    opened: Opened,
    spec: IndexSpec,
}

impl BlindIndex {
    /// Declares an index over one field of a record type, under a name of its own.
    #[must_use]
    pub const fn exact(
        record_type: &'static str,
        field: &'static str,
        name: &'static str,
        transform: Transform,
    ) -> IndexSpec {
        IndexSpec::new(record_type, field, name, transform)
    }

    /// Declares an index over several fields of a record type together, under a name of its own.
    #[must_use]
    pub const fn compound<const N: usize>(
        record_type: &'static str,
        name: &'static str,
        fields: &'static [(&'static str, Transform); N],
    ) -> CompoundSpec<N> {
        CompoundSpec::new(record_type, name, fields)
    }

    /// The tag to store with a value. `None`, to be stored as `NULL`, where the transform leaves nothing.
    ///
    /// It is also the one to look for, unless the index [replaces](IndexSpec::replaces) another, or the index domain key was
    /// rotated: then [`search`](Self::search).
    ///
    /// # Errors
    /// [`IndexError`] when the lease of the index key has ended or the value is 4 GiB or longer.
    pub fn tag(&self, value: &str) -> Result<Option<Tag>, IndexError> {
        self.opened.tag(&[value], None)
    }

    /// The tags to look for: one for each version of the index that rows may have, and for each index domain key that
    /// still opens.
    ///
    /// # Errors
    /// As [`tag`](Self::tag).
    pub fn search(&self, value: &str) -> Result<Tags, IndexError> {
        self.opened.search(&[value])
    }

    /// What the index is over.
    #[must_use]
    pub const fn spec(&self) -> &IndexSpec {
        &self.spec
    }
}

impl fmt::Debug for BlindIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Declared { record_type, name, .. } = &self.spec.0;
        write!(f, "BlindIndex({record_type} {name})")
    }
}
