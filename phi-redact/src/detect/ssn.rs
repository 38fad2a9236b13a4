//! Social security numbers: three, two and four digits.
//!
//! With dashes the shape is enough, because nothing else is written so and because numbers that the Social Security
//! Administration never issues (areas 000, 666 and 900–999, SSA POMS RM 10201.035) still occur: individual taxpayer
//! numbers begin with 9, and so do those of synthetic patients. Without dashes a label is needed, and area, group and
//! serial must not be zero.

use crate::{
    Class,
    engine::{
        Finding,
        label::Labels,
        text::{Text, Word},
    },
};

/// Three digits at `start`, then the rest behind dashes, or behind blanks or dots after a label.
pub(super) fn shaped(text: &Text<'_>, start: usize, labels: Labels) -> Option<Finding> {
    let (group_at, separator) = after_separator(text, start + 3)?;
    let (serial_at, second) = after_separator(text, group_at + 2)?;
    let dashed = separator == b'-' && second == b'-';
    let group = text.exactly(group_at, 2)?;
    let serial = text.exactly(serial_at, 4)?;
    let found = dashed || (labels.has(Labels::SSN) && issued(text.number(start, 3), group, serial));
    found.then(|| Finding::new(start, serial_at + 4, Class::Ssn))
}

/// The same where letters stand in front, as in `SSN123-45-6789`.
pub(super) fn at_end_of(text: &Text<'_>, word: Word) -> Option<Finding> {
    if !matches!(text.at(word.end), b'-' | b'%' | 0xe2) {
        return None;
    }
    let start = word.end.checked_sub(3).filter(|&start| start > word.start)?;
    let three = text.digits(start) == 3 && !text.at(start - 1).is_ascii_digit();
    if three { shaped(text, start, Labels::NONE) } else { None }
}

/// Nine digits after a label.
pub(super) fn bare(text: &Text<'_>, word: Word, labels: Labels) -> Option<Finding> {
    labels.has(Labels::SSN).then(|| nine(text, word.start))?
}

/// Nine digits glued to their label, as in `SSN123456789`.
pub(super) fn glued(text: &Text<'_>, word: Word) -> Option<Finding> {
    let start = word.start + 3;
    let labelled = word.len() == 12 && text.slice(word.start, start).eq_ignore_ascii_case(b"ssn");
    if labelled && text.digits(start) == 9 { nine(text, start) } else { None }
}

fn nine(text: &Text<'_>, start: usize) -> Option<Finding> {
    issued(text.number(start, 3), text.number(start + 3, 2), text.number(start + 5, 4))
        .then(|| Finding::new(start, start + 9, Class::Ssn))
}

/// Whether a number could be somebody's: what is all zero in one part or has the area 666 never was.
const fn issued(area: u32, group: u32, serial: u32) -> bool {
    area != 0 && area != 666 && group != 0 && serial != 0
}

/// The position behind one separator.
fn after_separator(text: &Text<'_>, at: usize) -> Option<(usize, u8)> {
    match text.separator(at) {
        (b @ (b'-' | b' ' | b'.'), length) => Some((at + length, b)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{assert_clean, assert_found};
    use crate::Class;

    #[test]
    fn table() {
        assert_found(
            Class::Ssn,
            &[
                ("078-05-1120", "078-05-1120"),
                ("ssn=078-05-1120,", "078-05-1120"),
                ("synthetic 999-12-3456 patient", "999-12-3456"),
                ("taxpayer 912-70-1234", "912-70-1234"),
                ("never issued 000-00-0000", "000-00-0000"),
                ("SSN123-45-6789", "123-45-6789"),
                ("id_123-45-6789_x", "123-45-6789"),
                ("x\\n123-45-6789\\n", "123-45-6789"),
                ("q=%20123-45-6789%20", "123-45-6789"),
                ("123%2D45%2D6789", "123%2D45%2D6789"),
                ("123\u{2010}45\u{2013}6789", "123\u{2010}45\u{2013}6789"),
                ("\u{1b}[0m123-45-6789\u{1b}[0m", "123-45-6789"),
                ("\u{1b}[123-45-6789", "123-45-6789"),
                ("ssn 123456789", "123456789"),
                ("\"ssn\":\"912345678\"", "912345678"),
                ("ssn: Some(123456789)", "123456789"),
                ("Social Security Number: 123 45 6789", "123 45 6789"),
                ("ssn=123.45.6789", "123.45.6789"),
                ("SSN123456789", "123456789"),
            ],
        );
        assert_clean(&[
            "seq=123456789",
            "123 45 6789",
            "ssn=000456789",
            "ssn=666456789",
            "ssn=123006789",
            "ssn=123450000",
            "1123-45-6789",
            "123-45-67890",
            "123-456-789",
            "12-345-6789",
            "f4998d7c-4093-4de2-a268-aa8726076791",
            "895fd7b326b94c7f9118bb16000f49c8",
            "ssn_count=12",
            "v1.23.456",
        ]);
    }
}
