//! Records by derive: what is sealed, bound and indexed, and what comes back.

use phi_crypto::{ContextError, Field, OpenError, Phi, Record, SubjectId, Transform};

use crate::support::{Clinic, scope, subject};

const OLD: phi_crypto::IndexSpec = phi_crypto::BlindIndex::exact("Visit", "reason", "by_reason", Transform::Exact);

#[derive(Record)]
#[phi(record = "Visit", sealed = StoredVisit, derive(Clone, Debug))]
struct Visit {
    #[phi(id)]
    number: i64,
    #[phi(subject)]
    patient: SubjectId,
    #[phi(seal, index(BY_REASON = Transform::TrimLowercase, replaces = OLD, bits = 64))]
    reason: Phi<String>,
    #[phi(seal, index(BY_PHONE = Transform::e164(1), name = "phone", column = called))]
    #[phi(index(BY_LAST_4 = Transform::LastDigits(4), column = phone_last_4))]
    phone: Option<Phi<String>>,
    #[phi(seal)]
    picture: Phi<Vec<u8>>,
    #[phi(clear)]
    r#type: String,
}

#[derive(Record)]
#[phi(record = "Bed", group = "ward 7")]
struct Bed {
    #[phi(id)]
    id: String,
    #[phi(seal)]
    occupant: Phi<String>,
}

fn visit() -> Visit {
    Visit {
        number: 12,
        patient: subject("ada"),
        reason: Phi::new(" Fever".to_owned()),
        phone: Some(Phi::new("(617) 555-0123".to_owned())),
        picture: Phi::new(vec![1, 2, 3]),
        r#type: "acute".to_owned(),
    }
}

#[tokio::test]
async fn a_record_is_sealed_field_by_field_and_opens_whole() {
    let clinic = Clinic::new().await;
    let visit = visit();
    let indexes = Visit::open_indexes(&clinic.keys).await.unwrap();
    let stored = visit.seal(&clinic.sealer.for_scope(&visit.scope()).await.unwrap(), &indexes).unwrap();
    assert_eq!((stored.number, stored.r#type.as_str(), stored.reason.as_bytes().len()), (12, "acute", 57 + 6));
    assert_eq!(Some(stored.reason_tag.unwrap()), indexes.by_reason.tag("fever").unwrap());
    assert_eq!((stored.reason_tag.unwrap().version(), stored.reason_tag.unwrap().as_bytes().len()), (2, 9));
    assert_eq!(stored.called, indexes.by_phone.tag("+16175550123").unwrap());
    assert_eq!(stored.phone_last_4, indexes.by_last_4.tag("0123").unwrap());
    assert_eq!(Visit::sealed_scope(&stored), scope("ada"));
    assert_eq!(Visit::kids(&stored).len(), 3);
    assert!(!format!("{stored:?}").contains("Fever"));

    let opener = clinic.opener.for_kids(&Visit::sealed_scope(&stored), Visit::kids(&stored)).await.unwrap();
    let opened = Visit::open(&stored, &opener).unwrap();
    assert_eq!((opened.reason.expose().as_str(), opened.picture.expose().as_slice()), (" Fever", &[1, 2, 3][..]));
    assert_eq!(opened.phone.unwrap().expose(), "(617) 555-0123");
    assert_eq!(opener.open(&stored.reason, &Visit::REASON.record_id(12_i64)).unwrap().expose(), " Fever");

    let absent = Visit { phone: None, ..self::visit() };
    let stored = absent.seal(&clinic.sealer("ada").await, &indexes).unwrap();
    assert!(stored.phone.is_none() && stored.called.is_none() && stored.phone_last_4.is_none());
    assert!(Visit::open(&stored, &opener).unwrap().phone.is_none());
}

#[tokio::test]
async fn a_record_is_bound_to_its_id_and_its_patient() {
    let clinic = Clinic::new().await;
    let indexes = Visit::open_indexes(&clinic.keys).await.unwrap();
    let stored = visit().seal(&clinic.sealer("ada").await, &indexes).unwrap();
    let opener = clinic.opener("ada").await;

    let moved = StoredVisit { number: 13, ..stored.clone() };
    let error = Visit::open(&moved, &opener).err().unwrap();
    assert_eq!((error.field(), error.as_open()), (Visit::REASON, Some(&OpenError::Refused)));
    assert_eq!(error.to_string(), "the field Visit.reason could not be opened");

    let swapped = StoredVisit { phone: Some(stored.reason.clone()), ..stored.clone() };
    assert_eq!(Visit::open(&swapped, &opener).err().unwrap().field(), Visit::PHONE);

    let of_grace = StoredVisit { patient: subject("grace"), ..stored };
    let error = Visit::open(&of_grace, &opener).err().unwrap();
    assert_eq!(error.as_open(), Some(&OpenError::Context(ContextError::OtherSubject)));
    let error = visit().seal(&clinic.sealer("grace").await, &indexes).err().unwrap();
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("context"), "{error:?}");
}

#[tokio::test]
async fn a_record_of_a_group_is_sealed_by_the_groups_key() {
    let clinic = Clinic::new().await;
    let bed = Bed { id: "b-1".to_owned(), occupant: Phi::new("Ada".to_owned()) };
    let sealer = clinic.sealer.for_scope(&bed.scope()).await.unwrap();
    let stored = bed.seal(&sealer, &Bed::open_indexes(&clinic.keys).await.unwrap()).unwrap();
    assert_eq!(stored.occupant.kid(), sealer.kid());
    let opener = clinic.opener.for_scope(&Bed::sealed_scope(&stored)).await.unwrap();
    assert_eq!(Bed::open(&stored, &opener).unwrap().occupant.expose(), "Ada");
}

#[test]
fn names_of_a_record_are_constants() {
    assert_eq!((Visit::RECORD_TYPE, Bed::RECORD_TYPE), ("Visit", "Bed"));
    assert_eq!(Visit::FIELDS, ["reason", "phone", "picture"]);
    let columns = ["number", "patient", "reason", "reason_tag", "phone", "called", "phone_last_4", "picture", "type"];
    assert_eq!(Visit::COLUMNS, columns);
    assert_eq!(
        Visit::INDEXES.iter().map(|index| index.name()).collect::<Vec<_>>(),
        ["by_reason", "phone", "by_last_4"]
    );
    const REASON: Field = Visit::REASON;
    assert_eq!((REASON.record_type(), REASON.name()), ("Visit", "reason"));
    assert_eq!(Bed::INDEXES, []);
}
