//! A KEK that dies with the process.

use core::fmt;
use std::sync::{Mutex, PoisonError};

use super::{Carrier, Kek, KekState, KekStatus, Kms, KmsError, KmsFuture, RootPin, WrapContext, Wrapped};
use crate::id::Fingerprint;
use crate::random::NoRandomness;

/// A random KEK in memory. What is wrapped under it cannot be unwrapped after the process ends: for tests, examples and
/// stores that are themselves in memory.
pub struct EphemeralKeyring {
    kek: Kek,
    pin: Mutex<Option<Fingerprint>>,
}

impl EphemeralKeyring {
    /// A fresh random KEK.
    ///
    /// # Errors
    /// [`NoRandomness`] when the operating system gives none.
    pub fn generate() -> Result<Self, NoRandomness> {
        Ok(Self { kek: Kek::generate(1)?, pin: Mutex::new(None) })
    }
}

impl Kms for EphemeralKeyring {
    fn kek_id(&self) -> &'static str {
        "ephemeral"
    }

    fn wrap_dek<'a>(&'a self, carrier: &'a Carrier, context: &'a WrapContext) -> KmsFuture<'a, Wrapped> {
        Box::pin(async move { self.kek.wrap(self.kek_id(), carrier, context) })
    }

    fn unwrap_dek<'a>(&'a self, wrapped: &'a Wrapped, context: &'a WrapContext) -> KmsFuture<'a, Carrier> {
        Box::pin(async move {
            if wrapped.kek_id() != self.kek_id() {
                return Err(KmsError::OtherKek);
            }
            if wrapped.kek_version() != self.kek.version.to_string() {
                return Err(KmsError::UnknownVersion);
            }
            self.kek.unwrap(wrapped, context)
        })
    }

    fn status(&self) -> KmsFuture<'_, KekStatus> {
        Box::pin(async move { Ok(KekStatus::new(KekState::Enabled, Some(self.kek.version.to_string()))) })
    }

    fn root_pin(&self) -> Option<&dyn RootPin> {
        Some(self)
    }
}

impl RootPin for EphemeralKeyring {
    fn pinned(&self) -> Result<Option<Fingerprint>, KmsError> {
        Ok(*self.pin.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn pin(&self, fingerprint: Fingerprint) -> Result<(), KmsError> {
        let mut pin = self.pin.lock().unwrap_or_else(PoisonError::into_inner);
        if *pin.get_or_insert(fingerprint) == fingerprint { Ok(()) } else { Err(KmsError::Refused) }
    }
}

impl fmt::Debug for EphemeralKeyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EphemeralKeyring")
    }
}
