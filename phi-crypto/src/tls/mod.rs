//! TLS for servers and clients, by one policy: what is allowed on the wire, whose certificates are believed, and how a
//! certificate is replaced while connections are open.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let issued = rcgen::generate_simple_self_signed(["chart.example.org".to_owned()])?;
//! # let (chain, key) = (folder.path().join("chart.pem"), folder.path().join("chart.key"));
//! # std::fs::write(&chain, issued.cert.pem())?;
//! # std::fs::write(&key, issued.signing_key.serialize_pem())?;
//! # #[cfg(unix)] std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
//! use phi_crypto::tls::{Reloaded, TlsPolicy};
//!
//! let policy = TlsPolicy::new();
//! let certificate = policy.identity(&chain, &key).name("chart.example.org").load()?;
//! let server = policy.server(&certificate).protocols(["h2", "http/1.1"]).build()?;
//! // tokio_rustls::TlsAcceptor::from(server.config())
//!
//! // Now and then, or when the application is told to: a renewed certificate, for new connections alone.
//! assert_eq!(certificate.reload()?, Reloaded::Unchanged);
//!
//! let evidence = server.describe().to_string();
//! assert!(evidence.contains("protocol versions: TLSv1_3, TLSv1_2"));
//! # Ok(()) }
//! ```
//!
//! - [`TlsPolicy`]: versions, suites, key exchanges, clock and provider.
//! - [`Identity`]: a certificate with its key, checked before it is used and replaced by [`Identity::reload`].
//! - [`Roots`]: authorities and their revocation lists, replaced by [`Roots::reload`].
//! - [`TlsServer`] and [`TlsClient`]: rustls configurations, with client certificates where they are asked for.
//! - `Hsts` (feature `tower`): a layer that tells browsers to stay with HTTPS.
//! - [`TlsClient::postgres_url`] and [`TlsClient::redis`]: the same for libraries that build their TLS themselves.
//!
//! Nothing here runs by itself: call `reload` from a timer or a signal handler of the application, and alarm on its errors
//! and on [`Identity::remaining`]. Files are read with blocking calls.

mod client;
mod describe;
mod error;
mod facts;
mod files;
#[cfg(feature = "tower")]
mod hsts;
mod identity;
mod policy;
mod roots;
mod server;
mod services;

pub use client::{TlsClient, TlsClientBuilder};
pub use describe::{CertificateDescription, ClientCertificates, TlsDescription};
pub use error::{TlsError, TlsFile};
#[cfg(feature = "tower")]
pub use hsts::{Hsts, HstsError, HstsFuture, HstsService};
pub use identity::{Identity, IdentityBuilder};
use policy::unix_time;
pub use policy::{TlsPolicy, TlsVersions};
pub use roots::{Roots, RootsBuilder};
pub use server::{TlsServer, TlsServerBuilder};
pub use services::RedisTls;

/// What a reload did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reloaded {
    /// The files hold what is in use already.
    Unchanged,
    /// New handshakes use what the files hold.
    Replaced,
}

/// The protocol names of ALPN.
fn protocols(names: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, TlsError> {
    if names.iter().all(|name| (1..=255).contains(&name.len())) { Ok(names) } else { Err(TlsError::Protocol) }
}
