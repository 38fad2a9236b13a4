use core::fmt;
use core::fmt::Write as _;
use std::error::Error;

use aws_sdk_kms::Client;
use aws_sdk_kms::config::http::HttpResponse;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kms::primitives::{Blob, DateTime};
use aws_sdk_kms::types::{DataKeySpec, EncryptionAlgorithmSpec, KeyMetadata, KeyState};
use phi_types::Timestamp;
use zeroize::Zeroizing;

use super::error::failure;
use super::open;
use crate::kms::{
    Binding, Capabilities, Carrier, ContextBinding, KekState, KekStatus, Kms, KmsError, KmsFuture, Rewrap, WrapContext,
    Wrapped,
};

/// The name in the encryption context; its value is the digest of the context in hexadecimal.
const CONTEXT: &str = "phi-context";

/// More than AWS takes for a ciphertext.
const TOO_LONG: usize = 6144;

/// A KEK in AWS KMS.
#[derive(Clone)]
pub struct AwsKms {
    pub(super) client: Client,
    pub(super) arn: String,
    pub(super) kek_id: String,
}

impl AwsKms {
    /// A KEK by its ARN, id or alias, with region and credentials from where every AWS tool takes them: environment variables,
    /// profile files, web identity, container and instance metadata. Give the full ARN where you can.
    ///
    /// # Errors
    /// [`KmsError`] when there are no credentials, the key does not exist, or is not a symmetric key for encryption.
    pub async fn from_env(key: &str) -> Result<Self, KmsError> {
        Self::open(open::client().await, key).await
    }

    /// A KEK with a client that you built: another region, endpoint, proxy or credentials. Its retries are switched off here; put
    /// them around this value instead. A call takes at most 10 s, unless the client has a timeout for operations or reading.
    ///
    /// To keep to *ring*, build the client with [`https_client`](Self::https_client) and without the SDK's default features.
    ///
    /// # Errors
    /// As for [`from_env`](Self::from_env); [`KmsError::Misconfigured`] when the ARN is of another region than the client.
    pub async fn open(client: Client, key: &str) -> Result<Self, KmsError> {
        let client = open::prepared(&client);
        open::same_region(&client, key)?;
        let arn = open::checked(&describe(&client, key).await?)?;
        let kek_id = open::kek_id(&arn);
        Ok(Self { client, arn, kek_id })
    }

    /// HTTPS on *ring*, for `http_client(…)` of a configuration that you build.
    #[must_use]
    pub fn https_client() -> aws_sdk_kms::config::SharedHttpClient {
        open::https()
    }

    /// The ARN of the key, with its region.
    #[must_use]
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// What a failed call means. A key in the wrong state is asked which one that is.
    pub(super) async fn explained<E>(&self, error: SdkError<E, HttpResponse>, what: &'static str) -> KmsError
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let failure = failure(error, what);
        if !failure.ask_state {
            return failure.error;
        }
        let key = describe(&self.client, &self.arn).await;
        key.ok().and_then(|key| unusable(key.key_state()?)).unwrap_or(failure.error)
    }

    pub(super) async fn ask(&self) -> Result<KekStatus, KmsError> {
        Ok(status(&describe(&self.client, &self.arn).await?))
    }

    async fn make(&self, context: &WrapContext) -> Result<(Carrier, Wrapped), KmsError> {
        let call = self.client.generate_data_key().key_id(&self.arn).key_spec(DataKeySpec::Aes256);
        let answer = match call.encryption_context(CONTEXT, hex(context)).send().await {
            Ok(answer) => answer,
            Err(error) => return Err(self.explained(error, "generate a data key").await),
        };
        self.same_key(answer.key_id.as_deref())?;
        let carrier = carrier(answer.plaintext).ok_or(KmsError::Corrupt)?;
        Ok((carrier, self.wrapped(answer.ciphertext_blob, answer.key_material_id)?))
    }

    async fn wrap(&self, carrier: &Carrier, context: &WrapContext) -> Result<Wrapped, KmsError> {
        let call = self.client.encrypt().key_id(&self.arn).plaintext(Blob::new(carrier.expose().as_slice()));
        let answer = match call.encryption_context(CONTEXT, hex(context)).send().await {
            Ok(answer) => answer,
            Err(error) => return Err(self.explained(error, "encrypt").await),
        };
        self.same_key(answer.key_id.as_deref())?;
        // The answer to `Encrypt` names no key material.
        self.wrapped(answer.ciphertext_blob, None)
    }

