//! The AWS Encryption SDK without AWS: a raw AES keyring, the default commitment policy, and two of its algorithm suites.

use std::collections::HashMap;
use std::marker::PhantomData;

use aws_esdk::Client;
use aws_esdk::material_providers::client::Client as Materials;
use aws_esdk::material_providers::types::keyring::KeyringRef;
use aws_esdk::material_providers::types::material_providers_config::MaterialProvidersConfig;
use aws_esdk::material_providers::types::{AesWrappingAlg, EsdkAlgorithmSuiteId};
use aws_esdk::types::aws_encryption_sdk_config::AwsEncryptionSdkConfig;
use tokio::runtime::Runtime;

use super::Peer;
use crate::Result;
use crate::crypto::ours;

/// One of its algorithm suites.
pub(super) trait Suite {
    const ID: EsdkAlgorithmSuiteId;
    const NAME: &'static str;
    const NOTES: &'static str;
}

/// Suite 0x0478.
pub(super) struct Committing;

impl Suite for Committing {
    const ID: EsdkAlgorithmSuiteId = EsdkAlgorithmSuiteId::AlgAes256GcmHkdfSha512CommitKey;
    const NAME: &'static str = "aws-esdk 0478";
    const NOTES: &'static str = "raw AES keyring, no network; binds the context and stores it, commits to its key, does \
                                 not stream; a fresh random key for each value";
}

/// Suite 0x0578, the default.
pub(super) struct Signing;

impl Suite for Signing {
    const ID: EsdkAlgorithmSuiteId = EsdkAlgorithmSuiteId::AlgAes256GcmHkdfSha512CommitKeyEcdsaP384;
    const NAME: &'static str = "aws-esdk 0578";
    const NOTES: &'static str = "as 0478, and signed by a fresh ECDSA P-384 key: its default";
}

pub(super) struct Esdk<S> {
    runtime: Runtime,
    client: Client,
    keyring: KeyringRef,
    context: HashMap<String, String>,
    suite: PhantomData<S>,
}

impl<S: Suite> Esdk<S> {
    pub(super) fn new() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let client = Client::from_conf(AwsEncryptionSdkConfig::builder().build()?)?;
        let materials = Materials::from_conf(MaterialProvidersConfig::builder().build()?)?;
        let keyring = materials.create_raw_aes_keyring().key_name("kek").key_namespace("clinic");
        let keyring = keyring.wrapping_key(vec![7; 32]).wrapping_alg(AesWrappingAlg::AlgAes256GcmIv12Tag16);
        let keyring = runtime.block_on(keyring.send())?;
        let pairs = [("tenant", "clinic"), ("type", "Patient"), ("field", "name"), ("record", "7431")];
        let pairs = pairs.into_iter().chain([("patient", ours::PATIENT)]);
        let context = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        Ok(Self { runtime, client, keyring, context, suite: PhantomData })
    }
}

impl<S: Suite> Peer for Esdk<S> {
    const NAME: &'static str = S::NAME;
    const PACKAGE: &'static str = "aws-esdk";
    const NOTES: &'static str = S::NOTES;

    type Stored = Vec<u8>;

    fn seal(&self, plaintext: &[u8]) -> Vec<u8> {
        let call = self.client.encrypt().plaintext(plaintext).keyring(self.keyring.clone());
        let call = call.encryption_context(self.context.clone()).algorithm_suite_id(S::ID);
        let sealed = self.runtime.block_on(call.send()).expect("a raw keyring needs nobody");
        sealed.ciphertext.expect("a ciphertext").into_inner()
    }

    fn open(&self, stored: &Vec<u8>) -> Vec<u8> {
        let call = self.client.decrypt().ciphertext(stored.as_slice()).keyring(self.keyring.clone());
        let opened = self.runtime.block_on(call.encryption_context(self.context.clone()).send());
        opened.expect("what was sealed opens").plaintext.expect("a plaintext").into_inner()
    }
}
