//! Sessions that end by themselves: unique user, automatic logoff, absolute lifetime, revocation that stays
//! (45 CFR 164.312(a)(2)(i) and (iii), (d)).
//!
//! ```
//! # #[cfg(feature = "axum")]
//! # mod demo {
//! use axum::{Router, routing::get, routing::post};
//! use phi_session::{Aal, Login, Method, Session, SessionError, SessionHandle, Sessions, StepUp};
//! use phi_types::Actor;
//!
//! /// After the password was verified: one factor, a fresh token, a cookie.
//! async fn password(handle: SessionHandle) -> Result<(), SessionError> {
//!     let user = Actor::human("dr.osei@clinic.example").unwrap();
//!     handle.login(Login::new(user, Aal::One, Method::Password)).await.map(drop)
//! }
//!
//! /// After the code was verified: two factors, another token; the first is dead.
//! async fn code(handle: SessionHandle) -> Result<(), SessionError> {
//!     handle.step_up(Aal::Two, Method::Totp).await.map(drop)
//! }
//!
//! async fn chart(who: Session) -> Result<String, StepUp> {
//!     who.require(Aal::Two)?;
//!     Ok(format!("signed in as {}", who.user()))
//! }
//!
//! pub fn app(sessions: &Sessions) -> Router {
//!     Router::new()
//!         .route("/login", post(password))
//!         .route("/code", post(code))
//!         .route("/chart", get(chart))
//!         .layer(sessions.layer())
//! }
//! # }
//! # #[cfg(feature = "axum")]
//! # {
//! # use phi_session::{MemorySessionStore, Sessions, TokenKey};
//! # let key = TokenKey::from_bytes(zeroize::Zeroizing::new([7; 32])).unwrap();
//! # demo::app(&Sessions::builder(MemorySessionStore::new()).token_key(key).recorder(phi_types::NoRecorder).build());
//! # }
//! ```
//!
//! [`Sessions`] ties four parts together: a pure state machine ([`state`]) that is told the time, a [`SessionStore`]
//! that only inserts, compares and swaps, a [`TokenKey`] under which tokens are hashed and rows are signed, and a
//! [`Recorder`](phi_types::Recorder) that hears of every beginning and every end. [`SessionLayer`] brings it to HTTP.
//!
//! A login with two factors is a login at [`Aal::One`] followed by a step-up to [`Aal::Two`]; handlers demand the level
//! with [`Session::require`]. Both replace the token.
//!
//! # Features
//! None is on by default.
//! - `sqlite`: [`SqliteSessionStore`] on the caller's pool.
//! - `tower`: [`SessionLayer`] and [`SessionHandle`].
//! - `axum`: [`Session`] and [`SessionHandle`] as arguments of handlers; errors as answers.
//! - `test-util`: [`conformance`], which a store of your own has to pass.
//!
//! # How it fails
//! - A store or a recorder that does not answer is an error (503), never an anonymous request and never a session.
//! - A login or step-up that cannot be recorded does not happen. An end always happens; a report that was lost is
//!   repeated by [`Sessions::sweep`].
//! - The logoff is never late by the clock of the process. It is early by less than [`Policy::coalescing_window`]
//!   (15 seconds by default), because activity is written at most once in that time. A clock that steps back extends
//!   nothing while the process runs. Between nodes, and across a restart, a session can outlive its deadline by as much
//!   as their clocks differ: synchronise them. A row more than a minute in the future is refused.
//! - Of two requests that replace a token at once, one wins and the other gets [`SessionError::Conflict`].
//!
//! # Security
//! - The token is 256 random bits, lives only in the cookie `__Host-sid`, and is stored as an HMAC. `SPEC.md` describes
//!   the bytes.
//! - Whoever can write the database can end sessions but cannot create, promote, prolong or move one: user, tenant,
//!   role, level, grant and deadlines are under MACs. He can remove a tombstone, which only the audit log shows.
//! - A logout is final on the store that answered it. A replica that never saw it can revive the session after a
//!   failover: replicate synchronously where that matters.
//! - A streamed body gets no frame through at or after its session's end, but a silent connection stays open until its
//!   next frame. WebSockets have to call [`Sessions::recheck`] themselves.
//! - The layer refuses unsafe requests of other sites by `Sec-Fetch-Site` and `Origin`.
//! - User ids are stored in clear.
//! - `Cache-Control: no-store` keeps answers out of caches; what a page shows when the session ends is up to the page.
#![cfg_attr(docsrs, feature(doc_cfg))]
// The pages are built with all features; without some of them, some links lead nowhere.
#![cfg_attr(
    not(all(feature = "axum", feature = "sqlite", feature = "test-util")),
    allow(rustdoc::broken_intra_doc_links)
)]

mod auth;
#[cfg(feature = "test-util")]
pub mod conformance;
mod error;
mod id;
mod memory;
mod policy;
mod record;
mod session;
mod sessions;
#[cfg(feature = "sqlite")]
mod sqlite;
pub mod state;
mod store;
mod token;
#[cfg(feature = "tower")]
mod web;

pub use auth::{Aal, AuthEvent, Method};
pub use error::{Denied, SessionError};
pub use id::PublicId;
pub use memory::MemorySessionStore;
pub use policy::{InvalidPolicy, Policy};
pub use record::{EndReason, Row, Stamp, Stored, Tombstone};
pub use session::{Session, SessionInfo, StepUp};
pub use sessions::{Change, Issued, Login, Missing, Sessions, SessionsBuilder};
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteSessionStore;
pub use store::{Rotated, Selector, SessionStore, StoreError, StoreFuture, Swept, Touched};
pub use token::{InvalidTokenKey, RandomError, Token, TokenHash, TokenKey};
#[cfg(feature = "axum")]
pub use web::SessionRejection;
#[cfg(feature = "tower")]
pub use web::{
    COOKIE_NAME, GuardedBody, InvalidOrigin, SessionEnded, SessionFuture, SessionHandle, SessionLayer, SessionService,
};
