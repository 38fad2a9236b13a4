//! Different places have different encodings.

use phi_crypto::{Context, RecordId};
use phi_types::SubjectId;
use proptest::prelude::*;

/// Everything a context can name beside its constants.
type Parts = (Option<String>, Option<String>, Option<String>, Option<u64>, std::collections::BTreeMap<String, String>);

fn parts() -> impl Strategy<Value = Parts> {
    (
        proptest::option::of("[a-c]{0,3}"),
        proptest::option::of("[a-c]{0,3}"),
        proptest::option::of("[a-c]{1,3}"),
        proptest::option::of(0_u64..3),
        proptest::collection::btree_map("[a-c]{0,2}", "[a-c]{0,2}", 0..3),
    )
}

fn encode((tenant, id, subject, version, pairs): &Parts) -> Vec<u8> {
    let subject = subject.as_ref().map(|subject| SubjectId::new(subject.clone()).unwrap());
    let mut context = Context::new("P", "f").without_record();
    if let Some(tenant) = tenant {
        context = context.tenant(tenant);
    }
    if let Some(id) = id {
        context = context.record_id(id);
    }
    if let Some(subject) = &subject {
        context = context.subject(subject);
    }
    if let Some(version) = version {
        context = context.row_version(*version);
    }
    pairs.iter().rev().fold(context, |context, (key, value)| context.pair(key, value)).to_aad().unwrap()
}

/// The encoding as the key layer's writer of the same format makes it.
fn encode_by_writer((tenant, id, subject, version, pairs): &Parts) -> Vec<u8> {
    let mut writer = phi_keys::tlv::Writer::new("phi/aad/v1");
    let version = version.map(u64::to_be_bytes);
    for (tag, value) in [
        (1, tenant.as_ref().map(String::as_bytes)),
        (2, Some(&b"P"[..])),
        (3, Some(&b"f"[..])),
        (4, id.as_ref().map(String::as_bytes)),
        (5, subject.as_ref().map(String::as_bytes)),
        (6, version.as_ref().map(|bytes| &bytes[..])),
    ] {
        if let Some(value) = value {
            writer.field(tag, value).unwrap();
        }
    }
    for (key, value) in pairs {
        let length = u32::try_from(key.len()).unwrap().to_be_bytes();
        writer.repeated(7, &[&length, key.as_bytes(), value.as_bytes()]).unwrap();
    }
    writer.finish()
}

proptest! {
    #[test]
    fn two_places_have_one_encoding_only_if_they_are_one(left in parts(), right in parts()) {
        prop_assert_eq!(encode(&left) == encode(&right), left == right);
    }

    #[test]
    fn the_encoding_is_the_familys_one_tlv(parts in parts()) {
        prop_assert_eq!(encode(&parts), encode_by_writer(&parts));
    }

    #[test]
    fn numbers_and_uuids_are_bound_as_their_text(signed: i64, unsigned: u64, uuid: [u8; 16]) {
        let aad = |id: RecordId<'_>| Context::new("P", "f").record_id(id).to_aad().unwrap();
        prop_assert_eq!(aad(signed.into()), aad(signed.to_string().as_str().into()));
        prop_assert_eq!(aad(unsigned.into()), aad(unsigned.to_string().as_str().into()));
        let hex = crate::support::hex(&uuid);
        let text = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-");
        prop_assert_eq!(aad(RecordId::uuid(uuid)), aad(text.as_str().into()));
    }
}
