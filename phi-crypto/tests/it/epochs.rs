//! When a message key is replaced.

use core::time::Duration;

use phi_crypto::Context;

use crate::support::{Clinic, salt_of};

const NAME: Context<'static> = Context::new("Patient", "name").without_record();

#[tokio::test]
async fn sealers_of_one_scope_share_an_epoch_until_it_rolls() {
    let clinic = Clinic::with_lease(Duration::from_secs(3600)).await;
    let salt = |sealer: &phi_crypto::ScopedSealer| salt_of(sealer.seal("x", &NAME).unwrap().as_bytes());
    let (one, other) = (clinic.sealer("ada").await, clinic.sealer("ada").await);
    let first = salt(&one);
    assert_eq!(salt(&other), first);
    assert_ne!(salt(&clinic.sealer("grace").await), first);

    other.roll();
    let second = salt(&one);
    assert_ne!(second, first);
    assert_eq!(salt(&other), second);

    // Each value opens, whichever epoch sealed it.
    let opener = clinic.opener("ada").await;
    one.roll();
    for _ in 0..100 {
        let sealed = one.seal("x", &NAME).unwrap();
        one.roll();
        assert_eq!(opener.open(&sealed, &NAME).unwrap().expose(), "x");
    }
}

#[tokio::test]
async fn an_epoch_ends_after_an_hour_even_when_leases_are_renewed() {
    let clinic = Clinic::new().await;
    let first = salt_of(clinic.sealer("ada").await.seal("x", &NAME).unwrap().as_bytes());
    for _ in 0..59 {
        clinic.clock.advance(Duration::from_secs(60));
        assert_eq!(salt_of(clinic.sealer("ada").await.seal("x", &NAME).unwrap().as_bytes()), first);
    }
    clinic.clock.advance(Duration::from_secs(60));
    assert_ne!(salt_of(clinic.sealer("ada").await.seal("x", &NAME).unwrap().as_bytes()), first);
}
