//! Dates with a year: ISO 8601, US slashes, English month names, and bare digits by label or between HL7 v2 delimiters.
//!
//! A day must exist. What a version label precedes, and the `[18/Nov/2025:10:00:00` of access logs, is left.

use super::month::{is_day, named};
use crate::{
    Class,
    engine::{
        Finding,
        label::Labels,
        text::{Text, Word},
    },
};

/// `YYYY-MM-DD` and `YYYY/MM/DD`, also with dots or single digits after a label; the time behind it stays.
pub(super) fn iso(text: &Text<'_>, word: Word, labels: Labels) -> Option<Finding> {
    let (separator, length) = text.separator(word.end);
    let labelled = labels.has(Labels::DATE);
    let separates = matches!(separator, b'-' | b'/') || (separator == b'.' && labelled);
    if !separates || labels.has(Labels::VERSION) {
        return None;
    }
    let month_at = word.end + length;
    let month_digits = text.digits(month_at);
    let (second, length) = text.separator(month_at + month_digits);
    let day_at = month_at + month_digits + length;
    let day_digits = text.digits(day_at);
    let two = |digits| digits == 2 || (digits == 1 && (separator == b'/' || labelled));
    if second != separator || !two(month_digits) || !two(day_digits) {
        return None;
    }
    let year = text.number(word.start, 4);
    let exists = is_day(year, text.number(month_at, month_digits), text.number(day_at, day_digits));
    let end = day_at + day_digits;
    (exists && ends(text, end)).then(|| Finding::new(word.start, end, Class::Date))
}

/// What one or two digits begin or stand in: `M/D/Y`, `18-Nov-2025`, `Nov 18, 2025`.
pub(super) fn short(text: &Text<'_>, word: Word, labels: Labels) -> Option<Finding> {
    numeric(text, word, labels)
        .or_else(|| day_month_year(text, word.start, word.end))
        .or_else(|| month_day_year(text, word.start, word.end))
}

/// `M/D/Y` with the month first, or the day first before a year of four digits.
fn numeric(text: &Text<'_>, word: Word, labels: Labels) -> Option<Finding> {
    let (separator, length) = text.separator(word.end);
    let second_at = word.end + length;
    let second_digits = text.digits(second_at);
    let (again, length) = text.separator(second_at + second_digits);
    let year_at = second_at + second_digits + length;
    let year_digits = text.digits(year_at);
    if separator != again || !matches!(separator, b'/' | b'-' | b'.') || !(1..=2).contains(&second_digits) {
        return None;
    }
    let padded = word.len() == 2 && second_digits == 2;
    let sure = padded || (separator == b'/' && year_digits == 4) || labels.has(Labels::DATE);
    let (first, second) = (text.number(word.start, word.len()), text.number(second_at, second_digits));
    let exists = match year_digits {
        4 => {
            let year = text.number(year_at, 4);
            is_day(year, first, second) || is_day(year, second, first)
        }
        // Two digits of a year are as often a fraction, a path or a count.
        2 if separator == b'/' || labels.has(Labels::DATE) => {
            let alone = !matches!(text.before(word.start), b'/' | b'-' | b'.') && text.at(year_at + 2) != separator;
            let year = 2000 + text.number(year_at, 2);
            alone && (is_day(year, first, second) || (labels.has(Labels::DATE) && is_day(year, second, first)))
        }
        _ => false,
    };
    let end = year_at + year_digits;
    (sure && exists && ends(text, end)).then(|| Finding::new(word.start, end, Class::Date))
}

/// The month and year behind a day that ends at `day_end`.
fn day_month_year(text: &Text<'_>, start: usize, day_end: usize) -> Option<Finding> {
    let day = day_number(text, start)?;
    let mut month_at = gap(text, day_end)?;
    if text.starts_with(month_at, b"of ") {
        month_at += 3;
    }
    let month_end = month_at + text.letters(month_at);
    let month = named(text.slice(month_at, month_end))?;
    let year_at = gap(text, month_end)?;
    let end = year_at + text.digits(year_at);
    let year = match (end - year_at, text.at(day_end)) {
        (4, _) => text.number(year_at, 4),
        (2, b'-') => 2000 + text.number(year_at, 2),
        _ => return None,
    };
    let access_log = text.before(start) == b'[' && text.at(day_end) == b'/' && text.at(end) == b':';
    (is_day(year, month, day) && ends(text, end) && !access_log).then(|| Finding::new(start, end, Class::Date))
}

