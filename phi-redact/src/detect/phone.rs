//! Telephone and fax numbers: North American ones by shape, others by their `+`, bare digits by label.

use crate::{
    Class,
    engine::{
        Finding,
        label::Labels,
        text::{Text, Word},
    },
};

/// Most digits of an international number, ITU-T E.164.
const E164_DIGITS: usize = 15;
/// Area code that fiction and synthetic patients use, with exchanges that are never assigned.
const FICTION: u32 = 555;

/// `(NPA) NXX-XXXX` and `NPA-NXX-XXXX` with dashes, dots or blanks, and a country code 1 in front.
pub(super) fn north_american(text: &Text<'_>, word: Word, labels: Labels) -> Option<Finding> {
    let area = text.number(word.start, 3);
    let bracketed = text.before(word.start) == b'(' && text.at(word.end) == b')';
    let mut start = word.start;
    let mut at = word.end;
    let mut separator = b')';
    if bracketed {
        start -= 1;
        at += 1;
        if let (b' ' | b'-' | b'.', length) = text.separator(at) {
            at += length;
        }
    } else {
        let (b, length) = text.separator(at);
        separator = b;
        at += length;
    }
    let exchange = text.exactly(at, 3)?;
    let (second, length) = text.separator(at + 3);
    at += 3 + length;
    text.exactly(at, 4)?;
    let end = at + 4;
    let country = country_code(text, start);
    let same = bracketed || separator == second;
    if !same || !matches!(second, b'-' | b'.' | b' ') || !area_code(area) || text.before(start).is_ascii_alphanumeric()
    {
        return None;
    }
    // Three numbers between blanks are as often a status, a size and a time.
    if second == b' ' && !bracketed && country.is_none() && !labels.has(Labels::PHONE) {
        return None;
    }
    if second == b'.' && text.at(end) == b'.' && text.at(end + 1).is_ascii_digit() {
        return None;
    }
    let known = bracketed || country.is_some() || labels.has(Labels::PHONE) || area == FICTION;
    (known || area_code(exchange)).then(|| Finding::new(country.unwrap_or(start), end, Class::Phone))
}

/// `+` and 8 to 15 digits, grouped or not.
pub(super) fn international(text: &Text<'_>, word: Word) -> Option<Finding> {
    let encoded = text.floor == word.start && text.ends_with(word.start, b"%2B");
    let plus = if encoded { word.start - 3 } else { word.start.checked_sub(1)? };
    let after_word = plus > text.limit && text.at(plus - 1).is_ascii_alphanumeric();
    let signed = encoded || (text.before(word.start) == b'+' && !after_word);
    if !signed || text.at(word.start) == b'0' {
        return None;
    }
    let mut end = word.end;
    let mut digits = word.len();
    // A number that is complete takes no further group: the next word may be a count.
    while digits < 10 {
        let mut next = end;
        while next - end < 2 && matches!(text.at(next), b' ' | b'-' | b'.' | b'(' | b')') {
            next += 1;
        }
        let group = text.digits(next);
        if group < 2 || digits + group > E164_DIGITS || next == end {
            break;
        }
        digits += group;
        end = next + group;
    }
    let whole = !text.at(end).is_ascii_alphanumeric();
    (whole && (8..=E164_DIGITS).contains(&digits)).then(|| Finding::new(plus, end, Class::Phone))
}

/// Ten digits, eleven with the country code 1, or `NXX-XXXX`, after a label.
pub(super) fn labelled(text: &Text<'_>, word: Word, labels: Labels) -> Option<Finding> {
    if !labels.has(Labels::PHONE) {
        return None;
    }
    let first = text.at(word.start);
    match word.len() {
        10 if first >= b'2' => Some(Finding::new(word.start, word.end, Class::Phone)),
        11 if first == b'1' => Some(Finding::new(word.start, word.end, Class::Phone)),
        3 if matches!(text.at(word.end), b'-' | b'.') => {
            text.exactly(word.end + 1, 4)?;
            Some(Finding::new(word.start, word.end + 5, Class::Phone))
        }
        _ => None,
    }
}

/// Area and exchange codes begin with 2 to 9 and are not service codes such as 911.
const fn area_code(code: u32) -> bool {
    code >= 200 && code % 100 != 11
}

/// Where `1-`, `+1 ` and the like start in front of a national number.
fn country_code(text: &Text<'_>, start: usize) -> Option<usize> {
    let separated = matches!(text.before(start), b'-' | b'.' | b' ');
    let one = start.checked_sub(if separated { 2 } else { 1 })?;
    if one < text.limit || text.at(one) != b'1' {
        return None;
    }
    match text.before(one) {
        b'+' => Some(one - 1),
        b if b.is_ascii_alphanumeric() || b == b'.' || !separated => None,
        _ => Some(one),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{assert_clean, assert_found};
    use crate::Class;

    #[test]
    fn table() {
        assert_found(
            Class::Phone,
            &[
                ("555-123-4567", "555-123-4567"),
                ("call 313-867-5309 now", "313-867-5309"),
                ("(813) 644-6098", "(813) 644-6098"),
                ("(813)644-6098", "(813)644-6098"),
                ("+1 (813) 644-6098", "+1 (813) 644-6098"),
                ("280.361.9822", "280.361.9822"),
                ("+1 313 867 5309", "+1 313 867 5309"),
                ("+13138675309,", "+13138675309"),
                ("1-313-867-5309", "1-313-867-5309"),
                ("tel:+49 30 901820", "+49 30 901820"),
                ("+447911123456", "+447911123456"),
                ("to=%2B13138675309&x", "%2B13138675309"),
                ("phone=3138675309", "3138675309"),
                ("fax: 13138675309", "13138675309"),
                ("phone: 867-5309", "867-5309"),
                ("call back at 313 867 5309", "313 867 5309"),
                ("313%2D867%2D5309", "313%2D867%2D5309"),
                ("313\u{2011}867\u{2011}5309", "313\u{2011}867\u{2011}5309"),
            ],
        );
        assert_clean(&[
            "order 3138675309",
            "epoch 1771485889 and 1771485889123",
            "404 512 1234",
            "111-867-5309",
            "911-867-5309",
            "313-911-5309",
            "3138-675-309",
            "v313.867.5309.1",
            "at 20:16:22+00:00 x",
            "a+12345678",
            "+1234567",
            "+0123456789",
            "ratio 0.6288 keys=975140",
            "895fd7b326b94c7f9118bb16000f49c8",
        ]);
    }
}
