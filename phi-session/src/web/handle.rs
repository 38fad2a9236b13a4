//! What a handler does to the session of its request.

use core::fmt;
use core::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{HeaderMap, HeaderValue, header};

use super::cookie;
use crate::state::Presence;
use crate::{Aal, Change, Denied, Login, Method, Session, SessionError, Sessions, Token, TokenHash};

/// The session of a request, from its extensions. The layer turns what is done here into `Set-Cookie`: a handler never
/// sees a token and cannot forget to send one.
#[derive(Clone)]
pub struct SessionHandle(Arc<Shared>);

struct Shared {
    sessions: Sessions,
    presented: Option<TokenHash>,
    state: Mutex<State>,
}

struct State {
    current: Result<Session, Denied>,
    cookie: Cookie,
    /// Whether the request was, at any time, made in a session.
    authenticated: bool,
}

enum Cookie {
    Keep,
    Set(Token),
    Clear,
}

impl SessionHandle {
    pub(super) fn new(sessions: Sessions, presented: Option<TokenHash>, current: Result<Session, Denied>) -> Self {
        let state = State { authenticated: current.is_ok(), current, cookie: Cookie::Keep };
        Self(Arc::new(Shared { sessions, presented, state: Mutex::new(state) }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock; every write is a whole assignment.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The service, for lists and revocations.
    #[must_use]
    pub fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    /// The request's live session, as of now in this request.
    ///
    /// # Errors
    /// [`Denied`] when it has none.
    pub fn session(&self) -> Result<Session, Denied> {
        self.state().current.clone()
    }

    /// Signs in a user whom the application has authenticated. Any session that the request came with ends.
    ///
    /// # Errors
    /// [`SessionError`]; nobody is signed in then.
    pub async fn login(&self, login: Login) -> Result<Session, SessionError> {
        let old = self.session().map_or(self.0.presented, |session| Some(session.row.token_hash));
        let issued = self.0.sessions.login_over(login, old).await?;
        Ok(self.keep(issued.session, issued.token))
    }

    /// Notes a further authentication of the session's user, such as a one-time code after the password. The token is
    /// replaced; the session keeps its public id and its absolute deadline.
    ///
    /// # Errors
    /// As [`Sessions::step_up`].
    pub async fn step_up(&self, aal: Aal, method: Method) -> Result<Session, SessionError> {
        let issued = self.0.sessions.step_up(&self.session()?, aal, method).await?;
        Ok(self.keep(issued.session, issued.token))
    }

    /// Changes what the session may do. The token is replaced.
    ///
    /// # Errors
    /// As [`Sessions::change`].
    pub async fn change(&self, change: Change) -> Result<Session, SessionError> {
        let issued = self.0.sessions.change(&self.session()?, change).await?;
        Ok(self.keep(issued.session, issued.token))
    }

    /// Signs out, if anybody is signed in, and has the browser forget the token and what it cached of the site.
    ///
    /// # Errors
    /// As [`Sessions::logout`]; the browser forgets the token all the same.
    pub async fn logout(&self) -> Result<(), SessionError> {
        let current = {
            let mut state = self.state();
            state.cookie = Cookie::Clear;
            mem::replace(&mut state.current, Err(Denied::Missing))
        };
        match (current, self.0.presented) {
            (Ok(session), _) => self.0.sessions.logout(&session).await,
            (Err(Denied::ClockFault), Some(hash)) => self.0.sessions.logout_by_hash(hash).await,
            (Err(_), _) => Ok(()),
        }
    }

    /// Says that a person caused this request although it looked passive, and extends the session: for the endpoint
    /// that a page calls after a keystroke or a click.
    ///
    /// # Errors
    /// As [`Sessions::authenticate`].
    pub async fn touch(&self) -> Result<Session, SessionError> {
        let hash = self.session()?.row.token_hash;
        let session = self.0.sessions.authenticate_hash(hash, Presence::User).await?;
        self.state().current = Ok(session.clone());
        Ok(session)
    }

    fn keep(&self, session: Session, token: Token) -> Session {
        let mut state = self.state();
        state.current = Ok(session.clone());
        state.cookie = Cookie::Set(token);
        state.authenticated = true;
        session
    }

    /// Writes the headers of the answer and gives the session whose deadline its body has to keep.
    pub(super) fn finish(&self, headers: &mut HeaderMap) -> Option<Session> {
        let mut state = self.state();
        match mem::replace(&mut state.cookie, Cookie::Keep) {
            Cookie::Keep if !state.authenticated => return None,
            Cookie::Keep => {}
            Cookie::Set(token) => {
                if let Some(value) = cookie::set(&token) {
                    headers.append(header::SET_COOKIE, value);
                }
            }
            Cookie::Clear => {
                headers.append(header::SET_COOKIE, cookie::clear());
                let what = HeaderValue::from_static(r#""cache", "cookies", "storage""#);
                headers.insert("clear-site-data", what);
            }
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        state.current.clone().ok()
    }
}

impl fmt::Debug for SessionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionHandle").field("session", &self.session()).finish_non_exhaustive()
    }
}
