//! How the layer is configured.

use core::fmt;
use std::sync::Arc;

use http::{HeaderValue, Method, Uri};
use tower_layer::Layer;

use super::SessionService;
use crate::Sessions;

/// Gives every request a [`SessionHandle`](super::SessionHandle) and every answer what its session demands.
///
/// - A request with the cookie of a live session runs in it; other requests run without one. When the store or the
///   recorder fails, the answer is 503: nobody becomes anonymous because a database is down.
/// - Unsafe requests and WebSocket handshakes that another site caused are answered with 403.
/// - Passive requests do not extend the session: those with the header `X-Session-Passive`, event streams, WebSocket
///   handshakes, what pages of other sites embed or fetch, and those with `Sec-Fetch-Dest: empty` unless
///   [`interactive`](Self::interactive) says otherwise.
/// - Answers in a session carry `Cache-Control: no-store`; a body whose length is not known ends with an error at the
///   session's end. See [`GuardedBody`](super::GuardedBody) for what is not covered.
#[derive(Clone)]
pub struct SessionLayer(Arc<Config>);

type Interactive = dyn Fn(&Method, &Uri) -> bool + Send + Sync;

#[derive(Clone)]
pub(super) struct Config {
    pub(super) sessions: Sessions,
    pub(super) origins: Vec<HeaderValue>,
    pub(super) interactive: Option<Arc<Interactive>>,
}

/// What was given as an origin is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidOrigin;

impl fmt::Display for InvalidOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an origin is a scheme and a host in lower case, without path, such as https://clinic.example:8443")
    }
}

impl core::error::Error for InvalidOrigin {}

impl SessionLayer {
    /// A layer that takes the host of each request for its own origin.
    #[must_use]
    pub fn new(sessions: Sessions) -> Self {
        Self(Arc::new(Config { sessions, origins: Vec::new(), interactive: None }))
    }

    /// Names an origin whose pages may send unsafe requests. As soon as one is named, the request's own host no longer
    /// counts: name the application's own origin too.
    ///
    /// # Errors
    /// [`InvalidOrigin`] unless it is written as browsers send it.
    pub fn allow_origin(mut self, origin: &str) -> Result<Self, InvalidOrigin> {
        let (scheme, host) = origin.split_once("://").ok_or(InvalidOrigin)?;
        let clean = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b':' | b'[' | b']');
        if !matches!(scheme, "http" | "https") || host.is_empty() || !host.bytes().all(clean) {
            return Err(InvalidOrigin);
        }
        let origin = HeaderValue::from_str(origin).map_err(|_| InvalidOrigin)?;
        Arc::make_mut(&mut self.0).origins.push(origin);
        Ok(self)
    }

    /// Says which requests a person causes although a script sends them (`Sec-Fetch-Dest: empty`), by method and
    /// address. A request that declares itself passive stays passive.
    #[must_use]
    pub fn interactive(mut self, rule: impl Fn(&Method, &Uri) -> bool + Send + Sync + 'static) -> Self {
        Arc::make_mut(&mut self.0).interactive = Some(Arc::new(rule));
        self
    }
}

impl<S> Layer<S> for SessionLayer {
    type Service = SessionService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SessionService { inner, config: Arc::clone(&self.0) }
    }
}

impl Sessions {
    /// The tower layer for these sessions; short for [`SessionLayer::new`].
    #[must_use]
    pub fn layer(&self) -> SessionLayer {
        SessionLayer::new(self.clone())
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("origins", &self.origins).finish_non_exhaustive()
    }
}

impl fmt::Debug for SessionLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionLayer").field("origins", &self.0.origins).finish_non_exhaustive()
    }
}
