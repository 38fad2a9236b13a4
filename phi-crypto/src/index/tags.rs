//! What a search looks for.

use core::fmt;

use super::Tag;

/// The tags that a search looks for: one for each partition and each version of the index that rows may have. Empty where
/// the transform leaves nothing to look for.
///
/// With PostgreSQL, bind [`as_slice`](Self::as_slice) to `tag = ANY($1)`; with either database, let
/// `push_in` write the condition.
#[derive(Clone, PartialEq, Eq)]
pub struct Tags(Vec<Tag>);

impl Tags {
    pub(super) const fn new(tags: Vec<Tag>) -> Self {
        Self(tags)
    }

    /// The tags, those of the newest version first.
    #[must_use]
    pub fn as_slice(&self) -> &[Tag] {
        &self.0
    }

    /// Whether nothing can be found, because the transform leaves nothing of the value.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// One after the other.
    pub fn iter(&self) -> core::slice::Iter<'_, Tag> {
        self.0.iter()
    }

    /// Writes ` IN (…)` with every tag bound, behind a column that was written before. Without tags it finds nothing.
    ///
    /// ```
    /// # #[cfg(feature = "sqlite")] {
    /// # fn show(wanted: &phi_crypto::Tags) {
    /// let mut query = sqlx::QueryBuilder::<sqlx::Sqlite>::new("SELECT id FROM patients WHERE ssn_tag");
    /// wanted.push_in(&mut query);
    /// # }
    /// # }
    /// ```
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub fn push_in<DB>(&self, query: &mut sqlx::QueryBuilder<DB>)
    where
        DB: sqlx::Database,
        for<'t> Tag: sqlx::Encode<'t, DB> + sqlx::Type<DB>,
    {
        query.push(" IN (");
        if self.0.is_empty() {
            query.push("NULL");
        }
        let mut list = query.separated(", ");
        for tag in &self.0 {
            list.push_bind(*tag);
        }
        query.push(")");
    }
}

impl<'a> IntoIterator for &'a Tags {
    type Item = &'a Tag;
    type IntoIter = core::slice::Iter<'a, Tag>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Tags are pseudonyms of a patient's identifier.
impl fmt::Debug for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tags({})", self.0.len())
    }
}
