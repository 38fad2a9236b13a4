//! The one cookie of this crate, read and written.

use http::{HeaderMap, HeaderValue, header};

use crate::Token;

/// The cookie's name. The prefix makes browsers refuse it without `Secure`, with another path or from a sibling domain.
pub const COOKIE_NAME: &str = "__Host-sid";

const PREFIX: &[u8] = b"__Host-sid=";

/// What a request carries under [`COOKIE_NAME`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Presented<'a> {
    Nothing,
    /// Several different values, or bytes that are no text: no telling which one is meant.
    Ambiguous,
    One(&'a str),
}

/// Reads the cookie headers as RFC 6265 section 5.4 has browsers write them: `name=value` pairs between semicolons.
pub(crate) fn scan(headers: &HeaderMap) -> Presented<'_> {
    let mut found: Option<&[u8]> = None;
    for line in headers.get_all(header::COOKIE) {
        for pair in line.as_bytes().split(|byte| *byte == b';') {
            let Some(value) = pair.trim_ascii().strip_prefix(PREFIX) else { continue };
            if found.is_some_and(|other| other != value) {
                return Presented::Ambiguous;
            }
            found = Some(value);
        }
    }
    match found.map(core::str::from_utf8) {
        None => Presented::Nothing,
        Some(Ok(value)) => Presented::One(value),
        Some(Err(_)) => Presented::Ambiguous,
    }
}

/// Hands the browser a token. Without `Max-Age` it ends with the browser; the server decides when it ends earlier.
pub(crate) fn set(token: &Token) -> Option<HeaderValue> {
    let text = format!("{COOKIE_NAME}={}; Path=/; Secure; HttpOnly; SameSite=Strict", token.expose());
    // A token is base64url, so the text is always a valid header value.
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Takes the token away.
pub(crate) const fn clear() -> HeaderValue {
    HeaderValue::from_static("__Host-sid=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&[u8]]) -> HeaderMap {
        lines.iter().map(|line| (header::COOKIE, HeaderValue::from_bytes(line).unwrap())).collect()
    }

    #[test]
    fn the_cookie_is_found_among_others_and_only_by_its_exact_name() {
        for (lines, expected) in [
            ("", Presented::Nothing),
            ("__Host-sid=x", Presented::One("x")),
            ("a=b;__Host-sid=x ;  c=d", Presented::One("x")),
            ("a=b|__Host-sid=x", Presented::One("x")),
            ("__Host-sid=x; __Host-sid=x", Presented::One("x")),
            ("__Host-sid=x; __Host-sid=y", Presented::Ambiguous),
            ("__Host-sid=x|__Host-sid=", Presented::Ambiguous),
            ("__Host-sid=\u{e9}", Presented::One("\u{e9}")),
            ("__host-sid=x; __Host-sid2=y; x__Host-sid=z; __Host-sid", Presented::Nothing),
            ("__Host-sid =x", Presented::Nothing),
            ("__Host-sid=a=b", Presented::One("a=b")),
        ] {
            let parts: Vec<&[u8]> = lines.split('|').map(str::as_bytes).collect();
            assert_eq!(scan(&headers(&parts)), expected, "{lines:?}");
        }
        assert_eq!(scan(&headers(&[b"__Host-sid=\xff"])), Presented::Ambiguous);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(lines in proptest::collection::vec(proptest::collection::vec(32_u8..=255, 0..80), 0..4)) {
            let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
            let lines: Vec<&[u8]> = lines.into_iter().filter(|line| !line.contains(&127)).collect();
            let _ = scan(&headers(&lines));
        }

        #[test]
        fn the_token_is_found_wherever_it_stands(
            before in proptest::collection::vec("[a-zA-Z_]{1,12}=[!#-:<-~]{0,20}", 0..4),
            after in proptest::collection::vec("[a-zA-Z_]{1,12}=[!#-:<-~]{0,20}", 0..4),
            gap in " {0,3}",
            split in proptest::bool::ANY,
        ) {
            let ours = format!("__Host-sid={}", "t".repeat(43));
            let joined = |parts: &[String]| parts.join(&format!(";{gap}"));
            let all = [&before[..], std::slice::from_ref(&ours), &after[..]].concat();
            let lines = if split { all } else { vec![joined(&all)] };
            let lines: Vec<&[u8]> = lines.iter().map(String::as_bytes).collect();
            let headers = headers(&lines);
            proptest::prop_assert_eq!(scan(&headers), Presented::One(&"t".repeat(43)));
        }
    }

    #[test]
    fn asvs_3_3_1_the_cookie_has_the_host_prefix_and_what_it_demands() {
        let token = Token::generate().unwrap();
        let value = set(&token).unwrap();
        assert!(value.is_sensitive() && !format!("{value:?}").contains(token.expose()));
        let text = value.to_str().unwrap();
        assert_eq!(text, format!("__Host-sid={}; Path=/; Secure; HttpOnly; SameSite=Strict", token.expose()));
        assert!(clear().to_str().unwrap().ends_with("Max-Age=0"));
    }
}
