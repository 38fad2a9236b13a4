//! The layer and its service.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::error::Error as StdError;
use std::sync::Arc;

use http::header::{CACHE_CONTROL, HeaderValue};
use http::{Extensions, Request, Response, StatusCode};
use http_body::Body;
use phi_types::{Actor, Clock, RecordError, Recorder};
use tower_layer::Layer;
use tower_service::Service;

use super::body::AuditBody;
use super::guard::AuditGuard;
use super::touches::{self, Desk, Refusal};

type Identify = dyn Fn(&Extensions) -> Option<(Actor, Option<String>)> + Send + Sync;

/// Puts an [`AuditGuard`] into every request and withholds the response until every touch is durable.
///
/// A failed recording is answered with 503; a response in which something was opened but nothing touched, or something
/// was touched by nobody, with 500. Both have an empty body and `Cache-Control: no-store`. The
/// response's extension `Arc<Refusal>` says why.
#[derive(Clone)]
#[must_use]
pub struct AuditLayer {
    desk: Arc<Desk>,
    identify: Arc<Identify>,
}

impl AuditLayer {
    /// A layer that records through this recorder.
    ///
    /// It takes the actor from a [`phi_types::Actor`] in the request's extensions, where there is one.
    pub fn new(recorder: impl Recorder, clock: impl Clock) -> Self {
        let identify = |extensions: &Extensions| Some((extensions.get::<Actor>()?.clone(), None));
        Self { desk: Arc::new(Desk::new(Arc::new(recorder), Arc::new(clock))), identify: Arc::new(identify) }
    }

    /// How to learn who is asking, and in which session (by its public id), from the request's extensions.
    pub fn identify(
        mut self,
        identify: impl Fn(&Extensions) -> Option<(Actor, Option<String>)> + Send + Sync + 'static,
    ) -> Self {
        self.identify = Arc::new(identify);
        self
    }

    /// Makes durable what requests left behind that ended before their response: call it when the server has stopped.
    ///
    /// # Errors
    /// [`Refusal::NotRecorded`] when that fails; it can be called again.
    pub async fn flush(&self) -> Result<(), Refusal> {
        touches::Request::new(Arc::clone(&self.desk), None, None).settle().await?;
        if self.desk.late().is_empty() {
            return Ok(());
        }
        Err(Refusal::NotRecorded(RecordError::new("touches of ended requests are still waiting")))
    }
}

impl fmt::Debug for AuditLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditLayer").field("recorder", &self.desk.recorder).finish_non_exhaustive()
    }
}

impl<S> Layer<S> for AuditLayer {
    type Service = AuditService<S>;

    fn layer(&self, inner: S) -> AuditService<S> {
        AuditService { inner, layer: self.clone() }
    }
}

/// The service of [`AuditLayer`].
#[derive(Debug, Clone)]
pub struct AuditService<S> {
    inner: S,
    layer: AuditLayer,
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for AuditService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    S::Future: Send + 'static,
    ResBody: Body + Send + 'static,
    ResBody::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    type Response = Response<AuditBody<ResBody>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let (actor, session) = (self.layer.identify)(request.extensions()).unzip();
        let touched = touches::Request::new(Arc::clone(&self.layer.desk), actor, session.flatten());
        request.extensions_mut().insert(AuditGuard::new(Arc::clone(&touched)));
        let response = self.inner.call(request);
        Box::pin(async move {
            // An error of the inner service carries no response; its touches are kept by the layer.
            let response = response.await?;
            if touched.is_settled() {
                return Ok(response.map(|body| AuditBody::new(body, touched)));
            }
            match Arc::clone(&touched).settle().await {
                Ok(()) => Ok(response.map(|body| AuditBody::new(body, touched))),
                Err(refusal) => Ok(withhold(refusal)),
            }
        })
    }
}

fn withhold<B: Body>(refusal: Refusal) -> Response<AuditBody<B>> {
    let mut response = Response::new(AuditBody::empty());
    *response.status_mut() = match refusal {
        Refusal::NotRecorded(_) => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::Untouched | Refusal::Nameless => StatusCode::INTERNAL_SERVER_ERROR,
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.extensions_mut().insert(Arc::new(refusal));
    response
}
