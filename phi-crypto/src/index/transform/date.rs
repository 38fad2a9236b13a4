//! The year of a date.

/// The year of a date in the notation of FHIR or HL7 version 2; empty where there is none.
pub(super) fn year(value: &str) -> &[u8] {
    let value = value.trim().as_bytes();
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let is_date = match digits {
        4 => matches!(value.get(4), None | Some(b'-')),
        // YYYYMMDD, and with hours and minutes, and seconds.
        8 | 12 | 14 => true,
        _ => false,
    };
    value.get(..4).filter(|_| is_date).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fhir_and_hl7_dates_have_a_year_and_other_texts_have_none() {
        for (value, expected) in [
            ("1980", "1980"),
            (" 1980-07 ", "1980"),
            ("1980-07-31T10:00:00.5-05:00", "1980"),
            ("19800731", "1980"),
            ("198007311000-0500", "1980"),
            ("19800731100059.123", "1980"),
            ("31.07.1980", ""),
            ("07/31/1980", ""),
            ("1980/07/31", ""),
            ("198007", ""),
            ("80-07-31", ""),
            ("19 80", ""),
            ("", ""),
            ("born 1980", ""),
        ] {
            assert_eq!(year(value), expected.as_bytes(), "{value}");
        }
    }
}
