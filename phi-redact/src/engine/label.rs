//! The words in front of a value that say what it is: `MRN: 4711`, `"phone":"…"`, `?dob=…`, `ssn=Some("…")`.
//!
//! Labels are looked up backwards from a candidate, because searching every text for some forty keywords would cost
//! more than everything else together.

use super::text::Text;

/// A set of meanings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Labels(u8);

impl Labels {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const SSN: Self = Self(1);
    pub(crate) const MRN: Self = Self(2);
    pub(crate) const PHONE: Self = Self(4);
    pub(crate) const DATE: Self = Self(8);
    /// A version: what follows is neither a date nor an address, however much it looks like one.
    pub(crate) const VERSION: Self = Self(16);
    /// A path such as `/patients/` in front.
    pub(crate) const PATIENT_PATH: Self = Self(32);

    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Longest label with a filler behind it: `socialsecuritynumberis`.
const SPAN: usize = 32;

/// What the text in front of `start` says about the value there.
pub(crate) fn before(text: &Text<'_>, start: usize) -> Labels {
    let mut gathered = [0_u8; SPAN];
    let mut free = SPAN;
    // Where the word nearest to the start of the text begins in `gathered`, from its end.
    let mut word_end = SPAN;
    let mut i = start;
    if text.before(i) == b'/' {
        return patient_path(text, i - 1).or(text.hint);
    }
    while i > text.limit && free > 0 {
        let b = text.at(i - 1);
        match b {
            b'm' if escape_start(text, i).is_some() => i = escape_start(text, i).unwrap_or(i),
            _ if b.is_ascii_hexdigit() && i >= 3 && text.percent(i - 3).is_some() => i -= 3,
            b'a'..=b'z' | b'A'..=b'Z' => {
                free -= 1;
                if let Some(slot) = gathered.get_mut(free) {
                    *slot = b.to_ascii_lowercase();
                }
                i -= 1;
            }
            // Most texts are settled by one word; only some go on in front of it.
            b' ' | b'\t' if free < word_end => {
                if !goes_on(gathered.get(free..word_end).unwrap_or_default()) {
                    break;
                }
                word_end = free;
                i -= 1;
            }
            b' ' | b'\t' | b'"' | b'\'' | b'\\' | b'=' | b':' | b'#' | b'(' | b'[' | b'>' | b'_' | b'-' | b'.'
            | b'?' | b'*' | b'`' => i -= 1,
            // `field: "mrn", value: "…"` and a label on the line above.
            b',' if gathered.get(free..) == Some(b"value") => i -= 1,
            b'\n' | b'\r' if free == SPAN => i -= 1,
            _ => break,
        }
    }
    meaning(gathered.get(free..).unwrap_or_default()).or(text.hint)
}

/// Whether a label may begin in front of this word: `medical record`, `call back at`, or a filler.
fn goes_on(word: &[u8]) -> bool {
    matches!(word, b"record" | b"security" | b"at" | b"back" | b"on" | b"hospital")
        || word.last().is_some_and(|&last| fillers_ending_with(last).contains(&word))
}

/// What the name of a field says about its value.
#[cfg(feature = "tracing")]
pub(crate) fn of_name(name: &str) -> Labels {
    before(&Text::new(name, Labels::NONE), name.len())
}

/// Where a terminal escape such as `ESC[0m` starts that ends in front of `end`.
fn escape_start(text: &Text<'_>, end: usize) -> Option<usize> {
    let mut i = end.checked_sub(1)?;
    while i > text.limit && matches!(text.at(i - 1), b'0'..=b'9' | b';') {
        i -= 1;
    }
    (i >= 2 && text.ends_with(i, b"\x1b[")).then(|| i - 2)
}

fn patient_path(text: &Text<'_>, slash: usize) -> Labels {
    let mut i = slash;
    while text.before(i).is_ascii_alphabetic() {
        i -= 1;
    }
    let segment = text.slice(i, slash);
    if segment.eq_ignore_ascii_case(b"patient") || segment.eq_ignore_ascii_case(b"patients") {
        Labels::PATIENT_PATH
    } else {
        Labels::NONE
    }
}

/// Words between a label and its value that mean nothing, by their last letter.
const fn fillers_ending_with(last: u8) -> &'static [&'static [u8]] {
    match last {
        b'd' => &[b"id"],
        b'e' => &[b"value", b"some", b"code"],
        b'f' => &[b"of"],
        b'l' => &[b"val"],
        b'm' => &[b"num"],
        b'o' => &[b"no"],
        b'r' => &[b"number", b"identifier", b"nbr", b"nr", b"str"],
        b's' => &[b"is", b"was"],
        b't' => &[b"text"],
        _ => &[],
    }
}

/// What says that a version follows. It keeps a date or an address in the log, so the whole word has to be one of these:
/// `server`, `fever` and `cardioversion` end like one.
const VERSIONS: [&[u8]; 10] = [
    b"ver",
    b"version",
    b"apiversion",
    b"appversion",
    b"clientversion",
    b"dbversion",
    b"protocolversion",
    b"schemaversion",
    b"serverversion",
    b"tlsversion",
];

