//! No format of any public type prints what it protects.

use core::fmt::{Debug, Write as _};
use std::error::Error;

use phi_crypto::file::FileHead;
use phi_crypto::{BlindIndex, Context, OpenError, Openable, Plaintext, RecordId, SealError, Transform};

use crate::support::{Clinic, hex, scope, subject};

const SECRET: &str = "Lovelace-7431";

fn chain(error: &dyn Error) -> String {
    let mut text = format!("{error} {error:?} {error:#?}");
    let mut next = error.source();
    while let Some(source) = next {
        write!(text, " {source} {source:?}").unwrap();
        next = source.source();
    }
    text
}

fn all(value: &dyn Debug) -> String {
    format!("{value:?} {value:#?}")
}

#[tokio::test]
async fn neither_values_nor_ids_nor_key_bytes_are_printed() {
    let clinic = Clinic::new().await;
    let patient = subject(SECRET);
    let (sealer, opener) = (clinic.sealer(SECRET).await, clinic.opener(SECRET).await);
    let place = Context::new("Patient", "name").record_id(SECRET).subject(&patient).pair(SECRET, SECRET);
    let sealed = sealer.seal(SECRET, &place).unwrap();
    let name = opener.open(&sealed, &place).unwrap();
    let spec = BlindIndex::exact("Patient", "name", "by_name", Transform::TrimLowercase);
    let index = spec.open(&clinic.keys).await.unwrap();
    let tag = index.tag(SECRET).unwrap().unwrap();

    let mut text = String::new();
    for value in [
        &clinic.sealer as &dyn Debug,
        &clinic.opener,
        &phi_crypto::Sealer::builder(clinic.keys.clone()),
        &phi_crypto::Opener::builder(clinic.keys.clone()),
        &sealer,
        &opener,
        &place,
        &RecordId::from(SECRET),
        &sealed,
        &name,
        &Plaintext::from(SECRET.as_bytes()),
        &spec,
        &index,
        &tag,
    ] {
        text += &all(value);
    }
    #[cfg(feature = "serde")]
    for value in
        [&phi_crypto::Json(SECRET) as &dyn Debug, &phi_crypto::JsonRef(&SECRET), &Some(phi_crypto::Json(SECRET))]
    {
        text += &all(value);
    }

    let mut errors: Vec<Box<dyn Error>> = vec![
        Box::new(opener.open(&sealed, &Context::new("Patient", "name").without_record()).unwrap_err()),
        Box::new(
            opener
                .open(&sealed, &Context::new("Patient", "name").without_record().subject(&subject("other")))
                .unwrap_err(),
        ),
        Box::new(opener.open_into(SECRET.as_bytes(), &place, &mut Vec::new()).unwrap_err()),
        Box::new(sealer.seal(SECRET, &place.clone().pair(SECRET, SECRET)).unwrap_err()),
        Box::new(phi_crypto::Sealed::<String>::from_text(SECRET).unwrap_err()),
        Box::new(String::from_plaintext([SECRET.as_bytes(), &[0xff]].concat().into()).unwrap_err()),
        Box::new(
            clinic.opener("other").await.open(&sealed, &Context::new("Patient", "name").without_record()).unwrap_err(),
        ),
    ];
    let _report = clinic.keys.shred(&patient).await.unwrap();
    errors.push(Box::new(opener.open(&sealed, &place).unwrap_err()));
    errors.push(Box::new(sealer.seal(SECRET, &place).unwrap_err()));
    errors.push(Box::new(clinic.sealer.for_scope(&scope(SECRET)).await.unwrap_err()));
    for error in &errors {
        text += &chain(&**error);
    }

    for hidden in [SECRET, "7431", &hex(SECRET.as_bytes()), &hex(tag.as_bytes()), &hex(&sealed.as_bytes()[29..])] {
        assert!(!text.contains(hidden), "{hidden} in {text}");
    }
    // `Debug` of byte slices prints decimal lists.
    assert!(!text.contains("76, 111, 118"), "{text}");
}

