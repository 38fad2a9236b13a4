//! Several KEKs that hold the same keys.

mod builder;
mod health;
mod unwrap;

use core::fmt;
use std::sync::Arc;

use phi_types::Clock;
use subtle::ConstantTimeEq;

pub use builder::KekSetBuilder;

use self::health::Health;
use self::unwrap::Hedge;
use super::observer::Watch;
use super::{Carrier, KekStatus, Kms, KmsError, KmsEvent, WrapContext, Wrapped};
use crate::backend::Backend;
use crate::error::Error;

/// KEKs of one or several KMSs, each of which can hold a copy of every domain key. Any one that answers opens the key; so
/// a key is as available as the best of them, and as confidential as the weakest. Cheap to clone.
///
/// The set never goes from one KEK to another without a reason: a [terminal](KmsError::is_terminal) error, such as a KEK
/// that was disabled to cut off access, ends the unwrapping unless [`OnTerminal::TryOthers`] was chosen.
///
/// The set waits for an answer as long as the KMS lets it: put a [`Timeout`](super::Timeout) around each that has none of its
/// own.
///
/// ```
/// use phi_keys::{EphemeralKeyring, KekPolicy, KekSet, Keys, MemoryKeyStore};
/// use phi_types::SystemClock;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let keks = KekSet::builder(KekPolicy::PrimaryWithFailover)
///     .kek(EphemeralKeyring::named("east", SystemClock::new())?)
///     .kek(EphemeralKeyring::named("west", SystemClock::new())?)
///     .build()?;
/// let keys = Keys::builder(MemoryKeyStore::new()).keks(keks).build().await?;
/// // After an outage, what was written with one copy only gets the other.
/// assert_eq!(keys.complete().await?.completed, 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct KekSet(Arc<Inner>);

struct Inner {
    members: Vec<Arc<Member>>,
    policy: KekPolicy,
    on_terminal: OnTerminal,
    hedge: Option<Hedge>,
    clock: Arc<dyn Clock>,
    watch: Watch,
}

/// One KEK of a set, and how it has been doing.
struct Member {
    kms: Arc<dyn Kms>,
    health: Health,
}

/// The version of a KEK under which a copy of a key is wrapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) kek_id: String,
    /// In the KMS's own words; empty where it named none.
    pub(crate) version: String,
}

/// Under which KEKs a key is wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KekPolicy {
    /// Under the first one. The others only unwrap what they wrapped before, until a rewrap drops their copies.
    Single,
    /// Under all of them; nothing is written unless all of them answer. Any of them unwraps.
    AnyOf,
    /// Under all of them that answer, at least one; `Keys::complete` later makes the copies that are missing. Any of them
    /// unwraps, the first one that was given before the others.
    PrimaryWithFailover,
}

/// What a [terminal](KmsError::is_terminal) error of one KEK means for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnTerminal {
    /// The operation ends with that error: who disables a KEK or takes a permission away means it, and a KEK that is to be
    /// done without is taken out of the set.
    #[default]
    Stop,
    /// Another KEK is asked, and the observer is told. Then disabling one KEK no longer cuts off access.
    TryOthers,
}

impl KekSet {
    /// Starts a set.
    pub const fn builder(policy: KekPolicy) -> KekSetBuilder {
        KekSetBuilder::new(policy)
    }

    /// Under which KEKs keys are wrapped.
    #[must_use]
    pub fn policy(&self) -> KekPolicy {
        self.0.policy
    }

    /// The names of the KEKs, in the order in which they were given.
    pub fn kek_ids(&self) -> impl Iterator<Item = &str> {
        self.0.members.iter().map(|member| member.kms.kek_id())
    }

    /// Asks every KEK for its status, with its latency.
    pub async fn statuses(&self) -> Vec<(String, Result<KekStatus, KmsError>)> {
        let mut statuses = Vec::with_capacity(self.0.members.len());
        for member in &self.0.members {
            let status = KekStatus::measured(&*member.kms, &*self.0.clock).await;
            statuses.push((member.kms.kek_id().to_owned(), status));
        }
        statuses
    }

    /// A carrier for each KEK that the policy wraps under, wrapped. Each is unwrapped once before it is returned, so that
    /// nothing is ever sealed under a carrier that its KMS cannot give back.
    ///
    /// # Errors
    /// [`Error::Kms`] with the first failure that the policy does not allow.
    pub async fn wrap_dek(&self, context: &WrapContext) -> Result<Vec<(Carrier, Wrapped)>, Error> {
        self.wrap_dek_on(Backend::ring(), context).await
    }

