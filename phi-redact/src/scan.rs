//! The content engine for plain text.

use std::borrow::Cow;

use crate::engine::{self, Findings, label::Labels};

/// Replaces every identifier in a text by the label of its class. Text without one is borrowed unchanged.
///
/// The result holds nothing that a second call would find. Names and free prose are beyond it: see the
/// [crate's page](crate#what-it-cannot-find).
///
/// ```
/// assert_eq!(phi_redact::redact_str("MRN 0047110 born 5/12/1980"), "MRN [MRN] born [DATE]");
/// assert!(matches!(phi_redact::redact_str("order 0047110 shipped"), std::borrow::Cow::Borrowed(_)));
/// ```
#[must_use]
pub fn redact_str(text: &str) -> Cow<'_, str> {
    engine::redact(text, Labels::NONE, 0).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// Like [`redact_str`], for one finished line of a log: the timestamp that the formatter put at its start, bare, after
/// terminal colours or as `{"timestamp":"…"`, is left.
///
/// ```
/// let line = "2026-05-12T20:16:22.050631Z  INFO api: dob=1980-05-12";
/// assert_eq!(phi_redact::redact_line(line), "2026-05-12T20:16:22.050631Z  INFO api: dob=[DATE]");
/// ```
#[must_use]
pub fn redact_line(line: &str) -> Cow<'_, str> {
    let from = timestamp_end(line.as_bytes());
    engine::redact(line, Labels::NONE, from).map_or(Cow::Borrowed(line), Cow::Owned)
}

/// What [`redact_str`] would replace, without replacing it.
///
/// ```
/// let text = "from 203.0.113.9";
/// assert_eq!(phi_redact::find(text).map(|found| found.range()).collect::<Vec<_>>(), [5..16]);
/// ```
#[must_use]
pub fn find(text: &str) -> Findings<'_> {
    Findings::new(text, Labels::NONE, 0)
}

/// End of the RFC 3339 timestamp at the start of a line, or 0.
fn timestamp_end(line: &[u8]) -> usize {
    let start = if line.starts_with(b"\x1b[2m") {
        4
    } else if line.starts_with(b"{\"timestamp\":\"") {
        14
    } else {
        0
    };
    let rest = line.get(start..).unwrap_or_default();
    let shape = b"dddd-dd-ddTdd:dd:dd";
    let fits = rest.len() >= shape.len()
        && rest.iter().zip(shape).all(|(b, s)| if *s == b'd' { b.is_ascii_digit() } else { b == s });
    if fits { start + shape.len() } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_replacement_uncovers_is_found_too() {
        assert_eq!(redact_str("mrn=00T078-05-1120"), "mrn=[MRN][SSN]");
    }

    #[test]
    fn a_finding_never_reaches_back_into_the_last_one() {
        let ranges: Vec<_> = find("x@y.com.z@q.com").map(|found| found.range()).collect();
        assert_eq!(ranges, [0..7, 8..15]);
    }

    #[test]
    fn only_the_timestamp_of_the_line_is_left() {
        for start in ["", "\x1b[2m", "{\"timestamp\":\""] {
            let line = format!("{start}2026-05-12T20:16:22Z INFO 2026-05-12T20:16:22Z");
            assert_eq!(redact_line(&line), format!("{start}2026-05-12T20:16:22Z INFO [DATE]T20:16:22Z"));
        }
        assert_eq!(redact_line("2026-05-12 born"), "[DATE] born");
        assert_eq!(redact_str("2026-05-12T20:16:22Z"), "[DATE]T20:16:22Z");
    }
}
