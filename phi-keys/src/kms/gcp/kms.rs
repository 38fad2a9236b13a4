use core::fmt;
use core::time::Duration;

use google_cloud_kms_v1::builder::key_management_service::ClientBuilder;
use google_cloud_kms_v1::client::KeyManagementService;
use google_cloud_kms_v1::model::crypto_key::CryptoKeyPurpose;
use google_cloud_kms_v1::model::crypto_key_version::CryptoKeyVersionState;
use google_cloud_kms_v1::model::{CryptoKey, CryptoKeyVersion, DecryptResponse, EncryptResponse};
use phi_types::Timestamp;

use super::error::{Doubt, Failure, GENERATION, failure};
use super::name::{self, KeyName};
use super::{checksum, open};
use crate::kms::{
    Binding, Capabilities, Carrier, ContextBinding, KekState, KekStatus, Kms, KmsError, KmsFuture, WrapContext, Wrapped,
};

const PURPOSE: &str = "choose a key of the purpose ENCRYPT_DECRYPT";

/// A KEK in Google Cloud KMS.
#[derive(Clone)]
pub struct GcpKms {
    pub(super) client: KeyManagementService,
    pub(super) key: KeyName,
    pub(super) kek_id: String,
    pub(super) timeout: Duration,
}

impl GcpKms {
    /// A KEK by its full name, `projects/P/locations/L/keyRings/R/cryptoKeys/K`, with the application default credentials: the file
    /// that `GOOGLE_APPLICATION_CREDENTIALS` names, gcloud's, or those of the machine.
    ///
    /// # Errors
    /// [`KmsError::Misconfigured`] when the name is none, [`KmsError::Unauthenticated`] when there are no credentials or they
    /// cannot be read.
    pub async fn from_env(key: &str) -> Result<Self, KmsError> {
        let key = KeyName::parse(key)?;
        Ok(Self::assemble(open::client().await?, key))
    }

    /// A KEK with a client that you built: another endpoint, proxy or credentials. Its retries are switched off here; put them around
    /// this value instead.
    ///
    /// # Errors
    /// [`KmsError::Misconfigured`] when the name is none.
    pub fn new(client: KeyManagementService, key: &str) -> Result<Self, KmsError> {
        Ok(Self::assemble(client, KeyName::parse(key)?))
    }

    /// The SDK's builder of clients, made so that `build` finds a provider of rustls: the process's, or *ring* if it has none.
    #[must_use]
    pub fn client_builder() -> ClientBuilder {
        open::builder()
    }

    /// How long one request may take; 10 s unless set. What the SDK does to get credentials is not counted.
    #[must_use]
    pub const fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The full name of the key.
    #[must_use]
    pub fn key(&self) -> &str {
        self.key.as_str()
    }

    fn assemble(client: KeyManagementService, key: KeyName) -> Self {
        let kek_id = key.kek_id();
        Self { client, key, kek_id, timeout: open::TIMEOUT }
    }

    /// What a failed call means that was made with `version`, or with the one that wraps. A key in a state that does not allow it is
    /// asked which one that is.
    pub(super) async fn explained(&self, failure: Failure, version: Option<&str>) -> KmsError {
        if failure.doubt.is_none() {
            return failure.error;
        }
        let state = match version {
            Some(version) => self.state_of(version).await.map(Some),
            None => self.describe().await.map(|key| key.primary.map(|primary| primary.state)),
        };
        match state {
            Ok(Some(state)) => unusable(&state).unwrap_or(failure.error),
            Ok(None) => KmsError::NotReady("make or import a version, and make it the primary one"),
            Err(mistake @ KmsError::Misconfigured(_)) => mistake,
            Err(_) => failure.error,
        }
    }

    pub(super) async fn describe(&self) -> Result<CryptoKey, KmsError> {
        let call = open::once(self.client.get_crypto_key(), self.timeout).set_name(self.key.as_str());
        let key = call.send().await.map_err(|error| failure(&error, "describe a key").error)?;
        if key.name.is_empty() {
            return Err(KmsError::Corrupt);
        }
        if key.purpose == CryptoKeyPurpose::EncryptDecrypt { Ok(key) } else { Err(KmsError::Misconfigured(PURPOSE)) }
    }

    async fn ask(&self) -> Result<KekStatus, KmsError> {
        self.status_of(&self.describe().await?)
    }

