//! Looks for what must not be there: patients' identifiers in the bytes of files and of output.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{self, Read};
use std::os::fd::IntoRawFd;
use std::path::Path;

use serde_json::Value;

/// What was looked for, where it must not be: the kind, never the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leak {
    pub(crate) what: &'static str,
    pub(crate) file: String,
    pub(crate) offset: usize,
}

/// The identifiers of a set of bundles, in the forms in which bytes could hold them.
#[derive(Debug, Default)]
pub(crate) struct Needles {
    values: BTreeMap<String, &'static str>,
}

/// Words of up to four letters occur in ciphertext by chance: about once in a gigabyte each.
const SHORT: usize = 4;

impl Needles {
    /// Takes the identifiers of every Patient of a bundle. What is not a bundle has none.
    pub(crate) fn add(&mut self, bundle: &[u8]) {
        let Ok(Value::Object(bundle)) = serde_json::from_slice(bundle) else { return };
        for resource in list(bundle.get("entry")).filter_map(|entry| entry.get("resource")) {
            if resource.get("resourceType").and_then(Value::as_str) == Some("Patient") {
                self.patient(resource);
            }
        }
    }

    /// How many values are looked for.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    fn patient(&mut self, patient: &Value) {
        for name in list(patient.get("name")) {
            let family = text(name.get("family"));
            self.value("family name", family);
            for given in list(name.get("given")) {
                self.value("name", &format!("{} {family}", text(Some(given))));
            }
        }
        for telecom in list(patient.get("telecom")) {
            self.value("telephone number or address", text(telecom.get("value")));
        }
        for line in list(patient.get("address")).flat_map(|address| list(address.get("line"))) {
            self.value("address line", text(Some(line)));
        }
        for date in ["birthDate", "deceasedDateTime"] {
            self.value("date", text(patient.get(date)));
        }
        for number in list(patient.get("identifier")).map(|identifier| text(identifier.get("value"))) {
            self.value("number", number);
            let digits: String = number.chars().filter(char::is_ascii_digit).collect();
            if digits.len() >= 9 && digits.len() + 4 > number.len() {
                self.value("number", &digits);
            }
        }
        self.value("resource id", text(patient.get("id")));
    }

    fn value(&mut self, what: &'static str, value: &str) {
        // Initials and the like say nothing and occur everywhere.
        if value.trim().len() >= 3 {
            self.values.insert(value.trim().to_owned(), what);
        }
    }

    /// Makes a scanner for these values in clear, as UTF-16, in hexadecimal digits and in base64.
    pub(crate) fn scanner(&self) -> Scanner {
        let mut scanner = Scanner { prefixes: vec![0; 1 << 18], by_prefix: HashMap::new() };
        for (value, what) in &self.values {
            scanner.add(value.as_bytes().to_vec(), what, value.len() <= SHORT);
            scanner.add(value.encode_utf16().flat_map(u16::to_le_bytes).collect(), what, false);
            if value.len() > SHORT {
                let hex = crate::hex::encode(value.as_bytes());
                scanner.add(hex.to_uppercase().into_bytes(), what, false);
                scanner.add(hex.into_bytes(), what, false);
            }
            if value.len() >= 8 {
                for skipped in 0..3 {
                    scanner.add(base64_core(value.as_bytes(), skipped), what, false);
                }
            }
        }
        scanner
    }
}

fn list(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

fn text(value: Option<&Value>) -> &str {
    value.and_then(Value::as_str).unwrap_or_default()
}

/// The characters of base64 that are fixed by `value` alone when `skipped` bytes of its first group belong to something
/// else; the same in the standard and the URL alphabet wherever letters and digits are concerned.
fn base64_core(value: &[u8], skipped: usize) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let whole = value.get((3 - skipped) % 3..).unwrap_or_default();
    let mut out = Vec::new();
    for group in whole.chunks_exact(3) {
        let bits = group.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        out.extend([18, 12, 6, 0].iter().filter_map(|shift| ALPHABET.get(bits >> shift & 63)));
    }
    out
}

struct Pattern {
    bytes: Vec<u8>,
    what: &'static str,
    short: bool,
}

/// Finds any of many byte strings in one pass.
pub(crate) struct Scanner {
    /// One bit for each possible first three bytes.
    prefixes: Vec<u64>,
    by_prefix: HashMap<[u8; 3], Vec<Pattern>>,
}

impl Scanner {
    fn add(&mut self, bytes: Vec<u8>, what: &'static str, short: bool) {
        if let Some(prefix) = bytes.first_chunk::<3>().copied() {
            let (word, bit) = place(prefix);
            if let Some(word) = self.prefixes.get_mut(word) {
                *word |= bit;
            }
            self.by_prefix.entry(prefix).or_default().push(Pattern { bytes, what, short });
        }
    }

