//! Opening.

mod error;
mod many;
mod observer;
mod reseal;
mod salts;
mod scoped;

use core::fmt;
use core::num::NonZeroUsize;
use std::collections::BTreeSet;
use std::sync::Arc;

use phi_keys::f1::Suite;
use phi_keys::{DataKey, KeyId, Keys, Scope};
use phi_types::SubjectId;

use self::salts::Salts;
use crate::Context;
use crate::aad::TenantAad;
use crate::handles::Handles;

pub use error::OpenError;
pub use many::OpenManyError;
pub(crate) use observer::Witness;
pub use observer::{OpenObserver, Opened};
pub use reseal::Reseal;
pub use scoped::ScopedOpener;

/// Makes openers for patients and groups. Cheap to clone; an application has one.
///
/// ```
/// # use phi_keys::{EphemeralKeyring, Keys, MemoryKeyStore};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let keys = Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate()?).build().await?;
/// use phi_crypto::{Context, Opener, Phi, Sealer, SubjectId};
///
/// # let place = Context::new("Patient", "name").record_id("7431");
/// # let patient = SubjectId::new("7431")?;
/// # let stored = Sealer::builder(keys.clone()).build().for_scope(&(&patient).into()).await?.seal("Ada", &place)?;
/// let opener = Opener::builder(keys).build();
/// let patient = SubjectId::new("7431")?;
///
/// // Asks the key store, and the KMS when the domain key is cold.
/// let opener = opener.for_scope(&(&patient).into()).await?;
/// // From here on nothing waits.
/// let name: Phi<String> = opener.open(&stored, &Context::new("Patient", "name").record_id(&patient))?;
/// assert_eq!(name.expose(), "Ada");
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Opener(Arc<Shared>);

struct Shared {
    keys: Keys,
    observer: Option<Arc<dyn OpenObserver>>,
    reseal_to: Option<Suite>,
    threads: NonZeroUsize,
    aad: Arc<TenantAad>,
    salts: Handles<Salts>,
}

impl Shared {
    fn reseal_suite(&self, suite: Suite) -> Option<Reseal> {
        self.reseal_to.filter(|wanted| *wanted != suite).map(|_| Reseal::OtherSuite)
    }

    /// Tells the observer of what was opened, and of what was altered or brought here from elsewhere.
    fn tell(
        &self,
        context: &Context<'_>,
        subject: Option<&SubjectId>,
        reseal: Option<Reseal>,
        opened: Result<(), OpenError>,
    ) {
        let Some(observer) = &self.observer else { return };
        let what = Opened { field: context.field(), subject: subject.or(context.subject), reseal };
        match opened {
            Ok(()) => observer.opened(&what),
            Err(OpenError::Refused | OpenError::UnknownKey { .. }) => observer.refused(&what),
            Err(_) => {}
        }
    }
}

impl Opener {
    /// Starts with the keys; everything else has a default.
    pub fn builder(keys: Keys) -> OpenerBuilder {
        OpenerBuilder { keys, observer: None, reseal_to: None, threads: NonZeroUsize::MIN }
    }

    /// An opener that holds every key of the scope that may still open, valid while their leases are.
    ///
    /// Reads the key store once. A scope without keys gives an opener that opens nothing.
    ///
    /// # Errors
    /// [`phi_keys::Error`] when the keys cannot be had: the store or the KMS does not answer, or the subject was shredded.
    pub async fn for_scope(&self, scope: &Scope) -> Result<ScopedOpener, phi_keys::Error> {
        Ok(ScopedOpener::with_all(Arc::clone(&self.0), scope, self.0.keys.data_keys(scope).await?))
    }

    /// An opener that holds the keys of these values, as [`Sealed::kid`](crate::Sealed::kid) names them, valid while their
    /// leases are. Answered from memory when the keys are warm.
    ///
    /// # Errors
    /// [`phi_keys::Error`] when a key does not exist, belongs to another tenant, use or scope, or cannot be had.
    pub async fn for_kids(
        &self,
        scope: &Scope,
        kids: impl IntoIterator<Item = KeyId> + Send,
    ) -> Result<ScopedOpener, phi_keys::Error> {
        let keys = load(&self.0.keys, scope, kids.into_iter().collect()).await?;
        Ok(ScopedOpener::new(Arc::clone(&self.0), scope, keys))
    }

    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(crate) fn keys(&self) -> &Keys {
        &self.0.keys
    }
}

/// Each key once.
async fn load(keys: &Keys, scope: &Scope, kids: BTreeSet<KeyId>) -> Result<Vec<DataKey>, phi_keys::Error> {
    let wanted: Vec<_> = kids.into_iter().map(|kid| (scope, Some(kid))).collect();
    keys.data_key_many(&wanted).await.into_iter().collect()
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").field("observed", &self.0.observer.is_some()).finish_non_exhaustive()
    }
}

/// Settings of an [`Opener`].
#[must_use]
pub struct OpenerBuilder {
    keys: Keys,
    observer: Option<Arc<dyn OpenObserver>>,
    reseal_to: Option<Suite>,
    threads: NonZeroUsize,
}

impl OpenerBuilder {
    /// Tells somebody of every value that is opened; see [`OpenObserver`].
    pub fn observer(mut self, observer: impl OpenObserver) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// The suite that values should have: those of another are reported as to be [resealed](Reseal), and are opened like
    /// the others. With [`Suite::padded`] these are the values that show their length.
    pub const fn reseal_to(mut self, suite: Suite) -> Self {
        self.reseal_to = Some(suite);
        self
    }

    /// Threads that one batch may use, one unless set. They are started within the call when the batch is large enough to
    /// gain by them, and have ended when it returns.
    pub const fn threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = threads;
        self
    }

    /// The opener.
    #[must_use]
    pub fn build(self) -> Opener {
        let Self { keys, observer, reseal_to, threads } = self;
        let (aad, salts) = (TenantAad::new(Some(keys.tenant())), Handles::new());
        Opener(Arc::new(Shared { keys, observer, reseal_to, threads, aad, salts }))
    }
}

impl fmt::Debug for OpenerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenerBuilder").field("observed", &self.observer.is_some()).finish_non_exhaustive()
    }
}