    async fn unwrap(&self, wrapped: &Wrapped, context: &WrapContext) -> Result<Carrier, KmsError> {
        self.refuse_foreign(wrapped)?;
        let call = self
            .client
            .decrypt()
            .key_id(&self.arn)
            .encryption_algorithm(EncryptionAlgorithmSpec::SymmetricDefault)
            .ciphertext_blob(Blob::new(wrapped.blob()));
        let answer = match call.encryption_context(CONTEXT, hex(context)).send().await {
            Ok(answer) => answer,
            Err(error) => return Err(self.explained(error, "decrypt").await),
        };
        self.same_key(answer.key_id.as_deref())?;
        let carrier = carrier(answer.plaintext).ok_or(KmsError::Refused)?;
        same_material(wrapped, answer.key_material_id.as_deref())?;
        Ok(carrier)
    }

    async fn move_on(&self, wrapped: &Wrapped, context: &WrapContext) -> Result<Rewrap, KmsError> {
        self.refuse_foreign(wrapped)?;
        let context = hex(context);
        let call = self
            .client
            .re_encrypt()
            .source_key_id(&self.arn)
            .destination_key_id(&self.arn)
            .source_encryption_algorithm(EncryptionAlgorithmSpec::SymmetricDefault)
            .destination_encryption_algorithm(EncryptionAlgorithmSpec::SymmetricDefault)
            .source_encryption_context(CONTEXT, &context)
            .destination_encryption_context(CONTEXT, &context)
            .ciphertext_blob(Blob::new(wrapped.blob()));
        let answer = match call.send().await {
            Ok(answer) => answer,
            Err(error) => return Err(self.explained(error, "re-encrypt").await),
        };
        self.same_key(answer.key_id.as_deref())?;
        same_material(wrapped, answer.source_key_material_id.as_deref())?;
        self.wrapped(answer.ciphertext_blob, answer.destination_key_material_id).map(Rewrap::ServerSide)
    }

    fn wrapped(&self, blob: Option<Blob>, material: Option<String>) -> Result<Wrapped, KmsError> {
        let blob = blob.map(Blob::into_inner).filter(|blob| !blob.is_empty()).ok_or(KmsError::Corrupt)?;
        Wrapped::new(&self.kek_id, material.unwrap_or_default(), Binding::Native, blob).map_err(KmsError::failed)
    }

    /// What AWS need not be asked about.
    fn refuse_foreign(&self, wrapped: &Wrapped) -> Result<(), KmsError> {
        if wrapped.kek_id() != self.kek_id {
            return Err(KmsError::OtherKek);
        }
        let sensible = (1..=TOO_LONG).contains(&wrapped.blob().len());
        if wrapped.binding() == Binding::Native && wrapped.algorithm().is_empty() && sensible {
            Ok(())
        } else {
            Err(KmsError::Refused)
        }
    }

    /// An answer under another key is none to this question.
    fn same_key(&self, answered: Option<&str>) -> Result<(), KmsError> {
        match answered {
            Some(arn) if open::kek_id(arn) == self.kek_id => Ok(()),
            _ => Err(KmsError::Corrupt),
        }
    }
}

impl Kms for AwsKms {
    fn kek_id(&self) -> &str {
        &self.kek_id
    }

    /// Versions are named by what [`generate`](Kms::generate) and [`rewrap`](Kms::rewrap) answer, not by `wrap_dek`.
    fn capabilities(&self) -> Capabilities {
        Capabilities::new(ContextBinding::Native).with_server_generate().with_server_rewrap().with_admin()
    }

    fn wrap_dek<'a>(&'a self, carrier: &'a Carrier, context: &'a WrapContext) -> KmsFuture<'a, Wrapped> {
        Box::pin(self.wrap(carrier, context))
    }

    fn unwrap_dek<'a>(&'a self, wrapped: &'a Wrapped, context: &'a WrapContext) -> KmsFuture<'a, Carrier> {
        Box::pin(self.unwrap(wrapped, context))
    }

    fn generate<'a>(&'a self, context: &'a WrapContext) -> KmsFuture<'a, (Carrier, Wrapped)> {
        Box::pin(self.make(context))
    }

    fn rewrap<'a>(&'a self, wrapped: &'a Wrapped, context: &'a WrapContext) -> KmsFuture<'a, Rewrap> {
        Box::pin(self.move_on(wrapped, context))
    }

    fn status(&self) -> KmsFuture<'_, KekStatus> {
        Box::pin(self.ask())
    }
}

