//! Where key encryption keys live: the [`Kms`] trait and what passes through it.
//!
//! A KMS never sees a domain key. It wraps a *carrier*, 32 random bytes drawn for one domain key and one KEK; the domain
//! key is sealed under a key derived from the carrier, the context, the KEK's id and the binding mode. So one domain key
//! lives under several KEKs, and a carrier that is moved to another row opens nothing there, whatever the KMS itself
//! checks.
//!
//! ```
//! use phi_keys::{Carrier, EphemeralKeyring, Kms, WrapContext};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let kms = EphemeralKeyring::generate()?;
//! let (carrier, context) = (Carrier::generate()?, WrapContext::from_digest([1; 32]));
//! let wrapped = kms.wrap_dek(&carrier, &context).await?;
//! assert_eq!(kms.unwrap_dek(&wrapped, &context).await?.expose(), carrier.expose());
//! assert!(kms.unwrap_dek(&wrapped, &WrapContext::from_digest([2; 32])).await.is_err());
//! # Ok(())
//! # }
//! ```

mod admin;
#[cfg(feature = "aws")]
pub mod aws;
#[cfg(feature = "azure")]
pub mod azure;
#[cfg(any(feature = "azure", feature = "gcp"))]
mod described;
mod ephemeral;
mod error;
#[cfg(feature = "gcp")]
pub mod gcp;
mod kek;
mod layer;
mod observer;
#[cfg(feature = "pkcs11")]
pub mod pkcs11;
#[cfg(any(feature = "azure", feature = "gcp", feature = "vault"))]
mod provider;
#[cfg(any(feature = "aws", feature = "azure", feature = "gcp", feature = "vault"))]
mod retry_after;
mod set;
mod status;
#[cfg(feature = "tracing")]
mod traced;
#[cfg(feature = "vault")]
pub mod vault;
mod wait;
mod wrap_only;
mod wrapped;

use core::fmt;
use core::future::{Future, ready};
use core::pin::Pin;
use std::sync::Arc;

use zeroize::Zeroizing;

pub use admin::{KekAct, KekChange, KekTarget, KekVersion, KekVersions, KmsAdmin};
pub use ephemeral::EphemeralKeyring;
pub use error::KmsError;
pub(crate) use kek::Kek;
#[cfg(feature = "test-util")]
pub(crate) use layer::layer;
pub use layer::{CircuitBreaker, CircuitOpen, Observed, RateLimit, Retry, RetryPolicy, TimedOut, Timeout};
pub use observer::{KmsCall, KmsEvent, KmsObserver};
pub(crate) use set::Holder;
pub(crate) use set::wrap_with;
pub use set::{KekPolicy, KekSet, KekSetBuilder, OnTerminal};
pub use status::{Capabilities, ContextBinding, KekState, KekStatus};
#[cfg(feature = "tracing")]
pub use traced::TracingObserver;
#[cfg(feature = "tokio-time")]
pub use wait::TokioSleeper;
pub(crate) use wait::within;
pub use wait::{Jitter, Sleeper};
pub use wrap_only::WrapOnly;
pub use wrapped::{Binding, Wrapped, WrappedError};

use crate::backend::Backend;
use crate::id::Fingerprint;
use crate::random::NoRandomness;

/// The future of a [`Kms`] method.
pub type KmsFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, KmsError>> + Send + 'a>>;

