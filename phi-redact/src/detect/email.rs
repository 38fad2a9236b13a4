//! Mail addresses: a local part, `@` or `%40`, and a domain whose last label has letters only.

use crate::{Class, engine::Finding, engine::text::Text};

/// The address around the `@` of this length (1, or 3 for `%40`).
pub(crate) fn around(text: &Text<'_>, at: usize, length: usize) -> Option<Finding> {
    let start = start_of_local_part(text, at);
    let end = end_of_domain(text, at + length)?;
    (start < at).then(|| Finding::new(start, end, Class::Email))
}

fn start_of_local_part(text: &Text<'_>, at: usize) -> usize {
    let mut start = at;
    while start > text.limit {
        // An escaped `+`, `.`, `-`, `_` or letter outside ASCII belongs to the name; other escapes end it.
        let escaped = start.checked_sub(3).filter(|&i| i >= text.limit).and_then(|i| text.percent(i));
        let b = text.at(start - 1);
        match escaped {
            Some(b'+' | b'.' | b'-' | b'_' | 0x80..) => start -= 3,
            Some(_) => break,
            None if is_local(b) && !is_text_escape(text, start) => start -= 1,
            None => break,
        }
    }
    while start < at && matches!(text.at(start), b'\'' | b'.') {
        start += 1;
    }
    start
}

/// RFC 5322 atom text but for what delimits fields in logs, and everything outside ASCII (RFC 6531).
const fn is_local(b: u8) -> bool {
    matches!(b, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'+' | b'-' | b'\'' | b'!' | b'#' | b'$' | b'*' | b'~' | 0x80..)
}

/// `\n` in front of an address: the letter is no part of it.
fn is_text_escape(text: &Text<'_>, end: usize) -> bool {
    matches!(text.at(end - 1), b'n' | b'r' | b't') && end >= 2 && text.at(end - 2) == b'\\'
}

fn end_of_domain(text: &Text<'_>, from: usize) -> Option<usize> {
    let mut end = None;
    let mut at = from;
    loop {
        let label = text.run(at, |b| b.is_ascii_alphanumeric() || b == b'-' || b >= 0x80);
        if label == 0 {
            return end;
        }
        let letters = text.run(at, |b| b.is_ascii_alphabetic() || b >= 0x80);
        let punycode = text.starts_with(at, b"xn--");
        if at > from && letters >= 2 && (letters == label || text.at(at + letters) == b'-') || punycode {
            end = Some(at + if punycode { label } else { letters });
        }
        at += label;
        match text.separator(at) {
            (b'.', length) => at += length,
            _ => return end,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{assert_clean, assert_found};
    use crate::Class;

    #[test]
    fn table() {
        assert_found(
            Class::Email,
            &[
                ("ada@example.com", "ada@example.com"),
                ("<ada.lovelace+x@mail.example.co.uk>.", "ada.lovelace+x@mail.example.co.uk"),
                ("email=edward.t41%40yahoo.com&dob", "edward.t41%40yahoo.com"),
                ("j%2Btag%40example.com", "j%2Btag%40example.com"),
                ("Key (email)=ada@example.com", "ada@example.com"),
                ("to=jos%C3%A9.m%40example.com", "jos%C3%A9.m%40example.com"),
                ("'ada@example.com'", "ada@example.com"),
                ("o'brien@example.com", "o'brien@example.com"),
                ("jos\u{e9}@example.com", "jos\u{e9}@example.com"),
                ("x\\nada@example.com\\n", "ada@example.com"),
                ("a@b.c.museum, b", "a@b.c.museum"),
                ("ada@xn--bcher-kva.example", "ada@xn--bcher-kva.example"),
                ("ada@example.com-", "ada@example.com"),
            ],
        );
        assert_clean(&[
            "user@host",
            "@app.route",
            "pkg@1.2.3",
            "a @ b.com",
            "x@",
            "@",
            "100%40",
            "sha256@sha",
            "name@example.c",
            "decorator @property.setter",
        ]);
    }
}
