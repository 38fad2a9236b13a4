//! Batches: what they open and seal is what single calls do, each value has its own result, and threads change nothing.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use phi_crypto::{Context, OpenError, OpenManyError, OpenObserver, Opened, Opener, Phi, Sealed, Sealer};
use phi_keys::Scope;

use crate::support::{Clinic, LEASE, scope};

const NAME: phi_crypto::Field = Context::new("Patient", "name");

fn threads(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

#[tokio::test]
async fn a_batch_opens_in_order_and_one_refusal_leaves_the_others_alone() {
    let clinic = Clinic::new().await;
    let sealer = clinic.sealer("ada").await;
    let values: Vec<String> = (0..2000).map(|i| format!("value {i}")).collect();
    let items: Vec<_> = (0_u64..).zip(&values).map(|(id, value)| (value, NAME.record_id(id))).collect();
    let mut sealed = sealer.seal_many(&items).unwrap();
    let foreign = clinic.sealer("grace").await.seal("of Grace", &NAME.record_id(0_u64)).unwrap();
    let foreign_kid = foreign.kid();
    let mut altered = sealed[100].as_bytes().to_vec();
    *altered.last_mut().unwrap() ^= 1;
    sealed[100] = Sealed::from_bytes(altered).unwrap();
    sealed[200] = foreign;
    sealed.swap(300, 301);

    for count in [1, 3] {
        let opener = Opener::builder(clinic.keys.clone()).threads(threads(count)).build();
        let opener = opener.for_scope(&scope("ada")).await.unwrap();
        let to_open: Vec<_> = (0_u64..).zip(&sealed).map(|(id, sealed)| (sealed, NAME.record_id(id))).collect();
        let opened = opener.open_many(&to_open);
        assert_eq!(opened.len(), values.len());
        for (i, (opened, value)) in opened.iter().zip(&values).enumerate() {
            match i {
                100 | 300 | 301 => assert_eq!(*opened, Err(OpenError::Refused), "{i}"),
                200 => assert!(matches!(opened, Err(OpenError::UnknownKey { kid, .. }) if *kid == foreign_kid)),
                _ => assert_eq!(opened.as_ref().unwrap().expose(), value, "{i}"),
            }
        }
    }
}

/// Values of several patients, in an order in which no two of one patient stand together, with a long one among them.
async fn of_many(clinic: &Clinic, patients: usize, fields: u64) -> Vec<(Scope, Sealed<String>, u64, String)> {
    let mut rows = Vec::new();
    for field in 0..fields {
        for patient in 0..patients {
            let scope = scope(&format!("patient-{patient}"));
            let value = format!("{patient} {field} {}", "x".repeat(usize::try_from(field).unwrap() * 700));
            let sealer = clinic.sealer.for_scope(&scope).await.unwrap();
            if field % 3 == 0 {
                sealer.roll();
            }
            let sealed = sealer.seal(&value, &NAME.record_id(field)).unwrap();
            rows.push((scope, sealed, field, value));
        }
    }
    rows
}

#[tokio::test]
async fn values_of_many_patients_open_whatever_their_order() {
    let clinic = Clinic::new().await;
    let mut rows = of_many(&clinic, 40, 30).await;
    for grouped in [false, true] {
        if grouped {
            rows.sort_by_key(|(_, sealed, ..)| sealed.kid());
        }
        for count in [1, 4] {
            let opener = Opener::builder(clinic.keys.clone()).threads(threads(count)).build();
            let items: Vec<_> =
                rows.iter().map(|(scope, sealed, field, _)| (scope, sealed, NAME.record_id(*field))).collect();
            let opened = opener.open_many(&items).await;
            assert_eq!(opened.len(), rows.len());
            for (opened, (.., value)) in opened.iter().zip(&rows) {
                assert_eq!(opened.as_ref().unwrap().expose(), value);
            }
        }
    }
}

#[tokio::test]
async fn of_many_patients_each_value_has_its_own_reason() {
    let clinic = Clinic::new().await;
    let (ada, grace, gone) = (scope("ada"), scope("grace"), scope("gone"));
    let place = || NAME.record_id(1_u64);
    let seal = async |scope: &Scope| clinic.sealer.for_scope(scope).await.unwrap().seal("value", &place()).unwrap();
    let (of_ada, of_grace, of_gone) = (seal(&ada).await, seal(&grace).await, seal(&gone).await);
    let _report = clinic.keys.shred(&crate::support::subject("gone")).await.unwrap();
    let mut bytes = of_ada.as_bytes().to_vec();
    bytes[1] ^= 1;
    let unknown = Sealed::from_bytes(bytes).unwrap();

    let watch = Watch::default();
    let opener = Opener::builder(clinic.keys.clone()).observer(watch.clone()).build();
    let opened: Vec<Result<Phi<String>, OpenManyError>> = opener
        .open_many(&[
            (&ada, &of_ada, place()),
            (&ada, &of_grace, place()),
            (&grace, &of_grace, NAME.record_id(2_u64)),
            (&gone, &of_gone, place()),
            (&ada, &unknown, place()),
            (&grace, &of_grace, place()),
            (&grace, &of_grace, place().tenant("other")),
        ])
        .await;
    let why: Vec<_> = opened
        .iter()
        .map(|opened| match opened {
            Ok(_) => "opened",
            Err(OpenManyError::Key(phi_keys::Error::WrongScope)) => "wrong scope",
            Err(OpenManyError::Key(phi_keys::Error::Shredded)) => "shredded",
            Err(OpenManyError::Key(phi_keys::Error::UnknownKey)) => "unknown",
            Err(OpenManyError::Open(OpenError::Refused)) => "refused",
            Err(OpenManyError::Open(OpenError::Context(_))) => "context",
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(why, ["opened", "wrong scope", "refused", "shredded", "unknown", "opened", "context"]);
    assert_eq!((watch.opened.load(Ordering::SeqCst), watch.refused.lock().unwrap().len()), (2, 3));
}

#[derive(Default, Clone)]
struct Watch {
    opened: Arc<AtomicU64>,
    refused: Arc<Mutex<Vec<String>>>,
}

impl OpenObserver for Watch {
    fn opened(&self, _: &Opened<'_>) {
        self.opened.fetch_add(1, Ordering::SeqCst);
    }

    fn refused(&self, what: &Opened<'_>) {
        let subject = what.subject().map(|subject| subject.expose().to_owned());
        self.refused.lock().unwrap().push(format!("{what:?} {subject:?}"));
    }
}

#[tokio::test]
async fn a_value_that_was_moved_between_patients_is_told_to_whoever_watches() {
    let clinic = Clinic::new().await;
    let place = NAME.record_id("1");
    let of_grace = clinic.sealer("grace").await.seal("Grace", &place).unwrap();
    clinic.sealer("ada").await.seal("Ada", &place).unwrap();
    let watch = Watch::default();
    let opener = Opener::builder(clinic.keys.clone()).observer(watch.clone()).build();
    let opener = opener.for_scope(&scope("ada")).await.unwrap();

    assert!(matches!(opener.open(&of_grace, &place), Err(OpenError::UnknownKey { .. })));
    opener.open_many(&[(&of_grace, place.clone())]).remove(0).unwrap_err();
    let mut buffer = of_grace.as_bytes().to_vec();
    assert!(matches!(opener.open_in_place(&mut buffer, &place), Err(OpenError::UnknownKey { .. })));
    assert_eq!(buffer, of_grace.as_bytes(), "the key was not there, so nothing was touched");
    assert_eq!(*watch.refused.lock().unwrap(), vec!["Opened(Patient.name) Some(\"ada\")"; 3]);
    assert_eq!(watch.opened.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn batches_refuse_when_the_lease_is_over() {
    let clinic = Clinic::new().await;
    let (sealer, opener) = (clinic.sealer("ada").await, clinic.opener("ada").await);
    let place = NAME.record_id("1");
    let sealed = sealer.seal("Ada", &place).unwrap();
    assert_eq!(opener.open_many(&[(&sealed, place.clone())])[0].as_ref().unwrap().expose(), "Ada");
    clinic.clock.advance(LEASE);
    assert_eq!(opener.open_many(&[(&sealed, place.clone())]), [Err(OpenError::LeaseEnded)]);
    assert!(sealer.seal_many(&[("Ada", place)]).is_err());
}

/// A value whose encoding lets time pass: the lease of a batch ends while it is under way.
struct Slow(phi_types::ManualClock);

impl phi_crypto::Openable for Slow {
    fn from_plaintext(bytes: zeroize::Zeroizing<Vec<u8>>) -> Result<Self, phi_crypto::DecodeError> {
        let clock = CLOCK.with_borrow(Option::clone).unwrap();
        clock.advance(std::time::Duration::from_millis(bytes.len().try_into().unwrap()));
        Ok(Self(clock))
    }
}

thread_local!(static CLOCK: std::cell::RefCell<Option<phi_types::ManualClock>> = const { std::cell::RefCell::new(None) });

#[tokio::test]
async fn a_batch_that_outlasts_its_lease_stops() {
    let clinic = Clinic::new().await;
    CLOCK.set(Some(clinic.clock.clone()));
    let place = NAME.record_id("1");
    // Each opening takes a second, so that the minute's lease ends among the first of two thousand.
    let sealed = clinic.sealer("ada").await.seal(&[7; 1000], &place).unwrap();
    let sealed = Sealed::<Slow>::from_bytes(sealed.into_bytes()).unwrap();
    let opener = clinic.opener("ada").await;
    let items = vec![(&sealed, place.clone()); 2000];
    let opened = opener.open_many(&items);
    let last = opened.iter().rposition(|opened| opened.is_ok()).unwrap();
    assert!(last < 128, "{last}");
    assert!(opened[128..].iter().all(|opened| matches!(opened, Err(OpenError::LeaseEnded))));

    let ada = scope("ada");
    let items = vec![(&ada, &sealed, place.clone()); 2000];
    let opened = clinic.opener.open_many(&items).await;
    assert!(opened[127].is_ok());
    assert!(opened[128..].iter().all(|opened| matches!(opened, Err(OpenManyError::Open(OpenError::LeaseEnded)))));
    let Slow(clock) = opened.into_iter().next().unwrap().unwrap().into_exposed();
    assert!(phi_types::Clock::monotonic(&clock) > LEASE * 3);
}

#[tokio::test]
async fn an_empty_batch_is_no_work() {
    let clinic = Clinic::new().await;
    assert!(clinic.opener.open_many::<String>(&[]).await.is_empty());
    assert!(clinic.opener("ada").await.open_many::<String>(&[]).is_empty());
    let sealer = Sealer::builder(clinic.keys.clone()).threads(threads(8)).build();
    assert!(sealer.for_scope(&scope("ada")).await.unwrap().seal_many::<&str>(&[]).unwrap().is_empty());
}
