//! The synchronous half of sealing.

use core::{fmt, mem};
use std::sync::{Arc, OnceLock};

use phi_keys::f1::{self, MAX_PLAINTEXT};
use phi_keys::{DataKey, KeyId, Scope};

use super::batch::Fixed;
use super::epoch::{Epoch, EpochCell};
use super::message::{Current, Message};
use super::{SealError, Shared};
use crate::aad::{AadBuf, ScopeAad};
use crate::bytes::Bytes;
use crate::file::Grant;
use crate::plaintext::Wiped;
use crate::{Context, ContextError, Sealable, Sealed};

/// Seals values of one patient or group. Cheap to clone, and usable from any number of threads at once.
///
/// It dies with the lease of its key: obtain one per request or job, not one per process.
#[derive(Clone)]
pub struct ScopedSealer(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) shared: Arc<Shared>,
    pub(super) data: DataKey,
    pub(super) scope: Scope,
    pub(super) aad: ScopeAad,
    pub(super) epochs: Arc<EpochCell>,
    /// The epoch that was current when this sealer first sealed: found without a lock while it has room.
    pub(super) first: OnceLock<Arc<Epoch>>,
}

impl ScopedSealer {
    /// Seals one value.
    ///
    /// # Errors
    /// [`SealError`] when the context cannot be bound, the value has no encoding or exceeds 64 MiB, the lease of the key
    /// has ended, the backend gives no random bytes, or its cipher fails.
    #[inline(always)]
    pub fn seal<V: Sealable + ?Sized>(&self, value: &V, context: &Context<'_>) -> Result<Sealed<V::Opens>, SealError> {
        let plaintext = value.plaintext()?;
        let padding = self.0.padding(plaintext.len())?;
        // The vector stays in the caller, as that of an opened value does.
        let Some(framed) = f1::framed(&plaintext, padding) else { return Err(SealError::TooLarge) };
        let mut value = Wiped(framed);
        let mut message = Message::new(&self.0);
        message.fix(context, plaintext.len() + padding)?;
        message.draw()?;
        message.seal_framed(&plaintext, padding, &mut value.0)?;
        Ok(Sealed::trusted(Bytes::Own(mem::take(&mut value.0))))
    }

    /// Seals one plaintext and appends the sealed bytes to `out`: 57 more than the plaintext, and its padding where the
    /// sealer pads.
    ///
    /// Does not allocate when `out` has the room and the context is encoded in at most 320 bytes without pairs.
    ///
    /// # Errors
    /// As [`seal`](Self::seal); `out` is then as it was.
    #[inline(always)]
    pub fn seal_into(&self, plaintext: &[u8], context: &Context<'_>, out: &mut Vec<u8>) -> Result<(), SealError> {
        let padding = self.0.padding(plaintext.len())?;
        let mut message = Message::new(&self.0);
        message.fix(context, plaintext.len() + padding)?;
        message.draw()?;
        message.seal_into(plaintext, padding, out)
    }

    /// Turns the plaintext that `buffer` holds into its sealed bytes.
    ///
    /// Does not allocate when `buffer` has room for 57 bytes and the padding more, and the context is encoded in at most
    /// 320 bytes without pairs. Where it lacks the room, the plaintext that it held is wiped.
    ///
    /// # Errors
    /// As [`seal`](Self::seal). `buffer` then still holds the plaintext; with [`SealError::Cipher`] it is empty, because the
    /// attempt has overwritten it.
    #[inline(always)]
    pub fn seal_in_place(&self, buffer: &mut Vec<u8>, context: &Context<'_>) -> Result<(), SealError> {
        let padding = self.0.padding(buffer.len())?;
        let mut message = Message::new(&self.0);
        message.fix(context, buffer.len() + padding)?;
        message.draw()?;
        message.seal_in_place(padding, buffer)
    }

    /// Seals many values for less than one call each: they share one draw of randomness, and small ones a buffer. (A validated
    /// module draws a nonce for each.) Uses the
    /// [threads](super::SealerBuilder::threads) of the sealer where the batch is large enough for them.
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
    /// let occupant = Context::new("Bed", "occupant");
    /// let sealed = sealer.seal_many(&[
    ///     ("Ada Lovelace", occupant.record_id(1_u64)),
    ///     ("Grace Hopper", occupant.record_id(2_u64)),
    /// ])?;
    /// assert_eq!(sealed.len(), 2);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`seal`](Self::seal), for the first value that cannot be sealed.
    pub fn seal_many<V: Sealable>(&self, items: &[(V, Context<'_>)]) -> Result<Vec<Sealed<V::Opens>>, SealError> {
        let inner = &*self.0;
        let fix = |(value, context)| Fixed::new(value, context, inner.shared.padding);
        let fixed = items.iter().map(|(value, context)| fix((value, context))).collect::<Result<Vec<_>, _>>()?;
        let mut sealed = Vec::new();
        // An epoch may hold fewer messages than the batch: each part then has a key and a start of its own.
        let part = usize::try_from(inner.shared.limits.messages).unwrap_or(usize::MAX).max(1);
        for part in fixed.chunks(part) {
            let epoch = inner.reserve(part.len(), part.iter().map(Fixed::bytes).sum())?;
            let bytes = inner.seal_part(part, &epoch)?.into_iter().map(Sealed::trusted);
            // The one part that nearly every batch has is collected into its own memory.
            if sealed.is_empty() { sealed = bytes.collect() } else { sealed.extend(bytes) }
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
        let Inner { shared, data, scope, aad, .. } = &*self.0;
        let aad = aad.write(context, &mut AadBuf::new())?.to_vec();
        Ok(Grant { data: data.clone(), keys: shared.keys.clone(), scope: scope.clone(), aad })
    }
}

impl Inner {
    /// Bytes of padding for a plaintext of this length, which may be too long.
    fn padding(&self, length: usize) -> Result<usize, SealError> {
        if length > MAX_PLAINTEXT {
            return Err(SealError::TooLarge);
        }
        Ok(self.shared.padding.map_or(0, |policy| policy.of(length)))
    }

    /// Checks the lease and takes room in the current epoch.
    #[inline]
    pub(super) fn reserve(&self, messages: usize, bytes: usize) -> Result<Current<'_>, SealError> {
        let Self { shared, data, epochs, first, .. } = self;
        let now = data.live_at().ok_or(SealError::LeaseEnded)?;
        let room = (u64::try_from(messages), u64::try_from(bytes));
        let (Ok(messages), Ok(bytes)) = room else { return Err(SealError::TooLarge) };
        if let Some(epoch) = first.get()
            && epoch.take(&shared.limits, now, messages, bytes)
        {
            return Ok(Current::Known(epoch));
        }
        let epoch = epochs.reserve(&shared.limits, now, (messages, bytes), || {
            let salt = shared.randomness.bytes::<{ f1::SALT_LEN }>()?;
            Epoch::begin(data, shared.suite, shared.nonces, salt, now)
        })?;
        first.get_or_init(|| Arc::clone(&epoch));
        Ok(Current::Found(epoch))
    }
}

impl fmt::Debug for ScopedSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScopedSealer({})", self.kid())
    }
}
