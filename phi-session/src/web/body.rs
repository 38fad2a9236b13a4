//! Bodies that end with their session.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;

use http_body::{Body, Frame, SizeHint};
use phi_types::Timestamp;
use pin_project_lite::pin_project;

use crate::{Session, SessionError, Sessions};

type BoxError = Box<dyn core::error::Error + Send + Sync>;

/// How long a stream goes on without asking the store whether its session was revoked.
const RECHECK: Duration = Duration::from_secs(1);

/// The session of a streamed answer ended, so the answer ends here, incomplete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionEnded;

impl fmt::Display for SessionEnded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the session of this answer has ended: sign in and ask again")
    }
}

impl core::error::Error for SessionEnded {}

pin_project! {
    /// The body of an answer. When its length is not known in advance and it belongs to a session, no frame is handed
    /// on at or after the session's deadline, or later than a second after its revocation: the session is looked at
    /// again, and if it ended, the body ends with [`SessionEnded`]. Activity elsewhere in the session prolongs the
    /// stream too.
    ///
    /// Not covered: a stream that has nothing to send keeps its connection open (silent) until its next frame, and a
    /// connection that was upgraded to a WebSocket has no body; call [`Sessions::recheck`] before each of its messages.
    pub struct GuardedBody<B>
    where
        B: Body,
    {
        #[pin]
        body: Option<B>,
        guard: Option<Box<Guard>>,
        // A frame that came while the session had to be looked at.
        held: Option<Frame<B::Data>>,
    }
}

struct Guard {
    sessions: Sessions,
    session: Session,
    check_at: Timestamp,
    check: Option<Check>,
}

type Check = Pin<Box<dyn Future<Output = Result<Session, SessionError>> + Send>>;

impl<B: Body> GuardedBody<B> {
    pub(super) fn empty() -> Self {
        Self { body: None, guard: None, held: None }
    }

    pub(super) fn new(body: B, sessions: &Sessions, session: Option<Session>) -> Self {
        let guard = session.and_then(|session| {
            // A short answer is guarded too when its handler took until after the deadline.
            let now = sessions.now();
            if body.size_hint().exact().is_some() && now < session.deadline() {
                return None;
            }
            let check_at = session.deadline().min(now.saturating_add(RECHECK));
            Some(Box::new(Guard { sessions: sessions.clone(), session, check_at, check: None }))
        });
        Self { body: Some(body), guard, held: None }
    }
}

impl Guard {
    /// Whether a frame may leave now.
    fn poll_allowed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SessionEnded>> {
        let now = self.sessions.now();
        if self.check.is_none() && now < self.check_at {
            return Poll::Ready(Ok(()));
        }
        let check = self.check.get_or_insert_with(|| {
            let (sessions, session) = (self.sessions.clone(), self.session.clone());
            Box::pin(async move { sessions.recheck(&session).await })
        });
        let checked = ready!(check.as_mut().poll(cx));
        self.check = None;
        // A store that does not answer ends the stream too: what cannot be checked does not flow.
        self.session = checked.map_err(|_| SessionEnded)?;
        let now = self.sessions.now();
        self.check_at = self.session.deadline().min(now.saturating_add(RECHECK));
        Poll::Ready(if now < self.session.deadline() { Ok(()) } else { Err(SessionEnded) })
    }
}

impl<B> Body for GuardedBody<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let mut this = self.project();
        let Some(body) = this.body.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        let frame = match this.held.take() {
            Some(frame) => frame,
            None => match ready!(body.poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => return Poll::Ready(None),
            },
        };
        let Some(guard) = this.guard else { return Poll::Ready(Some(Ok(frame))) };
        match guard.poll_allowed(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(Some(Ok(frame))),
            Poll::Ready(Err(ended)) => {
                // The producer is dropped with whatever it still holds.
                this.body.set(None);
                Poll::Ready(Some(Err(ended.into())))
            }
            Poll::Pending => {
                *this.held = Some(frame);
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_none() && self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.body, &self.guard, &self.held) {
            (Some(body), None, None) => body.size_hint(),
            (None, ..) => SizeHint::with_exact(0),
            _ => SizeHint::default(),
        }
    }
}

impl<B: Body> fmt::Debug for GuardedBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedBody").field("guarded", &self.guard.is_some()).finish_non_exhaustive()
    }
}
