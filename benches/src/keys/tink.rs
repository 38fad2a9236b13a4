//! Tink's KMS envelope: a data key for each value, no cache.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tink_core::{Aead, TinkError};

use crate::Result;

pub(crate) const NAME: &str = "tink-aead";

/// The KMS: an AEAD that counts its calls.
struct Remote(Arc<AtomicU64>, Box<dyn Aead>);

impl Clone for Remote {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0), self.1.box_clone())
    }
}

impl Aead for Remote {
    fn encrypt(&self, plaintext: &[u8], aad: &[u8]) -> std::result::Result<Vec<u8>, TinkError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        self.1.encrypt(plaintext, aad)
    }

    fn decrypt(&self, ciphertext: &[u8], aad: &[u8]) -> std::result::Result<Vec<u8>, TinkError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        self.1.decrypt(ciphertext, aad)
    }
}

pub(crate) struct Tink {
    calls: Arc<AtomicU64>,
    envelope: tink_aead::KmsEnvelopeAead,
}

impl Tink {
    pub(crate) fn new() -> Result<Self> {
        tink_aead::init();
        let text = |error: TinkError| format!("{error:?}");
        let key = tink_core::keyset::Handle::new(&tink_aead::aes256_gcm_key_template()).map_err(text)?;
        let calls = Arc::new(AtomicU64::new(0));
        let remote = Remote(Arc::clone(&calls), tink_aead::new(&key).map_err(text)?);
        let envelope = tink_aead::KmsEnvelopeAead::new(tink_aead::aes256_gcm_key_template(), Box::new(remote));
        Ok(Self { calls, envelope })
    }

    pub(crate) fn take(&self) -> u64 {
        self.calls.swap(0, Ordering::SeqCst)
    }

    pub(crate) fn write(&self, place: &str, value: &str) -> Result<Vec<u8>> {
        self.envelope.encrypt(value.as_bytes(), place.as_bytes()).map_err(|error| format!("{error:?}").into())
    }

    pub(crate) fn read(&self, place: &str, sealed: &[u8]) -> Result<Vec<u8>> {
        self.envelope.decrypt(sealed, place.as_bytes()).map_err(|error| format!("{error:?}").into())
    }
}
