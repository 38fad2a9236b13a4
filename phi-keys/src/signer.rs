//! Signatures for audit checkpoints.
//!
//! ```
//! use phi_keys::{EphemeralKeyring, Keys, MemoryKeyStore, Signer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let keys = Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate()?).build().await?;
//! let signer = keys.signer("audit").await?;
//! let signature = signer.sign(b"checkpoint").await?;
//! assert_eq!(signer.public_key().algorithm(), "Ed25519");
//! assert!(signer.public_key().verify(b"checkpoint", &signature).is_ok());
//! assert!(signer.public_key().verify(b"another", &signature).is_err());
//! # Ok(())
//! # }
//! ```

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use std::error::Error;
use std::sync::Arc;

use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey, VerificationAlgorithm};

use crate::backend::{Backend, Ed25519Key};

/// The future of [`Signer::sign`].
pub type Signing<'a> = Pin<Box<dyn Future<Output = Result<[u8; 64], SignError>> + Send + 'a>>;

/// Signs with one key, wherever that key is. Checkpoints of `phi-audit` are signed with either kind of [`PublicKey`].
/// Implementations run `conformance::signer` (feature `test-util`).
pub trait Signer: fmt::Debug + Send + Sync + 'static {
    /// The public key, which names the algorithm.
    fn public_key(&self) -> PublicKey;

    /// Signs a message of 1 to 4,096 bytes, which is what key services take; a checkpoint has some hundred. The signature has 64
    /// bytes: that of RFC 8032, or `r ‖ s` of ECDSA, 32 bytes each.
    ///
    /// # Errors
    /// [`SignError`] when where the key lives gives no signature.
    fn sign<'a>(&'a self, message: &'a [u8]) -> Signing<'a>;
}

impl<S: Signer + ?Sized> Signer for Arc<S> {
    fn public_key(&self) -> PublicKey {
        (**self).public_key()
    }

    fn sign<'a>(&'a self, message: &'a [u8]) -> Signing<'a> {
        (**self).sign(message)
    }
}

/// An Ed25519 key in this process, derived from the audit domain key by [`Keys::signer`](crate::Keys::signer).
///
/// The backend does not wipe its copy of the private key when this is dropped.
pub struct Ed25519Signer {
    key: Ed25519Key,
    public_key: [u8; 32],
}

impl Ed25519Signer {
    pub(crate) fn from_seed(backend: Backend, seed: &[u8; 32]) -> Self {
        let key = Ed25519Key::from_seed(backend, seed);
        Self { public_key: key.public_key(), key }
    }

    /// Signs a message, without leaving the process.
    ///
    /// # Errors
    /// [`SignError`] when the FIPS module gives no signature; the other backend always gives one.
    pub fn sign_now(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        self.key.sign(message)
    }
}

impl Signer for Ed25519Signer {
    fn public_key(&self) -> PublicKey {
        PublicKey::Ed25519(self.public_key)
    }

    fn sign<'a>(&'a self, message: &'a [u8]) -> Signing<'a> {
        Box::pin(core::future::ready(self.sign_now(message)))
    }
}

impl fmt::Debug for Ed25519Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ed25519Signer")
    }
}

/// A public key, with the algorithm that its signatures are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PublicKey {
    /// Ed25519 (RFC 8032): the encoded point.
    Ed25519([u8; 32]),
    /// ECDSA on P-256 with SHA-256 (FIPS 186-5): the uncompressed point of SEC 1, `0x04 ‖ x ‖ y`.
    EcdsaP256([u8; 65]),
}

impl PublicKey {
    /// The algorithm in a word, for configurations and logs.
    #[must_use]
    pub const fn algorithm(&self) -> &'static str {
        match self {
            Self::Ed25519(_) => "Ed25519",
            Self::EcdsaP256(_) => "ECDSA-P256-SHA256",
        }
    }

    /// The bytes of the key.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Ed25519(key) => key,
            Self::EcdsaP256(key) => key,
        }
    }

    /// The key, if it is one of Ed25519.
    #[must_use]
    pub const fn as_ed25519(&self) -> Option<&[u8; 32]> {
        match self {
            Self::Ed25519(key) => Some(key),
            Self::EcdsaP256(_) => None,
        }
    }

    /// Checks a signature over a message.
    ///
    /// # Errors
    /// [`BadSignature`] when it is not one of this key over this message.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        let algorithm: &dyn VerificationAlgorithm = match self {
            Self::Ed25519(_) => &ED25519,
            Self::EcdsaP256(_) => &ECDSA_P256_SHA256_FIXED,
        };
        UnparsedPublicKey::new(algorithm, self.as_bytes()).verify(message, signature).map_err(|_| BadSignature)
    }
}

/// A signature is not one of this key over this message. Says no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BadSignature;

impl fmt::Display for BadSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the signature is not one of this key over this message")
    }
}

impl Error for BadSignature {}

/// There is no signature. `source()` says why.
#[derive(Debug, Clone)]
pub struct SignError(Arc<dyn Error + Send + Sync>);

impl SignError {
    /// Wraps the reason, whose text must hold no secrets.
    pub fn new(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(reason.into().into())
    }
}

impl fmt::Display for SignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the signing key gave no signature: check that where it lives can be reached")
    }
}

impl Error for SignError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}
