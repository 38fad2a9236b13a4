//! Sealing.

mod epoch;
mod error;
mod scoped;

use core::fmt;
use std::sync::Arc;

use phi_keys::f1::Suite;
use phi_keys::{Keys, Scope};

use self::epoch::{EpochCell, LIMITS, Limits};
use self::scoped::Inner;
use crate::handles::Handles;

pub use error::SealError;
pub use scoped::ScopedSealer;

/// Makes sealers for patients and groups. Cheap to clone; an application has one.
///
/// ```
/// # use phi_keys::{EphemeralKeyring, Keys, MemoryKeyStore};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let keys = Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate()?).build().await?;
/// use phi_crypto::{Context, Sealed, Sealer, SubjectId};
///
/// let sealer = Sealer::builder(keys).build();
/// let patient = SubjectId::new("7431")?;
///
/// // Asks the key store, and the KMS when the domain key is cold.
/// let sealer = sealer.for_scope(&(&patient).into()).await?;
/// // From here on nothing waits.
/// let name: Sealed<String> = sealer.seal("Ada Lovelace", &Context::new("Patient", "name").record_id(&patient))?;
/// assert_eq!(name.as_bytes().len(), "Ada Lovelace".len() + 57);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Sealer(Arc<Shared>);

struct Shared {
    keys: Keys,
    suite: Suite,
    limits: Limits,
    epochs: Handles<EpochCell>,
}

impl Sealer {
    /// Starts with the keys; everything else has a default.
    pub fn builder(keys: Keys) -> SealerBuilder {
        SealerBuilder { keys, suite: Suite::Aes256Gcm }
    }

    /// A sealer for one scope, valid while the lease of its key is. A scope without a key gets one.
    ///
    /// # Errors
    /// [`phi_keys::Error`] when the key cannot be had: the store or the KMS does not answer, or the subject was shredded.
    pub async fn for_scope(&self, scope: &Scope) -> Result<ScopedSealer, phi_keys::Error> {
        let data = self.0.keys.data_key(scope).await?;
        let epochs = self.0.epochs.derived(&data);
        let subject = match scope {
            Scope::Subject(subject) => Some(subject.clone()),
            _ => None,
        };
        Ok(ScopedSealer(Arc::new(Inner { shared: Arc::clone(&self.0), data, scope: scope.clone(), subject, epochs })))
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealer({:?})", self.0.suite)
    }
}

/// Settings of a [`Sealer`].
#[derive(Debug)]
#[must_use]
pub struct SealerBuilder {
    keys: Keys,
    suite: Suite,
}

impl SealerBuilder {
    /// The cipher of new values, AES-256-GCM unless set. Values of every suite are opened whatever is set here.
    pub const fn suite(mut self, suite: Suite) -> Self {
        self.suite = suite;
        self
    }

    /// The sealer.
    #[must_use]
    pub fn build(self) -> Sealer {
        let Self { keys, suite } = self;
        Sealer(Arc::new(Shared { keys, suite, limits: LIMITS, epochs: Handles::new() }))
    }
}
