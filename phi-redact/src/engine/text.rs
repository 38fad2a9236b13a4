//! A view of the text that detectors read: total, so that no position can be out of bounds.

use super::label::Labels;

/// The text with what the scan knows about it.
#[derive(Clone, Copy)]
pub(crate) struct Text<'a> {
    bytes: &'a [u8],
    /// End of the last escape (`\n`, `%20`, a terminal colour): the byte before it belongs to no word.
    pub(crate) floor: usize,
    /// End of the last finding: nothing may reach back over it.
    pub(crate) limit: usize,
    /// What the name of the field says about the whole text.
    pub(crate) hint: Labels,
}

impl<'a> Text<'a> {
    pub(crate) const fn new(text: &'a str, hint: Labels) -> Self {
        Self { bytes: text.as_bytes(), floor: 0, limit: 0, hint }
    }

    pub(crate) const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The byte at `i`, or 0 behind the end.
    pub(crate) fn at(&self, i: usize) -> u8 {
        self.bytes.get(i).copied().unwrap_or(0)
    }

    /// The byte in front of `i`, or 0 where an escape, a finding or the start of the text is in front.
    pub(crate) fn before(&self, i: usize) -> u8 {
        if i <= self.floor.max(self.limit) { 0 } else { self.at(i - 1) }
    }

    pub(crate) fn slice(&self, from: usize, to: usize) -> &'a [u8] {
        self.bytes.get(from..to).unwrap_or_default()
    }

    /// Length of the run of digits at `i`.
    pub(crate) fn digits(&self, i: usize) -> usize {
        self.run(i, |b| b.is_ascii_digit())
    }

    /// Length of the run of letters at `i`.
    pub(crate) fn letters(&self, i: usize) -> usize {
        self.run(i, |b| b.is_ascii_alphabetic())
    }

    pub(crate) fn run(&self, i: usize, wanted: impl Fn(u8) -> bool) -> usize {
        self.bytes.get(i..).unwrap_or_default().iter().take_while(|&&b| wanted(b)).count()
    }

    /// Exactly `n` digits at `i`, as a number; `n` is at most 9.
    pub(crate) fn exactly(&self, i: usize, n: usize) -> Option<u32> {
        (self.digits(i) == n).then(|| self.number(i, n))
    }

    /// The number in the `n` ≤ 9 digits at `i`.
    pub(crate) fn number(&self, i: usize, n: usize) -> u32 {
        self.slice(i, i + n).iter().fold(0, |sum, &b| sum * 10 + u32::from(b.wrapping_sub(b'0') % 10))
    }

    pub(crate) fn starts_with(&self, i: usize, what: &[u8]) -> bool {
        self.slice(i, i + what.len()) == what
    }

    pub(crate) fn ends_with(&self, i: usize, what: &[u8]) -> bool {
        i.checked_sub(what.len()).is_some_and(|from| self.slice(from, i) == what)
    }

    /// Whether `%` and two hexadecimal digits stand at `i`, and the byte that they mean.
    pub(crate) fn percent(&self, i: usize) -> Option<u8> {
        if self.at(i) != b'%' {
            return None;
        }
        Some(hex(self.at(i + 1))? << 4 | hex(self.at(i + 2))?)
    }

    /// The separator at `i`, in clear or percent-encoded, and its length. Every dash reads as `-`.
    pub(crate) fn separator(&self, i: usize) -> (u8, usize) {
        // U+2010 to U+2014 and U+2212: a word processor turned the hyphen into a dash.
        if matches!(self.slice(i, i + 3), [0xe2, 0x80, 0x90..=0x94] | [0xe2, 0x88, 0x92]) {
            return (b'-', 3);
        }
        self.percent(i).map_or_else(|| (self.at(i), 1), |b| (b, 3))
    }
}

const fn hex(b: u8) -> Option<u8> {
    match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        b'A'..=b'F' => Some(b - b'A' + 10),
        _ => None,
    }
}

/// A maximal run of ASCII letters and digits that holds at least one digit.
#[derive(Clone, Copy)]
pub(crate) struct Word {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) all_digits: bool,
}

impl Word {
    /// The word around the digit at `i`.
    pub(crate) fn around(text: &Text<'_>, i: usize) -> Self {
        let mut start = i;
        while text.before(start).is_ascii_alphanumeric() {
            start -= 1;
        }
        let digits = i + text.digits(i);
        let end = digits + text.run(digits, |b| b.is_ascii_alphanumeric());
        Self { start, end, all_digits: start == i && digits == end }
    }

    pub(crate) const fn len(&self) -> usize {
        self.end - self.start
    }
}
