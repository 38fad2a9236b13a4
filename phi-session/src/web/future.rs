//! The future of an answer. It is one allocation only when the store has to be asked.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{GuardedBody, SessionHandle};
use crate::state::Presence;
use crate::{Denied, Session, SessionError, Sessions, TokenHash};

type Authentication = Pin<Box<dyn Future<Output = Result<Session, SessionError>> + Send>>;

pin_project! {
    /// The future of [`SessionService`](super::SessionService).
    pub struct SessionFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, B>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, B>
    where
        S: Service<Request<B>>,
    {
        Authenticating {
            authentication: Authentication,
            sessions: Sessions,
            hash: TokenHash,
            // Taken when the session is known.
            call: Option<(S, Request<B>)>,
        },
        Calling {
            #[pin]
            future: S::Future,
            handle: SessionHandle,
        },
        Refused {
            status: StatusCode,
        },
    }
}

/// Hands the request to the service, with its handle.
pub(super) fn call<S: Service<Request<B>>, B>(
    service: &mut S,
    mut request: Request<B>,
    sessions: &Sessions,
    hash: Option<TokenHash>,
    session: Result<Session, Denied>,
) -> (S::Future, SessionHandle) {
    let handle = SessionHandle::new(sessions.clone(), hash, session);
    request.extensions_mut().insert(handle.clone());
    (service.call(request), handle)
}

impl<S: Service<Request<B>>, B> SessionFuture<S, B> {
    pub(super) fn refused(status: StatusCode) -> Self {
        Self { state: State::Refused { status } }
    }

    pub(super) fn calling((future, handle): (S::Future, SessionHandle)) -> Self {
        Self { state: State::Calling { future, handle } }
    }

    pub(super) fn authenticating(
        sessions: Sessions,
        hash: TokenHash,
        presence: Presence,
        service: S,
        request: Request<B>,
    ) -> Self {
        let service_sessions = sessions.clone();
        let authentication = Box::pin(async move { sessions.authenticate_hash(hash, presence).await });
        let call = Some((service, request));
        Self { state: State::Authenticating { authentication, sessions: service_sessions, hash, call } }
    }
}

impl<S, B, R> Future for SessionFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body,
{
    type Output = Result<Response<GuardedBody<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                StateProjection::Authenticating { authentication, sessions, hash, call: waiting } => {
                    let session = match ready!(authentication.as_mut().poll(cx)) {
                        Ok(session) => Ok(session),
                        Err(SessionError::Denied(denied)) => Err(denied),
                        Err(_) => return Poll::Ready(Ok(refusal(StatusCode::SERVICE_UNAVAILABLE))),
                    };
                    // Only this arm takes it, and it leaves the state at once.
                    let Some((mut service, request)) = waiting.take() else {
                        return Poll::Ready(Ok(refusal(StatusCode::SERVICE_UNAVAILABLE)));
                    };
                    let (future, handle) = call(&mut service, request, sessions, Some(*hash), session);
                    State::Calling { future, handle }
                }
                StateProjection::Calling { future, handle } => {
                    let mut response = ready!(future.poll(cx))?;
                    let session = handle.finish(response.headers_mut());
                    return Poll::Ready(Ok(response.map(|body| GuardedBody::new(body, handle.sessions(), session))));
                }
                StateProjection::Refused { status } => return Poll::Ready(Ok(refusal(*status))),
            };
            state.set(next);
        }
    }
}

/// An empty answer that no cache keeps.
fn refusal<R: Body>(status: StatusCode) -> Response<GuardedBody<R>> {
    let mut response = Response::new(GuardedBody::empty());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl<S: Service<Request<B>>, B> fmt::Debug for SessionFuture<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionFuture").finish_non_exhaustive()
    }
}
