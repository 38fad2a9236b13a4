//! The log in everyday use.

use phi_audit::Query;

use crate::support::{Clinic, subject};

#[tokio::test]
async fn what_is_recorded_is_found_proven_and_verified() {
    let (clinic, key) = Clinic::filled(600).await;
    let report = clinic.verify(&key).await;
    assert_eq!(report.findings, []);
    assert_eq!(report.size, 602);
    let log = clinic.open().await;
    let page = log.query(&Query::new().subject(&subject(3)).limit(10)).await.unwrap();
    assert_eq!(page.events.len(), 10);
    for found in page.events {
        log.prove(found.index).await.unwrap().verify(&log.entry(found.index).await.unwrap()).unwrap();
    }
}
