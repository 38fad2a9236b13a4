//! A KEK that this process holds itself.

use zeroize::Zeroizing;

use super::{Binding, Carrier, KmsError, WrapContext, Wrapped};
use crate::backend::Backend;
use crate::derive::Label;
use crate::f1::{self, MessageKey, Nonce, Suite};
use crate::random::NoRandomness;

/// One version of a local KEK. A carrier under it is a value of format F1 whose associated data is the context's digest.
pub(crate) struct Kek {
    pub(crate) version: u32,
    /// In a place of its own, because a list of versions that grows moves what it holds and wipes nothing.
    key: Box<Zeroizing<[u8; 32]>>,
}

impl Kek {
    pub(crate) fn generate(backend: Backend, version: u32) -> Result<Self, NoRandomness> {
        Ok(Self { version, key: Box::new(backend.key()?) })
    }

    #[cfg(feature = "local")]
    pub(crate) fn new(version: u32, key: Zeroizing<[u8; 32]>) -> Self {
        Self { version, key: Box::new(key) }
    }

    #[cfg(feature = "local")]
    pub(crate) fn key(&self) -> &Zeroizing<[u8; 32]> {
        &self.key
    }

    pub(crate) fn wrap(
        &self,
        backend: Backend,
        kek_id: &str,
        carrier: &Carrier,
        context: &WrapContext,
    ) -> Result<Wrapped, KmsError> {
        let salt = f1::fresh_salt_of(backend)?;
        let key = MessageKey::derive_on(backend, &self.key, Label::WRAP, Suite::Aes256Gcm, salt);
        let key = key.map_err(KmsError::failed)?;
        let blob =
            key.seal(Nonce::of(backend)?, context.digest(), carrier.expose().as_slice()).map_err(KmsError::failed)?;
        Wrapped::new(kek_id, self.version.to_string(), Binding::Native, blob).map_err(KmsError::failed)
    }

    pub(crate) fn unwrap(
        &self,
        backend: Backend,
        wrapped: &Wrapped,
        context: &WrapContext,
    ) -> Result<Carrier, KmsError> {
        let parts = f1::parse(wrapped.blob()).map_err(|_| KmsError::Refused)?;
        if parts.kid() != backend.full_id(&self.key).kid() || wrapped.binding() != Binding::Native {
            return Err(KmsError::Refused);
        }
        // Every carrier is wrapped with the suite that every backend has.
        let key = MessageKey::derive_on(backend, &self.key, Label::WRAP, parts.suite(), parts.salt());
        let key = key.map_err(|_| KmsError::Refused)?;
        let plaintext = key.open(&parts, context.digest()).map_err(|_| KmsError::Refused)?;
        Carrier::try_from_slice(&plaintext)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stays_where_it_was_made_when_a_list_of_keys_grows() {
        let mut keks = vec![Kek::generate(Backend::ring(), 1).unwrap()];
        let place = keks[0].key.as_ptr();
        for version in 2..100 {
            keks.push(Kek::generate(Backend::ring(), version).unwrap());
        }
        assert_eq!(keks[0].key.as_ptr(), place, "an unwiped copy was left behind");
    }
}
