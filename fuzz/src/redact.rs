//! phi-redact: any text that a program may log.

use std::io::Write as _;

use phi_redact::{RedactWriter, find, redact_line, redact_sql, redact_str};

/// What comes out holds nothing that a second pass would find, and the findings are where they say.
pub(crate) fn scan(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let clean = redact_str(text);
    assert_eq!(redact_str(&clean), clean);
    let mut end = 0;
    for finding in find(text) {
        let range = finding.range();
        assert!(end <= range.start && range.start < range.end);
        assert!(text.get(range.clone()).is_some(), "{range:?} cuts a character");
        end = range.end;
    }
    assert_eq!(find(&clean).count(), 0);
    let line = redact_line(text);
    assert_eq!(redact_line(&line), line);
}

/// A statement that has lost its literals has none to lose.
pub(crate) fn sql(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let clean = redact_sql(text);
    assert_eq!(redact_sql(&clean), clean);
}

/// Where a program cuts its writes makes no difference.
pub(crate) fn writer(input: &[u8]) {
    let Some((&size, text)) = input.split_first() else { return };
    let write = |size: usize| {
        let mut writer = RedactWriter::new(Vec::new());
        for piece in text.chunks(size.max(1)) {
            writer.write_all(piece).expect("memory");
        }
        writer.finish().expect("memory")
    };
    assert_eq!(write(usize::from(size)), write(text.len()));
}
