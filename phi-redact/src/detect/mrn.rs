//! Medical record numbers. They have no national shape: only a label, a patient path or the HL7 v2 identifier type
//! says that a number is one.

use crate::{
    Class,
    engine::{
        Finding,
        label::{self, Labels},
        text::{Text, Word},
    },
};

/// Longest prefix of letters in front of a dash, as in `MERCY-004711`.
const PREFIX: usize = 8;
/// How far ahead the identifier type of an HL7 v2 extended composite id may stand.
const HL7_SPAN: usize = 64;

pub(super) fn at(text: &Text<'_>, word: Word, labels: Labels) -> Option<Finding> {
    let start = start_of_id(text, word, labels)?;
    Some(Finding::new(start, end_of_id(text, word), Class::Mrn))
}

fn start_of_id(text: &Text<'_>, word: Word, labels: Labels) -> Option<usize> {
    if let Some(start) = prefixed(text, word)
        && label::before(text, start).has(Labels::MRN)
    {
        return Some(start);
    }
    if labels.has(Labels::MRN) || is_hl7_record_number(text, word.end) {
        return Some(word.start);
    }
    if labels.has(Labels::PATIENT_PATH) {
        let id = text.slice(word.start, end_of_id(text, word));
        return reads_like_an_id(id).then_some(word.start);
    }
    let digits = word.start + text.letters(word.start).min(4);
    let glued = text.slice(word.start, digits).eq_ignore_ascii_case(b"mrn") && text.at(digits).is_ascii_digit();
    glued.then_some(digits)
}

/// Where a prefix of letters in front of a dash starts.
fn prefixed(text: &Text<'_>, word: Word) -> Option<usize> {
    if !matches!(text.before(word.start), b'-' | b'_') {
        return None;
    }
    let dash = word.start - 1;
    let mut start = dash;
    while dash - start <= PREFIX && text.before(start).is_ascii_alphabetic() {
        start -= 1;
    }
    (1..=PREFIX).contains(&(dash - start)).then_some(start)
}

/// End of the word with what hangs on it by dashes and underscores. It is looked for only once the word is known to
/// be an id, so that no byte is read again for each word in front of it.
fn end_of_id(text: &Text<'_>, word: Word) -> usize {
    let mut end = word.end;
    while matches!(text.at(end), b'-' | b'_') && text.at(end + 1).is_ascii_alphanumeric() {
        end += 1 + text.run(end + 1, |b| b.is_ascii_alphanumeric());
    }
    end
}

/// `/patients/v2` is a route, `/patients/4711` and `/Patient/<uuid>` are a patient.
fn reads_like_an_id(token: &[u8]) -> bool {
    let digits = token.iter().filter(|b| b.is_ascii_digit()).count();
    digits == token.len() || (token.len() >= 8 && digits >= 4)
}

/// `4234685356^^^MERCY^MR`: the fifth component of HL7 v2 CX names the type of the identifier.
fn is_hl7_record_number(text: &Text<'_>, end: usize) -> bool {
    if !text.starts_with(end, b"^^^") {
        return false;
    }
    let ahead = (end + HL7_SPAN).min(text.len());
    let field = text.slice(end + 3, ahead).split(|b| matches!(b, b'|' | b'~' | b'\r' | b'\n')).next();
    field.is_some_and(|field| field.split(|&b| b == b'^').any(|part| matches!(part, b"MR" | b"PI" | b"PT" | b"AN")))
}

#[cfg(test)]
mod tests {
    use super::super::{assert_clean, assert_found};
    use crate::Class;

    #[test]
    fn table() {
        assert_found(
            Class::Mrn,
            &[
                ("MRN 4711", "4711"),
                ("mrn=00471100, next", "00471100"),
                ("{\"mrn\":\"A-12345-B\"}", "A-12345-B"),
                ("MRN: MERCY-004711", "MERCY-004711"),
                ("mrn: Some(\"H0047110\")", "H0047110"),
                ("medical record number 998877)", "998877"),
                ("Medical Record No: 12_34", "12_34"),
                ("MRN12345", "12345"),
                ("mrn-12345", "12345"),
                ("patient_id=7", "7"),
                ("patientId: 9f3c", "9f3c"),
                ("GET /api/v1/patients/05656304?x=1", "05656304"),
                ("Patient/9d5b3c1e-8a52-4d5e-9f63-0f6a9a1d2c3b/$everything", "9d5b3c1e-8a52-4d5e-9f63-0f6a9a1d2c3b"),
                ("PID|1||4234685356^^^MERCY^MR||", "4234685356"),
                ("\u{1b}[3mmrn\u{1b}[0m\u{1b}[2m=\u{1b}[0m12345", "12345"),
            ],
        );
        assert_clean(&[
            "order 2316723262 shipped lot 656355150",
            "mrn_count=5",
            "request_id=f4998d7c-4093-4de2-a268-aa8726076791",
            "/patients/v2/search",
            "/inpatients/beds?page=2",
            "4234685356^^^MERCY^XX|",
            "no mrn given, 3 retries",
            "span_id=f3e6ca734305e986",
        ]);
    }
}
