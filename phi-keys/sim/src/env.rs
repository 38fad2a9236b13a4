//! What every simulator needs from outside: time that a test can move, and randomness.

use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use phi_types::{Clock, Timestamp};
use ring::rand::{SecureRandom, SystemRandom};

use crate::encoding::hex;

/// Time and randomness of one simulator. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Env {
    clock: Arc<dyn Clock>,
    ahead_millis: Arc<AtomicU64>,
    random: SystemRandom,
}

impl Env {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, ahead_millis: Arc::default(), random: SystemRandom::new() }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now().saturating_add(Duration::from_millis(self.ahead_millis.load(Ordering::SeqCst)))
    }

    pub(crate) fn unix_seconds(&self) -> i64 {
        self.now().as_unix_seconds()
    }

    /// Moves this simulator's time forward, so that tokens and keys expire without waiting.
    pub(crate) fn advance(&self, by: Duration) {
        self.ahead_millis.fetch_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    /// Random bytes; `None` when the operating system has none to give.
    pub(crate) fn bytes<const N: usize>(&self) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.random.fill(&mut bytes).ok()?;
        Some(bytes)
    }

    pub(crate) fn vec(&self, len: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.random.fill(&mut bytes).ok()?;
        Some(bytes)
    }

    /// `N` random bytes in hexadecimal, for identifiers.
    pub(crate) fn id<const N: usize>(&self) -> String {
        self.bytes::<N>().map(|bytes| hex(&bytes)).unwrap_or_default()
    }

    /// A random UUID, version 4.
    pub(crate) fn uuid(&self) -> String {
        let bytes = self.bytes::<16>().unwrap_or_default();
        let bits = u128::from_be_bytes(bytes) & !(0xF << 76 | 0x3 << 62) | 0x4 << 76 | 0x2 << 62;
        let text = format!("{bits:032x}");
        let mut parts = Vec::with_capacity(5);
        let mut rest = text.as_str();
        for len in [8, 4, 4, 4] {
            let (part, tail) = rest.split_at_checked(len).unwrap_or((rest, ""));
            parts.push(part);
            rest = tail;
        }
        parts.push(rest);
        parts.join("-")
    }
}
