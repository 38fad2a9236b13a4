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
            (&[][..], Presented::Nothing),
            (&[b"__Host-sid=x"][..], Presented::One("x")),
            (&[b"a=b;__Host-sid=x ;  c=d"], Presented::One("x")),
            (&[b"a=b", b"__Host-sid=x"], Presented::One("x")),
            (&[b"__Host-sid=x; __Host-sid=x"], Presented::One("x")),
            (&[b"__Host-sid=x; __Host-sid=y"], Presented::Ambiguous),
            (&[b"__Host-sid=x", b"__Host-sid="], Presented::Ambiguous),
            (&[b"__Host-sid=\xff"], Presented::Ambiguous),
            (&[b"__host-sid=x; __Host-sid2=y; x__Host-sid=z; __Host-sid"], Presented::Nothing),
            (&[b"__Host-sid =x"], Presented::Nothing),
            (&[b"__Host-sid=a=b"], Presented::One("a=b")),
        ] {
            let headers = headers(lines);
            assert_eq!(scan(&headers), expected, "{lines:?}");
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