    fn status_of(&self, key: &CryptoKey) -> Result<KekStatus, KmsError> {
        // A key without a version that wraps, such as one that waits for imported material.
        let Some(primary) = &key.primary else { return Ok(KekStatus::new(KekState::Unusable, None)) };
        let number = self.key.number_in(&primary.name).ok_or(KmsError::Corrupt)?;
        let status = KekStatus::new(state(&primary.state), Some(number.to_owned()));
        Ok(match destruction(primary) {
            Some(at) => status.with_destruction(at),
            None => status,
        })
    }

    async fn state_of(&self, version: &str) -> Result<CryptoKeyVersionState, KmsError> {
        let name = self.key.version(version)?;
        let call = open::once(self.client.get_crypto_key_version(), self.timeout).set_name(name);
        let version = call.send().await.map_err(|error| failure(&error, "describe a version").error)?;
        Ok(version.state)
    }

    async fn wrap(&self, carrier: &Carrier, context: &WrapContext) -> Result<Wrapped, KmsError> {
        let (plaintext, digest) = (carrier.expose().as_slice(), context.digest().as_slice());
        let call = open::once(self.client.encrypt(), self.timeout)
            .set_name(self.key.as_str())
            .set_plaintext(plaintext.to_vec())
            .set_plaintext_crc32c(checksum::crc32c(plaintext))
            .set_additional_authenticated_data(digest.to_vec())
            .set_additional_authenticated_data_crc32c(checksum::crc32c(digest));
        match call.send().await {
            Ok(answer) => self.wrapped(answer),
            Err(error) => Err(self.explained(failure(&error, "encrypt"), None).await),
        }
    }

    /// What was encrypted, if service and network did what they had to.
    fn wrapped(&self, answer: EncryptResponse) -> Result<Wrapped, KmsError> {
        let verified = answer.verified_plaintext_crc32c && answer.verified_additional_authenticated_data_crc32c;
        if !verified || !checksum::matches(&answer.ciphertext, answer.ciphertext_crc32c) || answer.ciphertext.is_empty()
        {
            return Err(KmsError::Corrupt);
        }
        let version = self.key.number_in(&answer.name).ok_or(KmsError::Corrupt)?;
        Wrapped::new(&self.kek_id, version, Binding::Native, answer.ciphertext.to_vec()).map_err(KmsError::failed)
    }

    async fn unwrap(&self, wrapped: &Wrapped, context: &WrapContext) -> Result<Carrier, KmsError> {
        self.refuse_foreign(wrapped)?;
        let digest = context.digest().as_slice();
        let call = open::once(self.client.decrypt(), self.timeout)
            .set_name(self.key.as_str())
            .set_ciphertext(wrapped.blob().to_vec())
            .set_ciphertext_crc32c(checksum::crc32c(wrapped.blob()))
            .set_additional_authenticated_data(digest.to_vec())
            .set_additional_authenticated_data_crc32c(checksum::crc32c(digest));
        match call.send().await {
            Ok(answer) => carrier(&answer),
            Err(error) => match failure(&error, "decrypt") {
                Failure { doubt: Some(Doubt::Argument), .. } => Err(KmsError::Refused),
                failure => Err(self.explained(failure, Some(wrapped.kek_version())).await),
            },
        }
    }

    /// What Google need not be asked about.
    fn refuse_foreign(&self, wrapped: &Wrapped) -> Result<(), KmsError> {
        if wrapped.kek_id() != self.kek_id {
            return Err(KmsError::OtherKek);
        }
        if wrapped.binding() != Binding::Native || !wrapped.algorithm().is_empty() || wrapped.blob().is_empty() {
            return Err(KmsError::Refused);
        }
        if name::is_version(wrapped.kek_version()) { Ok(()) } else { Err(KmsError::UnknownVersion) }
    }
}

impl Kms for GcpKms {
    fn kek_id(&self) -> &str {
        &self.kek_id
    }

    /// Versions are named by what encrypts and not confirmed by what decrypts, so they are not said to be named.
    fn capabilities(&self) -> Capabilities {
        Capabilities::new(ContextBinding::Native).with_admin()
    }

