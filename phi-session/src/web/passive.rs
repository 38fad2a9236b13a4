//! Which requests no person caused.

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

const PASSIVE: HeaderName = HeaderName::from_static("x-session-passive");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// Whether the request asks to become a WebSocket.
pub(crate) fn is_websocket(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::CONNECT || headers.get_all(header::UPGRADE).iter().any(|value| names(value, b"websocket"))
}

/// Whether the request says of itself that it is passive: a client may shorten a session's life, never prolong it.
pub(crate) fn is_declared(method: &Method, headers: &HeaderMap) -> bool {
    headers.contains_key(PASSIVE)
        || headers.get_all(header::ACCEPT).iter().any(|value| names(value, b"text/event-stream"))
        || is_websocket(method, headers)
}

/// Whether the text occurs in the value, in any case.
fn names(value: &HeaderValue, text: &[u8]) -> bool {
    value.as_bytes().windows(text.len()).any(|part| part.eq_ignore_ascii_case(text))
}

/// Whether a page of another site embeds or fetches it, a sibling domain's included: that page could keep a session alive
/// for ever. A visit (`document`) is a person's doing, and an allowed origin's requests are the application's own.
pub(crate) fn is_embedded(headers: &HeaderMap, allowed: &[HeaderValue]) -> bool {
    let own = |site: &HeaderValue| matches!(site.as_bytes(), b"same-origin" | b"none");
    let foreign = headers.get_all(FETCH_SITE).iter().any(|site| !own(site));
    let visit = headers.get(FETCH_DEST).is_some_and(|dest| dest == "document");
    let listed = headers.get(header::ORIGIN).is_some_and(|origin| allowed.contains(origin));
    foreign && !visit && !listed
}

/// Whether a script sent it (`fetch`, `XMLHttpRequest`), which a timer may have caused as well as a person.
pub(crate) fn is_scripted(headers: &HeaderMap) -> bool {
    headers.get(FETCH_DEST).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"empty"))
}
