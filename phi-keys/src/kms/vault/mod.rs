//! KEKs in the Transit engine of HashiCorp Vault or OpenBao.
//!
//! The key is a `derived` one of an AEAD type (`vault write transit/keys/phi type=aes256-gcm96 derived=true`): Vault then
//! derives another key for each context, so a carrier opens in its own context only, and a rewrap happens within Vault. A key
//! that is not derived ignores the context without a word, and is refused here before anything is wrapped.
//!
//! ```
//! use phi_keys::Keys;
//! use phi_keys::vault::{VaultAuth, VaultKms};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # // In Vault's place: a simulator.
//! # let vault = kms_sim::Simulator::start(kms_sim::Service::Vault, 0).await?;
//! # let fact = |name: &str| vault.fact(name).unwrap().to_owned();
//! # let (key, address, role_id, secret_id) = (fact("key"), vault.url(), fact("role_id"), fact("secret_id").into());
//! # let store = std::sync::Arc::new(phi_keys::MemoryKeyStore::new());
//! # let first = VaultKms::builder(&key).address(address).auth(VaultAuth::token(fact("token").into())).build()?;
//! # let fingerprint = Keys::builder(std::sync::Arc::clone(&store)).kek(first).build().await?.fingerprint();
//! // The key's name, such as `phi`, and where Vault is, such as `https://vault.clinic.example:8200`.
//! let kek = VaultKms::builder(key).address(address).auth(VaultAuth::app_role(role_id, secret_id)).build()?;
//! let keys = Keys::builder(store).kek(kek).fingerprint(fingerprint).build().await?;
//! # assert_eq!(keys.fingerprint(), fingerprint);
//! # Ok(())
//! # }
//! ```
//!
//! The policy of the token needs `update` on `transit/encrypt/phi`, `transit/decrypt/phi` and `transit/rewrap/phi`, and `read`
//! on `transit/keys/phi`; an administrator's also `update` on `transit/keys/phi/rotate` and `transit/keys/phi/config`.
//!
//! # How it fails
//! With a [`VaultError`], which becomes a [`KmsError`](crate::KmsError). Requests are not repeated, except once after the token
//! was refused and the login gave another one; a token younger than ten seconds is not replaced, since then its policy is what
//! refuses. A renewal that fails leaves the token in use until it ends. Needs the tokio runtime with its timer.
//!
//! # Security
//! Without `create` on `transit/encrypt/phi` Vault cannot make a deleted key anew by the way; with it, the adapter notices by the
//! time when the key was made. Redirects are not followed, because they would take token and carrier along. Vault and its audit devices see the carrier and the digest of the context, never a domain key or a
//! tenant's name. Tokens and carriers pass through buffers of the HTTP client, which does not wipe them.
//!
//! # Evidence
//! Run against a contract simulator with real cryptography, which Vault's Python client drives too, by `cargo xtask test keys`. Not run
//! against a real Vault; `cargo xtask live vault` does that with a key of yours.

mod admin;
mod auth;
mod builder;
mod call;
mod ciphertext;
mod error;
mod health;
mod known;
mod lease;
mod message;
mod name;
mod session;
mod transit;

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

pub use auth::VaultAuth;
pub use builder::VaultBuilder;
pub use error::VaultError;
pub use health::VaultHealth;
use known::Known;
use session::Session;

use super::{
    Capabilities, Carrier, ContextBinding, KekState, KekStatus, Kms, KmsError, KmsFuture, Rewrap, WrapContext, Wrapped,
};

/// A KEK in the Transit engine of HashiCorp Vault or OpenBao. Cheap to clone; clones share one token.
#[derive(Clone)]
pub struct VaultKms(Arc<Inner>);

struct Inner {
    session: Session,
    kek_id: String,
    mount: String,
    key: String,
    known: Known,
}

impl VaultKms {
    /// Begins with the name of the Transit key.
    pub fn builder(key: impl Into<String>) -> VaultBuilder {
        VaultBuilder::new(key.into())
    }

