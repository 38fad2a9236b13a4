//! Nonces of one call: random, or of randomness and message together.

use phi_keys::backend::Backend;
use phi_keys::f1::{HEDGE_LEN, NONCE_LEN, Nonce, NonceKey, NonceRun};

use super::SealError;
use super::epoch::Epoch;

/// How nonces are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nonces {
    Random,
    Hedged,
}

/// Where the random bytes of salts and nonces come from.
#[derive(Debug)]
pub(super) enum Randomness {
    /// The operating system or the validated module, for every call anew.
    System(Backend),
    /// The same bytes again and again after every copy of the process: a machine that is restored from a snapshot.
    #[cfg(test)]
    Replayed(std::sync::atomic::AtomicU8),
}

impl Randomness {
    #[inline]
    fn fill(&self, out: &mut [u8]) -> Result<(), SealError> {
        match self {
            Self::System(backend) => backend.fill(out).map_err(|_| SealError::NoRandomness),
            #[cfg(test)]
            Self::Replayed(next) => {
                out.fill(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
                Ok(())
            }
        }
    }

    pub(super) fn bytes<const N: usize>(&self) -> Result<[u8; N], SealError> {
        let mut out = [0; N];
        self.fill(&mut out)?;
        Ok(out)
    }
}

/// The random start of a run, which serves one.
pub(super) struct Start {
    bytes: [u8; NONCE_LEN],
    /// Whether it has yet to be drawn. Never where the run needs none.
    is_due: bool,
}

impl Start {
    /// Of a run in an epoch.
    #[inline]
    pub(super) const fn of(epoch: &Epoch) -> Self {
        Self { bytes: [0; NONCE_LEN], is_due: epoch.nonces.is_none() && !epoch.key.draws_nonces() }
    }

    /// Draws it. Every message of the run must be fixed.
    #[inline(always)]
    pub(super) fn draw(&mut self, randomness: &Randomness) -> Result<(), SealError> {
        if self.is_due {
            randomness.fill(&mut self.bytes)?;
            self.is_due = false;
        }
        Ok(())
    }
}

/// The nonces of one call, for messages that are fixed before it begins.
pub(super) enum Run<'e> {
    /// The backend draws each of them.
    Drawn,
    /// A random start, then counting: one draw for all.
    Counted(NonceRun),
    /// One draw for all as well, to which the number of the message is added before it is hashed with the message.
    Hedged { key: &'e NonceKey, random: [u8; HEDGE_LEN - 16], count: u128 },
}

impl<'e> Run<'e> {
    pub(super) fn begin(epoch: &'e Epoch, randomness: &Randomness) -> Result<Self, SealError> {
        let mut start = Start::of(epoch);
        start.draw(randomness)?;
        Self::from(start, epoch, randomness)
    }

    /// Of a start that was drawn.
    #[inline]
    pub(super) fn from(start: Start, epoch: &'e Epoch, randomness: &Randomness) -> Result<Self, SealError> {
        if start.is_due {
            return Err(SealError::NoRandomness);
        }
        if epoch.key.draws_nonces() {
            return Ok(Self::Drawn);
        }
        Ok(match &epoch.nonces {
            None => Self::Counted(NonceRun::dangerous_from_start(start.bytes)),
            Some(key) => {
                Self::Hedged { key, random: randomness.bytes()?, count: u128::from_be_bytes(randomness.bytes()?) }
            }
        })
    }

    #[inline]
    pub(super) fn draw(&mut self, aad: &[u8], plaintext: &[u8], padding: usize) -> Nonce {
        match self {
            Self::Drawn => Nonce::drawn_by_backend(),
            Self::Counted(run) => run.draw(),
            Self::Hedged { key, random, count } => {
                let mut drawn = [0; HEDGE_LEN];
                let (first, last) = drawn.split_at_mut(HEDGE_LEN - 16);
                first.copy_from_slice(random);
                last.copy_from_slice(&count.to_be_bytes());
                *count = count.wrapping_add(1);
                key.nonce(&drawn, aad, plaintext, padding)
            }
        }
    }

    /// The nonces of the next `count` messages, for a thread of their own.
    pub(super) fn split_off(&mut self, messages: usize) -> Self {
        match self {
            Self::Drawn => Self::Drawn,
            Self::Counted(run) => Self::Counted(run.split_off(messages)),
            Self::Hedged { key, random, count } => {
                let part = Self::Hedged { key, random: *random, count: *count };
                *count = count.wrapping_add(messages as u128);
                part
            }
        }
    }
}