#[tokio::test]
async fn what_is_printed_says_what_it_is() {
    let clinic = Clinic::new().await;
    let (sealer, opener) = (clinic.sealer(SECRET).await, clinic.opener(SECRET).await);
    let place = Context::new("Patient", "name").record_id(SECRET);
    let sealed = sealer.seal(SECRET, &place).unwrap();
    let file = sealer.file(Vec::new(), &place).unwrap().finish().unwrap();
    let head = FileHead::parse(&file).unwrap();
    let ranges = opener.file_ranges(&head, &place).unwrap();
    let by_name = BlindIndex::exact("Patient", "name", "by_name", Transform::TrimLowercase);
    let by_both = BlindIndex::compound("Patient", "by_both", &[("name", Transform::Exact), ("birth", Transform::Year)]);
    let index = by_name.open(&clinic.keys).await.unwrap();
    let partitioned = by_name.partitioned(4).open(&clinic.keys).await.unwrap();
    let compound = by_both.open(&clinic.keys).await.unwrap();
    let tags = index.search(SECRET).unwrap();
    let kid = head.kid();
    for (value, expected) in [
        (&place as &dyn Debug, "Context(Patient.name)"),
        (&RecordId::from(SECRET), "RecordId([id])"),
        (&Plaintext::from(SECRET.as_bytes()), "Plaintext([PHI])"),
        (&sealed, &format!("Sealed({} bytes)", sealed.as_bytes().len())),
        (&head, &format!("FileHead({kid})")),
        (&ranges, &format!("RangeOpener({kid})")),
        (&index, "BlindIndex(Patient by_name)"),
        (&partitioned, "PartitionedIndex(Patient by_name)"),
        (&compound, "CompoundIndex(Patient by_both)"),
        (&tags, "Tags(1)"),
        (&tags.as_slice()[0], "Tag([tag])"),
    ] {
        assert_eq!(format!("{value:?}"), expected);
    }
    #[cfg(feature = "serde")]
    {
        assert_eq!(format!("{:?}", phi_crypto::Json(SECRET)), "Json([PHI])");
        assert_eq!(format!("{:?}", phi_crypto::JsonRef(&SECRET)), "JsonRef([PHI])");
    }
}

#[test]
fn messages_begin_in_lower_case_and_end_without_a_full_stop() {
    for error in [
        &SealError::TooLarge as &dyn Error,
        &SealError::LeaseEnded,
        &SealError::NoRandomness,
        &SealError::Cipher,
        &OpenError::Refused,
        &OpenError::LeaseEnded,
        &OpenError::NotSealed(phi_crypto::FormatError::NotSealed),
        &phi_crypto::ContextError::TooMany,
        &phi_crypto::ContextError::OtherSubject,
        &phi_crypto::IndexError::LeaseEnded,
        &phi_crypto::IndexError::Key(phi_keys::Error::Shredded),
        &phi_crypto::OpenManyError::Key(phi_keys::Error::Shredded),
        &phi_crypto::OpenManyError::Open(OpenError::Refused),
        &phi_crypto::EncodeError::new(),
        &phi_crypto::DecodeError::new(),
    ] {
        let text = error.to_string();
        assert!(text.starts_with(char::is_lowercase) && !text.ends_with('.'), "{text}");
    }
}

#[test]
fn handles_can_be_shared_between_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<phi_crypto::Sealer>();
    shared::<phi_crypto::ScopedSealer>();
    shared::<phi_crypto::Opener>();
    shared::<phi_crypto::ScopedOpener>();
    shared::<BlindIndex>();
    shared::<phi_crypto::Sealed<std::rc::Rc<()>>>();
    shared::<SealError>();
    shared::<OpenError>();
    shared::<phi_crypto::OpenManyError>();
}
