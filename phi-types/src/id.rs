//! What every identifier of the family has to satisfy.

use core::fmt;

/// Longest identifier, in bytes of UTF-8.
pub(crate) const MAX_LEN: usize = 256;

/// Why an identifier was refused. Never carries the identifier itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidId {
    /// Nothing but white space.
    Empty,
    /// More than 256 bytes of UTF-8.
    TooLong,
    /// A control character, or white space at an end.
    Unclean,
    /// An account name that several people tend to share, such as `admin` (45 CFR 164.312(a)(2)(i) asks for a
    /// unique user). [`Actor::shared_by_name`](crate::Actor::shared_by_name) allows one by name.
    Generic,
}

impl fmt::Display for InvalidId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the identifier is empty: give the id under which the person, service or record is known",
            Self::TooLong => "the identifier is longer than 256 bytes: use a stable key, not a description",
            Self::Unclean => {
                "the identifier holds a control character or starts or ends with white space: trim it where it enters"
            }
            Self::Generic => {
                "the identifier is a shared account name: use the person's own id, or allow it with Actor::shared_by_name"
            }
        })
    }
}

impl core::error::Error for InvalidId {}

/// Refuses what cannot identify anybody or what could forge a line of a log.
pub(crate) fn checked<T: AsRef<str>>(given: T) -> Result<T, InvalidId> {
    let id = given.as_ref();
    let trimmed = id.trim();
    if trimmed.is_empty() {
        Err(InvalidId::Empty)
    } else if id.len() > MAX_LEN {
        Err(InvalidId::TooLong)
    } else if trimmed.len() != id.len() || id.chars().any(char::is_control) {
        Err(InvalidId::Unclean)
    } else {
        Ok(given)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_mend() {
        for (refusal, mend) in [
            (InvalidId::Empty, "give the id"),
            (InvalidId::TooLong, "use a stable key"),
            (InvalidId::Unclean, "trim it"),
            (InvalidId::Generic, "Actor::shared_by_name"),
        ] {
            assert!(refusal.to_string().contains(mend), "{refusal}");
        }
    }
}
