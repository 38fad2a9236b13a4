//! Why a context cannot be bound.

use core::fmt;

/// A context cannot be bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ContextError {
    /// An element was given twice.
    #[non_exhaustive]
    Repeated {
        /// Which one, by its name in the documentation.
        element: &'static str,
    },
    /// There are more than 255 elements.
    TooMany,
    /// An element exceeds 2^32 − 1 bytes.
    TooLong,
    /// The context names a tenant that is not the one of the keys.
    OtherTenant,
    /// The context names a subject that is not the one of the scope.
    OtherSubject,
}

impl fmt::Display for ContextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repeated { element } => {
                write!(f, "the context names its {element} twice; name it once, and give each pair a key of its own")
            }
            Self::TooMany => f.write_str("the context has more than 255 elements; bind fewer pairs"),
            Self::TooLong => f.write_str("an element of the context exceeds 2^32 - 1 bytes; bind a digest of it"),
            Self::OtherTenant => f.write_str(
                "the context names another tenant than the keys serve; leave it out or use that tenant's keys",
            ),
            Self::OtherSubject => f.write_str(
                "the context names another subject than the scope; obtain a sealer or opener for that subject",
            ),
        }
    }
}

impl core::error::Error for ContextError {}