    fn wrap_dek<'a>(&'a self, carrier: &'a Carrier, context: &'a WrapContext) -> KmsFuture<'a, Wrapped> {
        Box::pin(self.wrap(carrier, context))
    }

    fn unwrap_dek<'a>(&'a self, wrapped: &'a Wrapped, context: &'a WrapContext) -> KmsFuture<'a, Carrier> {
        Box::pin(self.unwrap(wrapped, context))
    }

    fn status(&self) -> KmsFuture<'_, KekStatus> {
        Box::pin(self.ask())
    }

    fn version_state<'a>(&'a self, version: &'a str) -> KmsFuture<'a, Option<KekState>> {
        Box::pin(async move { Ok(Some(state(&self.state_of(version).await?))) })
    }
}

impl fmt::Debug for GcpKms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GcpKms({})", self.key.as_str())
    }
}

fn carrier(answer: &DecryptResponse) -> Result<Carrier, KmsError> {
    if checksum::matches(&answer.plaintext, answer.plaintext_crc32c) {
        Carrier::try_from_slice(&answer.plaintext)
    } else {
        Err(KmsError::Corrupt)
    }
}

pub(super) fn state(theirs: &CryptoKeyVersionState) -> KekState {
    match theirs {
        CryptoKeyVersionState::Enabled => KekState::Enabled,
        CryptoKeyVersionState::Disabled => KekState::Disabled,
        CryptoKeyVersionState::DestroyScheduled => KekState::PendingDestruction,
        CryptoKeyVersionState::Destroyed => KekState::Destroyed,
        _ => KekState::Unusable,
    }
}

/// Why a version in this state does not do what it was asked, where that is known.
fn unusable(state: &CryptoKeyVersionState) -> Option<KmsError> {
    Some(match state {
        CryptoKeyVersionState::Disabled => KmsError::Disabled,
        CryptoKeyVersionState::DestroyScheduled => KmsError::PendingDestruction,
        CryptoKeyVersionState::Destroyed | CryptoKeyVersionState::PendingExternalDestruction => KmsError::Destroyed,
        CryptoKeyVersionState::PendingGeneration => KmsError::NotReady(GENERATION),
        CryptoKeyVersionState::PendingImport => KmsError::NotReady("import the key material of the version"),
        CryptoKeyVersionState::GenerationFailed | CryptoKeyVersionState::ImportFailed => KmsError::NotReady(
            "make or import another version, because this one could not be, and make it the primary one",
        ),
        _ => return None,
    })
}

/// When a version that waits for it is destroyed.
pub(super) fn destruction(version: &CryptoKeyVersion) -> Option<Timestamp> {
    let at = version.destroy_time.filter(|_| version.state == CryptoKeyVersionState::DestroyScheduled)?;
    Some(timestamp(at.seconds(), at.nanos()))
}

pub(super) fn timestamp(seconds: i64, nanos: i32) -> Timestamp {
    Timestamp::from_unix_micros(seconds.saturating_mul(1_000_000).saturating_add(i64::from(nanos / 1_000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_of_a_version_is_told() {
        let states = [
            (CryptoKeyVersionState::Enabled, KekState::Enabled),
            (CryptoKeyVersionState::Disabled, KekState::Disabled),
            (CryptoKeyVersionState::DestroyScheduled, KekState::PendingDestruction),
            (CryptoKeyVersionState::Destroyed, KekState::Destroyed),
            (CryptoKeyVersionState::PendingGeneration, KekState::Unusable),
            (CryptoKeyVersionState::PendingImport, KekState::Unusable),
            (CryptoKeyVersionState::ImportFailed, KekState::Unusable),
            (CryptoKeyVersionState::GenerationFailed, KekState::Unusable),
            (CryptoKeyVersionState::PendingExternalDestruction, KekState::Unusable),
            (CryptoKeyVersionState::Unspecified, KekState::Unusable),
            ("SOMETHING_NEW".into(), KekState::Unusable),
        ];
        for (theirs, ours) in states {
            assert_eq!(state(&theirs), ours, "{theirs:?}");
            let why = unusable(&theirs).map(|error| error.kind());
            let expected = match &theirs {
                CryptoKeyVersionState::Disabled => Some("disabled"),
                CryptoKeyVersionState::DestroyScheduled => Some("pending_destruction"),
                CryptoKeyVersionState::Destroyed | CryptoKeyVersionState::PendingExternalDestruction => {
                    Some("destroyed")
                }
                CryptoKeyVersionState::PendingGeneration | CryptoKeyVersionState::PendingImport => Some("not_ready"),
                CryptoKeyVersionState::GenerationFailed | CryptoKeyVersionState::ImportFailed => Some("not_ready"),
                _ => None,
            };
            assert_eq!(why, expected, "{theirs:?}");
        }
    }
}
