//! An error with its whole chain of sources, safe to print.

use core::{
    error::Error,
    fmt::{self, Write as _},
};

use crate::scan::redact_str;

/// Longest chain that is followed; a longer one is a cycle.
const LONGEST_CHAIN: usize = 32;

/// Prints an error and its sources as `outer: middle: inner`, together through [`redact_str`].
///
/// Database errors quote the row that they refuse; parse errors quote their input. Use it where an error leaves the
/// process in another way than through a redacted log: a terminal, a response, a ticket.
///
/// ```
/// # use std::{error::Error, io};
/// let refused = io::Error::other("Key (email)=(ada@example.com) already exists.");
/// let told: Box<dyn Error> = refused.into();
/// assert_eq!(phi_redact::Redacted(&*told).to_string(), "Key (email)=[VALUE] already exists.");
/// ```
#[derive(Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "an adapter that is written as `Redacted(&error)` can hold nothing else")]
pub struct Redacted<'a, E: ?Sized>(pub &'a E);

impl<E: Error + ?Sized> fmt::Display for Redacted<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Searched as one text: `unknown MRN` may be one error and the number its source.
        let mut text = String::new();
        write!(text, "{}", self.0)?;
        let mut source = self.0.source();
        for _ in 0..LONGEST_CHAIN {
            let Some(error) = source else { break };
            write!(text, ": {error}")?;
            source = error.source();
        }
        f.write_str(&redact_str(&text))
    }
}

/// The same text as `Display`: the derived form would print the fields of the error.
impl<E: Error + ?Sized> fmt::Debug for Redacted<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Layered(&'static str, Option<Box<Self>>);
    impl fmt::Display for Layered {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }
    impl Error for Layered {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|e| e as _)
        }
    }

    #[test]
    fn every_source_is_scrubbed() {
        let split = Layered("unknown MRN", Some(Box::new(Layered("4711", None))));
        assert_eq!(format!("{}", Redacted(&split)), "unknown MRN: [MRN]", "a label may stand in the error above");
        let inner = Layered("ssn 078-05-1120", None);
        let error = Layered("mrn=4711", Some(Box::new(Layered("store failed", Some(Box::new(inner))))));
        assert_eq!(format!("{}", Redacted(&error)), "mrn=[MRN]: store failed: ssn [SSN]");
        assert_eq!(format!("{:?}", Redacted(&error)), "mrn=[MRN]: store failed: ssn [SSN]");
    }
}
