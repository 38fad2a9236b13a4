//! The TLS provider of SDKs that build their own HTTP client.

use rustls::crypto::{CryptoProvider, ring};

/// Makes *ring* the process-wide default of rustls, unless there is a default already, which then stays.
///
/// Some SDKs take the provider from there and panic when there is none.
pub(crate) fn ensure_crypto_provider() {
    if CryptoProvider::get_default().is_none() {
        // Another thread may have been faster: then its choice is the default, which is as good.
        let _lost_race = ring::default_provider().install_default();
    }
}
