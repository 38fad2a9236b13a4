//! Medicare beneficiary identifiers: eleven characters in the pattern of the CMS, in which the second, fifth, eighth
//! and ninth are always letters, and S, L, O, I, B and Z never occur. There is no check character.

use crate::{
    Class,
    engine::{
        Finding,
        label::Labels,
        text::{Text, Word},
    },
};

/// What may stand at each of the eleven places: `d` a digit, `9` a digit but zero, `a` a letter, `x` either.
const PATTERN: &[u8; 11] = b"9axdaxdaadd";

/// Eleven characters, or four, three and four behind dashes. Lower case only after a label of patients' numbers,
/// because random identifiers are usually written so.
pub(super) fn at(text: &Text<'_>, word: Word, labels: Labels) -> Option<Finding> {
    let mut characters = [0_u8; 11];
    let end = match word.len() {
        11 => {
            characters.copy_from_slice(text.slice(word.start, word.end));
            word.end
        }
        4 if text.at(word.end) == b'-' && text.at(word.end + 4) == b'-' => {
            let end = word.end + 9;
            let parts = [(0, word.start, 4), (4, word.end + 1, 3), (7, word.end + 5, 4)];
            for (to, from, length) in parts {
                let part = text.slice(from, from + length);
                characters.get_mut(to..to + length).filter(|c| c.len() == part.len())?.copy_from_slice(part);
            }
            if text.at(end).is_ascii_alphanumeric() {
                return None;
            }
            end
        }
        _ => return None,
    };
    let upper = characters.iter().all(|b| !b.is_ascii_lowercase());
    if !upper && !labels.has(Labels::MRN) {
        return None;
    }
    let fits = characters.iter().zip(PATTERN).all(|(&b, &place)| match place {
        b'9' => matches!(b, b'1'..=b'9'),
        b'd' => b.is_ascii_digit(),
        b'a' => letter(b),
        _ => b.is_ascii_digit() || letter(b),
    });
    fits.then(|| Finding::new(word.start, end, Class::Mbi))
}

const fn letter(b: u8) -> bool {
    b.is_ascii_alphabetic() && !matches!(b.to_ascii_uppercase(), b'S' | b'L' | b'O' | b'I' | b'B' | b'Z')
}

#[cfg(test)]
mod tests {
    use super::super::{assert_clean, assert_found};
    use crate::Class;

    #[test]
    fn table() {
        assert_found(
            Class::Mbi,
            &[
                ("1EG4-TE5-MK73", "1EG4-TE5-MK73"),
                ("member 1EG4TE5MK73.", "1EG4TE5MK73"),
                ("mbi=\"9AA0AA0AA00\"", "9AA0AA0AA00"),
                ("ParseError { field: \"mbi\", value: \"4C77J93UE31\" }", "4C77J93UE31"),
                ("patient_id=1eg4te5mk73", "1eg4te5mk73"),
            ],
        );
        assert_clean(&[
            "0EG4TE5MK73",
            "1SG4TE5MK73",
            "1EG4TE5MK7",
            "1EG4TE5MK734",
            "1EG4-TE5-MK734",
            "1EG4-TE5",
            "A1EG4TE5MK73",
            "pod 1eg4te5mk73",
            "11111111111",
            "12345678-1234-1234-1234-123456789012",
        ]);
    }
}
