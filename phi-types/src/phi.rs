//! A value that no log, error or panic message can print.

use core::fmt;

/// Protected health information: a value whose `Debug` and `Display` print `[PHI]`.
///
/// `Phi<T>` has no `Deref`, no `AsRef` and no accessor that reads like ordinary code: what leaves it goes through
/// [`expose`](Self::expose) or [`into_exposed`](Self::into_exposed), so every place that sees patients' data can be
/// found by searching for one word. It does not wipe memory; wrap a type that does, such as `zeroize::Zeroizing`.
///
/// ```
/// use phi_types::Phi;
///
/// let born = Phi::new(String::from("1815-12-10"));
/// assert_eq!(format!("{born} {born:?}"), "[PHI] [PHI]");
/// let year = born.as_ref_with(|date| date.split('-').next().unwrap_or_default().to_owned());
/// assert_eq!(year.into_exposed(), "1815");
/// ```
///
/// It does not coerce into what it protects:
///
/// ```compile_fail
/// let name: phi_types::Phi<String> = phi_types::Phi::new("Ada".into());
/// let text: &str = &name;
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Phi<T>(T);

impl<T> Phi<T> {
    /// Marks a value as PHI.
    #[must_use]
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value, for the place that shows, computes with or stores it.
    #[must_use]
    pub const fn expose(&self) -> &T {
        &self.0
    }

    /// Gives the value up, for the place that shows, computes with or stores it.
    #[must_use]
    pub fn into_exposed(self) -> T {
        self.0
    }

    /// A value computed from this one, which is PHI too.
    pub fn map<U>(self, compute: impl FnOnce(T) -> U) -> Phi<U> {
        Phi(compute(self.0))
    }

    /// A value computed from a look at this one, which is PHI too.
    pub fn as_ref_with<U>(&self, compute: impl FnOnce(&T) -> U) -> Phi<U> {
        Phi(compute(&self.0))
    }
}

impl<T> From<T> for Phi<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T> fmt::Debug for Phi<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[PHI]")
    }
}

impl<T> fmt::Display for Phi<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[PHI]")
    }
}

/// Says that a type may leave through a serialiser although it is PHI, as a response body to the patient's clinician
/// must. Implement it for own types that are meant to be sent, never for a general type such as `String`.
#[cfg(feature = "serde")]
pub trait SerializablePhi: serde::Serialize {}

#[cfg(feature = "serde")]
impl<T: SerializablePhi> serde::Serialize for Phi<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

#[cfg(feature = "serde")]
impl<'de, T: serde::Deserialize<'de>> serde::Deserialize<'de> for Phi<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_format_prints_the_value() {
        let ssn = Phi::new("078-05-1120");
        for text in [
            format!("{ssn}"),
            format!("{ssn:?}"),
            format!("{ssn:#?}"),
            format!("{ssn:>40}"),
            format!("{:?}", Some(&ssn)),
            format!("{:?}", vec![ssn]),
        ] {
            assert!(text.contains("[PHI]") && !text.contains("1120"), "{text}");
        }
    }

    #[cfg(feature = "serde")]
    #[test]
    fn only_marked_types_are_serialised() {
        #[derive(serde::Serialize)]
        struct Summary(&'static str);
        impl SerializablePhi for Summary {}
        assert_eq!(serde_json::to_string(&Phi::new(Summary("stable"))).unwrap(), "\"stable\"");
        let read: Phi<String> = serde_json::from_str("\"Ada\"").unwrap();
        assert_eq!(read.expose(), "Ada");
    }
}
