use core::fmt;
use core::future::Future;
use core::time::Duration;
use std::sync::Arc;

use azure_core::http::{DeserializeWith, JsonFormat, RequestContent, Response};
use azure_core::time::OffsetDateTime;
use azure_security_keyvault_keys::models::{
    Key, KeyAttributes, KeyClientGetKeyOptions, KeyOperationParameters, KeyOperationResult,
};
use azure_security_keyvault_keys::{KeyClient, KeyClientOptions};
use phi_types::Timestamp;

use super::algorithm::{AzureAlgorithm, IV, TAG};
use super::error::{Doubt, Failure, failure};
use super::name::{self, KeyName};
use super::open;
use crate::kms::described::Described;
use crate::kms::{Capabilities, Carrier, KekState, KekStatus, Kms, KmsError, KmsFuture, Rewrap, WrapContext, Wrapped};

/// A KEK in Azure Key Vault or Azure Managed HSM. Cheap to clone.
#[derive(Clone)]
pub struct AzureKms {
    pub(super) client: Arc<KeyClient>,
    pub(super) key: KeyName,
    pub(super) kek_id: String,
    algorithm: AzureAlgorithm,
    timeout: Duration,
}

impl AzureKms {
    /// An RSA key by its identifier, `https://clinic.vault.azure.net/keys/kek`, with credentials from the environment: a service
    /// principal in `AZURE_TENANT_ID`, `AZURE_CLIENT_ID` and `AZURE_CLIENT_SECRET`, else a workload identity where
    /// `AZURE_FEDERATED_TOKEN_FILE` is set, else the machine's managed identity (`AZURE_CLIENT_ID` chooses one of several).
    ///
    /// # Errors
    /// [`KmsError::Misconfigured`] when the identifier is none, [`KmsError::Unauthenticated`] when what the environment holds cannot
    /// be credentials.
    pub fn from_env(key: &str) -> Result<Self, KmsError> {
        let key = KeyName::parse(key)?;
        Ok(Self::assemble(open::client(&key)?, key))
    }

    /// An RSA key by its name, with a client that you built: another transport, cloud or credential. Give it
    /// [`client_options`](Self::client_options), so that it makes no retries of its own.
    ///
    /// # Errors
    /// [`KmsError::Misconfigured`] when name or endpoint are none.
    pub fn new(client: KeyClient, key: &str) -> Result<Self, KmsError> {
        let key = KeyName::of(client.endpoint(), key)?;
        Ok(Self::assemble(client, key))
    }

    /// Options of a client without retries of its own, whose transport finds a provider of rustls: the process's, or *ring* if it has
    /// none.
    #[must_use]
    pub fn client_options() -> KeyClientOptions {
        open::options()
    }

