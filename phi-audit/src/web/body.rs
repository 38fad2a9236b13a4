//! A body whose frames wait for what was touched while they were made.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::error::Error as StdError;
use std::sync::Arc;

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::touches::{Refusal, Request};

type Settling = Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send>>;

pin_project! {
    /// The body of an audited response. A streamed frame is held back until every touch made so far is durable; when
    /// that fails, the stream ends with an error and without the frame.
    pub struct AuditBody<B: Body> {
        #[pin]
        inner: Option<B>,
        request: Option<Arc<Request>>,
        settling: Option<Settling>,
        held: Option<Frame<B::Data>>,
    }
}

impl<B: Body> AuditBody<B> {
    pub(super) const fn new(inner: B, request: Arc<Request>) -> Self {
        Self { inner: Some(inner), request: Some(request), settling: None, held: None }
    }

    /// The body of a response that was withheld.
    pub(super) const fn empty() -> Self {
        Self { inner: None, request: None, settling: None, held: None }
    }
}

impl<B: Body> core::fmt::Debug for AuditBody<B> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("AuditBody").finish_non_exhaustive()
    }
}

impl<B> Body for AuditBody<B>
where
    B: Body,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    type Data = B::Data;
    type Error = Box<dyn StdError + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, Self::Error>>> {
        let mut this = self.project();
        loop {
            if let Some(settling) = this.settling {
                if let Err(refusal) = ready!(settling.as_mut().poll(context)) {
                    *this.settling = None;
                    *this.held = None;
                    this.inner.set(None);
                    return Poll::Ready(Some(Err(refusal.into())));
                }
                *this.settling = None;
            }
            if let Some(frame) = this.held.take() {
                return Poll::Ready(Some(Ok(frame)));
            }
            let Some(inner) = this.inner.as_mut().as_pin_mut() else { return Poll::Ready(None) };
            match ready!(inner.poll_frame(context)) {
                Some(Ok(frame)) => *this.held = Some(frame),
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => this.inner.set(None),
            }
            // What was touched while this frame (or the end) was made comes first.
            if let Some(request) = this.request
                && !request.is_settled()
            {
                *this.settling = Some(Box::pin(Arc::clone(request).settle()));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.settling.is_none() && self.held.is_none() && self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        if self.held.is_some() {
            return SizeHint::default();
        }
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
