//! SQL without its literals: what a database library logs is the statement, and the statement may hold the patient.

use std::borrow::Cow;

/// Replaces every literal and comment of an SQL text by `?`: strings, dollar-quoted and escaped strings, numbers.
/// Names, keywords and placeholders such as `$1` stay, and a text without literals is borrowed unchanged.
///
/// What stands between double quotes is a name, as in standard SQL, and stays; MySQL and SQLite may read it as a string.
/// Where dialects disagree about the end of a string (`'it\'`), or a string has none, the rest of the text goes.
///
/// ```
/// let logged = "UPDATE patients SET name = 'Ada' WHERE id = 7 AND ward = $1";
/// assert_eq!(phi_redact::redact_sql(logged), "UPDATE patients SET name = ? WHERE id = ? AND ward = $1");
/// ```
#[must_use]
pub fn redact_sql(sql: &str) -> Cow<'_, str> {
    let bytes = sql.as_bytes();
    let mut clean = String::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(&b) = bytes.get(at) {
        let literal = match b {
            b'\'' => Some(string_end(bytes, at)),
            b'$' => dollar_end(bytes, at),
            b'0'..=b'9' => Some(at + run(bytes, at, |b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_'))),
            b'-' if bytes.get(at + 1) == Some(&b'-') => Some(at + run(bytes, at, |b| b != b'\n')),
            b'/' if bytes.get(at + 1) == Some(&b'*') => Some(comment_end(bytes, at)),
            _ => None,
        };
        match literal {
            Some(end) => {
                clean.push_str(sql.get(copied..at).unwrap_or_default());
                clean.push('?');
                copied = end;
                at = end;
            }
            None if b == b'"' => at = quoted_name_end(bytes, at),
            // A name, with the digits in it, or a placeholder.
            None if is_name(b) => at += run(bytes, at, is_name),
            None => at += 1,
        }
    }
    if copied == 0 {
        return Cow::Borrowed(sql);
    }
    clean.push_str(sql.get(copied..).unwrap_or_default());
    Cow::Owned(clean)
}

const fn is_name(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$' | b':' | b'@' | 0x80..)
}

fn run(bytes: &[u8], at: usize, wanted: impl Fn(u8) -> bool) -> usize {
    bytes.get(at..).unwrap_or_default().iter().take_while(|&&b| wanted(b)).count()
}

/// Position behind the string that opens at `open`; the end of the text if that is not certain.
fn string_end(bytes: &[u8], open: usize) -> usize {
    let mut at = open + 1;
    loop {
        at += run(bytes, at, |b| b != b'\'' && b != b'\\');
        match (bytes.get(at), bytes.get(at + 1)) {
            (Some(b'\''), Some(b'\'')) => at += 2,
            (Some(b'\''), _) => return at + 1,
            // An escape in one dialect, the last character in another.
            (Some(_), Some(b'\'')) | (None, _) => return bytes.len(),
            (Some(_), _) => at += 1,
        }
    }
}

/// Position behind a `$tag$…$tag$` string, if one opens here.
fn dollar_end(bytes: &[u8], open: usize) -> Option<usize> {
    let name = run(bytes, open + 1, |b| b.is_ascii_alphanumeric() || b == b'_');
    let placeholder = bytes.get(open + 1).is_some_and(u8::is_ascii_digit);
    if placeholder || bytes.get(open + 1 + name) != Some(&b'$') {
        return None;
    }
    let tag = bytes.get(open..open + name + 2)?;
    let rest = bytes.get(open + tag.len()..).unwrap_or_default();
    let close = rest.windows(tag.len()).position(|window| window == tag);
    Some(close.map_or(bytes.len(), |i| open + tag.len() + i + tag.len()))
}

fn comment_end(bytes: &[u8], open: usize) -> usize {
    let rest = bytes.get(open + 2..).unwrap_or_default();
    rest.windows(2).position(|window| window == b"*/").map_or(bytes.len(), |i| open + 2 + i + 2)
}

/// Position behind a quoted name; `""` inside it opens and closes once more, which comes to the same.
fn quoted_name_end(bytes: &[u8], open: usize) -> usize {
    let length = run(bytes, open + 1, |b| b != b'"');
    (open + length + 2).min(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_go_and_structure_stays() {
        for (sql, clean) in [
            ("INSERT INTO p (name, n) VALUES ('Ada', 7)", "INSERT INTO p (name, n) VALUES (?, ?)"),
            ("WHERE a='O''Brien' AND b=2.5e3", "WHERE a=? AND b=?"),
            ("x = E'a' || x'00' || $$Ada$$ || $t$Ada $$ x$t$ + 1", "x = E? || x? || ? || ? + ?"),
            ("a -- Ada\nb", "a ?\nb"),
            ("a /* Ada */ b", "a ? b"),
            ("SELECT \"col1\", t2.c3 FROM t2 LIMIT 10", "SELECT \"col1\", t2.c3 FROM t2 LIMIT ?"),
            ("SELECT 'it\\'s Ada', 'b'", "SELECT ?"),
            ("SELECT 'Ada", "SELECT ?"),
            ("SELECT $$Ada", "SELECT ?"),
            ("/* Ada", "?"),
            ("SELECT 'jos\u{e9}'", "SELECT ?"),
        ] {
            assert_eq!(redact_sql(sql), clean, "{sql}");
        }
    }

    #[test]
    fn a_text_without_literals_is_borrowed() {
        for sql in ["", "SELECT id, status FROM claims WHERE batch_id = $1 LIMIT $2", "\"", "SELECT t1.c2 FROM x::int4"]
        {
            assert!(matches!(redact_sql(sql), Cow::Borrowed(same) if same == sql), "{sql}");
        }
    }
}
