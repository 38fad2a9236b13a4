//! The service that the layer makes.

use core::mem;
use core::task::{Context, Poll};
use std::sync::Arc;

use http::{Request, Response, StatusCode};
use http_body::Body;
use tower_service::Service;

use super::cookie::{Presented, scan};
use super::future::{SessionFuture, call};
use super::layer::Config;
use super::{GuardedBody, origin, passive};
use crate::Denied;
use crate::state::Presence;

/// Made by [`SessionLayer`](super::SessionLayer), which says what it does.
#[derive(Debug, Clone)]
pub struct SessionService<S> {
    pub(super) inner: S,
    pub(super) config: Arc<Config>,
}

impl<S, B, R> Service<Request<B>> for SessionService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    R: Body,
{
    type Response = Response<GuardedBody<R>>;
    type Error = S::Error;
    type Future = SessionFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Config { sessions, origins, interactive } = &*self.config;
        let (method, uri, headers) = (request.method(), request.uri(), request.headers());
        let presented = scan(headers);
        if !origin::is_own(method, uri, headers, presented != Presented::Nothing, origins) {
            return SessionFuture::refused(StatusCode::FORBIDDEN);
        }
        let scripted = || passive::is_scripted(headers) && !interactive.as_ref().is_some_and(|rule| rule(method, uri));
        let passive = passive::is_declared(method, headers) || passive::is_embedded(headers, origins) || scripted();
        let presence = if passive { Presence::Passive } else { Presence::User };
        let denied = match presented {
            Presented::One(token) => match sessions.hash(token) {
                Some(hash) => {
                    if let Some(session) = sessions.authenticate_now(&hash, presence) {
                        return SessionFuture::calling(call(
                            &mut self.inner,
                            request,
                            sessions,
                            Some(hash),
                            Ok(session),
                        ));
                    }
                    let next = self.inner.clone();
                    // The clone may not be ready; the one that was polled is.
                    let ready = mem::replace(&mut self.inner, next);
                    return SessionFuture::authenticating(sessions.clone(), hash, presence, ready, request);
                }
                None => Denied::Malformed,
            },
            Presented::Ambiguous => Denied::Malformed,
            Presented::Nothing => Denied::Missing,
        };
        SessionFuture::calling(call(&mut self.inner, request, sessions, None, Err(denied)))
    }
}
