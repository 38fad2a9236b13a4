//! Row values that PostgreSQL quotes in the detail of an error: `Key (email)=(…) already exists.` and
//! `Failing row contains (…).`, both of which end up in the `Debug` form of a database error.

use crate::{Class, engine::Finding, engine::text::Text};

/// What follows the closing bracket of a key; the value itself may hold brackets.
const ENDS: [&[u8]; 4] = [b") already exists", b") is not present", b") is still referenced", b") conflicts with"];

/// The bracket at `open` with its content, if it quotes a row.
///
/// The value is quoted as it is, so it may hold what ends it: the last end counts, and where there is none the rest
/// goes. Whatever is read here is part of the finding or has no such bracket behind it, so no byte is read often.
pub(crate) fn at(text: &Text<'_>, open: usize) -> Option<Finding> {
    let key = text.ends_with(open, b")=");
    if !key && !text.ends_with(open, b"row contains ") {
        return None;
    }
    let rest = text.slice(open, text.len());
    let line = text.slice(open, open + text.run(open, |b| b != b'\n'));
    // A row holds everything about somebody, over several lines if one of its values does.
    let content = if key && line.contains(&b')') { line } else { rest };
    let known = ENDS.iter().filter_map(|end| content.windows(end.len()).rposition(|w| w == *end)).max();
    let close = known.filter(|_| key).or_else(|| content.iter().rposition(|&b| b == b')'));
    Some(Finding::new(open, open + close.map_or(content.len(), |i| i + 1), Class::Value))
}

#[cfg(test)]
mod tests {
    use super::super::{assert_clean, assert_found};
    use crate::Class;

    #[test]
    fn table() {
        assert_found(
            Class::Value,
            &[
                ("Key (name)=(Ada (II)) already exists.", "(Ada (II))"),
                ("Key (id, name)=(7, Ada) is not present in table \"x\".", "(7, Ada)"),
                ("Failing row contains (7, Ada, null).", "(7, Ada, null)"),
                ("Key (name)=(Ada", "(Ada"),
                ("Failing row contains (7, Ada\nnext", "(7, Ada\nnext"),
                (
                    "Failing row contains (7, 12 Main (rear)\nSpringfield, Ada).",
                    "(7, 12 Main (rear)\nSpringfield, Ada)",
                ),
                ("Key (name)=(12 Main\nAda) already exists.", "(12 Main\nAda)"),
                ("Key (name)=(x) already exists Ada) already exists.", "(x) already exists Ada)"),
                ("Key (name)=(x) is not present Ada) already exists.", "(x) is not present Ada)"),
            ],
        );
        assert_clean(&["f(x)", "Key (name)", "row contains nothing (yet)"]);
    }
}
