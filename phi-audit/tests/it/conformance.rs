//! Our own store passes the published suite.

use phi_audit::{SqliteAuditStore, conformance};

use crate::support::Clinic;

#[tokio::test]
async fn sqlite_conforms() {
    let clinic = Clinic::new().await;
    conformance::check(&SqliteAuditStore::new(clinic.pool.clone())).await.unwrap();
}
