//! kms-aead as its guide has it: one data key for each value, wrapped by the KMS and stored beside it. Version 0.29 has no
//! cache; 0.30 and later need a newer compiler than this project.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use kms_aead::errors::KmsAeadEncryptionError;
use kms_aead::ring_encryption::RingAeadEncryption;
use kms_aead::{
    CipherTextWithEncryptedKey, DataEncryptionKey, EncryptedDataEncryptionKey, KmsAeadEnvelopeEncryption,
    KmsAeadResult, KmsAeadRingEncryptionProvider, KmsAeadRingEnvelopeEncryption,
};
use secret_vault_value::SecretValue;

use crate::Result;

pub(crate) const NAME: &str = "kms-aead";

/// A KMS that remembers what it wrapped under a random handle, as a KMS without a context does: who has the handle gets
/// the key.
#[derive(Clone, Default)]
struct Provider {
    wrapped: Arc<Mutex<HashMap<Vec<u8>, SecretValue>>>,
    calls: Arc<AtomicU64>,
    disabled: Arc<AtomicBool>,
    /// Tells its handles from those of another KEK.
    name: &'static str,
}

#[async_trait]
impl KmsAeadRingEncryptionProvider for Provider {
    async fn encrypt_data_encryption_key(&self, key: &DataEncryptionKey) -> KmsAeadResult<EncryptedDataEncryptionKey> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        let handle = [self.name.as_bytes(), &call.to_be_bytes()].concat();
        self.wrapped.lock().expect("no panic").insert(handle.clone(), key.0.clone());
        Ok(EncryptedDataEncryptionKey::new(handle, None))
    }

    async fn decrypt_data_encryption_key(&self, key: &EncryptedDataEncryptionKey) -> KmsAeadResult<DataEncryptionKey> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if self.disabled.load(Ordering::SeqCst) {
            return Err(KmsAeadEncryptionError::create("DISABLED", "the key is disabled"));
        }
        let found = self.wrapped.lock().expect("no panic").get(key.wrapped()).cloned();
        found.map(DataEncryptionKey).ok_or_else(|| KmsAeadEncryptionError::create("REFUSED", "not wrapped by this key"))
    }

    async fn generate_encryption_key(&self, aead: &RingAeadEncryption) -> KmsAeadResult<DataEncryptionKey> {
        aead.generate_data_encryption_key()
    }
}

pub(crate) struct KmsAead {
    provider: Provider,
    envelope: KmsAeadRingEnvelopeEncryption<Provider>,
}

impl KmsAead {
    pub(crate) async fn new() -> Result<Self> {
        Self::named("kms").await
    }

    async fn named(name: &'static str) -> Result<Self> {
        let provider = Provider { name, ..Provider::default() };
        let envelope = KmsAeadRingEnvelopeEncryption::new(provider.clone()).await.map_err(text)?;
        Ok(Self { provider, envelope })
    }

    pub(crate) fn take(&self) -> u64 {
        self.provider.calls.swap(0, Ordering::SeqCst)
    }

    pub(crate) fn disable(&self) {
        self.provider.disabled.store(true, Ordering::SeqCst);
    }

    pub(crate) async fn write(&self, place: &str, value: &str) -> Result<CipherTextWithEncryptedKey> {
        let (place, value) = (place.as_bytes().to_vec(), SecretValue::from(value));
        self.envelope.encrypt_value(&place, &value).await.map_err(text)
    }

    pub(crate) async fn read(&self, place: &str, sealed: &CipherTextWithEncryptedKey) -> Result<SecretValue> {
        self.envelope.decrypt_value(&place.as_bytes().to_vec(), sealed).await.map_err(text)
    }

    /// The attacks on what it stores: how each ended, or `None` where it stores nothing of the kind.
    pub(crate) async fn attacks(&self) -> Result<Vec<(&'static str, Option<bool>, &'static str)>> {
        let (a, b) = (self.write("clinic/a", "ours").await?, self.write("hospital/a", "theirs").await?);
        let moved = self.read("clinic/a", &b).await.is_err();
        let ((text_a, key_a), (_, key_b)) = (a.separate().map_err(text)?, b.separate().map_err(text)?);
        let swapped = CipherTextWithEncryptedKey::new(&text_a, &key_b).map_err(text)?;
        let swapped = self.read("clinic/a", &swapped).await.is_err();
        let version = "2".to_owned().try_into().map_err(text)?;
        let relabelled = EncryptedDataEncryptionKey::new(key_a.wrapped().to_vec(), Some(version));
        let relabelled = CipherTextWithEncryptedKey::new(&text_a, &relabelled).map_err(text)?;
        let relabelled = self.read("clinic/a", &relabelled).await.is_err();
        let crossed = Self::named("another").await?.read("clinic/a", &a).await.is_err();
        // Whoever may wrap, which for an RSA KEK is everybody, seals what they like; the context is no secret.
        let own = self.write("clinic/a", "forged").await?;
        let own = self.read("clinic/a", &own).await.is_err();
        // The value and its key are one: who keeps a copy puts both back in the place of a newer value.
        let newer = self.write("clinic/a", "newer").await?;
        let newer_opens = self.read("clinic/a", &newer).await.is_ok();
        let old = !newer_opens || self.read("clinic/a", &a).await.is_err();
        Ok(vec![
            (
                "swap the wrapped data keys of two tenants",
                Some(swapped),
                "the value does not open; the wrapped key by itself does",
            ),
            (
                "move a value with its key to another tenant",
                Some(moved),
                "only if the application binds the place as AAD",
            ),
            ("relabel the KEK id", None, "the KEK is not named in what is stored"),
            ("relabel the KEK version", Some(relabelled), "the header is not authenticated, as its documentation says"),
            ("strip the binding mode", None, "the KMS is given no context"),
            ("give what one KEK wrapped to another", Some(crossed), "by the KMS"),
            ("insert a key of one's own", Some(own), "what was sealed under it opens as if it were ours"),
            ("flip the state column of a data key", None, "keys have no state"),
            ("put an older copy of one row back", Some(old), "not claimed"),
            ("put the whole older store back", Some(old), "not claimed"),
        ])
    }
}

fn text(error: impl std::fmt::Display) -> Box<dyn std::error::Error> {
    error.to_string().into()
}
