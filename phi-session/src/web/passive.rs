//! Which requests no person caused.

use http::{HeaderMap, Method, header};

/// Whether the request asks to become a WebSocket.
pub(crate) fn is_websocket(method: &Method, headers: &HeaderMap) -> bool {
    let asks =
        |value: &http::HeaderValue| value.as_bytes().to_ascii_lowercase().windows(9).any(|part| part == b"websocket");
    method == Method::CONNECT || headers.get_all(header::UPGRADE).iter().any(asks)
}

/// Whether the request says of itself that it is passive: a client may shorten a session's life, never prolong it.
pub(crate) fn is_declared(method: &Method, headers: &HeaderMap) -> bool {
    let streams = |value: &http::HeaderValue| {
        value.as_bytes().to_ascii_lowercase().windows(17).any(|part| part == b"text/event-stream")
    };
    headers.contains_key("x-session-passive")
        || headers.get_all(header::ACCEPT).iter().any(streams)
        || is_websocket(method, headers)
}

/// Whether a script sent it (`fetch`, `XMLHttpRequest`), which a timer may have caused as well as a person.
pub(crate) fn is_scripted(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-dest").is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"empty"))
}
