//! Sealing many values in one call.

use std::sync::Arc;

use phi_keys::f1;

use super::epoch::Epoch;
use super::nonces::Run;
use super::scoped::Inner;
use super::{Padding, SealError};
use crate::aad::AadBuf;
use crate::bytes::Bytes;
use crate::threads;
use crate::{Context, Plaintext, Sealable};

/// Values share a buffer up to this many bytes: one allocation for many of them, and little that one of them keeps alive.
const SHARED: usize = 64 << 10;
/// A longer value has a buffer of its own.
const SMALL: usize = 4 << 10;

/// A value whose plaintext, context and padding are fixed.
pub(super) struct Fixed<'v> {
    plaintext: Plaintext<'v>,
    context: &'v Context<'v>,
    padding: usize,
}

impl<'v> Fixed<'v> {
    pub(super) fn new<V: Sealable>(
        value: &'v V,
        context: &'v Context<'v>,
        padding: Option<Padding>,
    ) -> Result<Self, SealError> {
        let plaintext = value.plaintext()?;
        if plaintext.len() > f1::MAX_PLAINTEXT {
            return Err(SealError::TooLarge);
        }
        let padding = padding.map_or(0, |policy| policy.of(plaintext.len()));
        Ok(Self { plaintext, context, padding })
    }

    /// Bytes that enter the cipher, at most twice 64 MiB.
    pub(super) fn bytes(&self) -> usize {
        self.plaintext.len() + self.padding
    }

    fn sealed_len(&self) -> usize {
        self.bytes() + f1::OVERHEAD
    }
}

impl Inner {
    /// Seals values under an epoch that has room for them, in order.
    pub(super) fn seal_part(&self, part: &[Fixed<'_>], epoch: &Epoch) -> Result<Vec<Bytes>, SealError> {
        let mut run = Run::begin(epoch, &self.shared.randomness)?;
        let bytes = part.iter().map(Fixed::bytes).sum();
        let share = threads::share(self.shared.threads, part.len(), bytes).get();
        if part.len() <= share {
            return self.seal_run(part, epoch, run);
        }
        std::thread::scope(|scope| {
            let shares = part.chunks(share).map(|values| (values, run.split_off(values.len())));
            let started: Vec<_> =
                shares.map(|(values, run)| scope.spawn(move || self.seal_run(values, epoch, run))).collect();
            let mut sealed = Vec::with_capacity(part.len());
            for thread in started {
                match thread.join() {
                    Ok(values) => sealed.extend(values?),
                    // Whatever a caller's own type panicked with goes on where the caller is.
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            Ok(sealed)
        })
    }

    fn seal_run(&self, part: &[Fixed<'_>], epoch: &Epoch, mut run: Run<'_>) -> Result<Vec<Bytes>, SealError> {
        let mut aad = AadBuf::new();
        let mut sealed = Vec::with_capacity(part.len());
        let mut rest = part;
        while !rest.is_empty() {
            // A batch may take longer than its lease lasts, so the lease is looked at again for every buffer.
            if !self.data.is_live() {
                return Err(SealError::LeaseEnded);
            }
            let (together, bytes) = shared_by(rest);
            let (now, later) = rest.split_at_checked(together).unwrap_or((rest, &[]));
            let mut buffer = Vec::with_capacity(bytes);
            for value in now {
                let aad = self.aad.write(value.context, &mut aad)?;
                let nonce = run.draw(aad, &value.plaintext, value.padding);
                epoch.key.seal_padded_into(nonce, aad, &value.plaintext, value.padding, &mut buffer)?;
            }
            if now.len() == 1 {
                sealed.push(Bytes::Own(buffer));
            } else {
                let (all, mut start) = (Arc::new(buffer), 0);
                sealed.extend(now.iter().map(|value| {
                    #[expect(clippy::cast_possible_truncation, reason = "values share at most 64 KiB")]
                    let len = value.sealed_len() as u32;
                    let part = Bytes::Part { all: Arc::clone(&all), start, len };
                    start += len;
                    part
                }));
            }
            rest = later;
        }
        Ok(sealed)
    }
}

/// How many values from the first on share a buffer, and of how many bytes it is.
fn shared_by(values: &[Fixed<'_>]) -> (usize, usize) {
    let mut bytes = 0;
    for (count, value) in values.iter().enumerate() {
        let len = value.sealed_len();
        if count > 0 && (len > SMALL || bytes + len > SHARED) {
            return (count, bytes);
        }
        bytes += len;
        if len > SMALL {
            return (count + 1, bytes);
        }
    }
    (values.len(), bytes)
}