    /// As [`wrap_dek`](Self::wrap_dek), with carriers of a backend's randomness where the KMS does not draw them.
    pub(crate) async fn wrap_dek_on(
        &self,
        backend: Backend,
        context: &WrapContext,
    ) -> Result<Vec<(Carrier, Wrapped)>, Error> {
        let (mut copies, mut failed) = (Vec::new(), None);
        for member in self.writers() {
            match wrap_with(backend, &*member.kms, context).await {
                Ok(copy) => copies.push(copy),
                Err(error) if self.may_miss(&error) => {
                    self.missing(&*member.kms, &error);
                    failed = failed.or(Some(error));
                }
                Err(error) => return Err(Error::Kms(error)),
            }
        }
        if copies.is_empty() { Err(failed.map_or(Error::NoKek, Error::Kms)) } else { Ok(copies) }
    }

    /// Whether a copy may be left out for this reason.
    fn may_miss(&self, error: &KmsError) -> bool {
        self.0.policy == KekPolicy::PrimaryWithFailover && self.goes_on(error)
    }

    /// Whether other KEKs may do what this error kept one from doing.
    pub(crate) fn goes_on(&self, error: &KmsError) -> bool {
        error.is_transient() || self.0.on_terminal == OnTerminal::TryOthers
    }

    /// Tells the observer that a copy is missing.
    pub(crate) fn missing(&self, kek: &dyn Kms, error: &KmsError) {
        self.0.watch.tell(&KmsEvent::CopyMissing { kek_id: kek.kek_id(), error });
    }

    /// Tells the observer what happened.
    pub(crate) fn tell(&self, event: &KmsEvent<'_>) {
        self.0.watch.tell(event);
    }

    /// Whether a key with such copies could be unwrapped while some of them are denied.
    pub(crate) fn could_unwrap(&self, holders: &[Holder], is_denied: impl Fn(&Holder) -> bool) -> bool {
        let mut held = self.kek_ids().flat_map(|kek_id| holders.iter().filter(move |holder| holder.kek_id == kek_id));
        match self.0.on_terminal {
            OnTerminal::Stop => held.next().is_some_and(|holder| !is_denied(holder)),
            OnTerminal::TryOthers => held.any(|holder| !is_denied(holder)),
        }
    }

    fn writers(&self) -> impl Iterator<Item = &Arc<Member>> {
        let count = if self.0.policy == KekPolicy::Single { 1 } else { usize::MAX };
        self.0.members.iter().take(count)
    }

    /// The KEKs under which the policy wants a copy of every key.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = &Arc<dyn Kms>> {
        self.writers().map(|member| &member.kms)
    }

    /// Every KEK.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<dyn Kms>> {
        self.0.members.iter().map(|member| &member.kms)
    }

    /// Some of the KEKs, as a set of their own.
    pub(crate) fn only(&self, keep: impl Fn(&dyn Kms) -> bool) -> Self {
        let members = self.0.members.iter().filter(|member| keep(&*member.kms)).cloned().collect();
        Self(Arc::new(Inner {
            members,
            policy: self.0.policy,
            on_terminal: self.0.on_terminal,
            hedge: self.0.hedge.clone(),
            clock: Arc::clone(&self.0.clock),
            watch: self.0.watch.clone(),
        }))
    }
}

/// A new carrier that the KMS is seen to give back.
pub(crate) async fn wrap_with(
    backend: Backend,
    kms: &dyn Kms,
    context: &WrapContext,
) -> Result<(Carrier, Wrapped), KmsError> {
    let (carrier, wrapped) = if backend == Backend::ring() || kms.capabilities().server_generate {
        kms.generate(context).await?
    } else {
        // What the trait does unless overridden, with the generator of the backend.
        let carrier = Carrier::generate_on(backend)?;
        let wrapped = kms.wrap_dek(&carrier, context).await?;
        (carrier, wrapped)
    };
    if wrapped.kek_id() != kms.kek_id() {
        return Err(KmsError::OtherKek);
    }
    let opened = kms.unwrap_dek(&wrapped, context).await?;
    if bool::from(opened.expose().ct_eq(carrier.expose())) { Ok((carrier, wrapped)) } else { Err(KmsError::Corrupt) }
}

impl fmt::Debug for KekSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KekSet")
            .field("policy", &self.0.policy)
            .field("on_terminal", &self.0.on_terminal)
            .field("hedged", &self.0.hedge.is_some())
            .field("keks", &self.kek_ids().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
