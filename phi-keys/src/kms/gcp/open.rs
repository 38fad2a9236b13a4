//! From the environment to a client.

use core::time::Duration;

use google_cloud_gax::options::RequestOptionsBuilder;
use google_cloud_gax::retry_policy::NeverRetry;
use google_cloud_kms_v1::builder::key_management_service::ClientBuilder;
use google_cloud_kms_v1::client::KeyManagementService;

use crate::kms::KmsError;
use crate::kms::described::Described;
use crate::kms::provider::ensure_crypto_provider;

/// How long one request may take unless set.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// The SDK's builder, which panics at `build` without a provider of rustls.
pub(super) fn builder() -> ClientBuilder {
    ensure_crypto_provider();
    KeyManagementService::builder()
}

/// A client with the application default credentials.
pub(super) async fn client() -> Result<KeyManagementService, KmsError> {
    builder().build().await.map_err(|error| {
        if error.is_default_credentials() {
            KmsError::unauthenticated(Described::of(&error))
        } else if error.is_universe_domain_mismatch() {
            KmsError::Misconfigured("the credentials are of another universe domain: build the client with theirs")
        } else {
            KmsError::failed(Described::of(&error))
        }
    })
}

/// One request is one try, whatever the client was built with.
pub(super) fn once<B: RequestOptionsBuilder>(call: B, timeout: Duration) -> B {
    call.with_retry_policy(NeverRetry).with_attempt_timeout(timeout)
}