/// The month in front of a day and the year behind it.
fn month_day_year(text: &Text<'_>, start: usize, day_end: usize) -> Option<Finding> {
    let day = day_number(text, start)?;
    let mut letters_end = start;
    let mut gaps = 0;
    loop {
        let encoded = letters_end.checked_sub(3).filter(|&i| i >= text.limit && text.percent(i) == Some(b' '));
        if let Some(i) = encoded {
            letters_end = i;
        } else if letters_end > text.limit && matches!(text.at(letters_end - 1), b' ' | b'-' | b'.' | b'+') {
            letters_end -= 1;
        } else {
            break;
        }
        gaps += 1;
        if gaps > 2 {
            return None;
        }
    }
    let mut letters_start = letters_end;
    while letters_start > text.limit && text.at(letters_start - 1).is_ascii_alphabetic() {
        letters_start -= 1;
    }
    // The letter of an escape such as `\n` is no part of the name.
    if letters_start > text.limit && text.at(letters_start - 1) == b'\\' {
        letters_start += 1;
    }
    let month = (letters_end < start).then(|| named(text.slice(letters_start, letters_end)))??;
    let year_at = gap(text, day_end)?;
    let year = text.exactly(year_at, 4)?;
    let end = year_at + 4;
    (is_day(year, month, day) && ends(text, end)).then(|| Finding::new(letters_start, end, Class::Date))
}

/// A word of digits and letters: `18th`, `18Nov2025`, `20251118T103000`.
pub(super) fn with_letters(text: &Text<'_>, word: Word) -> Option<Finding> {
    let digits = text.digits(word.start);
    if !matches!(digits, 1 | 2 | 8) {
        return None;
    }
    let letters_at = word.start + digits;
    let letters_end = letters_at + text.letters(letters_at);
    let letters = text.slice(letters_at, letters_end);
    match digits {
        1 | 2 if letters_end == word.end => {
            if !matches!(letters, b"st" | b"nd" | b"rd" | b"th") {
                return None;
            }
            day_month_year(text, word.start, word.end).or_else(|| month_day_year(text, word.start, word.end))
        }
        1 | 2 => {
            let year = text.exactly(letters_end, 4).filter(|_| word.end == letters_end + 4)?;
            let exists = is_day(year, named(letters)?, text.number(word.start, digits));
            exists.then(|| Finding::new(word.start, word.end, Class::Date))
        }
        8 if matches!(letters, b"T") && text.digits(letters_end) >= 4 => {
            day_of(text, word.start).then(|| Finding::new(word.start, letters_at, Class::Date))
        }
        _ => None,
    }
}

/// `YYYYMMDD`, alone or with a time, after a label (then the year may stand at the end too), between the delimiters of an HL7 v2 segment, or as an SQL literal.
pub(super) fn compact(text: &Text<'_>, word: Word, labels: Labels) -> Option<Finding> {
    let delimited = matches!(text.before(word.start), b'|' | b'^' | b'~')
        && matches!(text.at(word.end), b'|' | b'^' | b'~' | b'+' | b'-' | b'.' | b'\r' | b'\n' | b'\\' | b'"' | 0);
    let literal = text.before(word.start) == b'\'' && text.at(word.end) == b'\'';
    let labelled = labels.has(Labels::DATE);
    let (first, second) = (text.number(word.start, 2), text.number(word.start + 2, 2));
    let year = text.number(word.start + 4, 4);
    let year_last = labelled && word.len() == 8 && (is_day(year, first, second) || is_day(year, second, first));
    ((delimited || literal || labelled) && day_of(text, word.start) || year_last)
        .then(|| Finding::new(word.start, word.end, Class::Date))
}

