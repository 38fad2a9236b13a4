//! One pass over the text, from anchor to anchor: a digit, `@`, `%`, `:`, `(`, a backslash, an escape.
//!
//! Everything that is looked for holds one of these bytes, so the rest is skipped at one comparison each. A detector
//! starts at its anchor, reads forward a bounded distance and backward no further than the last finding.

pub(crate) mod label;
pub(crate) mod text;

use core::ops::Range;

use self::{
    label::Labels,
    text::{Text, Word},
};
use crate::{Class, count, detect};

/// Where something was found, and what. It does not hold the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    range: Range<usize>,
    class: Class,
}

impl Finding {
    pub(crate) const fn new(start: usize, end: usize, class: Class) -> Self {
        Self { range: start..end, class }
    }

    /// The bytes of the text that identify somebody.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// What they are.
    #[must_use]
    pub const fn class(&self) -> Class {
        self.class
    }
}

/// The findings of one pass over a text, from left to right, never overlapping.
#[derive(Clone)]
pub struct Findings<'a> {
    text: Text<'a>,
    at: usize,
}

impl core::fmt::Debug for Findings<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Findings").field("at", &self.at).finish_non_exhaustive()
    }
}

impl<'a> Findings<'a> {
    pub(crate) const fn new(text: &'a str, hint: Labels, from: usize) -> Self {
        Self { text: Text::new(text, hint), at: from }
    }

    /// Treats what ends at `end` as an escape and goes on there.
    const fn escape(&mut self, end: usize) {
        self.text.floor = end;
        self.at = end;
    }
}

/// Which bytes are anchors. A table, because seven comparisons per byte would be most of the cost of a clean line.
#[expect(clippy::indexing_slicing, reason = "every byte has its place in a table of 256, at compile time")]
static ANCHORS: [bool; 256] = {
    let mut anchors = [false; 256];
    let mut rest: &[u8] = b"0123456789@%:(\\\x1b";
    while let [byte, tail @ ..] = rest {
        anchors[*byte as usize] = true;
        rest = tail;
    }
    anchors
};

fn is_anchor(b: u8) -> bool {
    ANCHORS.get(usize::from(b)).copied().unwrap_or(true)
}

impl Iterator for Findings<'_> {
    type Item = Finding;

    fn next(&mut self) -> Option<Finding> {
        loop {
            self.at += self.text.run(self.at, |b| !is_anchor(b));
            let at = self.at;
            if at >= self.text.len() {
                return None;
            }
            let text = &self.text;
            let hit = match text.at(at) {
                b'@' => detect::email::around(text, at, 1),
                b':' => detect::ip::v6(text, at),
                b'(' => detect::detail::at(text, at),
                b'%' => match text.percent(at) {
                    Some(b'@') => detect::email::around(text, at, 3),
                    Some(_) => {
                        self.escape(at + 3);
                        continue;
                    }
                    None => None,
                },
                b'\\' => {
                    let length = match text.at(at + 1) {
                        b'u' if text.run(at + 2, |b| b.is_ascii_hexdigit()) >= 4 => 6,
                        b'n' | b'r' | b't' | b'"' | b'\'' | b'\\' | b'/' | b'0' => 2,
                        _ => 1,
                    };
                    self.escape(at + length);
                    continue;
                }
                0x1b => {
                    let end = at + 2 + text.run(at + 2, |b| matches!(b, b'0'..=b'9' | b';'));
                    let colour = text.at(at + 1) == b'[' && text.at(end).is_ascii_alphabetic();
                    self.escape(if colour { end + 1 } else { at + 1 });
                    continue;
                }
                _ => {
                    let word = Word::around(text, at);
                    let hit = detect::word(text, word);
                    self.at = word.end;
                    hit
                }
            };
            match hit {
                Some(finding) => {
                    self.at = finding.range.end;
                    self.text.limit = finding.range.end;
                    return Some(finding);
                }
                None if self.at == at => self.at += 1,
                None => {}
            }
        }
    }
}

/// The text without what was found, or `None` if nothing was.
///
/// A replacement can move a label next to another value, so the result is searched again until nothing is left. Every
/// pass removes a digit, an `@` or a bracket and puts none back, so this ends.
pub(crate) fn redact(text: &str, hint: Labels, from: usize) -> Option<String> {
    let mut clean = pass(text, hint, from)?;
    while let Some(again) = pass(&clean, hint, from) {
        clean = again;
    }
    Some(clean)
}

fn pass(text: &str, hint: Labels, from: usize) -> Option<String> {
    let mut findings = Findings::new(text, hint, from);
    let mut next = Some(findings.next()?);
    let mut clean = String::with_capacity(text.len());
    let mut copied = 0;
    while let Some(finding) = next {
        // Findings start and end beside ASCII bytes; were one ever to split a character, the piece would be left out.
        clean.push_str(text.get(copied..finding.range.start).unwrap_or_default());
        clean.push_str(finding.class.label());
        count::found(finding.class);
        copied = finding.range.end;
        next = findings.next();
    }
    clean.push_str(text.get(copied..).unwrap_or_default());
    Some(clean)
}
