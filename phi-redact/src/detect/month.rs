//! Names of months in English, whole or abbreviated.

const NAMES: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// The month, 1 to 12, that these letters name: at least three of them, or all.
pub(super) fn named(letters: &[u8]) -> Option<u32> {
    let whole = |name: &str| letters.len() <= name.len();
    let index = NAMES.iter().position(|name| {
        whole(name)
            && (letters.len() == 3 || letters.len() == name.len() || (letters.len() == 4 && name.len() == 9))
            && name.as_bytes().get(..letters.len()).is_some_and(|start| start.eq_ignore_ascii_case(letters))
    })?;
    u32::try_from(index + 1).ok()
}

/// Whether there is such a day in the proleptic Gregorian calendar, between the birth of the oldest living person
/// and the end of this century.
pub(super) const fn is_day(year: u32, month: u32, day: u32) -> bool {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => 0,
    };
    1880 <= year && year <= 2099 && 1 <= day && day <= days
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_days() {
        assert_eq!(named(b"Nov"), Some(11));
        assert_eq!(named(b"SEPT"), Some(9));
        assert_eq!(named(b"may"), Some(5));
        for other in ["", "No", "Nove", "mayo", "Novembers", "foo"] {
            assert_eq!(named(other.as_bytes()), None, "{other}");
        }
        assert!(is_day(2024, 2, 29) && is_day(2000, 2, 29) && is_day(1900, 2, 28));
        assert!(!is_day(2023, 2, 29) && !is_day(1900, 2, 29) && !is_day(2024, 4, 31) && !is_day(2024, 13, 1));
        assert!(!is_day(1879, 1, 1) && !is_day(2100, 1, 1) && !is_day(2024, 1, 0) && !is_day(2024, 0, 1));
    }
}
