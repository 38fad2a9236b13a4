//! Refuses requests that another site caused (OWASP ASVS 5.0, 3.5.1).

use http::{HeaderMap, HeaderValue, Method, Uri, header};

use super::passive::is_websocket;

/// Whether the request may go on. Requests that change nothing always may, WebSocket handshakes excepted.
///
/// Fetch Metadata decides where the browser sends it: only `same-origin` and `none` pass, so a sibling domain
/// (`same-site`) does not. Otherwise the `Origin` has to be allowed, or to name the host of the request when nothing
/// was configured. With neither header it must not carry the session's cookie.
pub(crate) fn is_own(method: &Method, uri: &Uri, headers: &HeaderMap, cookie: bool, allowed: &[HeaderValue]) -> bool {
    let safe = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE);
    if safe && !is_websocket(method, headers) {
        return true;
    }
    let (Ok(site), Ok(origin)) = (single(headers, "sec-fetch-site"), single(headers, "origin")) else { return false };
    let listed = origin.is_some_and(|origin| allowed.contains(origin));
    match (site.map(HeaderValue::as_bytes), origin) {
        (Some(b"same-origin" | b"none"), _) => true,
        (Some(_), _) => listed,
        (None, Some(origin)) => listed || (allowed.is_empty() && names_host(origin, uri, headers)),
        (None, None) => !cookie,
    }
}

/// The only header of this name; an error when there are several.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a HeaderValue>, ()> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (first, None) => Ok(first),
        _ => Err(()),
    }
}

/// Whether the origin is the host that was asked. The scheme cannot be compared: a proxy may have ended TLS.
fn names_host(origin: &HeaderValue, uri: &Uri, headers: &HeaderMap) -> bool {
    let Ok(origin) = origin.to_str() else { return false };
    let Some((_, authority)) = origin.split_once("://") else { return false };
    let host = match uri.authority() {
        Some(host) => host.as_str(),
        None => match single(headers, header::HOST.as_str()) {
            Ok(Some(host)) => host.to_str().unwrap_or_default(),
            _ => "",
        },
    };
    !host.is_empty() && authority.eq_ignore_ascii_case(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(method: &str, lines: &[(&'static str, &str)], cookie: bool, allowed: &[&'static str]) -> bool {
        let headers = lines
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
            .collect();
        let allowed: Vec<_> = allowed.iter().map(|origin| HeaderValue::from_static(origin)).collect();
        is_own(&method.parse().unwrap(), &Uri::from_static("/x"), &headers, cookie, &allowed)
    }

    const HOST: (&str, &str) = ("host", "clinic.example");

    #[test]
    fn asvs_3_5_1_csrf_cross_site_post_rejected() {
        for site in ["cross-site", "same-site", "nonsense", ""] {
            assert!(!own("POST", &[HOST, ("sec-fetch-site", site)], true, &[]), "{site}");
            assert!(!own("POST", &[HOST, ("sec-fetch-site", site)], false, &[]), "before login: {site}");
        }
        assert!(own("POST", &[HOST, ("sec-fetch-site", "same-origin")], true, &[]));
        assert!(own("POST", &[HOST, ("sec-fetch-site", "none")], true, &[]));
        assert!(own("GET", &[HOST, ("sec-fetch-site", "cross-site")], true, &[]));
    }

    #[test]
    fn without_fetch_metadata_the_origin_decides() {
        for (origin, cookie, expected) in [
            ("https://clinic.example", true, true),
            ("https://CLINIC.example", true, true),
            ("https://clinic.example:8443", true, false),
            ("https://evil.example", true, false),
            ("https://evil.example", false, false),
            ("null", true, false),
            ("clinic.example", true, false),
        ] {
            assert_eq!(own("DELETE", &[HOST, ("origin", origin)], cookie, &[]), expected, "{origin}");
        }
        assert!(!own("POST", &[HOST], true, &[]), "neither header, with the cookie");
        assert!(own("POST", &[HOST], false, &[]), "neither header, no cookie: not a browser");
    }

    #[test]
    fn a_configured_origin_replaces_the_host() {
        let allowed = &["https://app.example"][..];
        assert!(own("POST", &[HOST, ("origin", "https://app.example")], true, allowed));
        assert!(own(
            "POST",
            &[HOST, ("origin", "https://app.example"), ("sec-fetch-site", "same-site")],
            true,
            allowed
        ));
        assert!(!own("POST", &[HOST, ("origin", "https://clinic.example")], true, allowed));
        assert!(!own("POST", &[HOST, ("origin", "http://app.example")], true, allowed));
    }

    #[test]
    fn a_websocket_handshake_counts_as_unsafe_and_doubled_headers_as_foreign() {
        let socket = ("upgrade", "WebSocket");
        assert!(!own("GET", &[HOST, socket, ("origin", "https://evil.example")], true, &[]));
        assert!(!own("GET", &[HOST, socket], true, &[]));
        assert!(own("GET", &[HOST, socket, ("origin", "https://clinic.example")], true, &[]));
        let twice = [("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")];
        assert!(!own("POST", &twice, true, &[]));
    }
}
