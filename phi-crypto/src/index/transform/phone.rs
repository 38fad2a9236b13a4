//! Telephone numbers in the form of E.164.

use zeroize::Zeroizing;

/// North America, whose national numbers have a length of their own.
const NORTH_AMERICA: u16 = 1;

/// The shortest and the longest number; E.164 allows 15 digits at most.
const LENGTHS: core::ops::RangeInclusive<usize> = 8..=15;

/// Appends the digits of the international number; nothing where the value is none.
pub(super) fn write(value: &str, home: u16, out: &mut Vec<u8>) {
    let value = value.trim();
    let value = match value.get(..4) {
        Some(scheme) if scheme.eq_ignore_ascii_case("tel:") => value.get(4..).unwrap_or_default().trim_start(),
        _ => value,
    };
    let end = value.find(|c: char| c.is_ascii_alphabetic() || matches!(c, ';' | ',' | '#')).unwrap_or(value.len());
    let value = value.get(..end).unwrap_or_default();

    let plus = value.strip_prefix('+');
    let (before, behind) = plus.and_then(|number| number.split_once("(0)")).unwrap_or((plus.unwrap_or(value), ""));
    let digits = before.bytes().chain(behind.bytes()).filter(u8::is_ascii_digit).collect::<Vec<_>>();
    let digits = Zeroizing::new(digits);

    let start = out.len();
    if plus.is_some() {
        out.extend_from_slice(&digits);
    } else if let Some(international) = international(&digits, home) {
        out.extend_from_slice(international);
    } else if let Some(national) = national(&digits, home) {
        out.extend_from_slice(home.to_string().as_bytes());
        out.extend_from_slice(national);
    }
    // No calling code begins with 0.
    if !LENGTHS.contains(&out.len().saturating_sub(start)) || out.get(start) == Some(&b'0') {
        out.truncate(start);
    }
}

/// What follows the prefix of an international call.
fn international(digits: &[u8], home: u16) -> Option<&[u8]> {
    if home == NORTH_AMERICA { digits.strip_prefix(b"011") } else { digits.strip_prefix(b"00") }
}

/// The number within the home country.
fn national(digits: &[u8], home: u16) -> Option<&[u8]> {
    match (home, digits) {
        (NORTH_AMERICA, [b'1', number @ ..]) if number.len() == 10 => Some(number),
        (NORTH_AMERICA, number) => (number.len() == 10).then_some(number),
        (_, [b'0', number @ ..]) | (_, number) => Some(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_in_many_notations_is_one() {
        for (home, value, expected) in [
            (1, "(617) 555-0123", "16175550123"),
            (1, "617.555.0123", "16175550123"),
            (1, "1-617-555-0123 ext. 42", "16175550123"),
            (1, "+1 617 555 0123", "16175550123"),
            (1, "tel:+1-617-555-0123;ext=42", "16175550123"),
            (1, "TEL: 6175550123,,42#", "16175550123"),
            (1, "011 49 30 901820", "4930901820"),
            (1, "+49 (0)30 901820", "4930901820"),
            (1, "555-0123", ""),
            (1, "16175550123456", ""),
            (49, "030 901820", "4930901820"),
            (49, "0049 30 901820", "4930901820"),
            (49, "001 617 555 0123", "16175550123"),
            (49, "+39 06 69812345", "390669812345"),
            (44, "020 7946 0958", "442079460958"),
            (1, "+012345678", ""),
            (1, "+1234567", ""),
            (1, "+1234567890123456", ""),
            (1, "unknown", ""),
            (1, "", ""),
            (1, "+", ""),
            (1, "é", ""),
        ] {
            let mut out = b"x".to_vec();
            write(value, home, &mut out);
            assert_eq!(out, format!("x{expected}").as_bytes(), "{value}");
        }
    }
}
