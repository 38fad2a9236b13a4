//! Sealing.

mod batch;
mod epoch;
mod error;
mod message;
mod nonces;
mod padding;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod renewal;
mod scoped;
#[cfg(test)]
mod tests;

use core::fmt;
use core::num::NonZeroUsize;
use std::sync::{Arc, OnceLock};

#[cfg(feature = "backup")]
use phi_keys::backend::Backend;
use phi_keys::backend::NotApproved;
use phi_keys::f1::Suite;
use phi_keys::{Keys, Scope};

use self::epoch::{EpochCell, LIMITS, Limits};
use self::nonces::{Nonces, Randomness};
use self::scoped::Inner;
use crate::aad::{ScopeAad, TenantAad};
use crate::handles::Handles;

pub use error::SealError;
pub use padding::Padding;
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
    padding: Option<Padding>,
    threads: NonZeroUsize,
    nonces: Nonces,
    limits: Limits,
    randomness: Randomness,
    aad: Arc<TenantAad>,
    epochs: Handles<EpochCell>,
}

impl Shared {
    /// Refuses settings that are not approved, where the keys are on a validated module.
    fn admit(&self) -> Result<(), NotApproved> {
        let backend = self.keys.backend();
        backend.admit_suite(self.suite)?;
        match self.nonces {
            Nonces::Random => Ok(()),
            Nonces::Hedged => backend.admit(NotApproved::HedgedNonce),
        }
    }
}

impl Sealer {
    /// Starts with the keys; everything else has a default.
    pub fn builder(keys: Keys) -> SealerBuilder {
        SealerBuilder { keys, suite: Suite::Aes256Gcm, padding: None, threads: NonZeroUsize::MIN }
    }

    /// A sealer of the same settings for hosts that may be restored from a memory snapshot or cloned while they run, and
    /// whose kernel may then give the same random bytes twice: each nonce is made of random bytes *and* of the message.
    ///
    /// Where the randomness repeats, the same message in the same place gives the same bytes, and no two different messages
    /// share a nonce. The stored format is the same. A seal hashes the context and the plaintext once more.
    ///
    /// Refused by [`for_scope`](Self::for_scope) where the keys are on a validated module, which draws the nonces itself.
    ///
    /// ```
    /// # use phi_keys::{EphemeralKeyring, Keys, MemoryKeyStore, Scope};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let keys = Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate()?).build().await?;
    /// use phi_crypto::{Context, Sealer};
    ///
    /// let sealer = Sealer::builder(keys).build().hedged();
    /// let sealer = sealer.for_scope(&Scope::group("ward 7")).await?;
    /// sealer.seal("Ada Lovelace", &Context::new("Bed", "occupant").record_id(1_u64))?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn hedged(&self) -> Self {
        let Shared { keys, suite, padding, threads, .. } = &*self.0;
        let settings = SealerBuilder { keys: keys.clone(), suite: *suite, padding: *padding, threads: *threads };
        settings.with(Nonces::Hedged)
    }

    /// What computes.
    #[cfg(feature = "backup")]
    pub(crate) fn backend(&self) -> Backend {
        self.0.keys.backend()
    }

    /// A sealer for one scope, valid while the lease of its key is. A scope without a key gets one.
    ///
    /// # Errors
    /// [`phi_keys::Error`] when the key cannot be had: the store or the KMS does not answer, or the subject was shredded; or
    /// when the [backend](phi_keys::backend) of the keys does not have the suite, or hedged nonces.
    pub async fn for_scope(&self, scope: &Scope) -> Result<ScopedSealer, phi_keys::Error> {
        self.0.admit()?;
        let data = self.0.keys.data_key(scope).await?;
        let epochs = self.0.epochs.derived(&data);
        let (shared, scope, first) = (Arc::clone(&self.0), scope.clone(), OnceLock::new());
        let aad = ScopeAad::of(&shared.aad, &scope);
        Ok(ScopedSealer(Arc::new(Inner { shared, data, scope, aad, epochs, first })))
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("suite", &self.0.suite).field("nonces", &self.0.nonces).finish_non_exhaustive()
    }
}

/// Settings of a [`Sealer`].
#[derive(Debug)]
#[must_use]
pub struct SealerBuilder {
    keys: Keys,
    suite: Suite,
    padding: Option<Padding>,
    threads: NonZeroUsize,
}

impl SealerBuilder {
    /// The cipher of new values, AES-256-GCM unless set. Values of every suite are opened whatever is set here.
    ///
    /// A padded suite without a [`padding`](Self::padding) pads by [`Padding::padme`].
    pub const fn suite(mut self, suite: Suite) -> Self {
        self.suite = suite;
        self
    }

    /// Hides how long new values are; see [`Padding`]. Without it a stored value is 57 bytes longer than its plaintext.
    pub const fn padding(mut self, padding: Padding) -> Self {
        self.padding = Some(padding);
        self
    }

    /// Threads that one batch may use, one unless set. They are started within the call when the batch is large enough to
    /// gain by them, and have ended when it returns.
    pub const fn threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = threads;
        self
    }

    /// The sealer.
    #[must_use]
    pub fn build(self) -> Sealer {
        self.with(Nonces::Random)
    }

    fn with(self, nonces: Nonces) -> Sealer {
        let Self { keys, suite, padding, threads } = self;
        let padding = if suite.is_padded() { padding.or(Some(Padding::padme())) } else { padding };
        let suite = if padding.is_some() { suite.padded() } else { suite };
        let (limits, randomness) = (LIMITS, Randomness::System(keys.backend()));
        let (aad, epochs) = (TenantAad::new(Some(keys.tenant())), Handles::new());
        Sealer(Arc::new(Shared { keys, suite, padding, threads, nonces, limits, randomness, aad, epochs }))
    }
}
