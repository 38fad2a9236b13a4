//! Region, credentials and endpoint from the environment, in a process that has one of its own.

use std::process::Command;

use phi_keys::Kms;
use phi_keys::aws::AwsKms;
use serde_json::json;

use super::wire::ARN;
use crate::child;
use crate::wire::server;

const CASE: &str = "PHI_KEYS_TEST_AWS_ENVIRONMENT";
const CHILD: &str = "aws::environment::child_with_an_environment_of_aws";

/// Runs in the child.
#[tokio::test]
async fn child_with_an_environment_of_aws() {
    let Ok(case) = std::env::var(CASE) else { return };
    match AwsKms::from_env(ARN).await {
        Err(error) => assert_eq!(error.kind(), case, "{error:?}"),
        Ok(kms) => {
            assert_eq!((kms.arn(), case.as_str()), (ARN, "ok"));
            assert!(kms.status().await.unwrap().state.is_usable());
        }
    }
}

/// An environment in which nothing of this machine counts.
fn empty(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AWS_")) {
        command.env_remove(name);
    }
    command.env("AWS_CONFIG_FILE", "/nonexistent").env("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent");
    command.env("AWS_EC2_METADATA_DISABLED", "true").env("AWS_REGION", "us-east-1").env("NO_PROXY", "127.0.0.1")
}

#[test]
fn aws_takes_region_credentials_and_endpoint_of_the_environment() {
    let key = json!({ "KeyMetadata": { "KeyId": "1234abcd", "Arn": ARN, "KeyState": "Enabled", "KeyUsage": "ENCRYPT_DECRYPT",
        "KeySpec": "SYMMETRIC_DEFAULT" } });
    let (url, requests) = server(vec![(200, key.clone()), (200, key)]);
    child::succeeds(CHILD, &|command| {
        empty(command).env("AWS_ENDPOINT_URL", &url).env(CASE, "ok");
        command.env("AWS_ACCESS_KEY_ID", "AKIDENVIRONMENT").env("AWS_SECRET_ACCESS_KEY", "a secret");
    });
    for _ in 0..2 {
        let request = requests.recv().unwrap();
        assert_eq!(request.header("x-amz-target"), Some("TrentService.DescribeKey"));
        assert_eq!(request.body, json!({ "KeyId": ARN }));
        let signed = request.header("authorization").unwrap();
        assert!(signed.contains("Credential=AKIDENVIRONMENT/") && signed.contains("/us-east-1/kms/"), "{signed}");
    }
}

#[test]
fn an_environment_without_credentials_of_aws_says_so() {
    let (url, requests) = server(vec![(200, json!({}))]);
    child::succeeds(CHILD, &|command| {
        empty(command).env("AWS_ENDPOINT_URL", &url).env(CASE, "unauthenticated");
    });
    assert!(requests.try_recv().is_err(), "nothing was sent");
}
