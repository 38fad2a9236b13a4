//! An emulator of AWS KMS, and what has to hold on both of them.

use std::collections::HashMap;
use std::sync::Arc;

use aws_sdk_kms::Client;
use aws_sdk_kms::config::{BehaviorVersion, Config, Credentials, Region};
use aws_sdk_kms::types::{KeySpec, KeyUsageType};
use phi_keys::aws::AwsKms;
use phi_keys::{Binding, Carrier, Error, KeyStore, Keys, Kms, KmsError, MemoryKeyStore, Slot, WrapContext, Wrapped};

use crate::support::patient;

pub(super) fn here() -> WrapContext {
    WrapContext::from_digest([0xab; 32])
}

pub(super) fn there() -> WrapContext {
    WrapContext::from_digest([0xcd; 32])
}

pub(super) fn client(url: &str, region: &'static str) -> Client {
    let configuration = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region))
        .credentials_provider(Credentials::new("test", "test/secret", None, None, "test"))
        .http_client(AwsKms::https_client())
        .endpoint_url(url);
    Client::from_conf(configuration.build())
}

pub(super) struct Emulator {
    url: String,
    pub(super) client: Client,
}

impl Emulator {
    /// The emulator called `component` that `variable` names; `None` without one.
    pub(super) fn named(component: &str, variable: &str) -> Option<Self> {
        let url = crate::component::given(component, variable)?;
        Some(Self { client: client(&url, "us-east-1"), url })
    }

    #[cfg(feature = "test-util")]
    pub(super) fn in_region(&self, region: &'static str) -> Client {
        client(&self.url, region)
    }

    /// The ARN of a new key.
    pub(super) async fn arn(&self) -> String {
        let call = self.client.create_key().key_usage(KeyUsageType::EncryptDecrypt);
        call.send().await.unwrap().key_metadata.unwrap().arn.unwrap()
    }

    pub(super) async fn kek(&self) -> AwsKms {
        AwsKms::open(self.client.clone(), &self.arn().await).await.unwrap()
    }
}

/// The key's id alone, for the calls in which moto takes no ARN.
pub(super) fn id_of(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap()
}

/// What is wrapped under `kek_id` and `version` instead.
pub(super) fn relabelled(wrapped: &Wrapped, kek_id: &str, version: &str) -> Wrapped {
    Wrapped::new(kek_id, version, wrapped.binding(), wrapped.blob().to_vec()).unwrap()
}

pub(super) async fn a_store_is_opened_again(emulator: &Emulator) {
    let kms = emulator.kek().await;
    let store = Arc::new(MemoryKeyStore::new());
    let keys = Keys::builder(Arc::clone(&store)).kek(kms.clone()).build().await.unwrap();
    let (fingerprint, kid) = (keys.fingerprint(), keys.data_key(&patient("a")).await.unwrap().kid());
    let again = AwsKms::open(emulator.client.clone(), kms.arn()).await.unwrap();
    let keys = Keys::builder(store).kek(again).fingerprint(fingerprint).build().await.unwrap();
    assert_eq!(keys.data_key(&patient("a")).await.unwrap().kid(), kid);
}

pub(super) async fn a_wrong_context_or_binding_is_refused(emulator: &Emulator) {
    let kms = emulator.kek().await;
    let (carrier, generated) = kms.generate(&here()).await.unwrap();
    let wrapped = kms.wrap_dek(&carrier, &here()).await.unwrap();
    for wrapped in [generated, wrapped] {
        assert_eq!(kms.unwrap_dek(&wrapped, &here()).await.unwrap().expose(), carrier.expose());
        assert!(matches!(kms.unwrap_dek(&wrapped, &there()).await, Err(KmsError::Refused)));
        let blob = wrapped.blob().to_vec();
        let stripped = Wrapped::new(kms.kek_id(), wrapped.kek_version(), Binding::Derivation, blob).unwrap();
        assert!(matches!(kms.unwrap_dek(&stripped, &here()).await, Err(KmsError::Refused)));
        for length in [0, 7_000] {
            let odd = Wrapped::new(kms.kek_id(), "", Binding::Native, vec![1; length]).unwrap();
            assert!(matches!(kms.unwrap_dek(&odd, &here()).await, Err(KmsError::Refused)), "{length} bytes");
        }
    }
    // The bytes that any other program with this key and context wraps are no carrier unless they are 32.
    let call = emulator.client.encrypt().key_id(kms.arn()).plaintext(vec![7; 31].into());
    let short = call.set_encryption_context(Some(context_of(&here()))).send().await.unwrap();
    let blob = short.ciphertext_blob.unwrap().into_inner();
    let short = Wrapped::new(kms.kek_id(), "", Binding::Native, blob).unwrap();
    assert!(matches!(kms.unwrap_dek(&short, &here()).await, Err(KmsError::Refused)));
}

