//! What each emulator does otherwise than AWS. The table is asserted both ways: a gap that closes is as much a failure as a new one.

use std::sync::Arc;

use aws_sdk_kms::types::{DataKeySpec, KeyUsageType};
use phi_keys::aws::AwsKms;
use phi_keys::{Carrier, Kms, KmsError, conformance};

use super::emulator::{Emulator, here, id_of, swapped};

/// Rules of `conformance::kms`, `conformance::kms_admin`, `conformance::kms_pair` and `deviations` that an emulator breaks.
pub(super) struct Gaps {
    kms: &'static [&'static str],
    admin: &'static [&'static str],
    pair: &'static [&'static str],
    aws: &'static [&'static str],
}

/// moto 5.2.5.
pub(super) const MOTO: Gaps = Gaps {
    // Its ciphertexts begin with the id of the key: altered there, they are answered with `AccessDeniedException`.
    kms: &["altered bytes never unwrap to the carrier, and are refused"],
    // Both calls take a key's id and fail on its ARN.
    admin: &["an enabled KEK can be disabled", "the destruction of an enabled KEK can be scheduled"],
    pair: &[],
    aws: &[
        "CreateKey makes a key for encryption unless told otherwise",
        "GenerateDataKey names the key material",
        "Decrypt with another key says IncorrectKeyException",
        "a replica of a multi-Region key decrypts",
        "a disabled key generates nothing",
        "a disabled key encrypts nothing",
        "a key that will be deleted decrypts nothing",
    ],
};

/// ministack 1.5.33.
pub(super) const MINISTACK: Gaps = Gaps {
    // It has no MAC, so that what was altered decrypts to something else, and no `ReEncrypt`.
    kms: &["altered bytes never unwrap to the carrier, and are refused", "an enabled KEK rewraps what it wrapped"],
    // It has neither `ListKeyRotations` nor `RotateKeyOnDemand`.
    admin: &["an enabled KEK answers"],
    // Without a MAC it does not see that another key encrypted, and gives something else.
    pair: &["a KEK does not open what another one wrapped, under whatever name"],
    aws: &["Decrypt with another key says IncorrectKeyException", "Encrypt takes at most 4096 bytes"],
};

pub(super) async fn assert(emulator: &Emulator, known: Gaps) {
    let rules = |violations: Vec<conformance::Violation>| -> Vec<_> {
        violations.iter().map(conformance::Violation::rule).collect()
    };
    let pair = conformance::kms_pair(Arc::new(emulator.kek().await), Arc::new(emulator.kek().await)).await;
    let found = (
        rules(conformance::kms_violations(&emulator.kek().await).await),
        rules(conformance::kms_admin_violations(&emulator.kek().await).await),
        rules(pair.err().into_iter().collect()),
        deviations(emulator).await,
    );
    assert_eq!(found, (known.kms.to_vec(), known.admin.to_vec(), known.pair.to_vec(), known.aws.to_vec()));
}

/// What AWS does, as its documentation says, and this emulator does not.
async fn deviations(emulator: &Emulator) -> Vec<&'static str> {
    let kms = emulator.kek().await;
    let (carrier, wrapped) = kms.generate(&here()).await.unwrap();
    let mut found = Vec::new();
    let mut check = |holds: bool, rule| {
        if !holds {
            found.push(rule);
        }
    };
    let made = emulator.client.create_key().send().await.unwrap().key_metadata.unwrap();
    check(
        made.key_usage == Some(KeyUsageType::EncryptDecrypt),
        "CreateKey makes a key for encryption unless told otherwise",
    );
    check(!wrapped.kek_version().is_empty(), "GenerateDataKey names the key material");
    check(
        matches!(swapped(emulator).await, Err(KmsError::OtherKek)),
        "Decrypt with another key says IncorrectKeyException",
    );

    let large = emulator.client.encrypt().key_id(kms.arn()).plaintext(vec![0; 4097].into()).send().await;
    check(large.is_err(), "Encrypt takes at most 4096 bytes");
    check(replicates(emulator).await, "a replica of a multi-Region key decrypts");

    emulator.client.disable_key().key_id(id_of(kms.arn())).send().await.unwrap();
    let generated = emulator.client.generate_data_key().key_id(kms.arn()).key_spec(DataKeySpec::Aes256).send().await;
    check(generated.is_err(), "a disabled key generates nothing");
    let refused = kms.wrap_dek(&carrier, &here()).await;
    check(matches!(refused, Err(KmsError::Disabled)), "a disabled key encrypts nothing");
    let call = emulator.client.schedule_key_deletion().key_id(id_of(kms.arn())).pending_window_in_days(7);
    call.send().await.unwrap();
    let refused = kms.unwrap_dek(&wrapped, &here()).await;
    check(matches!(refused, Err(KmsError::PendingDestruction)), "a key that will be deleted decrypts nothing");
    found
}

async fn replicates(emulator: &Emulator) -> bool {
    let call = emulator.client.create_key().key_usage(KeyUsageType::EncryptDecrypt).multi_region(true);
    let arn = call.send().await.unwrap().key_metadata.unwrap().arn.unwrap();
    let primary = AwsKms::open(emulator.client.clone(), &arn).await.unwrap();
    let (carrier, wrapped) = primary.generate(&here()).await.unwrap();
    emulator.client.replicate_key().key_id(id_of(&arn)).replica_region("eu-west-1").send().await.unwrap();
    let replica = AwsKms::open(emulator.in_region("eu-west-1"), &arn.replace("us-east-1", "eu-west-1")).await;
    let Ok(replica) = replica else { return false };
    assert_eq!(replica.kek_id(), primary.kek_id());
    let same = |opened: Carrier| opened.expose() == carrier.expose();
    replica.unwrap_dek(&wrapped, &here()).await.is_ok_and(same)
}