impl fmt::Debug for AwsKms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AwsKms({})", self.arn)
    }
}

async fn describe(client: &Client, key: &str) -> Result<KeyMetadata, KmsError> {
    let answer = client.describe_key().key_id(key).send().await;
    let answer = answer.map_err(|error| failure(error, "describe a key").error)?;
    answer.key_metadata.ok_or(KmsError::Corrupt)
}

/// Why a key in this state does not do what it was asked, where that is known.
fn unusable(state: &KeyState) -> Option<KmsError> {
    Some(match state {
        KeyState::Disabled => KmsError::Disabled,
        KeyState::PendingDeletion | KeyState::PendingReplicaDeletion => KmsError::PendingDestruction,
        KeyState::PendingImport => {
            KmsError::NotReady("import its key material, which it never had or which has expired")
        }
        KeyState::Creating | KeyState::Updating => KmsError::NotReady("wait until AWS has made or changed it"),
        KeyState::Unavailable => KmsError::NotReady("connect the custom key store that it is in"),
        _ => return None,
    })
}

fn status(key: &KeyMetadata) -> KekStatus {
    let state = match key.key_state() {
        Some(KeyState::Enabled) => KekState::Enabled,
        Some(KeyState::Disabled) => KekState::Disabled,
        Some(KeyState::PendingDeletion | KeyState::PendingReplicaDeletion) => KekState::PendingDestruction,
        _ => KekState::Unusable,
    };
    let status = KekStatus::new(state, key.current_key_material_id().map(str::to_owned));
    match key.deletion_date() {
        Some(date) => status.with_destruction(timestamp(date)),
        None => status,
    }
}

/// To the microsecond, which is more than AWS gives.
pub(super) fn timestamp(date: &DateTime) -> Timestamp {
    let micros = date.secs().saturating_mul(1_000_000).saturating_add(i64::from(date.subsec_nanos() / 1_000));
    Timestamp::from_unix_micros(micros)
}

/// Where both name the key material, they must name the same: a relabelled version is refused.
fn same_material(wrapped: &Wrapped, answered: Option<&str>) -> Result<(), KmsError> {
    match answered {
        Some(material) if !wrapped.kek_version().is_empty() && wrapped.kek_version() != material => {
            Err(KmsError::UnknownVersion)
        }
        _ => Ok(()),
    }
}

fn carrier(plaintext: Option<Blob>) -> Option<Carrier> {
    let plaintext = Zeroizing::new(plaintext?.into_inner());
    let bytes: &[u8; 32] = plaintext.as_slice().try_into().ok()?;
    Some(Carrier::from_bytes(Zeroizing::new(*bytes)))
}

fn hex(context: &WrapContext) -> String {
    let mut out = String::with_capacity(64);
    for byte in context.digest() {
        // Writing to a string does not fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_of_a_key_is_told() {
        let states = [
            (KeyState::Enabled, KekState::Enabled),
            (KeyState::Disabled, KekState::Disabled),
            (KeyState::PendingDeletion, KekState::PendingDestruction),
            (KeyState::PendingReplicaDeletion, KekState::PendingDestruction),
            (KeyState::PendingImport, KekState::Unusable),
            (KeyState::Unavailable, KekState::Unusable),
            (KeyState::Creating, KekState::Unusable),
            (KeyState::Updating, KekState::Unusable),
            ("SomethingNew".into(), KekState::Unusable),
        ];
        let why = |state: &KeyState| unusable(state).map(|error| error.kind());
        for (theirs, ours) in states {
            let expected = match &theirs {
                KeyState::Disabled => Some("disabled"),
                KeyState::PendingDeletion | KeyState::PendingReplicaDeletion => Some("pending_destruction"),
                KeyState::PendingImport | KeyState::Unavailable => Some("not_ready"),
                KeyState::Creating | KeyState::Updating => Some("not_ready"),
                _ => None,
            };
            assert_eq!(why(&theirs), expected, "{theirs:?}");
            let key = KeyMetadata::builder().key_id("x").key_state(theirs.clone()).build().unwrap();
            assert_eq!(status(&key).state, ours, "{theirs:?}");
        }
        let date = DateTime::from_secs_and_nanos(1_767_225_600, 5_000);
        let key = KeyMetadata::builder().key_id("x").deletion_date(date).current_key_material_id("m").build().unwrap();
        let status = status(&key);
        assert_eq!(status.destruction, Some(Timestamp::from_unix_micros(1_767_225_600_000_005)));
        assert_eq!(status.version.as_deref(), Some("m"));
    }
}