/// One key encryption key, which never leaves where it lives. Implementations run
/// `conformance::kms` and the other suites over a KEK (feature `test-util`).
pub trait Kms: fmt::Debug + Send + Sync + 'static {
    /// The KEK's name without its version, such as `local:clinic` or a cloud resource name; the same for ever. It is
    /// written into every [`Wrapped`] and picks the KMS that unwraps it.
    fn kek_id(&self) -> &str;

    /// What the KMS itself does. Unless overridden: it binds no context, and the rest happens in this process.
    fn capabilities(&self) -> Capabilities {
        Capabilities::new(ContextBinding::None)
    }

    /// Wraps a carrier under the newest version of the KEK.
    ///
    /// # Errors
    /// [`KmsError`].
    fn wrap_dek<'a>(&'a self, carrier: &'a Carrier, context: &'a WrapContext) -> KmsFuture<'a, Wrapped>;

    /// Unwraps a carrier that was wrapped under any version of the KEK that still exists.
    ///
    /// # Errors
    /// [`KmsError::OtherKek`] when the KEK id is another; [`KmsError::Refused`] when the bytes were altered or, where the
    /// binding is [`Binding::Native`], the context is another; other [`KmsError`]s for what their names say.
    fn unwrap_dek<'a>(&'a self, wrapped: &'a Wrapped, context: &'a WrapContext) -> KmsFuture<'a, Carrier>;

    /// Draws a carrier and wraps it. Unless overridden, with the generator of the backend that its capabilities name, or this
    /// machine's.
    ///
    /// # Errors
    /// [`KmsError`].
    fn generate<'a>(&'a self, context: &'a WrapContext) -> KmsFuture<'a, (Carrier, Wrapped)> {
        Box::pin(async move {
            let carrier = Carrier::generate_on(self.capabilities().backend.unwrap_or_default())?;
            let wrapped = self.wrap_dek(&carrier, context).await?;
            Ok((carrier, wrapped))
        })
    }

    /// Wraps what is wrapped already under the newest version of the KEK: the carrier, the KEK and the binding stay. Unless
    /// overridden, by unwrapping and wrapping it here.
    ///
    /// # Errors
    /// As for [`unwrap_dek`](Self::unwrap_dek) and [`wrap_dek`](Self::wrap_dek).
    fn rewrap<'a>(&'a self, wrapped: &'a Wrapped, context: &'a WrapContext) -> KmsFuture<'a, Rewrap> {
        Box::pin(async move {
            let carrier = self.unwrap_dek(wrapped, context).await?;
            self.wrap_dek(&carrier, context).await.map(Rewrap::ThroughClient)
        })
    }

    /// Asks whether the KEK is usable and which version wraps now.
    ///
    /// # Errors
    /// [`KmsError`] when there is no answer.
    fn status(&self) -> KmsFuture<'_, KekStatus>;

    /// Asks whether what is wrapped under one version of the KEK can be unwrapped now; a version that is no longer there is
    /// [`KekState::Destroyed`]. Unless overridden `None`, without asking: the versions have no states of their own, and the
    /// [`status`](Self::status) of the KEK is that of all of them. Who wraps another KMS hands the question on: otherwise
    /// nobody sees that a version was disabled.
    ///
    /// # Errors
    /// [`KmsError`] when there is no answer.
    fn version_state<'a>(&'a self, _version: &'a str) -> KmsFuture<'a, Option<KekState>> {
        Box::pin(ready(Ok(None)))
    }

    /// The place outside the key store where this KMS keeps the fingerprint of a store's root key, if it has one. Only for
    /// a KMS under which nobody can wrap who cannot unwrap: an empty place is filled with the first root key that this KMS
    /// unwraps.
    fn root_pin(&self) -> Option<&dyn RootPin> {
        None
    }
}

impl<K: Kms + ?Sized> Kms for Arc<K> {
    fn kek_id(&self) -> &str {
        (**self).kek_id()
    }

    fn capabilities(&self) -> Capabilities {
        (**self).capabilities()
    }

