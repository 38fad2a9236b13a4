//! Auditing on the request path: what a handler touches is durable before the response leaves.
//!
//! ```
//! use phi_audit::{AuditGuard, AuditLayer};
//! use phi_types::{Actor, NoRecorder, Purpose, SubjectId, SystemClock};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # #[derive(Debug)] struct Recorder;
//! let chart = service_fn(async |request: http::Request<String>| {
//!     let touched = request.extensions().get::<AuditGuard>().ok_or("the audit layer is missing")?;
//!     touched.by(Actor::human("dr.osei@clinic.example")?);
//!     touched.read(&SubjectId::new("patient-7431")?, Purpose::Treatment);
//!     Ok::<_, Box<dyn std::error::Error + Send + Sync>>(http::Response::new(String::from("the chart")))
//! });
//! let layer = AuditLayer::new(NoRecorder, SystemClock::new());     // or `audit.layer()`
//! let response = ServiceBuilder::new().layer(layer).service(chart).oneshot(http::Request::new(String::new())).await.map_err(|e| e.to_string())?;
//! assert_eq!(response.status(), http::StatusCode::OK);
//! # Ok(()) }
//! ```

mod body;
#[cfg(feature = "axum")]
mod extract;
mod guard;
mod layer;
mod touches;

pub use body::AuditBody;
#[cfg(feature = "axum")]
pub use extract::AuditLayerMissing;
pub use guard::{AuditGuard, OpenSignal};
pub use layer::{AuditLayer, AuditService};
pub use touches::Refusal;

use crate::AuditLog;

impl AuditLog {
    /// A tower layer that makes every touch durable before the response body leaves, and answers 503 without content
    /// when that fails.
    ///
    /// Add it inside the layer that knows the session (in axum: before it), and tell it through
    /// [`AuditLayer::identify`] how to learn who is asking.
    pub fn layer(&self) -> AuditLayer {
        AuditLayer::new(self.recorder(), std::sync::Arc::clone(self.clock()))
    }
}
