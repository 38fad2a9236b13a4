//! What a KEK can do, and whether it can do it now.

use core::time::Duration;

use phi_types::{Clock, Timestamp};

use super::{Kms, KmsError};
use crate::backend::Backend;

/// Whether a KEK can be used, and which version wraps.
///
/// ```
/// use phi_keys::{KekState, KekStatus};
///
/// let status = KekStatus::new(KekState::Enabled, Some("7".into()));
/// assert!(status.state.is_usable());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KekStatus {
    /// Whether the KEK wraps and unwraps now.
    pub state: KekState,
    /// The version that wraps now, in the KMS's own words, where it names one.
    pub version: Option<String>,
    /// When the KEK is destroyed, if that is scheduled and the KMS says when.
    pub destruction: Option<Timestamp>,
    /// How long the KMS took to answer, where the caller measured it: see [`measured`](Self::measured).
    pub latency: Option<Duration>,
}

impl KekStatus {
    /// A status.
    #[must_use]
    pub const fn new(state: KekState, version: Option<String>) -> Self {
        Self { state, version, destruction: None, latency: None }
    }

    /// Says when the KEK is destroyed.
    #[must_use]
    pub const fn with_destruction(mut self, at: Timestamp) -> Self {
        self.destruction = Some(at);
        self
    }

    /// Asks a KMS for its status and measures how long it takes.
    ///
    /// # Errors
    /// [`KmsError`] when there is no answer.
    pub async fn measured(kms: &dyn Kms, clock: &dyn Clock) -> Result<Self, KmsError> {
        let before = clock.monotonic();
        let mut status = kms.status().await?;
        status.latency = Some(clock.monotonic().saturating_sub(before));
        Ok(status)
    }
}

/// Whether a KEK, or one version of it, can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KekState {
    /// It wraps and unwraps.
    Enabled,
    /// It was switched off and can be switched on again.
    Disabled,
    /// Its destruction is scheduled, and can be cancelled until then.
    PendingDestruction,
    /// It is gone.
    Destroyed,
    /// It cannot be used for another reason: it is being made, its imported material has expired, its token is locked.
    Unusable,
}

impl KekState {
    /// Whether it wraps and unwraps.
    #[must_use]
    pub const fn is_usable(self) -> bool {
        matches!(self, Self::Enabled)
    }

    /// The state in a word, for logs and the audit trail.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::PendingDestruction => "pending destruction",
            Self::Destroyed => "destroyed",
            Self::Unusable => "unusable",
        }
    }
}

/// What a KMS itself does; what it does not do happens in this process.
///
/// ```
/// use phi_keys::{Capabilities, ContextBinding};
///
/// let cloud = Capabilities::new(ContextBinding::Native).with_server_generate().with_named_version();
/// assert!(cloud.server_generate && !cloud.server_rewrap);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// How the KMS itself binds a carrier to its context.
    pub context_binding: ContextBinding,
    /// Carriers are drawn by the KMS, not by this machine's generator.
    pub server_generate: bool,
    /// A carrier is moved to the newest version without leaving the KMS.
    pub server_rewrap: bool,
    /// The answer names the version that wrapped, so [`Wrapped::kek_version`](super::Wrapped::kek_version) can be relied on
    /// when versions are to be destroyed.
    pub named_version: bool,
    /// Its own type implements [`KmsAdmin`](super::KmsAdmin) as well; a layer around it does not.
    pub admin: bool,
    /// What wraps, where this process does it itself; nothing where a KMS or token does.
    pub backend: Option<Backend>,
}

impl Capabilities {
    /// A KMS that wraps and unwraps and nothing else.
    #[must_use]
    pub const fn new(context_binding: ContextBinding) -> Self {
        Self {
            context_binding,
            server_generate: false,
            server_rewrap: false,
            named_version: false,
            admin: false,
            backend: None,
        }
    }

    /// The KMS draws carriers.
    #[must_use]
    pub const fn with_server_generate(mut self) -> Self {
        self.server_generate = true;
        self
    }

    /// The KMS rewraps by itself.
    #[must_use]
    pub const fn with_server_rewrap(mut self) -> Self {
        self.server_rewrap = true;
        self
    }

    /// The KMS names the version that wrapped.
    #[must_use]
    pub const fn with_named_version(mut self) -> Self {
        self.named_version = true;
        self
    }

    /// The KEK is in this process, which wraps with this backend.
    #[must_use]
    pub const fn with_backend(mut self, backend: Backend) -> Self {
        self.backend = Some(backend);
        self
    }

    /// The KMS can be administered through [`KmsAdmin`](super::KmsAdmin).
    #[must_use]
    pub const fn with_admin(mut self) -> Self {
        self.admin = true;
        self
    }
}

/// How a KMS itself binds a carrier to its context. The derivation of the carrier key binds it besides, always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ContextBinding {
    /// The KMS authenticates the context's digest as additional data. Carriers are wrapped with
    /// [`Binding::Native`](super::Binding::Native).
    Native,
    /// The KMS derives the wrapping key from the context's digest. Carriers are wrapped with
    /// [`Binding::Native`](super::Binding::Native) as well: another context is refused by the KMS.
    Derived,
    /// The KMS takes no context. Carriers are wrapped with [`Binding::Derivation`](super::Binding::Derivation).
    None,
}
