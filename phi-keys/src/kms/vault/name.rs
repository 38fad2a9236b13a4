//! What may stand in a path or a header. The client library panics over some of the rest.

/// Whether Transit takes this as the name of a key: letters, digits and `_`, inside also `-` and `.`.
pub(super) fn is_key(name: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let ends = name.bytes().next().is_some_and(word) && name.bytes().last().is_some_and(word);
    ends && name.bytes().all(|byte| word(byte) || byte == b'-' || byte == b'.')
}

/// Whether this is a path of plain segments, such as a mount or a namespace.
pub(super) fn is_path(path: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    path.split('/').all(|part| !part.is_empty() && part != "." && part != ".." && part.bytes().all(plain))
}

/// Whether this can be sent as a token.
pub(super) fn is_token(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths_cannot_leave_their_place() {
        for good in ["phi", "phi-kek.v2", "a", "_x"] {
            assert!(is_key(good), "{good}");
        }
        for bad in ["", "-a", "a-", ".", "a/b", "a b", "ä", "a?b", "a#b", "../x", "a%2fb"] {
            assert!(!is_key(bad), "{bad}");
        }
        for good in ["transit", "team/clinic", "a.b/c-d"] {
            assert!(is_path(good), "{good}");
        }
        for bad in ["", "/transit", "transit/", "a//b", "a/../b", "a/.", "a b", "a?b", "a\nb"] {
            assert!(!is_path(bad), "{bad}");
        }
        assert!(is_token("hvs.CAES-x_1"));
        for bad in ["", "a b", "a\n", "ä"] {
            assert!(!is_token(bad), "{bad:?}");
        }
    }
}
