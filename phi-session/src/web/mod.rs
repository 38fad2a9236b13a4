//! Sessions for HTTP: a tower layer (feature `tower`) and axum extractors (feature `axum`).
//!
//! ```
//! use phi_session::{Aal, Login, MemorySessionStore, Method, SessionHandle, SessionLayer, Sessions, TokenKey};
//! use phi_types::{Actor, NoRecorder};
//! use tower::{ServiceBuilder, ServiceExt as _};
//! # use zeroize::Zeroizing;
//!
//! async fn sign_in(request: http::Request<String>) -> Result<http::Response<String>, Box<dyn std::error::Error + Send + Sync>> {
//!     let handle = request.extensions().get::<SessionHandle>().ok_or("the session layer is missing")?;
//!     // Verify the password first; the layer answers with the cookie.
//!     handle.login(Login::new(Actor::human("dr.osei")?, Aal::One, Method::Password)).await?;
//!     Ok(http::Response::new(String::from("welcome")))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! # let key = TokenKey::from_bytes(Zeroizing::new([7; 32]))?;
//! let sessions = Sessions::builder(MemorySessionStore::new()).token_key(key).recorder(NoRecorder).build();
//! let service = ServiceBuilder::new().layer(SessionLayer::new(sessions)).service_fn(sign_in);
//! let answer = service.oneshot(http::Request::post("/login").body(String::new())?).await?;
//! assert!(answer.headers()["set-cookie"].to_str()?.starts_with("__Host-sid="));
//! assert_eq!(answer.headers()["cache-control"], "no-store");
//! # Ok(())
//! # }
//! ```

mod body;
mod cookie;
#[cfg(feature = "axum")]
mod extract;
mod future;
mod handle;
mod layer;
mod origin;
mod passive;
mod service;

pub use body::{GuardedBody, SessionEnded};
pub use cookie::COOKIE_NAME;
#[cfg(feature = "axum")]
pub use extract::SessionRejection;
pub use future::SessionFuture;
pub use handle::SessionHandle;
pub use layer::{InvalidOrigin, SessionLayer};
pub use service::SessionService;
