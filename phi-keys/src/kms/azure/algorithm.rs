//! How a key of Azure's wraps.

use azure_security_keyvault_keys::models::{EncryptionAlgorithm, KeyType};

use crate::kms::{Binding, ContextBinding, Wrapped};

/// Bytes of an initialization vector and of a tag of AES-GCM.
pub(super) const IV: usize = 12;
pub(super) const TAG: usize = 16;

/// How a key of Azure's wraps.
///
/// ```
/// use phi_keys::azure::AzureAlgorithm;
///
/// assert_eq!(AzureAlgorithm::default(), AzureAlgorithm::RsaOaep256);
/// assert_eq!(AzureAlgorithm::RsaOaep256.as_str(), "RSA-OAEP-256");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum AzureAlgorithm {
    /// RSA-OAEP with SHA-256, by an RSA key of a vault or a Managed HSM. Azure binds no context.
    #[default]
    RsaOaep256,
    /// AES-256-GCM, by a symmetric key of a Managed HSM, which draws the initialization vector. Azure authenticates the context.
    A256Gcm,
    /// AES key wrap (RFC 3394), by a symmetric key of 256 bits of a Managed HSM. Azure binds no context.
    A256Kw,
}

impl AzureAlgorithm {
    const ALL: [Self; 3] = [Self::RsaOaep256, Self::A256Gcm, Self::A256Kw];

    /// The name in Azure's own words, which is also that in a wrapped carrier.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RsaOaep256 => "RSA-OAEP-256",
            Self::A256Gcm => "A256GCM",
            Self::A256Kw => "A256KW",
        }
    }

    /// What wrapped a carrier, if bytes and binding can be of it.
    pub(super) fn of(wrapped: &Wrapped) -> Option<Self> {
        let algorithm = Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == wrapped.algorithm())?;
        let length = wrapped.blob().len();
        let fits = match algorithm {
            Self::RsaOaep256 => matches!(length, 256 | 384 | 512),
            Self::A256Gcm => length == IV + 32 + TAG,
            Self::A256Kw => length == 40,
        };
        (fits && wrapped.binding() == algorithm.binding()).then_some(algorithm)
    }

    pub(super) const fn binding(self) -> Binding {
        match self {
            Self::A256Gcm => Binding::Native,
            Self::RsaOaep256 | Self::A256Kw => Binding::Derivation,
        }
    }

    pub(super) const fn context_binding(self) -> ContextBinding {
        match self {
            Self::A256Gcm => ContextBinding::Native,
            Self::RsaOaep256 | Self::A256Kw => ContextBinding::None,
        }
    }

    pub(super) const fn theirs(self) -> EncryptionAlgorithm {
        match self {
            Self::RsaOaep256 => EncryptionAlgorithm::RsaOaep256,
            Self::A256Gcm => EncryptionAlgorithm::A256Gcm,
            Self::A256Kw => EncryptionAlgorithm::A256Kw,
        }
    }

    /// Whether keys of this type do it.
    pub(super) const fn is_of(self, kind: &KeyType) -> bool {
        match self {
            Self::RsaOaep256 => matches!(kind, KeyType::Rsa | KeyType::RsaHsm),
            Self::A256Gcm | Self::A256Kw => matches!(kind, KeyType::Oct | KeyType::OctHsm),
        }
    }

    pub(super) const fn mend(self) -> &'static str {
        match self {
            Self::RsaOaep256 => "choose an RSA key, or another algorithm for a symmetric key of a Managed HSM",
            Self::A256Gcm | Self::A256Kw => "choose a symmetric key of 256 bits in a Managed HSM, or RSA-OAEP-256",
        }
    }
}
