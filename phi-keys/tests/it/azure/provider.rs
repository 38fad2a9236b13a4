//! The process-wide TLS provider.

use phi_keys::Kms;

use super::{carrier, here, kms, start};
use crate::simulated::{in_child_with_a_provider, works_with_any_or_no_provider};

#[tokio::test]
async fn child_with_a_provider_for_azure() {
    in_child_with_a_provider(async || {
        let azure = start().await;
        kms(&azure).wrap_dek(&carrier(), &here()).await.unwrap();
    })
    .await;
}

#[test]
fn azure_works_with_any_or_no_provider_of_the_process() {
    works_with_any_or_no_provider("azure::provider::child_with_a_provider_for_azure");
}