    /// How the key wraps from now on; `RSA-OAEP-256` unless set. What was wrapped in another way still unwraps.
    #[must_use]
    pub const fn with_algorithm(mut self, algorithm: AzureAlgorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// How long one call may take, with the token that it may need; 10 s unless set.
    #[must_use]
    pub const fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    fn assemble(client: KeyClient, key: KeyName) -> Self {
        let kek_id = format!("azure-kv:{}", key.identifier());
        let (algorithm, timeout) = (AzureAlgorithm::default(), open::TIMEOUT);
        Self { client: Arc::new(client), key, kek_id, algorithm, timeout }
    }

    /// The answer to a call, in time and readable.
    pub(super) async fn answer<T: DeserializeWith<JsonFormat>>(
        &self,
        call: impl Future<Output = azure_core::Result<Response<T>>> + Send,
    ) -> Result<T, Failure> {
        // What cannot be read may hold a key: nothing of it is kept.
        Ok(self.in_time(call).await?.into_model().map_err(|_| KmsError::Corrupt)?)
    }

    /// What a call gives, if it does so in time.
    pub(super) async fn in_time<T>(
        &self,
        call: impl Future<Output = azure_core::Result<T>> + Send,
    ) -> Result<T, Failure> {
        match tokio::time::timeout(self.timeout, call).await {
            Ok(answer) => answer.map_err(|error| failure(&error)),
            Err(_) => Err(KmsError::unavailable(Described::new("Azure did not answer in time".to_owned())).into()),
        }
    }

    /// What a failed call means that was made with `version`, or with the newest one.
    pub(super) async fn explained(&self, failure: Failure, version: Option<&str>) -> KmsError {
        match failure.doubt {
            None => failure.error,
            Some(Doubt::Missing) => match self.ask().await {
                Ok(status) if status.state == KekState::PendingDestruction => KmsError::PendingDestruction,
                Ok(_) if version.is_some() => KmsError::UnknownVersion,
                _ => failure.error,
            },
            Some(Doubt::Argument) => match self.describe().await {
                Ok(key) if !self.does(&key) => KmsError::Misconfigured(self.algorithm.mend()),
                _ => failure.error,
            },
        }
    }

    fn does(&self, key: &Key) -> bool {
        key.key.as_ref().and_then(|key| key.kty.as_ref()).is_none_or(|kind| self.algorithm.is_of(kind))
    }

    pub(super) async fn describe(&self) -> Result<Key, Failure> {
        self.answer(self.client.get_key(self.key.as_str(), None)).await
    }

    async fn ask(&self) -> Result<KekStatus, KmsError> {
        match self.describe().await {
            Ok(key) => {
                if !self.does(&key) {
                    return Err(KmsError::Misconfigured(self.algorithm.mend()));
                }
                Ok(KekStatus::new(state(key.attributes.as_ref()), Some(self.version_of(&key)?)))
            }
            // It may be deleted and not purged yet; whoever may not see that is told that there is none.
            Err(Failure { doubt: Some(Doubt::Missing), error }) => {
                let deleted = self.answer(self.client.get_deleted_key(self.key.as_str(), None)).await;
                let deleted = deleted.map_err(|_| error)?;
                let status = KekStatus::new(KekState::PendingDestruction, None);
                Ok(match deleted.scheduled_purge_date {
                    Some(at) => status.with_destruction(timestamp(at)),
                    None => status,
                })
            }
            Err(failure) => Err(failure.error),
        }
    }

    async fn ask_version(&self, version: &str) -> Result<Option<KekState>, KmsError> {
        let options = KeyClientGetKeyOptions { key_version: Some(version.to_owned()), ..Default::default() };
        match self.answer(self.client.get_key(self.key.as_str(), Some(options))).await {
            Ok(key) if self.version_of(&key)? == version => Ok(Some(state(key.attributes.as_ref()))),
            Ok(_) => Err(KmsError::Corrupt),
            Err(failure) => match self.explained(failure, Some(version)).await {
                // A version goes with its key only, so one that is missing beside others was never there.
                KmsError::UnknownVersion => Ok(Some(KekState::Destroyed)),
                KmsError::PendingDestruction => Ok(Some(KekState::PendingDestruction)),
                error => Err(error),
            },
        }
    }

    pub(super) fn version_of(&self, key: &Key) -> Result<String, KmsError> {
        let kid = key.key.as_ref().and_then(|key| key.kid.as_deref());
        kid.and_then(|kid| self.key.version_in(kid)).ok_or(KmsError::Corrupt)
    }

    async fn wrap(
        &self,
        algorithm: AzureAlgorithm,
        carrier: &Carrier,
        context: &WrapContext,
    ) -> Result<Wrapped, KmsError> {
        let mut sent = parameters(algorithm, carrier.expose());
        let answer = if algorithm == AzureAlgorithm::A256Gcm {
            sent.additional_authenticated_data = Some(context.digest().to_vec());
            self.answer(self.client.encrypt(self.key.as_str(), content(sent)?, None)).await
        } else {
            self.answer(self.client.wrap_key(self.key.as_str(), content(sent)?, None)).await
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(failure) => return Err(self.explained(failure, None).await),
        };
        let version = answer.kid.as_deref().and_then(|kid| self.key.version_in(kid)).ok_or(KmsError::Corrupt)?;
        let blob = blob(algorithm, &answer).ok_or(KmsError::Corrupt)?;
        let wrapped = Wrapped::new(&self.kek_id, version, algorithm.binding(), blob).map_err(KmsError::failed)?;
        let wrapped = wrapped.with_algorithm(algorithm.as_str()).map_err(KmsError::failed)?;
        // Other bytes than this algorithm writes are no answer to the question.
        if AzureAlgorithm::of(&wrapped) == Some(algorithm) { Ok(wrapped) } else { Err(KmsError::Corrupt) }
    }

    async fn unwrap(&self, wrapped: &Wrapped, context: &WrapContext) -> Result<Carrier, KmsError> {
        let algorithm = self.algorithm_of(wrapped)?;
        let (name, version) = (self.key.as_str(), wrapped.kek_version());
        let answer = if algorithm == AzureAlgorithm::A256Gcm {
            let (iv, rest) = wrapped.blob().split_at_checked(IV).ok_or(KmsError::Refused)?;
            let (ciphertext, tag) = rest.split_at_checked(rest.len().saturating_sub(TAG)).ok_or(KmsError::Refused)?;
            let mut sent = parameters(algorithm, ciphertext);
            (sent.iv, sent.authentication_tag) = (Some(iv.to_vec()), Some(tag.to_vec()));
            sent.additional_authenticated_data = Some(context.digest().to_vec());
            self.answer(self.client.decrypt(name, version, content(sent)?, None)).await
        } else {
            let sent = parameters(algorithm, wrapped.blob());
            self.answer(self.client.unwrap_key(name, version, content(sent)?, None)).await
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(Failure { doubt: Some(Doubt::Argument), .. }) => return Err(KmsError::Refused),
            Err(failure) => return Err(self.explained(failure, Some(version)).await),
        };
        // An answer by another version is none to this question.
        let by = answer.kid.as_deref().and_then(|kid| self.key.version_in(kid));
        if by.as_deref() != Some(version) {
            return Err(KmsError::Corrupt);
        }
        let plaintext = zeroize::Zeroizing::new(answer.result.ok_or(KmsError::Corrupt)?);
        Carrier::try_from_slice(&plaintext)
    }

    /// How it was wrapped; what Azure need not be asked about is refused.
    fn algorithm_of(&self, wrapped: &Wrapped) -> Result<AzureAlgorithm, KmsError> {
        if wrapped.kek_id() != self.kek_id {
            return Err(KmsError::OtherKek);
        }
        let algorithm = AzureAlgorithm::of(wrapped).ok_or(KmsError::Refused)?;
        if name::is_version(wrapped.kek_version()) { Ok(algorithm) } else { Err(KmsError::UnknownVersion) }
    }
}

impl Kms for AzureKms {
    fn kek_id(&self) -> &str {
        &self.kek_id
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(self.algorithm.context_binding()).with_named_version().with_admin()
    }

