//! Contexts as bytes.

use super::*;
use crate::aad::{AadBuf, ScopeAad, TenantAad};

#[test]
fn every_element_given_twice_is_an_error() {
    let ada = SubjectId::new("ada").unwrap();
    let once = || Context::new("Patient", "name").without_record();
    for (context, element) in [
        (once().tenant("a").tenant("a"), "tenant"),
        (once().record_id("1").record_id("1"), "record id"),
        (once().subject(&ada).subject(&ada), "subject"),
        (once().row_version(1).row_version(1), "row version"),
        (once().pair("k", "1").pair("j", "1").pair("k", "2"), "pair"),
    ] {
        assert_eq!(context.to_aad(), Err(ContextError::Repeated { element }));
    }
}

#[test]
fn ids_of_one_text_are_one_id() {
    for (id, text) in [
        (RecordId::from(0_i64), "0"),
        (RecordId::from(-1_i64), "-1"),
        (RecordId::from(i64::MIN), "-9223372036854775808"),
        (RecordId::from(0_u64), "0"),
        (RecordId::from(u64::MAX), "18446744073709551615"),
        (RecordId::uuid([0xaf; 16]), "afafafaf-afaf-afaf-afaf-afafafafafaf"),
    ] {
        assert_eq!(id, RecordId::from(text));
        assert_ne!(id, RecordId::from("1"));
        assert_eq!(Context::new("P", "f").record_id(id).to_aad(), Context::new("P", "f").record_id(text).to_aad());
    }
}

#[test]
fn absent_is_not_empty() {
    let absent = Context::new("Patient", "name").without_record().to_aad().unwrap();
    let empty = Context::new("Patient", "name").record_id("").to_aad().unwrap();
    assert_ne!(absent, empty);
}

#[test]
fn pairs_are_sorted_by_key_bytes_and_framed() {
    let one = Context::new("P", "f").without_record().pair("b", "2").pair("a", "1");
    let other = Context::new("P", "f").without_record().pair("a", "1").pair("b", "2");
    assert_eq!(one.to_aad(), other.to_aad());
    let shifted = Context::new("P", "f").without_record().pair("a1", "").pair("b", "2");
    assert_ne!(other.to_aad(), shifted.to_aad());
}

#[test]
fn the_layout_is_the_specified_one() {
    let ada = SubjectId::new("ada").unwrap();
    let aad = Context::new("P", "f").record_id(-7_i64).tenant("t").subject(&ada).row_version(258).pair("k", "v");
    let expected = [
        &b"phi/aad/v1"[..],
        &[7],
        &[1, 0, 0, 0, 1],
        b"t",
        &[2, 0, 0, 0, 1],
        b"P",
        &[3, 0, 0, 0, 1],
        b"f",
        &[4, 0, 0, 0, 2],
        b"-7",
        &[5, 0, 0, 0, 3],
        b"ada",
        &[6, 0, 0, 0, 8],
        &[0, 0, 0, 0, 0, 0, 1, 2],
        &[7, 0, 0, 0, 6],
        &[0, 0, 0, 1],
        b"kv",
    ]
    .concat();
    assert_eq!(aad.to_aad().unwrap(), expected);
}

#[test]
fn two_hundred_and_fifty_six_elements_are_one_too_many() {
    let keys: Vec<String> = (0..254).map(|i| format!("{i:03}")).collect();
    let mut context = Context::new("P", "f").without_record();
    for key in keys.iter().take(253) {
        context = context.pair(key, "");
    }
    assert_eq!(context.to_aad().map(|aad| aad[10]), Ok(255));
    assert_eq!(context.pair(&keys[253], "").to_aad(), Err(ContextError::TooMany));
}

/// The shorter the names, the more fits into a buffer in a wrong place.
#[test]
fn a_context_of_short_names_says_the_same_once_its_beginning_is_known() {
    let ada = SubjectId::new("ada").unwrap();
    for (field, subject) in
        [Field::new("", ""), Field::new("P", "f")].into_iter().flat_map(|field| [(field, None), (field, Some(&ada))])
    {
        let scope = ScopeAad::new(&TenantAad::new(None), subject);
        for id in [RecordId::from(7_u64), 7_431_u64.into(), 99_999_999_u64.into(), "7".into(), "7431".into()] {
            let context = field.record_id(id);
            let named = subject.map_or(context.clone(), |subject| context.clone().subject(subject));
            for _ in 0..2 {
                assert_eq!(scope.write(&context, &mut AadBuf::new()).map(<[u8]>::to_vec), named.to_aad());
            }
        }
    }
}

#[test]
fn the_scope_completes_a_context_and_is_not_overruled() {
    let (ada, grace) = (SubjectId::new("ada").unwrap(), SubjectId::new("grace").unwrap());
    let within = |context: &Context<'_>, subject| {
        ScopeAad::new(&TenantAad::new(Some("clinic")), subject).write(context, &mut AadBuf::new()).map(<[u8]>::to_vec)
    };
    let bare = Context::new("P", "f").without_record();
    let full = bare.clone().tenant("clinic").subject(&ada);
    assert_eq!(within(&bare, Some(&ada)), full.to_aad());
    assert_eq!(within(&full, Some(&ada)), full.to_aad());
    assert_eq!(within(&full, None), full.to_aad());
    assert_eq!(within(&full, Some(&grace)), Err(ContextError::OtherSubject));
    assert_eq!(within(&bare.tenant("other"), None), Err(ContextError::OtherTenant));
}

#[test]
fn debug_prints_no_id() {
    let ada = SubjectId::new("ada-7431").unwrap();
    let context = Context::new("Patient", "name").record_id("mrn-7431").subject(&ada).pair("visit", "v-7431");
    let text = format!("{context:?} {:?}", RecordId::from("mrn-7431"));
    assert!(!text.contains("7431"), "{text}");
}