fn day_of(text: &Text<'_>, start: usize) -> bool {
    is_day(text.number(start, 4), text.number(start + 4, 2), text.number(start + 6, 2))
}

fn day_number(text: &Text<'_>, start: usize) -> Option<u32> {
    let digits = text.digits(start);
    (1..=2).contains(&digits).then(|| text.number(start, digits))
}

/// The position behind one to three separators.
fn gap(text: &Text<'_>, from: usize) -> Option<usize> {
    let mut at = from;
    for _ in 0..3 {
        match text.separator(at) {
            (b' ' | b',' | b'-' | b'.' | b'/' | b'+', length) => at += length,
            _ => break,
        }
    }
    (at > from).then_some(at)
}

/// Nothing goes on behind a date but a time.
fn ends(text: &Text<'_>, end: usize) -> bool {
    let b = text.at(end);
    !b.is_ascii_alphanumeric() || matches!(b, b'T' | b't' | b'Z' | b'z')
}

#[cfg(test)]
mod tests {
    use super::super::{assert_clean, assert_found};
    use crate::Class;

    #[test]
    fn table() {
        assert_found(
            Class::Date,
            &[
                ("dob=1980-05-12", "1980-05-12"),
                ("at 1980-05-12T10:00:00Z", "1980-05-12"),
                ("1980/5/2", "1980/5/2"),
                ("2024-02-29", "2024-02-29"),
                ("born 5/12/1980.", "5/12/1980"),
                ("26/04/1938", "26/04/1938"),
                ("dob=04%2F26%2F1938&", "04%2F26%2F1938"),
                ("\"06/27/25\"", "06/27/25"),
                ("05-12-1980", "05-12-1980"),
                ("26.04.1938", "26.04.1938"),
                ("dob 5/3/80", "5/3/80"),
                ("18-Nov-2025", "18-Nov-2025"),
                ("18-NOV-25", "18-NOV-25"),
                ("18 November 2025", "18 November 2025"),
                ("18th of November, 2025", "18th of November, 2025"),
                ("18Nov2025", "18Nov2025"),
                ("'November 15, 2009'", "November 15, 2009"),
                ("on Nov. 18th 2025:", "Nov. 18th 2025"),
                ("dob=November%2015%2C%202009", "November%2015%2C%202009"),
                ("Sept 9 1999", "Sept 9 1999"),
                ("||19430902|F", "19430902"),
                ("|20251118103000||", "20251118103000"),
                ("VALUES ('19430902', 1)", "19430902"),
                ("dob: 19430902", "19430902"),
                ("birthDate=19430902", "19430902"),
                ("20251118T103000", "20251118"),
                ("fever 2024-05-12", "2024-05-12"),
                ("caregiver: 1980-05-12", "1980-05-12"),
                ("cardioversion 2024-05-12", "2024-05-12"),
                ("dob: 18/Nov/1980: allergic", "18/Nov/1980"),
                ("dob=05121980", "05121980"),
                ("dob=1980.05.12", "1980.05.12"),
                ("dob=1980-5-2", "1980-5-2"),
                ("dob 26/04/38", "26/04/38"),
                ("1980\u{2011}05\u{2011}12", "1980\u{2011}05\u{2011}12"),
            ],
        );
        assert_clean(&[
            "2023-02-29",
            "2024-13-01",
            "1812-01-01",
            "seq 19430902",
            "|19431302|",
            "1/2/26",
            "3/4",
            "/1/2/26/",
            "v1.12.42",
            "1.2.2024",
            "2024.05.12",
            "2024-5-2",
            "26/04/38",
            "seq 05121980",
            "schema_version=2023-11-01",
            "api-version=2023-11-01",
            "f4998d7c-4093-4de2-a268-aa8726076791",
            "[18/Nov/2025:10:00:00 +0000]",
            "Nov 22 07:37:31 host",
            "in may 3 times",
            "last_update=20251118",
            "epoch_ms=1771485889123",
            "2024-05-123",
        ]);
    }
}
