//! What was altered, moved or never sealed is refused, and the refusal says no more than it may.

use phi_crypto::{Context, ContextError, FormatError, OpenError, Sealed};
use phi_keys::derive::Label;
use phi_keys::f1::{self, MessageKey, Nonce};
use phi_types::SubjectId;

use crate::support::{Clinic, scope, subject};

fn full(subject: &SubjectId) -> Context<'_> {
    Context::new("Patient", "name")
        .record_id("7431")
        .tenant("clinic")
        .subject(subject)
        .row_version(3)
        .pair("visit", "v-9")
}

#[tokio::test]
async fn every_flipped_bit_of_a_sealed_field_is_refused() {
    let clinic = Clinic::new().await;
    let (sealer, ada) = (clinic.sealer("ada").await, subject("ada"));
    let sealed = sealer.seal(&[0x5a; 64], &full(&ada)).unwrap().into_bytes();
    let opener = clinic.opener("ada").await;
    let mut refused = [0; 3];
    for bit in 0..sealed.len() * 8 {
        let mut altered = sealed.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        let mut out = b"before".to_vec();
        let why = match opener.open_into(&altered, &full(&ada), &mut out).unwrap_err() {
            OpenError::NotSealed(_) => 0,
            OpenError::UnknownKey { .. } => 1,
            OpenError::Refused => 2,
            other => panic!("bit {bit}: {other:?}"),
        };
        refused[why] += 1;
        assert_eq!(out, b"before", "bit {bit}");
    }
    // 7 bits of the suite, 128 of the kid, and the rest, by which no two bits can be told apart. One of the suite's bits
    // leads to the same cipher with padding.
    assert_eq!(refused, [7, 128, (sealed.len() - 17) * 8 + 1]);
    opener.open_into(&sealed, &full(&ada), &mut Vec::new()).unwrap();
}

#[test]
fn every_flipped_bit_of_a_context_is_refused() {
    let ada = subject("ada");
    let aad = full(&ada).to_aad().unwrap();
    let key = MessageKey::derive(&[7; 32], Label::FIELD, phi_crypto::Suite::Aes256Gcm, [3; 12]);
    let sealed = key.seal(Nonce::random().unwrap(), &aad, &[0x5a; 64]).unwrap();
    let parts = f1::parse(&sealed).unwrap();
    for bit in 0..aad.len() * 8 {
        let mut altered = aad.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert!(key.open(&parts, &altered).is_err(), "bit {bit}");
    }
    assert!(key.open(&parts, &aad).is_ok());
}

#[tokio::test]
async fn every_element_of_the_context_counts() {
    let clinic = Clinic::new().await;
    let (sealer, opener, ada) = (clinic.sealer("ada").await, clinic.opener("ada").await, subject("ada"));
    let here = || Context::new("Patient", "name").record_id("7431").row_version(3).pair("visit", "v-9");
    let sealed = sealer.seal("Ada", &here()).unwrap();
    // The scope fills in what the context leaves out.
    opener.open(&sealed, &here().tenant("clinic").subject(&ada)).unwrap();
    for elsewhere in [
        Context::new("Person", "name").record_id("7431").row_version(3).pair("visit", "v-9"),
        Context::new("Patient", "nam").record_id("7431").row_version(3).pair("visit", "v-9"),
        Context::new("Patient", "name").without_record().row_version(3).pair("visit", "v-9"),
        Context::new("Patient", "name").record_id("7432").row_version(3).pair("visit", "v-9"),
        Context::new("Patient", "name").record_id("7431").pair("visit", "v-9"),
        Context::new("Patient", "name").record_id("7431").row_version(2).pair("visit", "v-9"),
        Context::new("Patient", "name").record_id("7431").row_version(3),
        Context::new("Patient", "name").record_id("7431").row_version(3).pair("visit", ""),
        Context::new("Patient", "name").record_id("7431").row_version(3).pair("visi", "tv-9"),
        here().pair("", ""),
    ] {
        assert_eq!(opener.open(&sealed, &elsewhere), Err(OpenError::Refused), "{elsewhere:?}");
    }
    let grace = subject("grace");
    for (elsewhere, why) in
        [(here().tenant("other"), ContextError::OtherTenant), (here().subject(&grace), ContextError::OtherSubject)]
    {
        assert_eq!(opener.open(&sealed, &elsewhere), Err(OpenError::Context(why)));
        assert!(sealer.seal("Ada", &elsewhere).is_err());
    }
}

#[tokio::test]
async fn every_length_up_to_64_bytes_is_refused_as_a_sealed_value() {
    let clinic = Clinic::new().await;
    let sealer = clinic.sealer("ada").await;
    let opener = clinic.opener("ada").await;
    let place = Context::new("Patient", "name").without_record();
    let sealed = sealer.seal(&[0x5a; 64], &place).unwrap().into_bytes();
    for length in 0..=64 {
        for bytes in [vec![0; length], vec![1; length], vec![0xff; length], sealed[..length].to_vec()] {
            let error = opener.open_into(&bytes, &place, &mut Vec::new()).unwrap_err();
            let is_sealed = length >= 57 && bytes[0] == 1;
            assert_eq!(!is_sealed, error == OpenError::NotSealed(FormatError::NotSealed), "{length} {error:?}");
            assert_eq!(Sealed::<String>::from_bytes(bytes).is_ok(), is_sealed);
        }
    }
}

