//! From a key's name to a KEK that can be used.

use core::time::Duration;

use aws_config::BehaviorVersion;
use aws_sdk_kms::Client;
use aws_sdk_kms::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_kms::config::retry::RetryConfig;
use aws_sdk_kms::config::timeout::TimeoutConfig;
use aws_sdk_kms::config::{ConfigBag, Intercept, RuntimeComponents, SharedHttpClient};
use aws_sdk_kms::error::BoxError;
use aws_sdk_kms::types::{KeyMetadata, KeySpec, KeyUsageType};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime_api::client::orchestrator::SensitiveOutput;
use aws_smithy_types::body::SdkBody;

use crate::kms::KmsError;

pub(super) const SYMMETRIC: &str = "choose a symmetric key for encryption (SYMMETRIC_DEFAULT)";

/// HTTPS on ring. The provider is named, so that neither a missing nor another default of the process matters.
pub(super) fn https() -> SharedHttpClient {
    Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}

/// A client by the environment, as every AWS tool reads it.
pub(super) async fn client() -> Client {
    Client::new(&aws_config::defaults(BehaviorVersion::latest()).http_client(https()).load().await)
}

/// How long a call may take, unless the client says. The SDK itself only bounds the connecting.
const LIMIT: Duration = Duration::from_secs(10);

/// The same client without retries of its own, with a limit of time, and with nothing of what it sends and gets in its traces.
pub(super) fn prepared(client: &Client) -> Client {
    let configuration = client.config().to_builder().retry_config(RetryConfig::disabled());
    let mut configuration = configuration.interceptor(Unprinted);
    let is_limited = |timeouts: &TimeoutConfig| {
        timeouts.operation_timeout().or(timeouts.operation_attempt_timeout()).or(timeouts.read_timeout()).is_some()
    };
    if !client.config().timeout_config().is_some_and(is_limited) {
        configuration = configuration.timeout_config(TimeoutConfig::builder().operation_timeout(LIMIT).build());
    }
    Client::from_conf(configuration.build())
}

/// Keeps the SDK, which at the level TRACE prints every request and some answers whole, from printing what is in them:
/// carriers, contexts and what was wrapped.
#[derive(Debug)]
struct Unprinted;

impl Intercept for Unprinted {
    fn name(&self) -> &'static str {
        "Unprinted"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        settings: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        settings.interceptor_state().store_put(SensitiveOutput);
        let body = context.request_mut().body_mut();
        // A body of any other kind than bytes prints nothing of them. The signature still covers them.
        *body = core::mem::replace(body, SdkBody::taken()).map_preserve_contents(SdkBody::from_body_1_x);
        Ok(())
    }
}

/// Refuses the ARN of a key in another region than that of the client. AWS would answer that there is no such key.
pub(super) fn same_region(client: &Client, key: &str) -> Result<(), KmsError> {
    const MEND: &str = "the key's ARN is of another region than the client: give the client the region of the key";
    let named = key.strip_prefix("arn:").and_then(|rest| rest.split(':').nth(2));
    match (named, client.config().region()) {
        (Some(named), Some(region)) if named != region.as_ref() => Err(KmsError::Misconfigured(MEND)),
        _ => Ok(()),
    }
}

/// The ARN of a key that can be a KEK.
pub(super) fn checked(key: &KeyMetadata) -> Result<String, KmsError> {
    let symmetric = key.key_spec().is_none_or(|spec| *spec == KeySpec::SymmetricDefault);
    if !symmetric || key.key_usage() != Some(&KeyUsageType::EncryptDecrypt) {
        return Err(KmsError::Misconfigured(SYMMETRIC));
    }
    key.arn().map(str::to_owned).ok_or(KmsError::Corrupt)
}

/// The name of the KEK: `aws-kms:` and the ARN. A multi-Region key is named without its region, because its replicas hold the
/// same key material.
pub(super) fn kek_id(arn: &str) -> String {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    match parts.as_slice() {
        [arn, partition, service, _, account, key] if key.starts_with("key/mrk-") => {
            format!("aws-kms:{arn}:{partition}:{service}:*:{account}:{key}")
        }
        _ => format!("aws-kms:{arn}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_multi_region_key_has_one_name_in_every_region() {
        let one = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
        assert_eq!(kek_id(one), format!("aws-kms:{one}"));
        let replica =
            |region: &str| format!("arn:aws:kms:{region}:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab");
        let name = kek_id(&replica("eu-west-1"));
        assert_eq!(name, "aws-kms:arn:aws:kms:*:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab");
        assert_eq!(name, kek_id(&replica("us-east-1")));
    }

    #[test]
    fn only_a_symmetric_key_for_encryption_is_taken() {
        let key = |spec, usage| KeyMetadata::builder().key_id("x").arn("arn").key_spec(spec).key_usage(usage).build();
        let judged = |spec, usage| checked(&key(spec, usage).unwrap()).map_err(|error| error.kind());
        assert_eq!(judged(KeySpec::SymmetricDefault, KeyUsageType::EncryptDecrypt), Ok("arn".to_owned()));
        for (spec, usage) in [
            (KeySpec::Rsa4096, KeyUsageType::EncryptDecrypt),
            (KeySpec::Hmac256, KeyUsageType::GenerateVerifyMac),
            (KeySpec::SymmetricDefault, KeyUsageType::SignVerify),
        ] {
            assert_eq!(judged(spec, usage), Err("misconfigured"));
        }
    }

    #[test]
    fn every_call_has_a_limit_of_time_and_no_retries() {
        let client = |timeouts: Option<TimeoutConfig>| {
            let mut builder = aws_sdk_kms::Config::builder().behavior_version(BehaviorVersion::latest());
            builder.set_timeout_config(timeouts);
            prepared(&Client::from_conf(builder.build())).config().timeout_config().cloned().unwrap()
        };
        assert_eq!(client(None).operation_timeout(), Some(LIMIT));
        let connecting = TimeoutConfig::builder().connect_timeout(Duration::from_secs(1)).build();
        let both = client(Some(connecting));
        assert_eq!((both.connect_timeout(), both.operation_timeout()), (Some(Duration::from_secs(1)), Some(LIMIT)));
        let own = TimeoutConfig::builder().operation_attempt_timeout(Duration::from_secs(60)).build();
        let own = client(Some(own));
        assert_eq!((own.operation_attempt_timeout(), own.operation_timeout()), (Some(Duration::from_secs(60)), None));
    }

    proptest! {
        #[test]
        fn only_a_key_of_several_regions_is_named_without_its_region(
            arn in "(arn:aws(-cn)?:kms:[a-z0-9-]{0,12}:[0-9]{12}:(key/(mrk-)?[0-9a-f-]{0,36}|alias/[a-z]{0,5})|[ -~]{0,60}|.{0,20})",
        ) {
            let id = kek_id(&arn);
            let parts: Vec<&str> = arn.splitn(6, ':').collect();
            let several = parts.len() == 6 && parts[5].starts_with("key/mrk-");
            let whole = format!("aws-kms:{arn}");
            prop_assert_eq!(id == whole, !several || parts[3] == "*");
            prop_assert_eq!(id.matches(':').count(), arn.matches(':').count() + 1);
        }
    }
}
