//! Handles die with their leases, and with the subject.

use phi_crypto::{BlindIndex, Context, IndexError, OpenError, SealError, Transform};

use crate::support::{Clinic, LEASE, scope, subject};

const NAME: Context<'static> = Context::new("Patient", "name").without_record();

#[tokio::test]
async fn a_handle_refuses_when_its_lease_is_over() {
    let clinic = Clinic::new().await;
    let (sealer, mut opener) = (clinic.sealer("ada").await, clinic.opener("ada").await);
    let sealed = sealer.seal("Ada", &NAME).unwrap();
    opener.open(&sealed, &NAME).unwrap();
    clinic.clock.advance(LEASE);

    assert!(!sealer.is_live());
    assert_eq!(sealer.seal("Ada", &NAME), Err(SealError::LeaseEnded));
    assert_eq!(sealer.seal_many(&[("Ada", NAME)]), Err(SealError::LeaseEnded));
    assert_eq!(opener.open(&sealed, &NAME), Err(OpenError::LeaseEnded));

    opener.prefetch([sealed.kid()]).await.unwrap();
    assert_eq!(opener.open(&sealed, &NAME).unwrap().expose(), "Ada");
    assert_eq!(clinic.opener("ada").await.open(&sealed, &NAME).unwrap().expose(), "Ada");
}

#[tokio::test]
async fn a_shred_ends_handles_at_once_and_for_good() {
    let clinic = Clinic::new().await;
    let (sealer, opener) = (clinic.sealer("ada").await, clinic.opener("ada").await);
    let sealed = sealer.seal("Ada", &NAME).unwrap();
    let _report = clinic.keys.shred(&subject("ada")).await.unwrap();

    assert_eq!(sealer.seal("Ada", &NAME), Err(SealError::LeaseEnded));
    assert_eq!(opener.open(&sealed, &NAME), Err(OpenError::LeaseEnded));
    assert!(matches!(clinic.sealer.for_scope(&scope("ada")).await, Err(phi_keys::Error::Shredded)));
    assert!(matches!(clinic.opener.for_scope(&scope("ada")).await, Err(phi_keys::Error::Shredded)));
    assert!(clinic.opener.for_kids(&scope("ada"), [sealed.kid()]).await.is_err());
}

#[tokio::test]
async fn an_index_refuses_when_its_lease_is_over() {
    let clinic = Clinic::new().await;
    let spec = BlindIndex::exact("Patient", "ssn", "by_ssn", Transform::Digits);
    let index = spec.open(&clinic.keys).await.unwrap();
    let before = index.tag("078-05-1120").unwrap();
    clinic.clock.advance(LEASE);
    assert!(matches!(index.tag("078-05-1120"), Err(IndexError::LeaseEnded)));
    assert_eq!(spec.open(&clinic.keys).await.unwrap().tag("078051120").unwrap(), before);
}

#[tokio::test]
async fn an_opener_whose_lease_has_ended_opens_nothing_that_another_one_has_opened() {
    let clinic = Clinic::new().await;
    let sealed = clinic.sealer("ada").await.seal("Ada", &NAME).unwrap();
    let (one, other) = (clinic.opener("ada").await, clinic.opener("ada").await);
    // The message key is in the memory that both share from now on, and the second has not needed it yet.
    one.open(&sealed, &NAME).unwrap();
    clinic.clock.advance(LEASE);
    assert_eq!(one.open(&sealed, &NAME).unwrap_err(), OpenError::LeaseEnded);
    assert_eq!(other.open(&sealed, &NAME).unwrap_err(), OpenError::LeaseEnded);
    assert_eq!(other.open_many(&[(&sealed, NAME)])[0].as_ref().unwrap_err(), &OpenError::LeaseEnded);
}
