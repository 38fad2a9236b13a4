//! A browser of the tour's own: it keeps the session cookie, which HTTP clients refuse to send over plain HTTP although
//! browsers do to the loopback address.

use axum::http::StatusCode;
use axum::http::header::{COOKIE, HeaderMap, LOCATION, ORIGIN, SET_COOKIE};

use crate::failure::{Doing, Failure};

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// What the page says was done; empty when it says nothing.
    pub(crate) fn told(&self) -> &str {
        let text = self.body.split_once("<p role=\"status\">").and_then(|(_, rest)| rest.split_once("</p>"));
        text.map_or("", |(text, _)| text)
    }

    /// Where a redirection leads; empty when it is none.
    pub(crate) fn location(&self) -> &str {
        self.header(LOCATION.as_str())
    }
}

/// One browser: its own cookie, no redirections followed.
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    cookie: Option<String>,
}

impl Client {
    pub(crate) fn new(port: u16) -> Result<Self, Failure> {
        // Cargo unifies features: where something else in the build turns on reqwest's TLS, its client wants a process-wide
        // provider even for plain HTTP. One that is installed already is as good.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
        // A server that refuses a form without reading it closes the connection. Who sends the next request on it may or may
        // not have noticed; browsers send it again, this client would fail.
        let http = http.pool_max_idle_per_host(0);
        Ok(Self {
            http: http.build().doing("setting up the tour's browser")?,
            base: format!("http://127.0.0.1:{port}"),
            cookie: None,
        })
    }

    /// The cookie, to try what somebody could do who has seen it.
    pub(crate) fn cookie(&self) -> Option<&str> {
        self.cookie.as_deref()
    }

    /// Puts a cookie back that the server took, as somebody would who kept it.
    pub(crate) fn set_cookie(&mut self, cookie: Option<String>) {
        self.cookie = cookie;
    }

    pub(crate) async fn get(&mut self, path: &str) -> Result<Reply, Failure> {
        let request = self.http.get(format!("{}{path}", self.base)).header("sec-fetch-site", "same-origin");
        // What a person opens is a navigation; a script's request would not keep the session alive.
        self.send(request.header("sec-fetch-mode", "navigate").header("sec-fetch-dest", "document")).await
    }

    pub(crate) async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Result<Reply, Failure> {
        self.post_from(path, form, "same-origin", &self.base.clone()).await
    }

    /// A form that was sent from a page of `origin`.
    pub(crate) async fn post_from(
        &mut self,
        path: &str,
        form: &[(&str, &str)],
        site: &str,
        origin: &str,
    ) -> Result<Reply, Failure> {
        let request = self.http.post(format!("{}{path}", self.base)).form(form);
        let request = request.header("sec-fetch-site", site).header("sec-fetch-mode", "navigate");
        self.send(request.header("sec-fetch-dest", "document").header(ORIGIN, origin)).await
    }

    async fn send(&mut self, mut request: reqwest::RequestBuilder) -> Result<Reply, Failure> {
        if let Some(cookie) = &self.cookie {
            request = request.header(COOKIE, cookie);
        }
        let reply = request.send().await.doing("talking to the clinic")?;
        let (status, headers) = (reply.status(), reply.headers().clone());
        for cookie in headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok()) {
            let pair = cookie.split(';').next().unwrap_or_default();
            // An empty value is how a server takes a cookie back.
            self.cookie = (!pair.ends_with('=')).then(|| pair.to_owned());
        }
        let body = reply.text().await.doing("reading the clinic's answer")?;
        Ok(Reply { status, headers, body })
    }
}
