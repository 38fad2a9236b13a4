//! Whose record it is.

use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};

use crate::id::{InvalidId, checked};
use crate::text::Text;

/// The patient whose record is touched, by the id that the application uses.
///
/// An id of a patient is itself PHI (45 CFR 164.514(b)(2)(i)(R)): `Debug` and `Display` never print it, and stores keep
/// a keyed pseudonym instead.
///
/// An id of up to 38 bytes, such as a UUID, takes no allocation.
///
/// ```
/// use phi_types::SubjectId;
///
/// let patient = SubjectId::new("22d6efc6-2dc7")?;
/// assert_eq!(format!("{patient} {patient:?}"), "[subject] SubjectId([subject])");
/// assert_eq!(patient.expose(), "22d6efc6-2dc7");
/// # Ok::<(), phi_types::InvalidId>(())
/// ```
#[derive(Clone)]
pub struct SubjectId(Text);

impl SubjectId {
    /// A subject by the application's own id.
    ///
    /// # Errors
    /// [`InvalidId`] when the id is empty, over 256 bytes, or holds control characters or outer white space.
    pub fn new(id: impl AsRef<str>) -> Result<Self, InvalidId> {
        checked(id.as_ref()).map(|id| Self(Text::new(id)))
    }

    /// The id in clear. What receives it must not print it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.as_str()
    }
}

impl PartialEq for SubjectId {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for SubjectId {}

impl PartialOrd for SubjectId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SubjectId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.expose().cmp(other.expose())
    }
}

impl Hash for SubjectId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.expose().hash(state);
    }
}

impl fmt::Debug for SubjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SubjectId([subject])")
    }
}

impl fmt::Display for SubjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[subject]")
    }
}

/// Reads an id, as axum's `Path` and `Query` do. There is no `Serialize`: write `expose()` where it is meant.
#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for SubjectId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_ids_are_refused_without_being_repeated() {
        let error = SubjectId::new("secret-id\u{7}").unwrap_err();
        assert_eq!(error, InvalidId::Unclean);
        assert!(!error.to_string().contains("secret-id"));
        assert_eq!(SubjectId::new("  "), Err(InvalidId::Empty));
    }

    #[test]
    fn ids_are_equal_ordered_and_hashed_as_their_text_is() {
        use std::collections::{BTreeSet, HashSet};

        // On both sides of what is kept in the value itself.
        let long = ["x".repeat(38), "x".repeat(39), "x".repeat(40)];
        let texts = ["7431", "7432", "a", "ab", &long[0], &long[1], &long[2]];
        let ids = texts.map(|text| SubjectId::new(text).unwrap());
        for (one, text) in ids.iter().zip(texts) {
            assert_eq!(one.expose(), text);
            for (other, other_text) in ids.iter().zip(texts) {
                assert_eq!(one == other, text == other_text);
                assert_eq!(
                    (one.cmp(other), one.partial_cmp(other)),
                    (text.cmp(other_text), Some(text.cmp(other_text)))
                );
            }
        }
        let again = texts.map(|text| SubjectId::new(text).unwrap());
        assert_eq!(ids.iter().chain(&again).collect::<HashSet<_>>().len(), texts.len());
        assert_eq!(ids.iter().chain(&again).collect::<BTreeSet<_>>().len(), texts.len());
        let hash = |id: &SubjectId| {
            use core::hash::BuildHasher as _;
            std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::default().hash_one(id)
        };
        assert_ne!(hash(&ids[0]), hash(&ids[1]));
        assert_eq!(hash(&ids[0]), hash(&again[0]));
    }

    #[test]
    fn no_format_prints_the_id() {
        let id = SubjectId::new("MRN-00412").unwrap();
        assert_eq!(format!("{id} {id:?}"), "[subject] SubjectId([subject])");
        for text in [format!("{id}"), format!("{id:?}"), format!("{id:#?}"), format!("{:?}", Some(&id))] {
            assert!(!text.contains("00412"), "{text}");
        }
    }
}