fn context_of(context: &WrapContext) -> HashMap<String, String> {
    let digest = context.digest().iter().map(|byte| format!("{byte:02x}")).collect();
    [("phi-context".to_owned(), digest)].into()
}

pub(super) async fn an_alias_is_resolved_once(emulator: &Emulator, alias: &str) {
    let (first, second) = (emulator.arn().await, emulator.arn().await);
    emulator.client.create_alias().alias_name(alias).target_key_id(&first).send().await.unwrap();
    let kms = AwsKms::open(emulator.client.clone(), alias).await.unwrap();
    let store = Arc::new(MemoryKeyStore::new());
    let keys = Keys::builder(Arc::clone(&store)).kek(kms.clone()).build().await.unwrap();
    assert_eq!((kms.arn(), kms.kek_id()), (first.as_str(), format!("aws-kms:{first}").as_str()));
    let (carrier, wrapped) = kms.generate(&here()).await.unwrap();

    emulator.client.update_alias().alias_name(alias).target_key_id(&second).send().await.unwrap();
    assert_eq!(kms.unwrap_dek(&wrapped, &here()).await.unwrap().expose(), carrier.expose());
    let moved = AwsKms::open(emulator.client.clone(), alias).await.unwrap();
    assert_eq!(moved.arn(), second);
    assert!(matches!(moved.unwrap_dek(&wrapped, &here()).await, Err(KmsError::OtherKek)));
    // A store is neither opened nor made anew under the other key, and the error says what to do.
    let opened = Keys::builder(Arc::clone(&store)).kek(moved).fingerprint(keys.fingerprint()).build().await;
    let error = opened.unwrap_err();
    assert!(matches!(error, Error::NoKek), "{error:?}");
    assert!(error.to_string().contains("add the KMS or keyring that made this store"), "{error}");
    let rows = store.domain_rows().await.unwrap();
    assert!(matches!(rows.as_slice(), [root] if root.slot == Slot::root()), "nothing was written");
}

pub(super) async fn what_cannot_be_a_kek_says_so(emulator: &Emulator) {
    let open = async |key: &str| AwsKms::open(emulator.client.clone(), key).await.map_err(|error| error.kind());
    let nobody = "arn:aws:kms:us-east-1:000000000000:key/00000000-0000-0000-0000-000000000000";
    assert_eq!(open(nobody).await.unwrap_err(), "not_found");
    assert_eq!(open("alias/nobody").await.unwrap_err(), "not_found");
    let call = emulator.client.create_key().key_spec(KeySpec::Rsa2048).key_usage(KeyUsageType::SignVerify);
    let signing = call.send().await.unwrap().key_metadata.unwrap().arn.unwrap();
    assert_eq!(open(&signing).await.unwrap_err(), "misconfigured");
}

pub(super) async fn a_key_that_is_not_enabled_is_named_for_it(emulator: &Emulator) {
    let kms = emulator.kek().await;
    emulator.client.disable_key().key_id(id_of(kms.arn())).send().await.unwrap();
    let status = kms.status().await.unwrap();
    assert_eq!(status.state, phi_keys::KekState::Disabled);
    emulator.client.schedule_key_deletion().key_id(id_of(kms.arn())).pending_window_in_days(7).send().await.unwrap();
    let status = kms.status().await.unwrap();
    assert_eq!(status.state, phi_keys::KekState::PendingDestruction);
    assert!(status.destruction.is_some());
}

/// What the bytes of one key are to another.
pub(super) async fn swapped(emulator: &Emulator) -> Result<Carrier, KmsError> {
    let (one, other) = (emulator.kek().await, emulator.kek().await);
    let (_, wrapped) = one.generate(&here()).await.unwrap();
    assert!(matches!(other.unwrap_dek(&wrapped, &here()).await, Err(KmsError::OtherKek)));
    other.unwrap_dek(&relabelled(&wrapped, other.kek_id(), ""), &here()).await
}

/// Everything that KEKs in it show under a store, one and two.
#[cfg(feature = "test-util")]
pub(super) async fn keys_conform(emulator: &Emulator) {
    use std::sync::Arc;

    crate::conformance::keys_under(Arc::new(emulator.kek().await)).await;
    // Two of them as a pair: in the table of gaps.
    let keks = [emulator.kek().await, emulator.kek().await].map(|kek| Arc::new(kek) as Arc<dyn Kms>);
    phi_keys::conformance::forgeries(|| async { MemoryKeyStore::new() }, keks).await.unwrap();
}
