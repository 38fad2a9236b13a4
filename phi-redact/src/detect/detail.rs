//! Row values that PostgreSQL quotes in the detail of an error: `Key (email)=(…) already exists.` and
//! `Failing row contains (…).`, both of which end up in the `Debug` form of a database error.

use crate::{Class, engine::Finding, engine::text::Text};

/// What follows the closing bracket of a key; the value itself may hold brackets.
const ENDS: [&[u8]; 4] = [b") already exists", b") is not present", b") is still referenced", b") conflicts with"];

/// The bracket at `open` with its content, if it quotes a row.
pub(crate) fn at(text: &Text<'_>, open: usize) -> Option<Finding> {
    let key = text.ends_with(open, b")=");
    if !key && !text.ends_with(open, b"row contains ") {
        return None;
    }
    let line = open + text.run(open, |b| b != b'\n');
    let content = text.slice(open, line);
    let known = ENDS.iter().find_map(|end| content.windows(end.len()).position(|w| w == *end)).filter(|_| key);
    // Where the end is unknown the rest of the line goes: a row holds everything about somebody.
    let length = known.or_else(|| content.iter().rposition(|&b| b == b')')).map_or(content.len(), |i| i + 1);
    Some(Finding::new(open, open + length, Class::Value))
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
                ("Failing row contains (7, Ada\nnext", "(7, Ada"),
            ],
        );
        assert_clean(&["f(x)", "Key (name)", "row contains nothing (yet)"]);
    }
}
