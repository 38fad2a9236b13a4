//! A KMS that cannot be asked to unwrap.

use core::fmt;
use std::sync::Arc;

use super::{Capabilities, Carrier, KekStatus, Kms, KmsError, WrapContext, Wrapped};

/// A handle for producers that wrap and must not unwrap: it has no method that does, and nothing leads back to the KMS
/// behind it. Give the process credentials that cannot unwrap as well, since code that it runs could make a handle of its
/// own.
///
/// ```
/// use std::sync::Arc;
/// use phi_keys::{EphemeralKeyring, Kms, WrapContext, WrapOnly};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let kms: Arc<dyn Kms> = Arc::new(EphemeralKeyring::generate()?);
/// let producer = WrapOnly::new(Arc::clone(&kms));
/// let context = WrapContext::from_digest([1; 32]);
/// let (carrier, wrapped) = producer.generate(&context).await?;
/// assert_eq!(kms.unwrap_dek(&wrapped, &context).await?.expose(), carrier.expose());
/// # Ok(())
/// # }
/// ```
///
/// ```compile_fail,E0599
/// # use phi_keys::{Carrier, KmsError, WrapContext, WrapOnly, Wrapped};
/// # async fn run(producer: WrapOnly, wrapped: Wrapped, context: WrapContext) -> Result<Carrier, KmsError> {
/// producer.unwrap_dek(&wrapped, &context).await
/// # }
/// ```
#[derive(Clone)]
pub struct WrapOnly(Arc<dyn Kms>);

impl WrapOnly {
    /// A handle on a KMS.
    #[must_use]
    pub fn new(kms: Arc<dyn Kms>) -> Self {
        Self(kms)
    }

    /// The KEK's name.
    #[must_use]
    pub fn kek_id(&self) -> &str {
        self.0.kek_id()
    }

    /// What the KMS itself does.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    /// Wraps a carrier under the newest version of the KEK.
    ///
    /// # Errors
    /// [`KmsError`].
    pub async fn wrap_dek(&self, carrier: &Carrier, context: &WrapContext) -> Result<Wrapped, KmsError> {
        self.0.wrap_dek(carrier, context).await
    }

    /// Draws a carrier and wraps it.
    ///
    /// # Errors
    /// [`KmsError`].
    pub async fn generate(&self, context: &WrapContext) -> Result<(Carrier, Wrapped), KmsError> {
        self.0.generate(context).await
    }

    /// Asks whether the KEK is usable and which version wraps now.
    ///
    /// # Errors
    /// [`KmsError`].
    pub async fn status(&self) -> Result<KekStatus, KmsError> {
        self.0.status().await
    }
}

impl fmt::Debug for WrapOnly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WrapOnly").field(&self.0).finish()
    }
}
