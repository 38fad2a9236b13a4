//! The area of a ZIP code.

/// The first three digits of a ZIP code of five or nine digits; empty where there is none.
pub(super) fn area(value: &str) -> &[u8] {
    let value = value.trim().as_bytes();
    let digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    let is_zip = match value {
        [_, _, _, _, _] | [_, _, _, _, _, _, _, _, _] => digits(value),
        [area @ .., b'-', _, _, _, _] => {
            area.len() == 5 && digits(area) && value.iter().rev().take(4).all(u8::is_ascii_digit)
        }
        _ => false,
    };
    value.get(..3).filter(|_| is_zip).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_and_nine_digits_have_an_area() {
        for (value, expected) in [
            ("02139", "021"),
            (" 02139-4307 ", "021"),
            ("021394307", "021"),
            ("0213", ""),
            ("021390", ""),
            ("02139-430", ""),
            ("02139-430x", ""),
            ("0213-94307", ""),
            ("0213x-4307", ""),
            ("021-4307", ""),
            ("K1A 0B1", ""),
            ("٠٢١٣٩", ""),
            ("", ""),
        ] {
            assert_eq!(area(value), expected.as_bytes(), "{value}");
        }
    }
}
