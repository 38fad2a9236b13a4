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

mod ephemeral;
mod kek;
mod wrapped;

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use std::error::Error;
use std::sync::Arc;

use zeroize::Zeroizing;

pub use ephemeral::EphemeralKeyring;
pub(crate) use kek::Kek;
pub use wrapped::{Binding, Wrapped, WrappedError};

use crate::id::Fingerprint;
use crate::random::{self, NoRandomness};

/// The future of a [`Kms`] method.
pub type KmsFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, KmsError>> + Send + 'a>>;

/// One key encryption key, which never leaves where it lives. Implementations run `conformance::kms` (feature `test-util`).
pub trait Kms: fmt::Debug + Send + Sync + 'static {
    /// The KEK's name without its version, such as `local:clinic` or a cloud resource name; the same for ever. It is
    /// written into every [`Wrapped`] and picks the KMS that unwraps it.
    fn kek_id(&self) -> &str;

    /// Wraps a carrier under the newest version of the KEK.
    ///
    /// # Errors
    /// [`KmsError`].
    fn wrap_dek<'a>(&'a self, carrier: &'a Carrier, context: &'a WrapContext) -> KmsFuture<'a, Wrapped>;

    /// Unwraps a carrier that was wrapped under any version of the KEK that still exists.
    ///
    /// # Errors
    /// [`KmsError::Refused`] when the bytes were altered or, where the binding is [`Binding::Native`], the context is
    /// another; other [`KmsError`]s for what their names say.
    fn unwrap_dek<'a>(&'a self, wrapped: &'a Wrapped, context: &'a WrapContext) -> KmsFuture<'a, Carrier>;

    /// Asks whether the KEK is usable and which version wraps now.
    ///
    /// # Errors
    /// [`KmsError`] when there is no answer.
    fn status(&self) -> KmsFuture<'_, KekStatus>;

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

    fn wrap_dek<'a>(&'a self, carrier: &'a Carrier, context: &'a WrapContext) -> KmsFuture<'a, Wrapped> {
        (**self).wrap_dek(carrier, context)
    }

    fn unwrap_dek<'a>(&'a self, wrapped: &'a Wrapped, context: &'a WrapContext) -> KmsFuture<'a, Carrier> {
        (**self).unwrap_dek(wrapped, context)
    }

    fn status(&self) -> KmsFuture<'_, KekStatus> {
        (**self).status()
    }

    fn root_pin(&self) -> Option<&dyn RootPin> {
        (**self).root_pin()
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
    /// [`KmsError::Refused`] when another one is stored, other [`KmsError`]s when it cannot be stored.
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
        random::key().map(Self)
    }

    /// A carrier that a KMS unwrapped.
    #[must_use]
    pub const fn from_bytes(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
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

/// Whether a KEK can be used, and which version wraps.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KekStatus {
    /// Whether the KEK wraps and unwraps now.
    pub state: KekState,
    /// The version that wraps now, in the KMS's own words, where it names one.
    pub version: Option<String>,
}

impl KekStatus {
    /// A status.
    #[must_use]
    pub const fn new(state: KekState, version: Option<String>) -> Self {
        Self { state, version }
    }
}

/// Whether a KEK can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KekState {
    /// It wraps and unwraps.
    Enabled,
    /// It was switched off and can be switched on again.
    Disabled,
    /// It will be destroyed, or is.
    Destroyed,
}

/// A KMS did not do what it was asked.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum KmsError {
    /// The KMS did not answer, or asked to be left alone for a while. Trying again may help.
    Unavailable(Arc<dyn Error + Send + Sync>),
    /// The KMS refused: the wrapped bytes were altered, belong to another context, or the caller may not use the KEK.
    Refused,
    /// The carrier was wrapped under another KEK.
    OtherKek,
    /// The version of the KEK is unknown here: destroyed, or newer than what this process has read.
    UnknownVersion,
    /// The KMS failed for a reason that trying again does not mend.
    Failed(Arc<dyn Error + Send + Sync>),
}

impl KmsError {
    /// An [`Unavailable`](Self::Unavailable) with its reason, whose text must hold no secrets.
    pub fn unavailable(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unavailable(reason.into().into())
    }

    /// A [`Failed`](Self::Failed) with its reason, whose text must hold no secrets.
    pub fn failed(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Failed(reason.into().into())
    }
}

impl fmt::Display for KmsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unavailable(_) => "the KMS does not answer: try again, and check that it can be reached",
            Self::Refused => "the KMS refused: altered bytes, another context, or no permission for this KEK",
            Self::OtherKek => "the key is wrapped under another KEK: give that KMS to the builder as well",
            Self::UnknownVersion => {
                "the version of the KEK is unknown: was it destroyed, or the keyring replaced by an older copy?"
            }
            Self::Failed(_) => "the KMS failed",
        })
    }
}

impl Error for KmsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unavailable(reason) | Self::Failed(reason) => Some(&**reason),
            Self::Refused | Self::OtherKek | Self::UnknownVersion => None,
        }
    }
}

impl From<NoRandomness> for KmsError {
    fn from(error: NoRandomness) -> Self {
        Self::failed(error)
    }
}