    /// The first leak in `bytes`, which are said to come from `file`.
    pub(crate) fn find(&self, file: &str, bytes: &[u8]) -> Option<Leak> {
        for (offset, window) in bytes.windows(3).enumerate() {
            let prefix = [*window.first()?, *window.get(1)?, *window.get(2)?];
            let (word, bit) = place(prefix);
            if self.prefixes.get(word).is_none_or(|bits| bits & bit == 0) {
                continue;
            }
            let rest = bytes.get(offset..).unwrap_or_default();
            let found = self.by_prefix.get(&prefix).into_iter().flatten().find(|pattern| {
                rest.starts_with(&pattern.bytes) && (!pattern.short || in_text(bytes, offset, pattern.bytes.len()))
            });
            if let Some(pattern) = found {
                return Some(Leak { what: pattern.what, file: file.to_owned(), offset });
            }
        }
        None
    }

    /// Reads every file under `folder`; returns the bytes read and the leaks, at most one for each file.
    pub(crate) fn scan(&self, folder: &Path) -> io::Result<(u64, Vec<Leak>)> {
        let (mut read, mut leaks) = (0, Vec::new());
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                let (more, found) = self.scan(&entry.path())?;
                read += more;
                leaks.extend(found);
            } else {
                let bytes = match read_unclosed(&entry.path()) {
                    Ok(bytes) => bytes,
                    // The clinic is running: a temporary file was renamed or removed between the listing and the look.
                    Err(gone) if gone.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                };
                read += bytes.len() as u64;
                leaks.extend(self.find(&entry.file_name().to_string_lossy(), &bytes));
            }
        }
        Ok((read, leaks))
    }
}

/// Reads a file of the running clinic and leaves it open until the process ends: closing a file takes every POSIX lock of
/// the process on it away, SQLite's included, and the next program that opens the database would think it nobody's,
/// truncate its shared memory and so kill this one.
pub(crate) fn read_unclosed(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = fs::File::open(path)?;
    let mut bytes = Vec::new();
    let read = file.read_to_end(&mut bytes);
    let _never_closed = file.into_raw_fd();
    read.map(|_| bytes)
}

const fn place(prefix: [u8; 3]) -> (usize, u64) {
    let [a, b, c] = prefix;
    let index = (a as usize) << 16 | (b as usize) << 8 | c as usize;
    (index >> 6, 1 << (index & 63))
}

/// Whether a short match is a word of a text: no letters beside it, and most of what surrounds it can be printed, which
/// is so for one in thirty places of random bytes.
fn in_text(bytes: &[u8], offset: usize, len: usize) -> bool {
    let before = bytes.get(offset.saturating_sub(6)..offset).unwrap_or_default();
    let after = bytes.get(offset + len..).unwrap_or_default();
    let after = after.get(..6).unwrap_or(after);
    let letter = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let printable = before.iter().chain(after).filter(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\t')).count();
    !letter(before.last()) && !letter(after.first()) && printable * 3 >= (before.len() + after.len()) * 2
}

#[cfg(test)]
mod tests {
    use base64ct::{Base64, Encoding};

    use super::*;

    fn scanner() -> Scanner {
        let mut needles = Needles::default();
        let patient = r#"{"resourceType":"Patient","id":"0b5f2f0e-5a1f","name":[{"family":"Rowe","given":["Al"]}],
            "identifier":[{"value":"987-65-4321"}],"address":[{"line":["77 Larkspur Crescent"]}],"birthDate":"1931-02-28"}"#;
        needles.add(format!(r#"{{"entry":[{{"resource":{patient}}}]}}"#).as_bytes());
        assert_eq!(needles.len(), 7);
        needles.scanner()
    }

    #[test]
    fn every_form_of_a_value_is_found() {
        let scanner = scanner();
        let street = "77 Larkspur Crescent";
        let base64 = |before: &str| Base64::encode_string(format!("{before}{street} and on").as_bytes());
        for text in [
            street.to_owned(),
            crate::hex::encode(street.as_bytes()),
            base64(""),
            base64("a"),
            base64("ab"),
            "SSN 987654321".to_owned(),
            "987-65-4321".to_owned(),
            "born 1931-02-28.".to_owned(),
            r#"{"family":"Rowe"}"#.to_owned(),
        ] {
            assert!(scanner.find("x", text.as_bytes()).is_some(), "{text}");
        }
        let wide: Vec<u8> = "Rowe".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(scanner.find("x", &wide).map(|leak| leak.what), Some("family name"));
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let scanner = scanner();
        assert_eq!(scanner.find("x", b"77 Larkspur Crescen, 1931-02-27, Rowena, bestRowe"), None);
        assert_eq!(scanner.find("x", b"\x01\x02\x03\x04\x05\x06Rowe\xf1\xf2\xf3\xf4\xf5\xf6"), None, "a chance match");
    }
}