#[tokio::test]
async fn another_subjects_key_is_not_had_by_naming_it() {
    let clinic = Clinic::new().await;
    let place = Context::new("Patient", "name").without_record();
    let of_ada = clinic.sealer("ada").await.seal("Ada", &place).unwrap();
    let of_grace = clinic.sealer("grace").await.seal("Grace", &place).unwrap();
    let mut opener = clinic.opener("ada").await;

    let error = opener.open(&of_grace, &place).unwrap_err();
    assert!(matches!(error, OpenError::UnknownKey { kid, .. } if kid == of_grace.kid()));
    assert!(matches!(opener.prefetch([of_grace.kid()]).await, Err(phi_keys::Error::WrongScope)));
    let named = clinic.opener.for_kids(&scope("ada"), [of_grace.kid()]).await;
    assert!(matches!(named, Err(phi_keys::Error::WrongScope)));

    // A value moved under the other subject's kid does not open either.
    let mut moved = of_grace.into_bytes();
    moved[1..17].copy_from_slice(of_ada.kid().as_bytes());
    assert_eq!(opener.open_into(&moved, &place, &mut Vec::new()), Err(OpenError::Refused));
}

#[tokio::test]
async fn a_kid_that_no_key_has_is_unknown() {
    let clinic = Clinic::new().await;
    let kid = phi_keys::KeyId::from_bytes([9; 16]);
    let named = clinic.opener.for_kids(&scope("ada"), [kid]).await;
    assert!(matches!(named, Err(phi_keys::Error::UnknownKey)));
}

#[tokio::test]
async fn what_the_cipher_refuses_is_refused_without_a_reason() {
    let clinic = Clinic::new().await;
    let place = Context::new("Patient", "name").without_record();
    let sealed = clinic.sealer("ada").await.seal("Ada", &place).unwrap().into_bytes();
    let opener = clinic.opener("ada").await;
    let mut messages = std::collections::BTreeSet::new();
    for (cut, flip, context) in [
        (0, Some(20), place.clone()),
        (0, Some(30), place.clone()),
        (0, Some(45), place.clone()),
        (0, Some(sealed.len() - 1), place.clone()),
        (1, None, place.clone()),
        (0, None, place.clone().row_version(1)),
    ] {
        let mut altered = sealed[..sealed.len() - cut].to_vec();
        if let Some(at) = flip {
            altered[at] ^= 1;
        }
        let error = opener.open_into(&altered, &context, &mut Vec::new()).unwrap_err();
        assert!(std::error::Error::source(&error).is_none());
        messages.insert(format!("{error} {error:?}"));
    }
    assert_eq!(messages.len(), 1, "{messages:?}");
}

#[tokio::test]
async fn a_value_of_another_type_is_an_error_without_the_value() {
    let clinic = Clinic::new().await;
    let place = Context::new("Patient", "name").without_record();
    let sealed = clinic.sealer("ada").await.seal(b"\xff\xfesecret", &place).unwrap();
    let as_text = Sealed::<String>::from_bytes(sealed.into_bytes()).unwrap();
    let error = clinic.opener("ada").await.open(&as_text, &place).unwrap_err();
    assert!(matches!(error, OpenError::Decode(_)));
    assert!(!format!("{error} {error:?}").contains("secret"));
}

#[tokio::test]
async fn what_exceeds_64_mib_is_refused_before_anything_is_written() {
    let clinic = Clinic::new().await;
    let sealer = clinic.sealer("ada").await;
    let long = vec![0; (64 << 20) + 1];
    let place = Context::new("Patient", "scan").without_record();
    let mut out = Vec::new();
    assert_eq!(sealer.seal_into(&long, &place, &mut out), Err(phi_crypto::SealError::TooLarge));
    assert_eq!(out.capacity(), 0);
    assert_eq!(sealer.seal_many(&[(&long, place)]), Err(phi_crypto::SealError::TooLarge));
}

#[test]
fn only_the_canonical_text_is_read() {
    let key = MessageKey::derive(&[7; 32], Label::FIELD, phi_crypto::Suite::Aes256Gcm, [3; 12]);
    for length in 0..3 {
        let bytes = key.seal(Nonce::random().unwrap(), b"", &vec![1; length]).unwrap();
        let sealed = Sealed::<Vec<u8>>::from_bytes(bytes).unwrap();
        let text = sealed.to_text();
        assert_eq!(Sealed::from_text(&text), Ok(sealed));
        for wrong in [format!("{text}="), format!("{text} "), format!(" {text}"), text.replace("phi1.", "PHI1.")] {
            assert!(Sealed::<Vec<u8>>::from_text(&wrong).is_err(), "{wrong}");
        }
    }
}
