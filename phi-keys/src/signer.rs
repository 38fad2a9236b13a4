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
//! let key = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, signer.public_key());
//! assert!(key.verify(b"checkpoint", &signature).is_ok());
//! # Ok(())
//! # }
//! ```

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use std::error::Error;
use std::sync::Arc;

use ring::signature::{Ed25519KeyPair, KeyPair};

/// The future of [`Signer::sign`].
pub type Signing<'a> = Pin<Box<dyn Future<Output = Result<[u8; 64], SignError>> + Send + 'a>>;

/// Signs with one Ed25519 key (RFC 8032), wherever that key is.
pub trait Signer: fmt::Debug + Send + Sync + 'static {
    /// The public key, 32 bytes.
    fn public_key(&self) -> [u8; 32];

    /// Signs a message.
    ///
    /// # Errors
    /// [`SignError`] when where the key lives gives no signature.
    fn sign<'a>(&'a self, message: &'a [u8]) -> Signing<'a>;
}

impl<S: Signer + ?Sized> Signer for Arc<S> {
    fn public_key(&self) -> [u8; 32] {
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
    pair: Ed25519KeyPair,
    public_key: [u8; 32],
}

impl Ed25519Signer {
    pub(crate) fn from_seed(seed: &[u8; 32]) -> Self {
        #[expect(clippy::expect_used, reason = "fails only for a wrong seed length, and a seed has 32 bytes")]
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).expect("a seed of 32 bytes");
        let mut public_key = [0; 32];
        // An Ed25519 public key has 32 bytes.
        public_key.copy_from_slice(pair.public_key().as_ref());
        Self { pair, public_key }
    }

    /// Signs a message, without leaving the process.
    #[must_use]
    pub fn sign_now(&self, message: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        // An Ed25519 signature has 64 bytes.
        signature.copy_from_slice(self.pair.sign(message).as_ref());
        signature
    }
}

impl Signer for Ed25519Signer {
    fn public_key(&self) -> [u8; 32] {
        self.public_key
    }

    fn sign<'a>(&'a self, message: &'a [u8]) -> Signing<'a> {
        Box::pin(core::future::ready(Ok(self.sign_now(message))))
    }
}

impl fmt::Debug for Ed25519Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ed25519Signer")
    }
}

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
