//! Sessions that end by themselves: automatic logoff, absolute lifetime, revocation that stays (45 CFR 164.312(a)(2)).
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
