//! `encrypt`, `decrypt`, `rewrap`, and the key that they use.

use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

use super::call::Call;
use super::error::VaultError;
use super::message::{self, Batch, BatchResults, Data, Decrypt, Decrypted, Encrypt, Encrypted, Key};
use super::{Inner, ciphertext};
use crate::kms::{Binding, Carrier, KmsError, WrapContext, Wrapped};

/// How many carriers go into one request: some 70 KiB.
const BATCH: usize = 256;

/// The types of Transit keys that authenticate what they encrypt and can be derived.
const AEAD: &[&str] = &["aes256-gcm96", "aes128-gcm96", "chacha20-poly1305", "xchacha20-poly1305"];

impl Inner {
    pub(super) async fn wrap(&self, carrier: &Carrier, context: &WrapContext) -> Result<Wrapped, KmsError> {
        self.know_key().await?;
        let plaintext = Zeroizing::new(Base64::encode_string(carrier.expose()));
        let body = Encrypt { plaintext: &plaintext, context: &message::context(context) };
        let answer = self.session.post(self.path("encrypt"), &body).await?;
        let Data { data } = answer.read()?;
        Ok(self.wrapped(data).await?)
    }

    pub(super) async fn unwrap(&self, wrapped: &Wrapped, context: &WrapContext) -> Result<Carrier, KmsError> {
        let body = Decrypt { ciphertext: self.ciphertext_of(wrapped)?, context: message::context(context) };
        self.know_key().await?;
        let answer = self.session.post(self.path("decrypt"), &body).await?;
        let Data { data } = answer.read::<Data<Decrypted<'_>>>()?;
        Ok(data.carrier()?)
    }

    pub(super) async fn rewrap(&self, wrapped: &Wrapped, context: &WrapContext) -> Result<Wrapped, KmsError> {
        let body = Decrypt { ciphertext: self.ciphertext_of(wrapped)?, context: message::context(context) };
        self.know_key().await?;
        let answer = self.session.post(self.path("rewrap"), &body).await?;
        let Data { data } = answer.read()?;
        Ok(self.wrapped(data).await?)
    }

    pub(super) async fn unwrap_many(
        &self,
        wrapped: &[(&Wrapped, &WrapContext)],
    ) -> Result<Vec<Result<Carrier, KmsError>>, KmsError> {
        let mut results = Vec::with_capacity(wrapped.len());
        for part in wrapped.chunks(BATCH) {
            self.unwrap_batch(part, &mut results).await?;
        }
        Ok(results)
    }

    async fn unwrap_batch(
        &self,
        part: &[(&Wrapped, &WrapContext)],
        results: &mut Vec<Result<Carrier, KmsError>>,
    ) -> Result<(), KmsError> {
        // What cannot be sent has its result already.
        let checked: Vec<Result<Decrypt<'_>, KmsError>> = part
            .iter()
            .map(|(wrapped, context)| {
                let ciphertext = self.ciphertext_of(wrapped)?;
                Ok(Decrypt { ciphertext, context: message::context(context) })
            })
            .collect();
        let sendable = checked.iter().filter(|item| item.is_ok()).count();
        if sendable == 0 {
            results.extend(checked.into_iter().map(|item| item.and(Err(KmsError::Refused))));
            return Ok(());
        }
        self.know_key().await?;
        let mut refused = Vec::with_capacity(part.len());
        let mut batch_input = Vec::with_capacity(sendable);
        for item in checked {
            match item {
                Ok(item) => {
                    batch_input.push(item);
                    refused.push(None);
                }
                Err(error) => refused.push(Some(error)),
            }
        }
        let answer = self.session.send(&Call::post(self.path("decrypt"), &Batch { batch_input })?).await?;
        // A batch of which a part failed is answered with 400 or 500, and with all results.
        let batch: Vec<_> = match answer.read::<Data<BatchResults<'_>>>() {
            Ok(Data { data }) => data.batch_results,
            Err(_) => return Err(answer.succeeded().err().unwrap_or(VaultError::Malformed).into()),
        };
        if batch.len() != sendable {
            return Err(VaultError::Malformed.into());
        }
        let mut opened = batch.into_iter().map(|result| result.carrier().map_err(KmsError::from));
        for refusal in refused {
            let result = match refusal {
                Some(error) => Err(error),
                None => opened.next().unwrap_or_else(|| Err(VaultError::Malformed.into())),
            };
            results.push(result);
        }
        Ok(())
    }

    /// Asks once whether the key binds contexts: one that is not derived would take them and bind nothing.
    async fn know_key(&self) -> Result<(), VaultError> {
        if self.known.newest() == 0 {
            self.read_key().await?;
        }
        Ok(())
    }

    /// What the server says of the key now.
    pub(super) async fn read_key(&self) -> Result<Key, VaultError> {
        let answer = self.session.send(&Call::get(self.path("keys"))).await?.succeeded()?;
        let Data { data: key } = answer.read::<Data<Key>>()?;
        if !key.derived || !AEAD.contains(&key.kind.as_str()) {
            return Err(VaultError::NotDerived);
        }
        self.known.learn(&key)?;
        Ok(key)
    }

    /// What was encrypted, with the version that the ciphertext and the rest of the answer agree about.
    async fn wrapped(&self, encrypted: Encrypted) -> Result<Wrapped, VaultError> {
        let version = ciphertext::version(&encrypted.ciphertext).map_err(|_| VaultError::Malformed)?;
        if encrypted.key_version.is_some_and(|named| named != version) {
            return Err(VaultError::Malformed);
        }
        if version < self.known.newest() {
            // A replica that lags, or a key that was deleted and made anew by the way.
            self.read_key().await?;
        }
        self.known.saw(version);
        Wrapped::new(&*self.kek_id, version.to_string(), Binding::Native, encrypted.ciphertext.into_bytes())
            .map_err(|_| VaultError::Malformed)
    }

    /// The ciphertext within a wrapped carrier, whose outside must say the same as its inside.
    fn ciphertext_of<'a>(&self, wrapped: &'a Wrapped) -> Result<&'a str, KmsError> {
        if wrapped.kek_id() != self.kek_id {
            return Err(KmsError::OtherKek);
        }
        let ciphertext = core::str::from_utf8(wrapped.blob()).map_err(|_| KmsError::Refused)?;
        let version = ciphertext::version(ciphertext)?;
        let agrees = wrapped.kek_version() == version.to_string()
            && wrapped.binding() == Binding::Native
            && wrapped.algorithm().is_empty();
        if agrees { Ok(ciphertext) } else { Err(KmsError::Refused) }
    }

    fn path(&self, operation: &str) -> String {
        format!("{}/{operation}/{}", self.mount, self.key)
    }

    pub(super) fn key_path(&self, operation: &str) -> String {
        format!("{}/keys/{}/{operation}", self.mount, self.key)
    }
}
