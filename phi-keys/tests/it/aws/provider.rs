//! The process-wide TLS provider.

use std::sync::Arc;

use kms_sim::{Service, Simulator};
use phi_keys::aws::AwsKms;
use rustls::crypto::{CryptoProvider, ring};
use tempfile::NamedTempFile;

use super::emulator::client;
use super::wire::ARN;
use crate::child;

const CASE: &str = "PHI_KEYS_TEST_AWS_PROVIDER";
const URL: &str = "PHI_KEYS_TEST_AWS_URL";

#[tokio::test]
async fn child_with_a_provider_for_aws() {
    let Ok(case) = std::env::var(CASE) else { return };
    let url = std::env::var(URL).unwrap();
    // Told apart from any other by what it offers.
    let few = CryptoProvider {
        cipher_suites: ring::default_provider().cipher_suites[..1].to_vec(),
        ..ring::default_provider()
    };
    let suites = || CryptoProvider::get_default().map(|provider: &Arc<CryptoProvider>| provider.cipher_suites.len());
    assert_eq!(suites(), None);
    if case == "before" {
        few.clone().install_default().unwrap();
    }
    // An answer, which this is to what is no AWS, comes through a handshake; without one it would be unavailable.
    let kind = async || AwsKms::open(client(&url, "us-east-1"), ARN).await.unwrap_err().kind();
    assert_eq!(kind().await, "failed");
    assert_eq!(suites(), (case == "before").then_some(1), "the process keeps what it has, and what it has not");
    if case == "after" {
        few.install_default().unwrap();
    }
    assert_eq!(kind().await, "failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn aws_works_with_any_or_no_provider_of_the_process() {
    // Any server that speaks TLS.
    let server = Simulator::start(Service::Azure, 0).await.unwrap();
    let authority = NamedTempFile::new().unwrap();
    std::fs::write(authority.path(), server.authority_pem().unwrap().unwrap()).unwrap();
    tokio::task::block_in_place(|| {
        for case in ["none", "before", "after"] {
            child::succeeds("aws::provider::child_with_a_provider_for_aws", &|command| {
                command.env(CASE, case).env(URL, server.url()).env("SSL_CERT_FILE", authority.path());
            });
        }
    });
}
