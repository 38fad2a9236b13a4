//! What a reseal asks of a sealer.

use phi_keys::Keys;
use phi_keys::f1::Parts;

use super::{ScopedSealer, Sealer};

impl Sealer {
    pub(crate) fn keys(&self) -> &Keys {
        &self.0.keys
    }
}

impl ScopedSealer {
    /// Whether a value is sealed as this sealer would seal it now: under its key and in its suite.
    pub(crate) fn is_current(&self, parts: &Parts<'_>) -> bool {
        parts.kid() == self.kid() && parts.suite() == self.0.shared.suite
    }
}
