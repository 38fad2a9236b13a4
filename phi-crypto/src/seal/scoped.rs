//! The synchronous half of sealing.

use core::fmt;
use std::sync::Arc;

use phi_keys::f1::{self, Nonce, NonceRun};
use phi_keys::{DataKey, KeyId, Scope};
use phi_types::SubjectId;

use super::epoch::{Epoch, EpochCell};
use super::{SealError, Shared};
use crate::aad::AadBuf;
use crate::file::Grant;
use crate::{Context, ContextError, Plaintext, Sealable, Sealed};

/// Seals values of one patient or group. Cheap to clone, and usable from any number of threads at once.
///
/// It dies with the lease of its key: obtain one per request or job, not one per process.
#[derive(Clone)]
pub struct ScopedSealer(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) shared: Arc<Shared>,
    pub(super) data: DataKey,
    pub(super) scope: Scope,
    pub(super) subject: Option<SubjectId>,
    pub(super) epochs: Arc<EpochCell>,
}

impl ScopedSealer {
    /// Seals one value.
    ///
    /// # Errors
    /// [`SealError`] when the context cannot be bound, the value has no encoding or exceeds 64 MiB, the lease of the key
    /// has ended, or the operating system gives no random bytes.
    pub fn seal<V: Sealable + ?Sized>(&self, value: &V, context: &Context<'_>) -> Result<Sealed<V::Opens>, SealError> {
        let plaintext = value.plaintext()?;
        let mut out = Vec::with_capacity(plaintext.len().saturating_add(f1::OVERHEAD));
        self.seal_into(&plaintext, context, &mut out)?;
        Ok(Sealed::trusted(out))
    }

    /// Seals one plaintext and appends the sealed bytes, 57 more than the plaintext, to `out`.
    ///
    /// Does not allocate when `out` has the room and the context is encoded in at most 320 bytes without pairs.
    ///
    /// # Errors
    /// As [`seal`](Self::seal); `out` is then as it was.
    pub fn seal_into(&self, plaintext: &[u8], context: &Context<'_>, out: &mut Vec<u8>) -> Result<(), SealError> {
        if plaintext.len() > f1::MAX_PLAINTEXT {
            return Err(SealError::TooLarge);
        }
        let mut aad = AadBuf::new();
        context.write_in(self.0.shared.keys.tenant(), self.0.subject.as_ref(), &mut aad)?;
        let epoch = self.reserve(1, plaintext.len())?;
        let nonce = Nonce::random().map_err(|_| SealError::NoRandomness)?;
        epoch.key.seal_into(nonce, aad.as_slice(), plaintext, out).map_err(|_| SealError::TooLarge)
    }

    /// Seals many values for less than one call each: they share one draw of randomness.
    ///
    /// Every plaintext and context is fixed before the draw, so a process that is cloned in mid-call repeats only
    /// identical messages. Either all values are sealed or none.
    ///
    /// ```
    /// # use phi_keys::{EphemeralKeyring, Keys, MemoryKeyStore};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let keys = Keys::builder(MemoryKeyStore::new()).kek(EphemeralKeyring::generate()?).build().await?;
    /// use phi_crypto::{Context, Sealer};
    /// use phi_keys::Scope;
    ///
    /// let sealer = Sealer::builder(keys).build().for_scope(&Scope::group("ward 7")).await?;
    /// let row = Context::new("Bed", "occupant");
    /// let sealed = sealer.seal_many(&[
    ///     ("Ada Lovelace", row.clone().record_id(1_u64)),
    ///     ("Grace Hopper", row.clone().record_id(2_u64)),
    /// ])?;
    /// assert_eq!(sealed.len(), 2);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`seal`](Self::seal), for the first value that cannot be sealed.
    pub fn seal_many<V: Sealable>(&self, items: &[(V, Context<'_>)]) -> Result<Vec<Sealed<V::Opens>>, SealError> {
        let mut aads = Vec::with_capacity(items.len().saturating_mul(160));
        let mut fixed = Vec::with_capacity(items.len());
        for (value, context) in items {
            let plaintext = value.plaintext()?;
            if plaintext.len() > f1::MAX_PLAINTEXT {
                return Err(SealError::TooLarge);
            }
            let start = aads.len();
            context.write_in(self.0.shared.keys.tenant(), self.0.subject.as_ref(), &mut aads)?;
            fixed.push((plaintext, start..aads.len()));
        }

        let mut sealed = Vec::with_capacity(items.len());
        // An epoch may hold fewer messages than the batch: each part then has a key and a start of its own.
        let part = usize::try_from(self.0.shared.limits.messages).unwrap_or(usize::MAX).max(1);
        for part in fixed.chunks(part) {
            let bytes = part.iter().map(|(plaintext, _): &(Plaintext<'_>, _)| plaintext.len()).sum();
            let epoch = self.reserve(part.len(), bytes)?;
            let mut nonces = NonceRun::random().map_err(|_| SealError::NoRandomness)?;
            for (plaintext, aad) in part {
                // The range was taken from this very buffer, which has only grown since.
                let aad = aads.get(aad.clone()).unwrap_or_default();
                let bytes = epoch.key.seal(nonces.draw(), aad, plaintext).map_err(|_| SealError::TooLarge)?;
                sealed.push(Sealed::trusted(bytes));
            }
        }
        Ok(sealed)
    }

    /// Begins a new epoch, with a new message key, for this key's values from now on. Done by itself after 2^24
    /// messages, 64 GiB or one hour.
    pub fn roll(&self) {
        self.0.epochs.roll();
    }

    /// The name of the key that seals, which every sealed value carries.
    #[must_use]
    pub fn kid(&self) -> KeyId {
        self.0.data.kid()
    }

    /// Whether the lease of the key still runs. When it does not, sealing is refused.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.0.data.is_live()
    }

    /// What a file is sealed with.
    pub(crate) fn for_file(&self, context: &Context<'_>) -> Result<Grant, ContextError> {
        let Inner { shared, data, scope, subject, .. } = &*self.0;
        let mut aad = Vec::with_capacity(192);
        context.write_in(shared.keys.tenant(), subject.as_ref(), &mut aad)?;
        Ok(Grant { data: data.clone(), keys: shared.keys.clone(), scope: scope.clone(), aad })
    }

    /// Checks the lease and takes room in the current epoch.
    fn reserve(&self, messages: usize, bytes: usize) -> Result<Arc<Epoch>, SealError> {
        let Inner { shared, data, epochs, .. } = &*self.0;
        let now = data.live_at().ok_or(SealError::LeaseEnded)?;
        let room = (u64::try_from(messages), u64::try_from(bytes));
        let (Ok(messages), Ok(bytes)) = room else { return Err(SealError::TooLarge) };
        epochs.reserve(&shared.limits, now, (messages, bytes), || Epoch::begin(data, shared.suite, now))
    }
}

impl fmt::Debug for ScopedSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScopedSealer({})", self.kid())
    }
}
