//! What a key manager is made of.

use core::fmt;
use core::num::{NonZeroU64, NonZeroUsize};
use core::time::Duration;
use std::sync::Arc;

use phi_types::{Clock, SystemClock};

use super::anchored::Anchored;
use super::data::Data;
use super::domain::Domains;
use super::handle::Gate;
use super::limits::Limits;
use super::replay::Rollback;
use super::revoke::RevocationChannel;
use super::root::MayCreate;
use super::{Inner, Keys, replay, root};
use crate::anchor::StoreAnchor;
use crate::backend::Backend;
use crate::error::Error;
use crate::id::Fingerprint;
use crate::kms::{KekPolicy, KekSet, KekSetBuilder, Kms};
use crate::store::KeyStore;

const DEFAULT_LEASE: Duration = Duration::from_secs(60);
pub(super) const LONGEST_LEASE: Duration = Duration::from_secs(3600);

/// Puts a [`Keys`] together; made by [`Keys::builder`].
#[must_use]
pub struct KeysBuilder {
    store: Arc<dyn KeyStore>,
    keks: Vec<Arc<dyn Kms>>,
    set: Option<KekSet>,
    backend: Backend,
    tenant: String,
    clock: Arc<dyn Clock>,
    lease: Duration,
    limits: Limits,
    channel: Option<Arc<dyn RevocationChannel>>,
    fingerprint: Option<Fingerprint>,
    generation: u64,
    anchor: Option<Arc<dyn StoreAnchor>>,
    rollback: Rollback,
}

impl KeysBuilder {
    pub(super) fn new(store: Arc<dyn KeyStore>) -> Self {
        Self {
            store,
            keks: Vec::new(),
            set: None,
            backend: Backend::ring(),
            tenant: "default".into(),
            clock: Arc::new(SystemClock::new()),
            lease: DEFAULT_LEASE,
            limits: Limits::default(),
            channel: None,
            fingerprint: None,
            generation: 0,
            anchor: None,
            rollback: Rollback::Refuse,
        }
    }

    /// Adds a KEK. At least one is needed. Domain keys are wrapped under all of them and unwrapped with any that answers,
    /// so they are as confidential as the weakest. For other policies see [`keks`](Self::keks).
    pub fn kek(mut self, kms: impl Kms) -> Self {
        self.keks.push(Arc::new(kms));
        self
    }

    /// Takes the KEKs from a set, with its policy, instead of adding them one by one with [`kek`](Self::kek).
    pub fn keks(mut self, keks: KekSet) -> Self {
        self.set = Some(keks);
        self
    }