    fn wrap_dek<'a>(&'a self, carrier: &'a Carrier, context: &'a WrapContext) -> KmsFuture<'a, Wrapped> {
        Box::pin(self.wrap(self.algorithm, carrier, context))
    }

    fn unwrap_dek<'a>(&'a self, wrapped: &'a Wrapped, context: &'a WrapContext) -> KmsFuture<'a, Carrier> {
        Box::pin(self.unwrap(wrapped, context))
    }

    /// With the algorithm that wrapped it.
    fn rewrap<'a>(&'a self, wrapped: &'a Wrapped, context: &'a WrapContext) -> KmsFuture<'a, Rewrap> {
        Box::pin(async move {
            let algorithm = self.algorithm_of(wrapped)?;
            let carrier = self.unwrap(wrapped, context).await?;
            self.wrap(algorithm, &carrier, context).await.map(Rewrap::ThroughClient)
        })
    }

    fn status(&self) -> KmsFuture<'_, KekStatus> {
        Box::pin(self.ask())
    }

    fn version_state<'a>(&'a self, version: &'a str) -> KmsFuture<'a, Option<KekState>> {
        Box::pin(self.ask_version(version))
    }
}

impl fmt::Debug for AzureKms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AzureKms({}, {})", self.key.identifier(), self.algorithm.as_str())
    }
}

fn parameters(algorithm: AzureAlgorithm, value: &[u8]) -> KeyOperationParameters {
    let mut sent = KeyOperationParameters::default();
    (sent.algorithm, sent.value) = (Some(algorithm.theirs()), Some(value.to_vec()));
    sent
}

pub(super) fn content<T>(sent: T) -> Result<RequestContent<T>, KmsError>
where
    RequestContent<T>: TryFrom<T, Error = azure_core::Error>,
{
    RequestContent::try_from(sent).map_err(|error| KmsError::failed(Described::of(&error)))
}

/// The bytes that stand in a wrapped carrier.
fn blob(algorithm: AzureAlgorithm, answer: &KeyOperationResult) -> Option<Vec<u8>> {
    let result = answer.result.as_deref()?;
    if algorithm != AzureAlgorithm::A256Gcm {
        return Some(result.to_vec());
    }
    let (iv, tag) = (answer.iv.as_deref()?, answer.authentication_tag.as_deref()?);
    (iv.len() == IV && tag.len() == TAG).then(|| [iv, result, tag].concat())
}

/// A version is enabled unless it says otherwise.
pub(super) fn state(attributes: Option<&KeyAttributes>) -> KekState {
    match attributes.and_then(|attributes| attributes.enabled) {
        Some(false) => KekState::Disabled,
        _ => KekState::Enabled,
    }
}

/// Azure gives whole seconds.
pub(super) const fn timestamp(at: OffsetDateTime) -> Timestamp {
    Timestamp::from_unix_seconds(at.unix_timestamp())
}
