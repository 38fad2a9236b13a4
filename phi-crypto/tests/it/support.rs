//! A tenant with keys in memory and a clock that stands still.

use core::time::Duration;

use phi_crypto::{Opener, ScopedOpener, ScopedSealer, Sealer};
use phi_keys::{EphemeralKeyring, Keys, MemoryKeyStore, Scope};
use phi_types::{ManualClock, SubjectId};

pub(crate) const LEASE: Duration = Duration::from_secs(60);

pub(crate) struct Clinic {
    pub(crate) clock: ManualClock,
    pub(crate) keys: Keys,
    pub(crate) sealer: Sealer,
    pub(crate) opener: Opener,
}

impl Clinic {
    pub(crate) async fn new() -> Self {
        Self::with_lease(LEASE).await
    }

    pub(crate) async fn with_lease(lease: Duration) -> Self {
        let clock = ManualClock::at_unix_seconds(1_767_225_600);
        let keys = Keys::builder(MemoryKeyStore::new())
            .kek(EphemeralKeyring::generate().unwrap())
            .tenant("clinic")
            .clock(clock.clone())
            .lease(lease)
            .build()
            .await
            .unwrap();
        let sealer = Sealer::builder(keys.clone()).build();
        let opener = Opener::builder(keys.clone()).build();
        Self { clock, keys, sealer, opener }
    }

    pub(crate) async fn sealer(&self, subject: &str) -> ScopedSealer {
        self.sealer.for_scope(&scope(subject)).await.unwrap()
    }

    pub(crate) async fn opener(&self, subject: &str) -> ScopedOpener {
        self.opener.for_scope(&scope(subject)).await.unwrap()
    }
}

pub(crate) fn subject(id: &str) -> SubjectId {
    SubjectId::new(id).unwrap()
}

pub(crate) fn scope(id: &str) -> Scope {
    Scope::Subject(subject(id))
}

pub(crate) fn salt_of(sealed: &[u8]) -> [u8; 12] {
    sealed[17..29].try_into().unwrap()
}

pub(crate) fn nonce_of(sealed: &[u8]) -> [u8; 12] {
    sealed[29..41].try_into().unwrap()
}

/// A nonce as the number that a batch counts.
pub(crate) fn number(nonce: [u8; 12]) -> u128 {
    nonce.iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