    /// What computes, *ring* unless given. KEKs that this process holds itself ([`LocalKeyring`], [`EphemeralKeyring`]) must be
    /// on the same: a key manager that was left on *ring* by mistake is not built over a keyring on a validated module, nor
    /// the other way round.
    ///
    /// [`LocalKeyring`]: https://docs.rs/phi-keys/latest/phi_keys/struct.LocalKeyring.html
    /// [`EphemeralKeyring`]: crate::EphemeralKeyring
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backend = backend;
        self
    }

    /// The tenant whose keys these are, 1 to 256 bytes, `default` unless given. Not PHI: it is stored in clear.
    pub fn tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = tenant.into();
        self
    }

    /// Where time comes from; the operating system unless given.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// How long a key may be used before the store is asked again, 1 ms to 1 h, 60 s unless given. A shred by another
    /// process ends access here within this time.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// How many data keys are held in memory, 10,000 unless given.
    pub fn cache_entries(mut self, entries: NonZeroUsize) -> Self {
        self.limits.entries = entries;
        self
    }

    /// How many bytes the data keys in memory take with the names of their scopes, without the slack of the allocator;
    /// 16 MiB unless given. A key that takes more by itself is leased and not held.
    pub fn cache_bytes(mut self, bytes: NonZeroUsize) -> Self {
        self.limits.bytes = bytes;
        self
    }

    /// How often a data key is handed out from memory before the store is asked again, 1,048,576 times unless given.
    pub fn cache_uses(mut self, uses: NonZeroU64) -> Self {
        self.limits.uses = uses;
        self
    }

    /// How long a domain key is used before a KMS is asked for it again, 1 s to 7 days, 1 h unless given. When no KMS answers
    /// by then, its time is over, and data keys below it are leased no more.
    pub fn domain_key_age(mut self, age: Duration) -> Self {
        self.limits.age = age;
        self
    }

    /// How long keys are used beyond their time while the store or the KMS does not answer, up to 24 h; not at all unless
    /// given. A shred or a disabled KEK then ends access here up to this much later if the outage hides it. It never
    /// applies to a refusal: a disabled KEK, a denied permission, a shredded subject or a forged row.
    ///
    /// Give every key manager of a store the same: keys are retired and destroyed as much later, and certificates of destruction say
    /// so, that no process is left that still uses one.
    pub fn outage_grace(mut self, grace: Duration) -> Self {
        self.limits.grace = grace;
        self
    }

    /// How long a refusal by a KMS is remembered before it is asked again, up to 60 s; 5 s unless given. Zero remembers none.
    pub fn refusal_age(mut self, age: Duration) -> Self {
        self.limits.refusal = age;
        self
    }

    /// How this key manager and the others of its store tell each other what was revoked and shredded; see
    /// [`Keys::follow_revocations`].
    pub fn revocations(mut self, channel: impl RevocationChannel) -> Self {
        self.channel = Some(Arc::new(channel));
        self
    }

    /// The fingerprint that the store's root key must have. Needed when no KEK pins it, except for an empty store, whose
    /// [`Keys::fingerprint`] is then to be noted.
    pub fn fingerprint(mut self, fingerprint: Fingerprint) -> Self {
        self.fingerprint = Some(fingerprint);
        self
    }

    /// Refuses a store whose generation is lower: the caller has seen this one and keeps it outside the store.
    pub fn at_least_generation(mut self, generation: u64) -> Self {
        self.generation = generation;
        self
    }

    /// Remembers shreds, destroyed keys, replaced rows and the store's generation outside the store, so that a database that is
    /// restored from a backup brings nothing back: what it forgot is shredded again before any key is served, a store that is
    /// older than the anchor says is refused, and so is an older copy of a single row. See [`StoreAnchor`].
    pub fn anchor(mut self, anchor: impl StoreAnchor) -> Self {
        self.anchor = Some(Arc::new(anchor));
        self
    }

    /// Opens a store that is older than its anchor says, or whose rows are, or from which tombstones are missing that no
    /// anchor knows. To be used once, after a database was restored on purpose, while nobody else has it open: all key rows
    /// are read, and are the newest from then on for whoever has this anchor. Values that were sealed since the backup under
    /// keys made since then are lost, and what was shredded since then without an anchor is readable again.
    pub fn dangerous_accept_rollback(mut self) -> Self {
        self.rollback = Rollback::Accept;
        self
    }

    /// Opens the store, making its root key when it is empty.
    ///
    /// # Errors
    /// [`Error::Forgotten`] when tombstones are missing and there is no anchor; [`Error::Anchor`] or
    /// [`Error::AnchorRejected`] when there is one that cannot be used;
    /// [`Error::Config`] without a KEK or with a value out of bounds; [`Error::RootMismatch`], [`Error::RootMissing`] or
    /// [`Error::RootNotPinned`] when the store is not the pinned one; [`Error::RolledBack`] or [`Error::RowOutdated`] when it, or the row of a
    /// domain key, is older than it must be; other [`Error`]s when KMS or store fail.
    pub async fn build(self) -> Result<Keys, Error> {
        let Self { store, keks, set, backend, tenant, clock, lease, limits, .. } = self;
        let Self { channel, fingerprint, generation, anchor, rollback, .. } = self;
        let keks = match (set, keks.is_empty()) {
            (Some(set), true) => set,
            (Some(_), false) => {
                return Err(Error::Config("KEKs were given one by one and as a set: put all into the set"));
            }
            (None, _) => keks
                .into_iter()
                .fold(KekSet::builder(KekPolicy::AnyOf).clock(Arc::clone(&clock)), KekSetBuilder::kek)
                .build()?,
        };
        let fits = |kek: &Arc<dyn Kms>| kek.capabilities().backend.is_none_or(|own| own == backend);
        if !keks.all().all(fits) {
            return Err(Error::Config(
                "a KEK in this process and the key manager are not on one backend: give the key manager its own by `KeysBuilder::backend`, or the keyring by `Unlock::on` or `EphemeralKeyring::generate_on`",
            ));
        }
        if tenant.is_empty() || tenant.len() > 256 || tenant.chars().any(char::is_control) {
            return Err(Error::Config("a tenant name has 1 to 256 bytes and no control characters"));
        }
        if !(Duration::from_millis(1)..=LONGEST_LEASE).contains(&lease) {
            return Err(Error::Config("a lease lasts 1 ms to 1 h"));
        }
        limits.check()?;
        store.prepare().await?;
        let records = match &anchor {
            Some(anchor) => anchor.read(0).await.map_err(Error::Anchor)?,
            None => Vec::new(),
        };
        let may_create = if records.is_empty() { MayCreate::Yes } else { MayCreate::No };
        let now = clock.now();
        let (root, found) = Box::pin(root::open(backend, &*store, &keks, fingerprint, may_create, now)).await?;
        if found < generation {
            return Err(Error::RolledBack { found, expected: generation });
        }
        let anchored = anchor.map(|anchor| Anchored::new(anchor, &records, &root.anchor_key)).transpose()?;
        let replayed = match &anchored {
            Some(anchored) => Box::pin(replay::reconcile(&root, &*store, anchored, rollback, now)).await?,
            None => Box::pin(replay::check(&root, &*store, rollback, now)).await?,
        };
        let domains = Domains::new(Gate::on(backend, Arc::clone(&clock), lease), limits);
        let data = Data::new(Gate::on(backend, clock, lease), limits);
        Ok(Keys(Arc::new(Inner { store, keks, tenant, root, domains, data, anchored, replayed, channel })))
    }
}

impl fmt::Debug for KeysBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeysBuilder")
            .field("store", &self.store)
            .field("keks", &self.keks)
            .field("set", &self.set)
            .field("tenant", &self.tenant)
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}
