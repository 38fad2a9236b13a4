//! The detectors, each with the rule of its identifier and a table of what is and what only looks like one.

pub(crate) mod date;
pub(crate) mod detail;
pub(crate) mod email;
pub(crate) mod ip;
mod mbi;
mod month;
mod mrn;
mod phone;
mod ssn;

use crate::engine::{
    Finding, label,
    text::{Text, Word},
};

/// What a word with a digit in it begins, the surest rule first.
pub(crate) fn word(text: &Text<'_>, word: Word) -> Option<Finding> {
    let labels = label::before(text, word.start);
    if word.all_digits {
        let shaped = match word.len() {
            1 | 2 => ip::v4(text, word, labels).or_else(|| date::short(text, word, labels)),
            3 => ssn::shaped(text, word.start, labels)
                .or_else(|| ip::v4(text, word, labels))
                .or_else(|| phone::north_american(text, word, labels)),
            4 => date::iso(text, word, labels),
            8 | 12 | 14 => date::compact(text, word, labels),
            9 => ssn::bare(text, word, labels),
            _ => None,
        };
        shaped.or_else(|| phone::international(text, word)).or_else(|| phone::labelled(text, word, labels))
    } else {
        ssn::at_end_of(text, word)
            .or_else(|| mbi::at(text, word, labels))
            .or_else(|| date::with_letters(text, word))
            .or_else(|| ssn::glued(text, word))
    }
    .or_else(|| mrn::at(text, word, labels))
}

/// The tables of the detectors are checked with this: each text is found whole, as this class, inside other words.
#[cfg(test)]
pub(crate) fn assert_found(class: crate::Class, cases: &[(&str, &str)]) {
    for (text, value) in cases {
        let found: Vec<_> = crate::find(text).map(|f| (f.class(), &text[f.range()])).collect();
        assert!(found.contains(&(class, value)), "{text:?}: {found:?}");
    }
}

/// Nothing at all is found in these texts.
#[cfg(test)]
pub(crate) fn assert_clean(cases: &[&str]) {
    for text in cases {
        let found: Vec<_> = crate::find(text).map(|f| (f.class(), &text[f.range()])).collect();
        assert!(found.is_empty(), "{text:?}: {found:?}");
    }
}