    fn assemble(session: Session, kek_id: String, mount: String, key: String) -> Self {
        Self(Arc::new(Inner { session, kek_id, mount, key, known: Known::default() }))
    }

    /// Goes on with another token, such as one that an agent renewed.
    ///
    /// # Errors
    /// [`VaultError::Config`] when it cannot be one; the old token then stays.
    pub fn set_token(&self, token: &secrecy::SecretString) -> Result<(), VaultError> {
        self.0.session.set_token(secrecy::ExposeSecret::expose_secret(token))
    }

    /// Renews the token when two thirds of its life are over, and says how long until that is so again, `None` for never.
    ///
    /// Every call does this first, so only a program that may be idle for longer than a token lives needs it, in a loop of
    /// its own that sleeps as long as it is told.
    ///
    /// # Errors
    /// [`KmsError`] when no token can be had.
    pub async fn keep_alive(&self) -> Result<Option<Duration>, KmsError> {
        Ok(self.0.session.keep_alive().await?)
    }

    /// Unwraps many carriers with one request per 256. The results are in the order of what was given.
    ///
    /// # Errors
    /// [`KmsError`] when the request as a whole fails; what fails with one carrier is its own result.
    pub async fn unwrap_many(
        &self,
        wrapped: &[(&Wrapped, &WrapContext)],
    ) -> Result<Vec<Result<Carrier, KmsError>>, KmsError> {
        self.0.unwrap_many(wrapped).await
    }

    /// Asks the server how it is, without a token.
    ///
    /// # Errors
    /// [`KmsError`] when there is no answer.
    pub async fn health(&self) -> Result<VaultHealth, KmsError> {
        Ok(health::ask(&self.0.session).await?)
    }
}

impl Kms for VaultKms {
    fn kek_id(&self) -> &str {
        &self.0.kek_id
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(ContextBinding::Derived).with_server_rewrap().with_named_version().with_admin()
    }

    fn wrap_dek<'a>(&'a self, carrier: &'a Carrier, context: &'a WrapContext) -> KmsFuture<'a, Wrapped> {
        Box::pin(self.0.wrap(carrier, context))
    }

    fn unwrap_dek<'a>(&'a self, wrapped: &'a Wrapped, context: &'a WrapContext) -> KmsFuture<'a, Carrier> {
        Box::pin(self.0.unwrap(wrapped, context))
    }

    fn rewrap<'a>(&'a self, wrapped: &'a Wrapped, context: &'a WrapContext) -> KmsFuture<'a, Rewrap> {
        Box::pin(async move { self.0.rewrap(wrapped, context).await.map(Rewrap::ServerSide) })
    }

    fn status(&self) -> KmsFuture<'_, KekStatus> {
        Box::pin(async move {
            match self.0.read_key().await {
                Ok(key) => Ok(KekStatus::new(KekState::Enabled, Some(key.latest_version.to_string()))),
                // One that was deleted and made anew is another key.
                Err(VaultError::NoKey | VaultError::KeyReplaced) => Ok(KekStatus::new(KekState::Destroyed, None)),
                Err(error) => Err(error.into()),
            }
        })
    }

    fn version_state<'a>(&'a self, version: &'a str) -> KmsFuture<'a, Option<KekState>> {
        Box::pin(async move {
            let state = match self.0.read_key().await {
                Ok(key) => version.parse().map_or(KekState::Destroyed, |version| key.state_of(version)),
                Err(VaultError::NoKey | VaultError::KeyReplaced) => KekState::Destroyed,
                Err(error) => return Err(error.into()),
            };
            Ok(Some(state))
        })
    }
}

impl fmt::Debug for VaultKms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VaultKms")
            .field("kek_id", &self.0.kek_id)
            .field("auth", self.0.session.auth())
            .finish_non_exhaustive()
    }
}