/// The meaning of the lower-case letters in front of a value.
fn meaning(mut letters: &[u8]) -> Labels {
    if VERSIONS.contains(&letters) {
        return Labels::VERSION;
    }
    for _ in 0..3 {
        let Some(&last) = letters.last() else { break };
        for (label, means) in ending_with(last) {
            if letters.ends_with(label) {
                return if letters.ends_with(b"update") { Labels::NONE } else { *means };
            }
        }
        match fillers_ending_with(last).iter().find_map(|filler| letters.strip_suffix(*filler)) {
            Some(rest) => letters = rest,
            None => break,
        }
    }
    Labels::NONE
}

type Entry = (&'static [u8], Labels);

/// The labels by their last letter, so that most words are settled by one comparison.
const fn ending_with(last: u8) -> &'static [Entry] {
    match last {
        b'b' => &[(b"dob", Labels::DATE)],
        b'c' => &[(b"socsec", Labels::SSN), (b"medrec", Labels::MRN)],
        b'd' => &[
            (b"medicalrecord", Labels::MRN),
            (b"medrecord", Labels::MRN),
            (b"patientrecord", Labels::MRN),
            (b"patientid", Labels::MRN),
            (b"ptid", Labels::MRN),
            (b"taxid", Labels::SSN),
            (b"dod", Labels::DATE),
            (b"admitted", Labels::DATE),
            (b"discharged", Labels::DATE),
            (b"deceased", Labels::DATE),
            (b"died", Labels::DATE),
        ],
        b'e' => &[(b"phone", Labels::PHONE), (b"mobile", Labels::PHONE), (b"date", Labels::DATE)],
        b'h' => &[(b"birth", Labels::DATE)],
        b'i' => &[(b"mpi", Labels::MRN)],
        b'k' => &[(b"callback", Labels::PHONE)],
        b'l' => &[(b"tel", Labels::PHONE), (b"cell", Labels::PHONE), (b"call", Labels::PHONE)],
        b'm' => &[(b"telecom", Labels::PHONE), (b"patientnum", Labels::MRN)],
        b'n' => &[
            (b"ssn", Labels::SSN),
            (b"itin", Labels::SSN),
            (b"mrn", Labels::MRN),
            (b"born", Labels::DATE),
            (b"bornon", Labels::DATE),
        ],
        b'o' => &[(b"patientno", Labels::MRN), (b"chartno", Labels::MRN)],
        b'r' => &[
            (b"patientnumber", Labels::MRN),
            (b"patientidentifier", Labels::MRN),
            (b"chartnumber", Labels::MRN),
            (b"hospitalnumber", Labels::MRN),
            (b"pager", Labels::PHONE),
        ],
        b's' => &[(b"sms", Labels::PHONE), (b"mrns", Labels::MRN), (b"ssns", Labels::SSN), (b"phones", Labels::PHONE)],
        b't' => &[
            (b"contact", Labels::PHONE),
            (b"callat", Labels::PHONE),
            (b"callbackat", Labels::PHONE),
            (b"reachat", Labels::PHONE),
        ],
        b'x' => &[(b"fax", Labels::PHONE)],
        b'y' => &[(b"socialsecurity", Labels::SSN)],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_end(text: &str) -> Labels {
        before(&Text::new(text, Labels::NONE), text.len())
    }

    #[test]
    fn labels_are_found_through_punctuation_quotes_escapes_and_fillers() {
        for text in [
            "MRN ",
            "mrn=",
            "MRN: ",
            "MRN #",
            "\"mrn\":\"",
            "\\\"mrn\\\":\\\"",
            "patient_mrn=",
            "patientMrn: Some(\"",
            "mrn: \"",
            "?x=1&mrn=",
            "mrn%3D",
            "Medical Record Number: ",
            "medical-record no. ",
            "patient_id=",
            "MRN is ",
            "mrn (",
            "field: \"mrn\", value: \"",
            "\x1b[3mmrn\x1b[0m\x1b[2m=\x1b[0m",
            "MRN:\n",
            "mrn_number=",
        ] {
            assert_eq!(at_end(text), Labels::MRN, "{text:?}");
        }
        for text in ["ssn=", "SSN ", "Social Security Number ", "social-security no. "] {
            assert_eq!(at_end(text), Labels::SSN, "{text:?}");
        }
        assert_eq!(at_end("GET /api/v1/patients/"), Labels::PATIENT_PATH);
        assert_eq!(at_end("Patient/"), Labels::PATIENT_PATH);
        assert_eq!(at_end("dateOfBirth: "), Labels::DATE);
        assert_eq!(at_end("homePhone="), Labels::PHONE);
    }

    #[test]
    fn other_words_and_hard_stops_are_no_label() {
        for text in [
            "",
            "order ",
            "mrn_count=",
            "MRN 12345 and ",
            "mrn=[MRN] ",
            "mrn=1; id=",
            "\"mrn\":\"1\",\"seq\":",
            "/inpatients/",
            "last_update=",
            "request_id=",
            "mrn) ",
            "x\n",
        ] {
            assert_eq!(at_end(text), Labels::NONE, "{text:?}");
        }
    }
}