    fn wrap_dek<'a>(&'a self, carrier: &'a Carrier, context: &'a WrapContext) -> KmsFuture<'a, Wrapped> {
        (**self).wrap_dek(carrier, context)
    }

    fn unwrap_dek<'a>(&'a self, wrapped: &'a Wrapped, context: &'a WrapContext) -> KmsFuture<'a, Carrier> {
        (**self).unwrap_dek(wrapped, context)
    }

    fn generate<'a>(&'a self, context: &'a WrapContext) -> KmsFuture<'a, (Carrier, Wrapped)> {
        (**self).generate(context)
    }

    fn rewrap<'a>(&'a self, wrapped: &'a Wrapped, context: &'a WrapContext) -> KmsFuture<'a, Rewrap> {
        (**self).rewrap(wrapped, context)
    }

    fn status(&self) -> KmsFuture<'_, KekStatus> {
        (**self).status()
    }

    fn version_state<'a>(&'a self, version: &'a str) -> KmsFuture<'a, Option<KekState>> {
        (**self).version_state(version)
    }

    fn root_pin(&self) -> Option<&dyn RootPin> {
        (**self).root_pin()
    }
}

/// A carrier that was wrapped anew, and where that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "the rewrapped carrier takes the place of the old one"]
#[non_exhaustive]
pub enum Rewrap {
    /// Inside the KMS: the carrier never left it.
    ServerSide(Wrapped),
    /// In this process, which held the carrier for a moment.
    ThroughClient(Wrapped),
}

impl Rewrap {
    /// The carrier under the newest version.
    #[must_use]
    pub const fn wrapped(&self) -> &Wrapped {
        match self {
            Self::ServerSide(wrapped) | Self::ThroughClient(wrapped) => wrapped,
        }
    }

    /// The carrier under the newest version.
    #[must_use]
    pub fn into_wrapped(self) -> Wrapped {
        match self {
            Self::ServerSide(wrapped) | Self::ThroughClient(wrapped) => wrapped,
        }
    }
}

/// A place that holds one fingerprint and that the key store's writers cannot change.
pub trait RootPin: Send + Sync {
    /// The fingerprint, or `None` before the first store was opened.
    ///
    /// # Errors
    /// [`KmsError`] when it cannot be read.
    fn pinned(&self) -> Result<Option<Fingerprint>, KmsError>;

    /// Stores the fingerprint durably if none is stored yet; succeeds when the same one is stored already.
    ///
    /// # Errors
    /// [`KmsError`] when another one is stored, or it cannot be stored.
    fn pin(&self, fingerprint: Fingerprint) -> Result<(), KmsError>;
}

/// Thirty-two random bytes that a KMS wraps in place of a key. Wiped when dropped.
pub struct Carrier(Zeroizing<[u8; 32]>);

impl Carrier {
    /// A fresh carrier.
    ///
    /// # Errors
    /// [`NoRandomness`] when the operating system gives none.
    pub fn generate() -> Result<Self, NoRandomness> {
        Self::generate_on(Backend::ring())
    }

    /// A fresh carrier of a backend's randomness.
    ///
    /// # Errors
    /// [`NoRandomness`] when there is none.
    pub fn generate_on(backend: Backend) -> Result<Self, NoRandomness> {
        backend.key().map(Self)
    }

    /// A carrier that a KMS unwrapped.
    #[must_use]
    pub const fn from_bytes(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// A carrier that a KMS unwrapped into a buffer of its own, which the caller wipes.
    ///
    /// # Errors
    /// [`KmsError::Refused`] when there are not 32 bytes: no carrier was wrapped there.
    pub fn try_from_slice(bytes: &[u8]) -> Result<Self, KmsError> {
        let mut carrier = Zeroizing::new([0; 32]);
        if bytes.len() != carrier.len() {
            return Err(KmsError::Refused);
        }
        carrier.copy_from_slice(bytes);
        Ok(Self(carrier))
    }

    /// The bytes, for the KMS that wraps them.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Carrier([secret])")
    }
}

/// What a carrier is bound to: SHA-256 over the key row's identity. Only this hash leaves the process, so that no tenant
/// name reaches the KMS or its logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrapContext([u8; 32]);

impl WrapContext {
    /// A context by its digest.
    #[must_use]
    pub const fn from_digest(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The digest, to be given to the KMS as context or additional authenticated data.
    #[must_use]
    pub const fn digest(&self) -> &[u8; 32] {
        &self.0
    }
}
